"""Token rows for training and evaluation, from the files that prepare_data.py writes."""
import glob
import json
import lzma
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tokenizers import Tokenizer

CONTEXT = 2048
TEXT_GROUPS = ["gazette", "laws", "docs", "taiwan", "english", "sentences", "novels", "poems", "contexts"]


class Vocabulary:
    def __init__(self, path):
        self.tokenizer = Tokenizer.from_file(path)
        ids = self.tokenizer.token_to_id
        self.bos, self.end, self.eot = ids("<|begin_of_text|>"), ids("<|end_of_text|>"), ids("<|eot_id|>")
        self.start_header, self.end_header = ids("<|start_header_id|>"), ids("<|end_header_id|>")
        self.pad = ids("<|finetune_right_pad_id|>")
        self.size = self.tokenizer.get_vocab_size()

    def encode_all(self, texts):
        return [e.ids for e in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def read(path):
    with lzma.open(path, "rt", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def encode_documents(vocabulary, documents):
    """[(tokens, loss mask)] for text and chat rows; the mask is 1 on what the assistant says."""
    v = vocabulary
    segments, breaks = [], len(v.encode_all(["\n\n"])[0])
    for row in documents:
        if "text" in row:
            segments.append(row["text"])
        else:
            for m in row["messages"]:
                segments += [m["role"], "\n\n" + m["content"].strip()]
    encoded = iter(v.encode_all(segments))
    result = []
    for row in documents:
        tokens, mask = [v.bos], [0]
        if "text" in row:
            body = next(encoded)
            tokens += body + [v.end]
            mask += [1] * (len(body) + 1)
        else:
            for m in row["messages"]:
                head = [v.start_header] + next(encoded) + [v.end_header]
                body = next(encoded) + [v.eot]
                said = 1 if m["role"] == "assistant" else 0
                tokens += head + body
                mask += [0] * (len(head) + breaks) + [said] * (len(body) - breaks)
        result.append((tokens, mask))
    return result


def chop(pairs, rng):
    """Shuffled documents end to end, cut into rows of CONTEXT + 1 (rows overlap by one token)."""
    order = rng.permutation(len(pairs))
    tokens = np.concatenate([np.array(pairs[i][0], np.int16) for i in order])
    mask = np.concatenate([np.array(pairs[i][1], np.uint8) for i in order])
    return tokens, mask


def rows_of_stream(tokens, mask, pad):
    count = max(1, -(-(len(tokens) - 1) // CONTEXT))
    size = count * CONTEXT + 1
    tokens = np.concatenate([tokens, np.full(size - len(tokens), pad, np.int16)])
    mask = np.concatenate([mask, np.zeros(size - len(mask), np.uint8)])
    index = np.arange(count)[:, None] * CONTEXT + np.arange(CONTEXT + 1)[None, :]
    return tokens[index], mask[index]


def pack_whole(pairs, pad, rng):
    """Dialogues kept whole: first fit into rows of CONTEXT + 1, the rest padding."""
    rows, open_rows = [], []
    for i in rng.permutation(len(pairs)):
        tokens, mask = pairs[i][0][:CONTEXT + 1], pairs[i][1][:CONTEXT + 1]
        for row in open_rows:
            if len(row[0]) + len(tokens) <= CONTEXT + 1:
                row[0].extend(tokens)
                row[1].extend(mask)
                break
        else:
            row = (list(tokens), list(mask))
            rows.append(row)
            open_rows.append(row)
        open_rows = [r for r in open_rows if len(r[0]) < CONTEXT - 24][-24:]
    tokens = np.full((len(rows), CONTEXT + 1), pad, np.int16)
    mask = np.zeros((len(rows), CONTEXT + 1), np.uint8)
    for i, (t, m) in enumerate(rows):
        tokens[i, :len(t)] = t
        mask[i, :len(m)] = m
    return tokens, mask


def load_group(vocabulary, path, seed=1):
    """{"train": (tokens, mask), "heldout": ..., "stream": train tokens, "heldout_stream", "chars"}."""
    rows, rng = read(path), np.random.default_rng(seed)
    name = os.path.basename(path).split(".")[0]
    group = {"name": name, "chars": 0}
    for split in ("train", "heldout"):
        documents = [r for r in rows if r["split"] == split]
        if not documents:
            continue
        pairs = encode_documents(vocabulary, documents)
        if split == "heldout":
            group["chars"] = sum(len(d["text"]) for d in documents if "text" in d)
        if name in TEXT_GROUPS:
            tokens, mask = chop(pairs, rng)
            group[split + "_stream"] = tokens
            group[split] = rows_of_stream(tokens, mask, vocabulary.pad)
        else:
            group[split] = pack_whole(pairs, vocabulary.pad, rng)
    return group


def load_all(data, tokenizer_path, workers=8):
    vocabulary = Vocabulary(tokenizer_path)
    paths = sorted(glob.glob(os.path.join(data, "*.jsonl.xz")), key=os.path.getsize, reverse=True)
    with ThreadPoolExecutor(workers) as pool:
        groups = list(pool.map(lambda p: load_group(vocabulary, p), paths))
    return vocabulary, {g["name"]: g for g in groups}
