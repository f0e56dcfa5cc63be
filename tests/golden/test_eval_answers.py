"""Which choice a free answer names: the C readers against Python's re, on answers made to be hard to read.

The patterns below are written from the published description of the tools, apart from the program's own table.
"""
import json
import random
import re
import subprocess

import pytest

L = "([A-D])"
TW, CN = r"\s?選?項?\s?" + L, r"\s?选?项?\s?" + L
PATTERNS = (
    [r"correct answer is:" + "\n" * n + L + "." for n in (3, 2, 1)]
    + [head + r".*?\b" + L + r"\b" for head in ("正確的答案應該是:", "正确的答案应该是:", "正確的選項應為:", "正确的选项应为:")]
    + ["正確的答案是（" + L + "）", "正确的答案是（" + L + "）", "答案應該是:" + TW, "答案应该是:" + CN, "答案是:" + TW, "答案是:" + CN,
       "答案應為:" + TW, "答案应为:" + CN, "答案为:" + CN, "答案为：" + CN, "答案應為：" + TW, "答案应为：" + CN, "答案是：" + CN,
       "答案为" + CN, "答案选" + CN, "答案是" + CN, "所以下列方程式的解是" + L, "答案应为" + CN, r"正确的一项是\s?" + L, "答案:" + CN,
       "答案应该是：" + CN, "答案：" + CN]
    + [head + r"\s?" + L for head in ("答案為:", "答案应为：", "答案為：", "答案應該是:")]
    + [r"正確答案為 \*\*" + L, r"正確答案為\(" + L + r"\)", r"答案應為:\s?" + L, r"答案应为:\s?" + L, r"答案是 \*\*" + L, r"答案為 \*\*" + L,
       f"答案 {L} 正確", f"選項 {L} 正確", "所以答案為" + L, r"答案：\(" + L + r"\)", r"答案:\s?" + L, r"答案：\s?" + L, f"答案: {L} ", f"答案{L} ",
       "^選項" + L, "^选项" + L, "^選" + L, "^选" + L, L + ". ", L + "."]
)
assert len(PATTERNS) == 53


def ievals(text):
    text = text.strip()
    if not text:
        return "-"
    if text[0] in "ABCD":
        return text[0]
    for pattern in PATTERNS:
        found = re.findall(pattern, text)
        if found:
            return found[-1]
    return "-"


def looks_like_answer(text):
    if "不是正確答案" in text:
        return False
    if "正確答案" in text:
        return True
    if "不正確" in text:
        return False
    return "正確" in text or re.search("[A-E]", text) is not None


def choice(text):
    found = re.search(r"[A-F]\)", text) or re.search("[A-F]", text)
    return found.group()[0] if found else "-"


def miulab(text):
    blocks = text.strip().split("\n\n")
    return choice(blocks[0] if looks_like_answer(blocks[0]) else blocks[-1])


def miulab_cot(text):
    lines = text.strip().split("問題：")[0].strip().split("\n")
    for i in reversed(range(len(lines))):
        if looks_like_answer(lines[i]):
            rest = "".join(lines[i:])
            return choice(rest[max(rest.find("正確答案"), 0) :])
    return "-"


def tceval(text):
    found = re.findall(r"^\s*\[\[([A-Ea-e])\]\]|^\s*\b([A-Ea-e])\.\s", text)
    return (found[0][0] or found[0][1]).upper() if found else "-"


PIECES = (
    "A B C D E F G a b c A) (B) （C） [[D]] [[b]] [[C]] [[e]] [[A]] A. C. d. B。 C， **A **B** 選 项 項 選項 选项 答案 答案是 答案是: 答案是： 答案為 答案為: 答案為： 答案为 答案为: 答案为： "
    "答案應該是: 答案应该是: 答案应该是： 答案應為: 答案應為： 答案应为 答案应为: 答案应为： 答案选 答案: 答案： 正確 不正確 正確答案 正確答案為 正確答案： 不是正確答案 正確的答案是（ "
    "正确的答案是（ ） 正確的答案應該是: 正确的答案应该是: 正確的選項應為: 正确的选项应为: 所以答案為 所以下列方程式的解是 正确的一项是 問題： 因為 所以 。 ， ： : ( ) . é ß 臺灣 _ 7 Because Dog"
).split() + [" ", "\n", "\n\n", "\n\n\n", "\u3000", "\t", "correct answer is:", "The correct answer is:\n", " ", "\n"]


def answers(count):
    rng = random.Random(20260525)
    for _ in range(count):
        yield "".join(rng.choice(PIECES) for _ in range(rng.randint(0, 9)))
    for _ in range(count // 4):  # a head that a pattern wants, close to what it wants behind it
        yield rng.choice(["", "我想", "\n"]) + rng.choice(PIECES) + rng.choice(["", " ", "\n", "选项", "選", " 項 ", "**", "(", " **"]) + rng.choice("ABCDEF") + rng.choice(
            ["", ".", " ", ")", "\n", " 正確", "）", "因為B"])


@pytest.mark.parametrize("name, oracle", [("ievals", ievals), ("miulab", miulab), ("miulab_cot", miulab_cot), ("tceval", tceval)])
def test_generated_answers(probe, name, oracle):
    texts = list(answers(16000))
    done = subprocess.run([probe("probe_answers"), name], input="".join(json.dumps(t) + "\n" for t in texts), capture_output=True, text=True, check=True)
    got = done.stdout.split()
    assert len(got) == len(texts) >= 10000
    wrong = [(t, g, oracle(t)) for t, g in zip(texts, got) if g != oracle(t)]
    assert not wrong, (len(wrong), wrong[:3])
    assert len(set(got)) >= 5  # every choice and none occur


@pytest.mark.parametrize("name, text, want", [
    ("ievals", "答案是 B。", "B"), ("ievals", "因為A選項錯誤，所以選D。", "D"), ("ievals", "答案為A，因為B錯", "B"), ("ievals", "The answer is C", "-"),
    ("ievals", "Dog", "D"), ("ievals", "Answer: D\n", "A"), ("ievals", "（B）", "B"), ("ievals", "  \n", "-"),
    ("miulab", "A) 玉山\n\n說明 B", "A"), ("miulab", "我想 B 不正確\n\n正確答案：(C)", "C"), ("miulab", "答案是 Because A", "B"),
    ("miulab_cot", "正確答案：(D)\n補充：A 也很好", "A"),
    ("tceval", " [[e]] because", "E"), ("tceval", "B. yes", "B"), ("tceval", "The [[B]]", "-"),
])
def test_published_examples(probe, name, text, want):
    done = subprocess.run([probe("probe_answers"), name], input=json.dumps(text) + "\n", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == want
