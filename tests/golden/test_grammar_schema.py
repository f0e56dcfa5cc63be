"""JSON Schema against two validators of other people (jsonschema, jsonschema-rs).

600 schemas of the kinds that tool definitions and API descriptions have, made at random from printed seeds. For each:
random walks over the masks (any allowed token may come) must end in documents that both validators accept, and documents
made at random, valid or not, must be accepted by the grammar exactly when the validators say valid, as far as they are
written in the grammar's way (properties in schema order, integers without fraction). A schema may be refused only with
STATUS_UNSUPPORTED or when nothing can satisfy it.
"""
import json
import random

import pytest

from grammar_probe import GrammarProbe

jsonschema = pytest.importorskip("jsonschema")
jsonschema_rs = pytest.importorskip("jsonschema_rs")

WORDS = ["a", "b", "name", "城市", "id", "items", 'q"uote', "x y"]


def random_value(r, depth=2):
    # no line ends: Python's $ also matches before the last one, which the specification's does not
    kind = r.randrange(8 if depth else 5)
    if kind == 0:
        return r.choice([None, True, False])
    if kind == 1:
        return r.randrange(-20, 21)
    if kind == 2:
        return r.choice([0.5, -2.25, 10.0, 1e3, 3.75])
    if kind <= 4:
        return "".join(r.choice("ab1中 \"\\\t-") for _ in range(r.randrange(6)))
    if kind == 5:
        return [random_value(r, depth - 1) for _ in range(r.randrange(4))]
    return {r.choice(WORDS): random_value(r, depth - 1) for _ in range(r.randrange(4))}


def number_schema(r):
    s = {"type": r.choice(["integer", "number"])}
    for key in ("minimum", "exclusiveMinimum"):
        if r.random() < 0.3:
            s[key] = r.choice([-12, -3, 0, 1, 0.5, -2.25])
    for key in ("maximum", "exclusiveMaximum"):
        if r.random() < 0.3:
            s[key] = r.choice([3, 7, 20, 10.5, 100])
    if r.random() < 0.2:
        s["multipleOf"] = r.choice([1, 2, 5, 0.25, 0.5])
    return s


def string_schema(r):
    s = {"type": "string"}
    pick = r.randrange(5)
    if pick == 0:
        s["minLength"] = r.randrange(3)
        s["maxLength"] = s["minLength"] + r.randrange(4)
    elif pick == 1:
        s["pattern"] = r.choice(["^a", "b$", "^[a-c1]*$", "a|中", "^(ab|1){1,2}", r"^\S+$", "-"])
    elif pick == 2:
        s["enum"] = r.sample(["a", "b", "ab", "中", '"', "a b", ""], 3)
    elif pick == 3 and r.random() < 0.5:
        s["format"] = r.choice(["date", "date-time", "time", "email", "ipv4", "ipv6", "uuid", "uri", "hostname"])
    return s


def array_schema(r, depth):
    s = {"type": "array"}
    if r.random() < 0.8:
        s["items"] = random_schema(r, depth - 1)
    if r.random() < 0.3:
        s["prefixItems"] = [random_schema(r, depth - 1) for _ in range(r.randrange(1, 3))]
    if r.random() < 0.4:
        s["minItems"] = r.randrange(3)
        s["maxItems"] = s["minItems"] + r.randrange(1, 4)
    if r.random() < 0.1:
        s["contains"] = random_schema(r, 0)
    return s


def object_schema(r, depth):
    names = r.sample(WORDS, r.randrange(5))
    s = {"type": "object", "properties": {n: random_schema(r, depth - 1) for n in names}}
    if names and r.random() < 0.7:
        s["required"] = r.sample(names, r.randrange(1, len(names) + 1))
    if r.random() < 0.6:
        s["additionalProperties"] = r.choice([False, False, {"type": "integer"}, True])
    if r.random() < 0.15:
        s["patternProperties"] = {r.choice(["^a", "b$", "^x"]): random_schema(r, 0)}
    if r.random() < 0.15:
        s["minProperties"] = 1
    if r.random() < 0.15:
        s["maxProperties"] = r.randrange(1, 4)
    if len(names) > 1 and r.random() < 0.15:
        s["dependentRequired"] = {names[0]: [names[1]]}
    if r.random() < 0.1:
        s["propertyNames"] = {"maxLength": 4}
    return s


def random_schema(r, depth):
    kind = r.randrange(10 if depth > 0 else 5)
    if kind == 0:
        return r.choice([True, {"type": "null"}, {"type": "boolean"}, {"type": ["string", "null"]}])
    if kind == 1:
        return {"enum": [random_value(r, 1) for _ in range(r.randrange(1, 4))]}
    if kind == 2:
        return number_schema(r)
    if kind <= 4:
        return string_schema(r)
    if kind == 5:
        return array_schema(r, depth)
    if kind <= 7:
        return object_schema(r, depth)
    branches = [random_schema(r, depth - 1) for _ in range(2)]
    keyword = r.choice(["anyOf", "oneOf", "allOf", "not", "if"])
    if keyword == "not":
        return {"not": random_schema(r, 0)}
    if keyword == "if":
        return {"if": branches[0], "then": branches[1], "else": random_schema(r, 0)}
    return {keyword: branches}


def is_plain(value):
    """Written as the grammar writes: no integer as a float."""
    if isinstance(value, float):
        return value != int(value)
    if isinstance(value, list):
        return all(map(is_plain, value))
    return all(map(is_plain, value.values())) if isinstance(value, dict) else True


def is_ordered(value):
    """Objects of more than one member may be out of the schema's order: then only refusals are checked."""
    if isinstance(value, list):
        return all(map(is_ordered, value))
    return len(value) <= 1 and all(map(is_ordered, value.values())) if isinstance(value, dict) else True


def uses(schema, keyword):
    if isinstance(schema, dict):
        return keyword in schema or any(uses(v, keyword) for v in schema.values())
    return isinstance(schema, list) and any(uses(v, keyword) for v in schema)


def test_random_schemas(probe):
    grammar = GrammarProbe(probe("probe_grammar"))
    n_ok = n_walks = n_ended = n_values = 0
    for seed in range(600):
        r = random.Random(seed)
        schema = random_schema(r, 3)
        validator = jsonschema.Draft202012Validator(schema)
        other = jsonschema_rs.Draft202012Validator(schema)
        values = [random_value(r) for _ in range(30)]
        texts = [json.dumps(v, ensure_ascii=False) for v in values]
        answer = grammar.ask(
            "schema",
            json.dumps(schema),
            accept=texts,
            walks={"n": 3, "seed": seed, "max_tokens": 600, "check": 3},
        )
        where = f"seed {seed}: {json.dumps(schema, ensure_ascii=False)}"
        if answer["status"] != "OK":
            assert answer["status"] in ("UNSUPPORTED", "INVALID"), f"{where}: {answer}"
            if answer["status"] == "INVALID":
                assert not any(map(validator.is_valid, values)), f"{where}: {answer}"
            continue
        n_ok += 1
        for value, text, accepted in zip(values, texts, answer["accept"]):
            valid = validator.is_valid(value)
            n_values += 1
            if accepted:
                assert valid, f"{where} accepts {text}"
            # formats and minProperties of unlisted names are narrower than valid, on purpose
            elif is_plain(value) and is_ordered(value) and not uses(schema, "format"):
                assert not valid, f"{where} refuses {text}"
        for walk in answer["walks"]:
            assert "defect" not in walk, f"{where}: {walk}"
            n_walks += 1
            if not walk["ended"]:
                continue
            n_ended += 1
            document = json.loads(walk["text"])
            assert validator.is_valid(document), f"{where} made {walk['text']}"
            assert other.is_valid(document), f"{where} made {walk['text']}"
    grammar.close()
    assert n_ok > 500 and n_ended > n_walks // 2, (n_ok, n_ended, n_walks)


def test_formats_are_those_of_the_validator(probe):
    """Random walks through each format pass jsonschema-rs with format checks on."""
    grammar = GrammarProbe(probe("probe_grammar"))
    names = "date time date-time duration email hostname ipv4 ipv6 uuid uri uri-reference json-pointer".split()
    for name in names:
        schema = {"type": "string", "format": name}
        validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        answer = grammar.ask(
            "schema", json.dumps(schema), walks={"n": 60, "seed": 5, "max_tokens": 400, "check": 0}
        )
        assert answer["status"] == "OK", answer
        ended = [json.loads(w["text"]) for w in answer["walks"] if w["ended"]]
        assert len(ended) > 10, name
        for text in ended:
            assert validator.is_valid(text), (name, text)
    grammar.close()
