#!/usr/bin/env python3
"""Train the embedded model: one run whose learning rate and data mix follow the clock.

    train.py --data DIR --model models/default --out DIR --seconds 300 [--device cuda]

`--model` holds config.json and the tokenizer; OUT receives model.safetensors (bf16, Hugging
Face names), stable.safetensors (the weights before the learning rate starts to fall, to
resume from with --resume), loss.csv and report.json (held-out losses).
"""
import argparse
import csv
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

import dataset
from ngram_baseline import bits_per_character

# Share of the rows of a step: while the rate is constant, while it falls, at the end.
MIX = {
    "gazette": (.20, .14, .08), "laws": (.08, .05, .03), "docs": (.06, .04, .02), "taiwan": (.05, .05, .035),
    "english": (.06, .05, .03), "sentences": (.015, .02, .015), "novels": (.05, .04, .03),
    "poems": (.045, .035, .025), "contexts": (.01, .015, .01),
    "open_chat": (.008, .015, .02), "topic_chat": (.01, .015, .01), "counsel_chat": (.10, .06, .03),
    "derived_chat": (.07, .06, .05), "qa_chat": (.012, .015, .015), "bitext": (.08, .06, .03),
    "english_chat": (.012, .015, .015), "english_more": (.02, .01, .005), "synthetic": (.04, .20, .50),
}
STABLE, FINAL = 0.5, 0.78       # progress at which the second and the third mix begin


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x):
        y = x.float()
        return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype) * self.weight.to(x.dtype)


class Layer(nn.Module):
    def __init__(self, c, dropout):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.heads, self.kv_heads, self.size = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        width, inner = c["hidden_size"], c["intermediate_size"]
        self.input_layernorm = RMSNorm(width, c["rms_norm_eps"])
        self.post_attention_layernorm = RMSNorm(width, c["rms_norm_eps"])
        self.self_attn = nn.ModuleDict({
            "q_proj": nn.Linear(width, self.heads * self.size, bias=False),
            "k_proj": nn.Linear(width, self.kv_heads * self.size, bias=False),
            "v_proj": nn.Linear(width, self.kv_heads * self.size, bias=False),
            "o_proj": nn.Linear(self.heads * self.size, width, bias=False)})
        self.mlp = nn.ModuleDict({
            "gate_proj": nn.Linear(width, inner, bias=False), "up_proj": nn.Linear(width, inner, bias=False),
            "down_proj": nn.Linear(inner, width, bias=False)})

    def forward(self, x, cos, sin, attend):
        batch, length, _ = x.shape
        h = self.input_layernorm(x)
        q, k, v = (self.self_attn[n](h).view(batch, length, -1, self.size).transpose(1, 2)
                   for n in ("q_proj", "k_proj", "v_proj"))

        def rotate(t):
            a, b = t.chunk(2, dim=-1)
            return (t * cos + torch.cat((-b, a), dim=-1) * sin).to(t.dtype)

        y = attend(rotate(q), rotate(k), v)
        x = x + self.drop(self.self_attn["o_proj"](y.transpose(1, 2).reshape(batch, length, -1)))
        h = self.post_attention_layernorm(x)
        return x + self.drop(self.mlp["down_proj"](F.silu(self.mlp["gate_proj"](h)) * self.mlp["up_proj"](h)))


class Llama(nn.Module):
    """The Llama forward pass with the parameter names of Hugging Face's LlamaForCausalLM."""

    def __init__(self, c, dropout):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c, dropout) for _ in range(c["num_hidden_layers"]))
        self.norm = RMSNorm(c["hidden_size"], c["rms_norm_eps"])
        for name, p in self.named_parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(p)
        half = torch.arange(0, c["head_dim"], 2).float() / c["head_dim"]
        angle = torch.outer(torch.arange(c["max_position_embeddings"]).float(), c["rope_theta"] ** -half)
        self.register_buffer("cos", torch.cat((angle, angle), -1).cos(), persistent=False)
        self.register_buffer("sin", torch.cat((angle, angle), -1).sin(), persistent=False)

    def forward(self, tokens, targets, weight, attend):
        """Sum of the losses over the targets whose weight is 1."""
        x = self.embed_tokens(tokens)
        cos, sin = self.cos[:tokens.shape[1]].to(x.dtype), self.sin[:tokens.shape[1]].to(x.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin, attend)
        logits = F.linear(self.norm(x), self.embed_tokens.weight)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
        return (loss * weight.flatten()).sum()


def orthogonal(g):
    """Newton-Schulz iteration of Muon on a stack of matrices (K. Jordan, 2024)."""
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if tall else x).float()


class Muon:
    """Momentum, orthogonalised per matrix; matrices of one shape are handled in one batch."""

    def __init__(self, matrices, decay):
        self.groups, self.decay = {}, decay
        for p in matrices:
            self.groups.setdefault(tuple(p.shape), []).append(p)
        self.moment = {s: torch.zeros((len(ps), *s), device=ps[0].device) for s, ps in self.groups.items()}

    @torch.no_grad()
    def step(self, rate):
        for shape, ps in self.groups.items():
            g, m = torch.stack([p.grad for p in ps]), self.moment[shape]
            m.lerp_(g, 0.05)
            update = orthogonal(g.lerp(m, 0.95)) * max(1.0, shape[0] / shape[1]) ** 0.5
            torch._foreach_mul_(ps, 1 - rate * self.decay)
            torch._foreach_add_(ps, list(update.unbind(0)), alpha=-rate)


def make_attend(device, bos):
    """attend(q, k, v) factory per batch: causal, and never across documents."""
    if device == "cuda":
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention
        block = torch.compile(create_block_mask, dynamic=False)

        def prepare(tokens):
            document = (tokens == bos).cumsum(-1)
            batch, length = tokens.shape

            def visible(b, h, q, k):
                return (q >= k) & (document[b, q] == document[b, k])
            mask = block(visible, batch, None, length, length, device=device)
            return lambda q, k, v: flex_attention(q, k, v, block_mask=mask, enable_gqa=True)
        return prepare

    def prepare(tokens):
        document = (tokens == bos).cumsum(-1)
        mask = (document[:, None, :, None] == document[:, None, None, :]).tril()
        return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    return prepare


class Rows:
    """All rows on the device; next rows are drawn by a mix, every group in its own shuffled order."""

    def __init__(self, groups, device, rng):
        self.names = [n for n in MIX if n in groups]
        self.rng, base, tokens, mask = rng, 0, [], []
        self.span, self.queue = {}, {n: [] for n in self.names}
        for n in self.names:
            t, m = groups[n]["train"]
            self.span[n] = (base, len(t))
            base += len(t)
            tokens.append(torch.from_numpy(t))
            mask.append(torch.from_numpy(m))
        self.tokens, self.mask = torch.cat(tokens).to(device), torch.cat(mask).to(device)

    def draw(self, count, phase, blend):
        """Rows for one step; blend moves linearly from the phase's mix to the next one's."""
        p = np.array([(1 - blend) * MIX[n][phase] + blend * MIX[n][min(2, phase + 1)] for n in self.names])
        index = []
        for g in self.rng.choice(len(self.names), size=count, p=p / p.sum()):
            n = self.names[g]
            if not self.queue[n]:
                self.queue[n] = list(self.span[n][0] + self.rng.permutation(self.span[n][1]))
            index.append(self.queue[n].pop())
        index = torch.tensor(index, device=self.tokens.device)
        return self.tokens[index].long(), self.mask[index]


def save(model, path):
    state = {"model." + k.replace("_orig_mod.", ""): p.detach().to(torch.bfloat16).cpu().contiguous()
             for k, p in model.named_parameters()}
    save_file(state, path, metadata={"format": "pt"})


@torch.no_grad()
def heldout_loss(model, forward, groups, vocabulary, prepare, device, batch):
    """Per group: (mean nats per scored token, scored tokens), with weights rounded to bf16."""
    model.eval()
    kept = {k: p.detach().clone() for k, p in model.named_parameters()}
    for p in model.parameters():
        p.copy_(p.bfloat16().float())
    result = {}
    for name, group in groups.items():
        if "heldout" not in group:
            continue
        tokens, mask = (torch.from_numpy(a).to(device) for a in group["heldout"])
        total, count = 0.0, 0
        for i in range(0, len(tokens), batch):
            t, m = tokens[i:i + batch].long(), mask[i:i + batch]
            if len(t) < batch:  # one shape only
                t = torch.cat([t, t.new_full((batch - len(t), t.shape[1]), vocabulary.pad)])
                m = torch.cat([m, m.new_zeros((batch - len(m), m.shape[1]))])
            weight = ((m[:, 1:] > 0) & (t[:, 1:] != vocabulary.bos)).float()
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                total += forward(t[:, :-1], t[:, 1:], weight, prepare(t[:, :-1])).item()
            count += int(weight.sum().item())
        result[name] = (total / max(1, count), count)
    for k, p in model.named_parameters():
        p.copy_(kept[k])
    model.train()
    return result


def summary(result, groups):
    text = [(l, n, groups[g]["chars"]) for g, (l, n) in result.items() if g in dataset.TEXT_GROUPS]
    tokens, chars = sum(n for _, n, _ in text), sum(c for _, _, c in text)
    nats = sum(l * n for l, n, _ in text) / max(1, tokens)
    chat = [(l, n) for g, (l, n) in result.items() if g not in dataset.TEXT_GROUPS and g != "synthetic"]
    return {"heldout_text_nats_per_token": nats, "heldout_text_bits_per_character":
            bits_per_character(nats, tokens, chars), "heldout_text_tokens": tokens, "heldout_text_characters": chars,
            "heldout_chat_nats_per_token": sum(l * n for l, n in chat) / max(1, sum(n for _, n in chat)),
            "heldout_chat_tokens": sum(n for _, n in chat),
            "by_group": {g: {"nats_per_token": round(l, 4), "tokens": n} for g, (l, n) in result.items()}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rows", type=int, default=128, help="rows of 2048 tokens per step")
    parser.add_argument("--micro", type=int, default=64, help="rows per forward pass")
    parser.add_argument("--muon-rate", type=float, default=0.02)
    parser.add_argument("--adam-rate", type=float, default=0.004)
    parser.add_argument("--decay", type=float, default=0.1, help="weight decay of the matrices, times the rate")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--resume", help="weights to start from, at --from-progress")
    parser.add_argument("--from-progress", type=float, default=0.0)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    torch.manual_seed(1)
    torch.set_float32_matmul_precision("high")
    config = json.load(open(os.path.join(args.model, "config.json")))
    begin = time.time()
    vocabulary, groups = dataset.load_all(args.data, os.path.join(args.model, "tokenizer.json"))
    for n, g in groups.items():
        print("%-13s rows %6d, tokens scored %d" % (n, len(g["train"][0]), g["train"][1].sum()), flush=True)
    print("tokenised in %.0f s" % (time.time() - begin), flush=True)
    report = {}

    model = Llama(config, args.dropout).to(args.device)
    if args.resume:
        state = load_file(args.resume)
        model.load_state_dict({k[len("model."):]: v.float() for k, v in state.items()})
    print("%d parameters" % sum(p.numel() for p in model.parameters()), flush=True)
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    muon, adam = Muon(matrices, args.decay), torch.optim.AdamW(rest, lr=args.adam_rate, betas=(0.9, 0.95), weight_decay=0.01,
                                                   fused=args.device == "cuda")
    forward = torch.compile(model, dynamic=False) if args.device == "cuda" else model
    prepare = make_attend(args.device, vocabulary.bos)
    rng = np.random.default_rng(2)
    rows = Rows(groups, args.device, rng)
    log_file = open(os.path.join(args.out, "loss.csv"), "w", newline="", buffering=1)
    log = csv.writer(log_file)
    log.writerow(["tokens", "seconds", "rate", "train_nats", "heldout_text_nats", "heldout_chat_nats"])

    begin, step, tokens, saved, next_check = time.time(), 0, 0, bool(args.resume), 0.05
    progress, window, window_count, start = args.from_progress, 0.0, 0.0, None
    while progress < 1.0:
        phase = 0 if progress < STABLE else 1 if progress < FINAL else 2
        blend = (progress - STABLE) / (FINAL - STABLE) if phase == 1 else 0.0
        scale = min(1.0, (step + 1) / (100 if not args.resume else 20), (1.0 - progress) / (1.0 - STABLE))
        t, m = rows.draw(args.rows, phase, blend)
        whole = (t[:, 1:] != vocabulary.pad).float()
        weight = whole if phase == 0 else (m[:, 1:] > 0).float()
        count = weight.sum()
        for i in range(0, args.rows, args.micro):
            x, y = t[i:i + args.micro, :-1].contiguous(), t[i:i + args.micro, 1:].contiguous()
            with torch.autocast(args.device, torch.bfloat16, enabled=args.device == "cuda"):
                loss = forward(x, y, weight[i:i + args.micro].contiguous(), prepare(x))
            (loss / count).backward()
            window = window + loss.detach()
        window_count = window_count + count
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        muon.step(args.muon_rate * scale)
        for group in adam.param_groups:
            group["lr"] = args.adam_rate * scale
        adam.step()
        model.zero_grad(set_to_none=True)
        step += 1
        tokens += t[:, 1:].numel()
        if step == 3:  # compiled by now: the clock starts
            if args.device == "cuda":
                torch.cuda.synchronize()
            start, first_tokens = time.time(), tokens
            print("compiled in %.0f s" % (start - begin), flush=True)
        if start is None:
            continue
        if step % 4 == 0 and args.device == "cuda":
            torch.cuda.synchronize()
        elapsed = time.time() - start
        progress = args.from_progress + (1 - args.from_progress) * elapsed / args.seconds
        if step % 50 == 0 or progress >= 1.0:
            value = (window / window_count).item()
            window, window_count = 0.0, 0.0
            print("step %5d  %.1fM tokens  %.0f s  %.2fM tokens/s  rate %.4f  loss %.4f" % (
                step, tokens / 1e6, elapsed, (tokens - first_tokens) / elapsed / 1e6, scale, value), flush=True)
            checked = ["", ""]
            if progress >= next_check and progress < 1.0:
                next_check = progress + 0.1
                pause = time.time()
                s = summary(heldout_loss(model, forward, groups, vocabulary, prepare, args.device, args.micro), groups)
                checked = [round(s["heldout_text_nats_per_token"], 4), round(s["heldout_chat_nats_per_token"], 4)]
                print("   held out: text %s, chat %s" % tuple(checked), flush=True)
                start += time.time() - pause
            log.writerow([tokens, round(elapsed, 1), round(scale, 4), round(value, 4), *checked])
            if not math.isfinite(value):
                raise SystemExit("the loss is not finite")
        if not saved and progress >= STABLE:
            saved = True
            save(model, os.path.join(args.out, "stable.safetensors"))
    save(model, os.path.join(args.out, "model.safetensors"))
    report.update(summary(heldout_loss(model, forward, groups, vocabulary, prepare, args.device, args.micro), groups))
    report.update({"training_tokens": tokens, "training_seconds": round(elapsed, 1), "steps": step,
                   "tokens_per_second": round((tokens - first_tokens) / elapsed)})
    json.dump(report, open(os.path.join(args.out, "report.json"), "w"), indent=1)
    print(json.dumps(report, indent=1), flush=True)


if __name__ == "__main__":
    main()
