#!/usr/bin/env python3
"""The peer of bench_linear and bench_attention: PyTorch on the CPU at the same shapes and threads.

    python bench/op/bench_torch.py [--threads N] [--seconds S] [--attention]

Prints the same columns. Weights are visited in turn over a working set larger than the caches, and the
best time counts, as in the C programs. f32 goes through torch's BLAS, bf16 through oneDNN.
"""
import argparse
import time

import torch
import torch.nn.functional as F

SHAPES = [(4096, 4096), (14336, 4096), (4096, 14336), (128256, 4096)]
TOKENS = [1, 2, 4, 8, 16, 128, 512]
WORKING_SET = 1 << 30


def best_time(call, seconds):
    best, begin, i = float("inf"), time.perf_counter(), 0
    while i < 3 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        call(i)
        best = min(best, time.perf_counter() - start)
        i += 1
    return best


def linear(seconds):
    print(f"{'rows':>6} {'width':>6} {'type':>6} {'T':>5} {'us':>10} {'GB/s':>8} {'GFLOP/s':>9}")
    for s, (rows, width) in enumerate(SHAPES):
        for dtype in [torch.bfloat16, torch.float32] if s == 0 else [torch.bfloat16]:
            size = torch.finfo(dtype).bits // 8
            copies = WORKING_SET // (rows * width * size) + 1
            weights = [torch.rand(rows, width).mul_(2).sub_(1).to(dtype) for _ in range(copies)]
            for tokens in TOKENS if s < 3 else TOKENS[:3]:
                x = torch.rand(tokens, width).to(dtype)
                took = best_time(lambda i: F.linear(x, weights[i % copies]), seconds)
                flops = 2 * rows * width * tokens
                print(f"{rows:6} {width:6} {str(dtype)[6:]:>6.6} {tokens:5} {took * 1e6:10.1f} "
                      f"{rows * width * size / took * 1e-9:8.1f} {flops / took * 1e-9:9.1f}", flush=True)


def attention(seconds):
    print(f"{'type':>6} {'T':>5} {'length':>7} {'us':>10}")
    for dtype in [torch.float32, torch.bfloat16]:
        for tokens, length in [(1, 1024), (1, 8192), (512, 512), (512, 8192)]:
            k = torch.rand(1, 8, length, 128).to(dtype)
            v = torch.rand(1, 8, length, 128).to(dtype)
            q = torch.rand(1, 32, tokens, 128).to(dtype)
            mask = torch.ones(tokens, length, dtype=torch.bool).tril(length - tokens)
            took = best_time(
                lambda i: F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True), seconds)
            print(f"{str(dtype)[6:]:>6.6} {tokens:5} {length:7} {took * 1e6:10.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--attention", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, threads {torch.get_num_threads()}")
    with torch.inference_mode():
        attention(options.seconds) if options.attention else linear(options.seconds)


if __name__ == "__main__":
    main()
