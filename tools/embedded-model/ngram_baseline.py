#!/usr/bin/env python3
"""An interpolated modified Kneser-Ney model of order 5 over token ids, as the yardstick.

    ngram_baseline.py --data DIR --model models/default [--report report.json]

Counts and look-ups are sorts and searches over whole arrays, so it runs the same on a CPU
and on a GPU.  Chen & Goodman, "An empirical study of smoothing techniques for language
modeling" (1998), section 3: three discounts per order, estimated from counts of counts;
lower orders count distinct left neighbours (raw counts where nothing can stand on the left).
"""
import argparse
import json
import math
import os

import numpy as np
import torch

import dataset


def positions_in_document(tokens, bos):
    """0 for every <|begin_of_text|>, 1 for the token after it, ..."""
    index = torch.arange(len(tokens), device=tokens.device)
    start = torch.where(tokens == bos, index, torch.zeros_like(index)).cummax(0).values
    return index - start


def five_gram_loss(train, heldout, vocabulary_size, bos, order=5):
    """Mean loss in nats per token of `heldout` (1-D int64, documents begin with bos), and the token count."""
    device = train.device
    where, where_held = positions_in_document(train, bos), positions_in_document(heldout, bos)
    ids, held_ids = [], []           # ids[n - 1][i]: which unique n-gram ends at i, or -1
    tables = []                      # per order: sorted keys, context and suffix of each, first position
    for n in range(1, order + 1):
        if n == 1:
            key, held_key = train, heldout
            valid = torch.ones_like(train, dtype=torch.bool)
            held_valid = torch.ones_like(heldout, dtype=torch.bool)
        else:
            left = torch.cat([ids[-1].new_full((1,), -1), ids[-1][:-1]])
            key = left * vocabulary_size + train
            valid = where >= n - 1
            held_left = torch.cat([held_ids[-1].new_full((1,), -1), held_ids[-1][:-1]])
            held_key = held_left * vocabulary_size + heldout
            held_valid = (where_held >= n - 1) & (held_left >= 0)
        keys, inverse, count = torch.unique(key[valid], return_inverse=True, return_counts=True)
        current = torch.full_like(train, -1)
        current[valid] = inverse
        some = torch.empty_like(keys)  # one position of every unique n-gram
        some[inverse] = valid.nonzero()[:, 0]
        found = torch.searchsorted(keys, held_key).clamp(max=len(keys) - 1)
        held_current = torch.where(held_valid & (keys[found] == held_key), found, torch.full_like(found, -1))
        tables.append({"keys": keys, "count": count, "some": some})
        ids.append(current)
        held_ids.append(held_current)

    probability = torch.full((len(heldout),), 1.0 / vocabulary_size, dtype=torch.float64, device=device)
    for n in range(1, order + 1):
        table = tables[n - 1]
        size = len(table["keys"])
        if n == order:
            count = table["count"].double()
        else:
            longer = tables[n]["some"]
            count = torch.bincount(ids[n - 1][longer], minlength=size).double()
            first = where[table["some"]] == n - 1
            count = torch.where(first & (count == 0), table["count"].double(), count)
        of = [(count == k).sum().item() for k in (1, 2, 3, 4)]
        y = of[0] / max(1, of[0] + 2 * of[1])
        discount = [0.0] + [k - (k + 1) * y * of[k] / max(1, of[k - 1]) for k in (1, 2, 3)]
        if not all(0 < d <= k for k, d in enumerate(discount[1:], 1)):
            discount = [0.0, 0.5, 1.0, 1.5]  # duplicated text: the usual fallback
        take = torch.tensor(discount, dtype=torch.float64, device=device)[count.clamp(max=3).long()]
        if n == 1:
            context = torch.zeros(size, dtype=torch.int64, device=device)
            contexts, held_context = 1, torch.zeros_like(heldout)
        else:
            context = table["keys"] // vocabulary_size
            contexts = len(tables[n - 2]["keys"])
            held_context = torch.cat([held_ids[n - 2].new_full((1,), -1), held_ids[n - 2][:-1]])
            held_context = torch.where(where_held >= n - 1, held_context, torch.full_like(held_context, -1))
        total = torch.zeros(contexts, dtype=torch.float64, device=device).index_add_(0, context, count)
        freed = torch.zeros(contexts, dtype=torch.float64, device=device).index_add_(0, context, take)
        known = (held_context >= 0) & (total[held_context.clamp(min=0)] > 0)
        h = held_context.clamp(min=0)
        g = held_ids[n - 1]
        direct = torch.where(g >= 0, (count - take)[g.clamp(min=0)], torch.zeros_like(probability))
        mixed = (direct + freed[h] * probability) / total[h].clamp(min=1e-9)
        probability = torch.where(known, mixed, probability)
    scored = heldout != bos
    return -(probability[scored].log().mean().item()), int(scored.sum().item())


def bits_per_character(nats_per_token, tokens, characters):
    return nats_per_token * tokens / math.log(2) / characters


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--report")
    args = parser.parse_args()
    vocabulary, groups = dataset.load_all(args.data, os.path.join(args.model, "tokenizer.json"), workers=2)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    text = [groups[n] for n in groups if n in dataset.TEXT_GROUPS]
    chat = [g for n, g in groups.items() if n not in dataset.TEXT_GROUPS and n != "synthetic"]
    held = torch.from_numpy(np.concatenate([g["heldout_stream"] for g in text])).long().to(device)
    characters = sum(g["chars"] for g in text)
    result = []
    for name, also in (("text", []), ("text and chat", chat)):  # the better one is the yardstick
        train = np.concatenate([g["train_stream"] for g in text] +
                               [g["train"][0][g["train"][0] != vocabulary.pad] for g in also])
        loss, count = five_gram_loss(torch.from_numpy(train).long().to(device), held, vocabulary.size, vocabulary.bos)
        result.append({"trained_on": name, "training_tokens": len(train), "nats_per_token": loss, "tokens": count,
                       "bits_per_character": bits_per_character(loss, count, characters)})
        print(json.dumps(result[-1]), flush=True)
    if args.report:
        with open(args.report, "w") as f:
            json.dump(result, f, indent=1)


if __name__ == "__main__":
    main()
