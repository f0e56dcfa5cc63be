#!/usr/bin/env python3
"""tiktoken, HF tokenizers and twllm on the same 20 MB of mixed zh/en/code text, one thread each, in one run.

    python bench/text/compare_tokenizers.py [--build build] [--shared ../shared] [--megabytes 20]

Each document is one call. Every program is timed several times in processor seconds, taking turns, and its best counts.
The numbers of tokens must be equal. twllm's first pass, when it remembers no piece yet, has a line of its own. HF
tokenizers is timed on its fastest path (encode_batch_fast: no offsets), single-threaded.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "golden"))

import llama3_tokenizer  # noqa: E402
import tokenizers  # noqa: E402


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--build", default=ROOT / "build", type=pathlib.Path)
    arguments.add_argument("--shared", default=os.environ.get("TWLLM_SHARED", ROOT.parent / "shared"), type=pathlib.Path)
    arguments.add_argument("--megabytes", default=20.5, type=float)
    arguments.add_argument("--rounds", default=3, type=int)
    options = arguments.parse_args()

    folder = llama3_tokenizer.make_folder(options.shared, options.build)
    documents = llama3_tokenizer.mixed_documents(options.shared, options.megabytes * 1e6)
    raw = [d.encode() for d in documents]
    n_bytes = sum(map(len, raw))
    file = options.build / "golden" / "mixed-documents"
    file.write_bytes(b"".join(b"%d\n" % len(d) + d for d in raw))

    tiktoken = llama3_tokenizer.tiktoken_encoding(options.shared)
    huggingface = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    huggingface.encode_special_tokens = True

    def run_tiktoken():
        return sum(len(tiktoken.encode_ordinary(d)) for d in documents)

    def run_huggingface():
        return sum(len(e.ids) for e in huggingface.encode_batch_fast(documents, add_special_tokens=False))

    best, n_tokens, ours = {}, {}, ""
    for _ in range(options.rounds):
        for name, work in (("tiktoken", run_tiktoken), ("HF tokenizers", run_huggingface)):
            start = time.process_time()
            n_tokens[name] = work()
            best[name] = max(best.get(name, 0.0), n_bytes / (time.process_time() - start) / 1e6)
        done = subprocess.run(
            [options.build / "bench_tokenizer", folder, file, "2"], capture_output=True, text=True, check=True
        )
        fields = done.stdout.split()
        ours = dict(zip(fields[::2], fields[1::2]))
        n_tokens["twllm"] = int(ours["tokens"])
        for name, field in (("twllm", "MB/s"), ("twllm, first pass", "first")):
            best[name] = max(best.get(name, 0.0), float(ours[field]))
    assert len(set(n_tokens.values())) == 1, n_tokens

    print(f"{n_bytes / 1e6:.1f} MB, {len(documents)} documents, {n_tokens['twllm']} tokens")
    print("| program | MB/s | twllm is faster by |\n|---|---|---|")
    for name, speed in best.items():
        print(f"| {name} | {speed:.1f} | {best['twllm'] / speed:.1f}x |")
    size = (folder / "tokenizer.json").stat().st_size
    print(f"loading tokenizer.json ({size / 1e6:.1f} MB): {ours['load_ms']} ms")


if __name__ == "__main__":
    main()
