"""The prompt of MediaTek's Breeze family: our rendering of the project's templates against MediaTek's own package, which
builds the same prompts without a template; and TAIDE's, against the forms its model card spells out."""
import json
import pathlib
import random
import sys
import types

import pytest

from chat_template_oracle import TEXTS, FixedDate, render_ours, tool

TEMPLATES = pathlib.Path(__file__).resolve().parent / "templates"


@pytest.fixture(scope="module")
def mtk():
    """mtkresearch.llm.prompt without the image libraries that only its picture prompts need."""
    stubs = {name: types.ModuleType(name) for name in ("PIL", "mtkresearch.llm.image_process_v3")}
    stubs["PIL"].Image = stubs["mtkresearch.llm.image_process_v3"].load_image = None
    for name, stub in stubs.items():
        sys.modules.setdefault(name, stub)
    try:
        from mtkresearch.llm import prompt
    finally:
        for name, stub in stubs.items():
            if sys.modules.get(name) is stub:
                del sys.modules[name]
    return prompt


def conversation(rng, with_tools):
    texts = [t for t in TEXTS if "\x00" not in t]
    messages = [{"role": "system", "content": rng.choice(texts)}] if rng.random() < 0.6 else []
    for turn in range(rng.randint(1, 4)):
        if turn:
            if with_tools and rng.random() < 0.6:
                calls = [
                    {"id": f"call_{rng.randrange(10**6)}", "type": "function",
                     "function": {"name": "查詢", "arguments": {"city": rng.choice(["台北", "a\"b", "高雄\n"])}}}
                    for _ in range(rng.randint(1, 3))
                ]  # fmt: skip
                messages.append({"role": "assistant", "tool_calls": calls})
                for call in calls:
                    messages.append({"role": "tool", "tool_call_id": call["id"], "name": "查詢", "content": json.dumps({"天氣": "晴"}, ensure_ascii=False)})
            messages.append({"role": "assistant", "content": rng.choice(texts)})
        messages.append({"role": "user", "content": rng.choice(texts)})
    if rng.random() < 0.3:
        messages.append({"role": "assistant", "content": rng.choice(texts)})
    return messages


def for_package(messages):
    """The package takes arguments as JSON text."""
    out = json.loads(json.dumps(messages))
    for message in out:
        for call in message.get("tool_calls", []):
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    return out


@pytest.mark.parametrize("name,kind", [("breeze", "MRPromptV1"), ("breeze-tools", "MRPromptV2"), ("breeze2", "MRPromptV3")])
def test_as_mediatek_builds_it(name, kind, mtk, probe, monkeypatch):
    monkeypatch.setattr(mtk, "datetime", FixedDate)
    prompt = getattr(mtk, kind)()
    rng = random.Random(kind)
    tools = [tool("查詢")] if name == "breeze-tools" else None
    batch = [
        {"template": (TEMPLATES / f"{name}.jinja").read_text("utf-8"), "messages": conversation(rng, bool(tools)),
         "bos_token": prompt.bos_token, "eos_token": prompt.eos_token}
        for _ in range(300)
    ]  # fmt: skip
    expected = []
    for request in batch:
        messages = for_package(request["messages"])
        extra = {"check": False}
        if tools and rng.random() < 0.7:
            request["tools"] = tools
            extra["functions"] = [t["function"] for t in tools]
        result = prompt.get_prompt(messages, add_bos_token=True, **extra)
        expected.append(result[0] if isinstance(result, tuple) else result)
    got = [answer.get("text", answer) for answer in render_ours(probe("probe_chat_template"), batch)]
    for request, ours, theirs in zip(batch, got, expected):
        assert ours == theirs, request["messages"]


def test_taide_as_its_card_says(probe):
    """Of the TAIDE-LX-7B card: with and without a system prompt, and several turns."""
    template = (TEMPLATES / "taide.jinja").read_text("utf-8")
    system, q1, a1, q2 = "你是一個來自台灣的AI助理。", "臺灣最高的山是？", "玉山。", "多高？"
    say = lambda *pairs: [{"role": role, "content": content} for role, content in pairs]  # noqa: E731
    cases = [
        (say(("user", q1)), f"<s>[INST] {q1} [/INST]"),
        (say(("system", system), ("user", q1)), f"<s>[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{q1} [/INST]"),
        (say(("system", system), ("user", q1), ("assistant", a1), ("user", q2)),
         f"<s>[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{q1} [/INST] {a1} </s><s>[INST] {q2} [/INST]"),
    ]  # fmt: skip
    batch = [{"template": template, "messages": m, "bos_token": "<s>", "eos_token": "</s>"} for m, _ in cases]
    assert [a["text"] for a in render_ours(probe("probe_chat_template"), batch)] == [text for _, text in cases]
