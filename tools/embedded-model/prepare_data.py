#!/usr/bin/env python3
"""Read the corpus, clean it, split off the held-out documents, write one file per group.

    prepare_data.py --corpus DIR --out DIR

Every line of OUT/<group>.jsonl.xz is {"split": "train"|"heldout", "text": ...} or
{"split": ..., "messages": [...]}.  The split is by a hash of the document, about 1 % of
the documents of every source, decided before anything else looks at the text; the
tokenizer, the n-gram baseline and the model see the "train" side only.
"""
import argparse
import hashlib
import json
import lzma
import os
import re

HAN = re.compile(r"[\u4e00-\u9fff]")
IDENTITY = re.compile(r"Open ?Assistant|LAION|OpenAI|ChatGPT|GPT-?[34]|語言模型|文心|百度|阿里")


def is_simplified(c):
    """A character that GB 2312 has and Big5 lacks: nearly always a simplified form."""
    if not "\u4e00" <= c <= "\u9fff" or c in "着裏麽羣温峯衞綫銹鈎":
        return False
    try:
        c.encode("gb2312")
    except UnicodeEncodeError:
        return False
    try:
        c.encode("big5")
        return False
    except UnicodeEncodeError:
        return True


SIMPLIFIED = {chr(c) for c in range(0x4E00, 0xA000) if is_simplified(chr(c))}


def count_simplified(text):
    return sum(1 for c in text if c in SIMPLIFIED)


def clean(text):
    text = text.replace("\r\n", "\n").replace("\u3000", " ").strip()
    if HAN.search(text):
        text = text.replace("“", "「").replace("”", "」").replace("‘", "『").replace("’", "』") \
            if "“" in text or "”" in text else text
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]{3,}", "  ", text))


def digest(text):
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big")


def rows(corpus, name):
    with lzma.open(os.path.join(corpus, name + ".jsonl.xz"), "rt", encoding="utf-8") as f:
        for line in f:
            yield json.loads(line)


def pieces(text, limit=6000):
    """Very long documents are cut at line ends, so that a cap by characters can take a part."""
    part, size = [], 0
    for line in text.split("\n"):
        if size + len(line) > limit and part:
            yield "\n".join(part)
            part, size = [], 0
        part.append(line)
        size += len(line) + 1
    if part:
        yield "\n".join(part)


# group -> [(file, kind, cap in characters or None)]
GROUPS = {
    "gazette": [("pretrain/ly_gazette_zhtw", "text", None)],
    "laws": [("pretrain/tw_laws_zhtw", "text", None)],
    "docs": [("pretrain/docs_zhtw", "text", None), ("pretrain/python_docs_zhtw", "text", None)],
    "taiwan": [("pretrain/taiwan_md_zhtw", "text", None), ("pretrain/civic_cc0_zhtw", "text", None)],
    "english": [("pretrain/taiwan_md_en", "text", None), ("pretrain/civic_cc0_en", "text", None)],
    "sentences": [("pretrain/cc0_sentences_zhtw", "text", None),
                  ("pretrain/cv_wiki_sentences_zhtw", "text", None),
                  ("pretrain/ud_gsd_sentences_zhtw", "text", None)],
    "novels": [("classical/novels_bible_zhtw", "text", None)],
    "poems": [("classical/poems_and_primers_zhtw", "poem", 4_000_000)],
    "contexts": [("qa/drcd_dev_zhtw", "context", None), ("qa/cmrc2018_zhtw", "context", None)],
    "open_chat": [("chat/oasst_zh_sft_zhtw", "chat", None), ("chat/belle_eval_set_zhtw", "chat", None),
                  ("pref/oasst_zh_pref_zhtw", "chosen", None), ("pref/dpo_zh_demo_zhtw", "chosen", None)],
    "topic_chat": [("chat/kdconv_zhtw", "chat", None), ("chat/crosswoz_zhtw", "chat", 1_200_000)],
    "counsel_chat": [("chat/smile_multiturn_zhtw", "chat", None)],
    "derived_chat": [("chat/derived_sft_zhtw", "chat", None)],
    "qa_chat": [("qa/drcd_dev_zhtw", "qa", None), ("qa/cmrc2018_zhtw", "qa", None)],
    "bitext": [("bitext/tatoeba_en_zhtw", "pair", None), ("bitext/ntrex_en_zhtw", "pair", None),
               ("bitext/python_docs_en_zh", "pair", 1_000_000), ("bitext/tw_laws_zh_en", "pair", 7_000_000)],
    "english_chat": [("en/dolly15k_subset_en", "chat", None)],
    "english_more": [("en/gpteacher_roleplay_en", "chat", None), ("en/gsm8k_train_cot_en", "chat", None)],
}
TO_ENGLISH = ["請把這句話翻成英文：{}", "把「{}」翻譯成英文。", "翻成英文：{}", "「{}」的英文怎麼說？",
              "Translate into English: {}"]
TO_CHINESE = ["請把這句話翻成中文：{}", "翻成中文：{}", "Translate into Traditional Chinese: {}",
              "「{}」是什麼意思？", "請翻譯：{}"]


def pair_messages(row):
    """One translation exchange from a bitext row; direction and wording follow the hash."""
    h = digest(row["en"])
    forward = h % 2
    source, target = (row["zh"], row["en"]) if forward else (row["en"], row["zh"])
    prompt = (TO_ENGLISH if forward else TO_CHINESE)[(h >> 8) % 5].format(source)
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": target}]


def documents(row, kind):
    """The documents of one corpus row: (identity for the split, document)."""
    if kind == "text":
        text = clean(row["text"])
        for i, part in enumerate(pieces(text)):
            yield text[:200], {"text": part}
    elif kind == "poem":
        head = "〈%s〉 %s\n" % (row["title"], row.get("author", "")) if row.get("title") else ""
        yield row["text"][:200], {"text": clean(head + row["text"])[:1500]}
    elif kind == "context":
        yield row["context"], {"text": clean(row["context"])}
    elif kind == "qa":
        messages = []
        for i, qa in enumerate(row["qa"][:3]):
            ask = "請根據以下文章回答問題。\n\n" + clean(row["context"])[:700] + "\n\n問題：" if i == 0 else ""
            if qa["a"] in row["context"][:700]:
                messages += [{"role": "user", "content": ask + qa["q"]},
                             {"role": "assistant", "content": qa["a"]}]
            if i == 0 and not messages:
                return
        yield row["context"], {"messages": messages}
    elif kind == "pair":
        if len(row["zh"]) < 600 and row["zh"].strip() and row["en"].strip():
            yield row["en"], {"messages": pair_messages({k: clean(row[k]) for k in ("zh", "en")})}
    elif kind in ("chat", "chosen"):
        if kind == "chosen":
            row["messages"] = row["messages"] + [{"role": "assistant", "content": row["chosen"]}]
        messages = [{"role": m["role"], "content": clean(m["content"])} for m in row["messages"]]
        if all(m["content"] for m in messages) and messages[-1]["role"] == "assistant":
            yield json.dumps(messages, ensure_ascii=False)[:300], {"messages": messages}


def flat(document):
    return document["text"] if "text" in document else "\n".join(m["content"] for m in document["messages"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    seen, heldout_lines = set(), set()
    # Groups of running text come first: their held-out lines must not return inside the
    # question-answer, translation and template sets that were derived from the same texts.
    for group, sources in GROUPS.items():
        report = {"train": [0, 0], "heldout": [0, 0]}
        dropped = 0
        with lzma.open(os.path.join(args.out, group + ".jsonl.xz"), "wt", encoding="utf-8", preset=6) as out:
            for name, kind, cap in sources:
                found = [(digest(key), doc) for row in rows(args.corpus, name) for key, doc in documents(row, kind)]
                total = sum(len(flat(doc)) for _, doc in found)
                keep = 1.0 if cap is None else min(1.0, cap / total)
                for h, doc in found:
                    text = flat(doc)
                    fingerprint = hash(text)
                    bad = count_simplified(text)
                    limit = 0 if kind in ("chat", "chosen", "qa", "pair") or len(text) < 200 else 0.003 * len(text)
                    if fingerprint in seen or bad > limit or len(text) < 4 \
                            or (kind in ("chat", "chosen") and IDENTITY.search(text)):
                        dropped += 1
                        continue
                    seen.add(fingerprint)
                    split = "heldout" if h % 100 == 7 else "train"
                    if (h >> 20) % 10000 >= keep * 10000:
                        continue
                    lines = [l for l in re.split(r"\n|文章：", text) if len(l) >= 20]
                    if split == "heldout":
                        heldout_lines.update(lines)
                    elif ("messages" in doc or len(text) < 1000) and any(l in heldout_lines for l in lines):
                        dropped += 1
                        continue
                    report[split][0] += 1
                    report[split][1] += len(text)
                    out.write(json.dumps({"split": split, **doc}, ensure_ascii=False) + "\n")
        print("%-13s train %6d docs %9d chars, held out %4d docs %7d chars, dropped %d"
              % (group, *report["train"], *report["heldout"], dropped), flush=True)


if __name__ == "__main__":
    main()
