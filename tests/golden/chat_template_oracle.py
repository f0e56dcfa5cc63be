"""What the chat-template tests share: running our interpreter, running transformers', and conversations."""
import datetime
import json
import random
import subprocess

from transformers.utils import chat_template_utils

NOW = datetime.datetime(2026, 7, 5, 9, 3, 7)


class FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def render_ours(probe_path, requests):
    """One process for all requests; each answer is {"text"} or {"status", "error"}."""
    lines = "".join(json.dumps(dict(r, now=int(NOW.timestamp()))) + "\n" for r in requests)
    done = subprocess.run([str(probe_path)], input=lines.encode(), stdout=subprocess.PIPE, check=True, timeout=300)
    answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert len(answers) == len(requests)
    return answers


def render_theirs(request, monkeypatch):
    """transformers' rendering: {"text"} or {"error", "raised"}; raised = by raise_exception."""
    with monkeypatch.context() as patch:
        patch.setattr(chat_template_utils, "datetime", FixedDate)
        try:
            text, _ = chat_template_utils.render_jinja_template(
                conversations=[request["messages"]],
                tools=request.get("tools"),
                documents=request.get("documents"),
                chat_template=request["template"],
                add_generation_prompt=request.get("add_generation_prompt", False),
                bos_token=request["bos_token"],
                eos_token=request["eos_token"],
                **request.get("extra", {}),
            )
            return {"text": text[0]}
        except Exception as error:  # every kind: what counts is that ours fails too
            return {"error": str(error), "raised": type(error).__name__ == "TemplateError"}


# ---- conversations ---------------------------------------------------------------------------------------------

TEXTS = [
    "你好,請用繁體中文介紹台灣的夜市。",
    "Hello!",
    "",
    "  leading and trailing  ",
    "\n\nlines\nand\ttabs\r\nand \u3000wide spaces\u3000\n",
    "emoji 👩‍👩‍👧‍👦🇹🇼 and astral 𠮷𠮷野家",
    "{{ messages }} {% raw %} {# no #} {%- endif -%}",
    "<b>&amp; \"quoted\" 'single' \\ back\\slash </s> <|eot_id|> [INST] [/INST]",
    "<think>\nreasoning about 台北\n</think>\n\nthe answer",
    "```python\nprint(f'{x!r}')\n```",
    "a\x00b\x1f\x7f\u2028\u2029\ufeff",
    "Cutting Knowledge Date: none",
]
VALUES = [
    1,
    -7,
    0,
    1.0,
    0.1,
    1e16,
    1.5e-7,
    -0.0,
    123456789012345678,
    12345678901234567890123,
    True,
    False,
    None,
    "台北",
    "it's \"both\"",
    "line\nbreak\\",
    "<&>'\"",
    [],
    {},
    [1, [2.5, None], {"k": "v"}],
    {"鍵": "值", "n": {"deep": [True, 0.25]}},
]


def tool(name, rng=None):
    properties = {
        "city": {"type": "string", "description": "The city, e.g. 台北"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "a unit <of> \"measure\""},
        "days": {"type": "integer", "description": "how many", "default": 3},
        "tags": {"type": "array", "items": {"type": "string"}},
        "nested": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
    }
    keys = list(properties)
    if rng:
        keys = rng.sample(keys, rng.randint(0, len(keys)))
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Does {name} & more\nin two lines 查詢",
            "parameters": {
                "type": "object",
                "properties": {k: properties[k] for k in keys},
                "required": keys[:2],
            },
        },
    }


def tool_call(rng, name, with_id=True):
    arguments = {f"arg{i}": rng.choice(VALUES) for i in range(rng.randint(0, 4))}
    if rng.random() < 0.2:
        arguments = json.dumps(arguments)
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    if with_id:
        call["id"] = "".join(rng.choice("abcdef0123") for _ in range(9))
    return call


def content(rng, parts=0.1):
    text = rng.choice(TEXTS)
    if rng.random() < parts:
        return [{"type": "text", "text": t} for t in rng.sample(TEXTS, rng.randint(0, 3))]
    if rng.random() < 0.03:
        return None
    return text


def plain_conversation(rng):
    messages = []
    if rng.random() < 0.6:
        messages.append({"role": "system", "content": rng.choice(TEXTS)})
    for _ in range(rng.randint(1, 4)):
        messages.append({"role": "user", "content": rng.choice(TEXTS)})
        messages.append({"role": "assistant", "content": rng.choice(TEXTS)})
    if rng.random() < 0.7:
        messages.pop()
    return messages


def tool_conversation(rng):
    messages = plain_conversation(rng)
    if messages[-1]["role"] == "user":
        calls = [tool_call(rng, rng.choice(["get_weather", "搜尋"]), rng.random() < 0.8)
                 for _ in range(rng.choice([1, 1, 1, 2]))]
        answer = {"role": "assistant", "content": rng.choice([None, "", *TEXTS]), "tool_calls": calls}
        if rng.random() < 0.3:
            del answer["content"]
        messages.append(answer)
        for call in calls:
            result = rng.choice([*TEXTS, json.dumps({"temperature": 31.5, "天氣": "晴"}), rng.choice(VALUES)])
            messages.append({
                "role": rng.choice(["tool", "tool", "tool", "ipython", "tool_results"]),
                "name": call["function"]["name"],
                "tool_call_id": call.get("id", "x"),
                "content": result,
            })
        if rng.random() < 0.7:
            messages.append({"role": "assistant", "content": rng.choice(TEXTS)})
        if rng.random() < 0.5:
            messages.append({"role": "user", "content": content(rng)})
    return messages


def odd_conversation(rng):
    """Orders, roles and contents that templates refuse or stumble over."""
    roles = ["system", "user", "assistant", "tool", "ipython", "developer", "critic", "", None]
    messages = []
    for _ in range(rng.randint(0, 5)):
        message = {"role": rng.choice(roles), "content": content(rng, 0.3)}
        if rng.random() < 0.15:
            message["content"] = rng.choice(VALUES)
        if rng.random() < 0.1:
            message["tool_calls"] = rng.choice([[], None, [tool_call(rng, "f")]])
        if rng.random() < 0.1:
            message[rng.choice(["reasoning_content", "thinking", "reasoning"])] = rng.choice(TEXTS)
        if rng.random() < 0.05:
            del message["content"]
        messages.append(message)
    return messages


def request(rng, template):
    kind = rng.choice([plain_conversation, plain_conversation, tool_conversation, odd_conversation])
    out = {
        "template": template,
        "messages": kind(rng),
        "add_generation_prompt": rng.random() < 0.5,
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|eot_id|>",
        "extra": {},
    }
    if rng.random() < 0.4:
        out["tools"] = [tool(name, rng) for name in rng.sample(["get_weather", "搜尋", "calculator"], rng.randint(0, 3))]
    if rng.random() < 0.15:
        out["documents"] = [{"title": t, "text": rng.choice(TEXTS), "n": rng.choice(VALUES)}
                            for t in rng.sample(TEXTS, rng.randint(0, 2))]
    for name, values in {
        "date_string": ["26 Jul 2024", ""],
        "tools_in_user_message": [True, False],
        "custom_tools": [None],
        "builtin_tools": [["code_interpreter"], ["brave_search", "wolfram_alpha"]],
        "enable_thinking": [True, False],
        "reasoning_effort": ["low", "high"],
        "model_identity": ["You are 小明."],
    }.items():
        if rng.random() < 0.08:
            out["extra"][name] = rng.choice(values)
    return out


def requests(template, count, seed):
    rng = random.Random(seed)
    return [request(rng, template) for _ in range(count)]
