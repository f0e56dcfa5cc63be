"""Function calling: the checker beside an independent reading with Python's own ast, and a whole run."""
import ast
import json
import random
import re
import subprocess
import warnings

import pytest
from test_eval_remote import Fake, chat, run
from test_eval_run import samples


# ---- an independent reading: Python's parser for the calls, plain Python for the comparison ---------------------------


def literal(node):
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, (ast.List, ast.Tuple)):
        return [literal(n) for n in node.elts]
    if isinstance(node, ast.Dict):
        return {literal(k): literal(v) for k, v in zip(node.keys, node.values)}
    return ast.literal_eval(node)


def read(reply):
    text = reply.strip()
    with warnings.catch_warnings(action="ignore"):  # about escapes that mean nothing
        tree = ast.parse(text if text.startswith("[") else f"[{text}]", mode="eval").body
    calls = []
    for node in tree.elts:
        assert isinstance(node, ast.Call) and not node.args
        calls.append((ast.unparse(node.func), {k.arg: literal(k.value) for k in node.keywords}))
    return calls


def simple(text):
    return re.sub(r"[ ,./\-_*^]", "", text).lower().replace("'", '"')


def same(value, wanted):
    if isinstance(value, bool) or isinstance(wanted, bool) or value is None or wanted is None:
        return value is wanted
    if isinstance(value, (int, float)) and isinstance(wanted, (int, float)):
        return value == wanted
    if isinstance(value, str) and isinstance(wanted, str):
        return simple(value) == simple(wanted)
    if isinstance(value, list) and isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(same, value, wanted))
    if isinstance(value, dict) and isinstance(wanted, dict):
        return all(k in wanted and any(same(v, w) for w in wanted[k]) for k, v in value.items()) and all(k in value or "" in w for k, w in wanted.items())
    return False


TYPES = {"integer": int, "float": (int, float), "string": str, "boolean": bool, "array": list, "tuple": list, "dict": dict}


def fits(call, functions, expected):
    (name, allowed), = expected.items()
    if call[0] != name:
        return False
    schema = next(f for f in functions if f["name"] == name)["parameters"]
    if any(p not in call[1] for p in schema["required"]):
        return False
    for p, v in call[1].items():
        if p not in schema["properties"] or p not in allowed:
            return False
        kind = TYPES.get(schema["properties"][p]["type"], object)
        if not isinstance(v, kind) or (isinstance(v, bool) and kind not in (bool, object)):
            return False
        if not any(same(v, w) for w in allowed[p]):
            return False
    return all(p in call[1] or "" in w for p, w in allowed.items())


def oracle(reply, functions, expected):
    try:
        calls = read(reply)
    except Exception:
        return not expected
    if len(calls) != len(expected):
        return False
    left = list(calls)
    for one in expected:
        for call in left:
            if fits(call, functions, one):
                left.remove(call)
                break
        else:
            return False
    return True


# ---- random functions, expected calls and replies ---------------------------------------------------------------------

WORDS = ["臺北", "Taipei", "a b", "x-y", "it's", 'say "hi"', "", "new\nline", "3.5", "反斜線\\", "_id", "NULL"]


def value(rng, kind):
    return {"integer": lambda: rng.choice([0, 1, -7, 42, 10**12]), "float": lambda: rng.choice([0.5, -2.25, 3, 1e-3, 1e20]), "string": lambda: rng.choice(WORDS),
            "boolean": lambda: rng.random() < 0.5, "array": lambda: [rng.choice([1, "x", 2.5, True]) for _ in range(rng.randint(0, 3))],
            "dict": lambda: {k: rng.choice([1, "v", [1, 2]]) for k in rng.sample(["k1", "k2", "鍵"], rng.randint(0, 2))}, "any": lambda: rng.choice([1, "z", None])}[kind]()


def show(rng, v):
    if isinstance(v, list):
        a, b = rng.choice(["[]", "()"]) if len(v) != 1 else "[]"
        return a + ", ".join(show(rng, x) for x in v) + b
    if isinstance(v, dict):
        return "{" + ", ".join(f"{k!r}: {show(rng, x)}" for k, x in v.items()) + "}"
    return json.dumps(v, ensure_ascii=False) if isinstance(v, str) and rng.random() < 0.5 else repr(v)


def make_case(rng):
    functions, expected, calls = [], [], []
    for f in range(rng.randint(1, 3)):
        kinds = {p: rng.choice(list(TYPES) + ["any"]) if p != "t" else "string" for p in rng.sample("abcdt", rng.randint(1, 4))}
        kinds = {p: "array" if k == "tuple" else k for p, k in kinds.items()}
        required = [p for p in kinds if rng.random() < 0.6]
        functions.append({"name": rng.choice(["get", "mod.run", "查詢"]) + str(f), "parameters": {"type": "dict", "properties": {p: {"type": k} for p, k in kinds.items()}, "required": required}})
    for _ in range(rng.randint(0, 3)):
        f = rng.choice(functions)
        kinds, required = {p: s["type"] for p, s in f["parameters"]["properties"].items()}, f["parameters"]["required"]
        given = {p: value(rng, k) for p, k in kinds.items() if p in required or rng.random() < 0.6}
        allowed = {}
        for p, k in kinds.items():
            wrap = lambda v: {q: [x] for q, x in v.items()} if isinstance(v, dict) else v
            options = [wrap(value(rng, k)) for _ in range(rng.randint(0, 2))]
            if p in given:
                options.append(wrap(given[p]))
            if p not in required and (p not in given or rng.random() < 0.5):
                options.append("")
            if options and (p in given or rng.random() < 0.8):
                allowed[p] = options
        expected.append({f["name"]: allowed})
        calls.append((f["name"], given))
    if rng.random() < 0.6:  # something is changed
        kind = rng.randrange(6)
        if kind == 0:
            rng.shuffle(calls)
        elif kind == 1 and calls:
            calls.pop(rng.randrange(len(calls)))
        elif kind == 2 and calls and calls[0][1]:
            calls[0][1].pop(rng.choice(list(calls[0][1])))
        elif kind == 3 and calls:
            calls[0][1][rng.choice("abcdtz")] = value(rng, rng.choice(list(TYPES)[:5]))
        elif kind == 4 and calls:
            calls[0] = (rng.choice(functions)["name"], calls[0][1])
        else:
            calls.append((functions[0]["name"], {}))
    reply = ", ".join(f"{n}({', '.join(f'{p}={show(rng, v)}' for p, v in given.items())})" for n, given in calls)
    if rng.random() < 0.8:
        reply = f"[{reply}]"
    if rng.random() < 0.1:  # broken somewhere
        at = rng.randrange(len(reply) + 1)
        reply = reply[:at] + rng.choice(["", ")", "(", "'", "=", "\\", " "]) + reply[at + 1:]
    return {"reply": reply, "function": functions, "ground_truth": expected}


def judge(probe, cases):
    done = subprocess.run([probe("probe_function_calls")], input="".join(json.dumps(c, ensure_ascii=False) + "\n" for c in cases), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_as_an_independent_reading(probe):
    rng = random.Random(11)
    cases = [make_case(rng) for _ in range(6000)]
    differing, right = [], 0
    for case, found in zip(cases, judge(probe, cases), strict=True):
        want = oracle(case["reply"], case["function"], case["ground_truth"])
        right += want
        if found["status"] != "OK" or found["correct"] != want:
            differing.append((case, found, want))
    assert 1500 < right < 5000
    # Python also reads what no model means (hexadecimal numbers, strings that are put together, arithmetic): only such may differ.
    assert not differing, (len(differing), differing[0])


F = [{"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "s": {"type": "string"}}, "required": ["a"]}}]


@pytest.mark.parametrize("reply, correct", [
    ("[f(a=1)]", True), ("f(a=1)", True), ("```python\n[f(a=1)]\n```", True), ("`f(a=1)`", True), (" \n[ f ( a = 1 , ) ] ", True), ("[f(a=1.0)]", False), ("[f(a='1')]", False),
    ('{"name": "f", "arguments": {"a": 1}}', True), ('[{"name": "f", "parameters": {"a": 1}}]', True), ('{"function": {"name": "f", "arguments": "{\\"a\\": 1}"}}', True),
    ('{"name": "f", "arguments": [1]}', False), ("[f(1)]", False), ("[f(a=g(b=1))]", False), ("我會呼叫 f(a=1)", False), ("[f(a=1)] 好了", False), ("", False), ("[", False),
    ("[f(a=1), f(a=1)]", False), ("[f(a=1, s='Hello, World')]", True), ("[f(a=1, s='hello world')]", True), ("[f(a=1, s='world')]", False), ("[" * 100000, False)])
def test_forms_of_replies(probe, reply, correct):
    found = judge(probe, [{"reply": reply, "function": F, "ground_truth": [{"f": {"a": [1], "s": ["", "hello-world"]}}]}])[0]
    assert found["status"] == "OK" and found["correct"] is correct, found


def test_bad_rows_are_named(probe):
    for row, text in (({"function": {}, "ground_truth": []}, "must be lists"), ({"function": F, "ground_truth": [{"g": {}}]}, "no function is called g"), ({"function": F, "ground_truth": ["f"]}, "must be {name")):
        found = judge(probe, [{"reply": "f(a=1)", **row}])[0]
        assert found["status"] == "FORMAT" and text in found["reason"]


def test_a_run_in_both_languages(twllm, root, tmp_path):
    """A model that knows the answers gets all of them; one that says nothing useful gets those where nothing is to be called."""
    data = root / "examples/eval"
    rows = {r["question"]: r for lang in ("zh", "en") for r in map(json.loads, (data / f"twllm/function-calling/{lang}/test.jsonl").open())}
    assert len(rows) == 28

    def knows(body, number):
        system, user = body["messages"][0]["content"], body["messages"][-1]["content"]
        row = rows[user]
        assert json.loads(system[system.index("\n[{") + 1:]) == row["function"]
        calls = []
        for call in row["ground_truth"]:
            (name, allowed), = call.items()
            first = {p: next((w for w in v if w != ""), "") for p, v in allowed.items()}
            first = {p: {k: x[0] for k, x in v.items()} if isinstance(v, dict) else v for p, v in first.items()}
            calls.append(f"{name}({', '.join(f'{p}={v!r}' for p, v in first.items())})")
        return chat(f"[{', '.join(calls)}]" if calls else "沒有合適的函式。")

    with Fake(knows) as fake:
        done = run(twllm, "function-calling", "--data", data, "-m", "far", "--url", fake.url, "-o", tmp_path / "out")
        assert done.returncode == 0, done.stderr
        assert "28 of 28 right" in done.stdout and all(s["filtered_resps"] == "right" for s in samples(tmp_path / "out/samples_function-calling.jsonl"))
        assert "| 100.00%" in (tmp_path / "out/table.md").read_text()
    with Fake(lambda body, number: chat("我不知道。")) as fake:
        done = run(twllm, "function-calling", "--data", data, "-m", "far", "--url", fake.url)
        assert "4 of 28 right" in done.stdout and "24 answers name no choice" in done.stdout
