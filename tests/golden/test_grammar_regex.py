"""Regular expressions against Python's re, EBNF against lark's Earley parser, on random inputs."""
import random
import re

import pytest

from grammar_probe import GrammarProbe


def random_regex(r, depth=3):
    kind = r.randrange(9 if depth else 3)
    if kind == 0:
        return r.choice(["a", "b", "中", r"\.", r"\d", r"\w", ".", r"\s", r"\x61", "-"])
    if kind == 1:
        return r.choice(["[ab]", "[^a]", "[a-c中]", r"[\d_]", "[^\\s]", "[]a]", "[a-]"])
    if kind == 2:
        return "".join(r.choice("ab1") for _ in range(r.randrange(1, 3)))
    inner = random_regex(r, depth - 1)
    if kind == 3:
        return f"({inner})" + r.choice(["*", "+", "?", "{2}", "{1,3}", "{0,}", "*?"])
    if kind == 4:
        return f"(?:{inner}|{random_regex(r, depth - 1)})"
    if kind == 5 and depth == 3:
        return r.choice(["^", "", "(?:^|a)"]) + inner + r.choice(["$", "", "(?:$|b)"])
    return inner + random_regex(r, depth - 1)


def test_regex_against_re(probe):
    grammar = GrammarProbe(probe("probe_grammar"))
    n_yes = 0
    for seed in range(1500):
        r = random.Random(seed)
        pattern = random_regex(r)
        texts = ["".join(r.choice("ab1c中.- _") for _ in range(r.randrange(7))) for _ in range(20)]
        answer = grammar.ask("regex", pattern, accept=texts, walks={"n": 1, "seed": seed, "max_tokens": 60, "check": 5})
        if answer["status"] == "INVALID":
            assert not any(re.fullmatch(pattern, t, re.A) for t in texts), pattern
            continue
        if "repeated anchor" in answer.get("error", ""):
            continue
        assert answer["status"] == "OK", (pattern, answer)
        for text, accepted in zip(texts, answer["accept"]):
            # \Z: Python's $ also matches before a last line end
            expected = re.fullmatch(pattern, text, re.A) is not None
            assert accepted == expected, (seed, pattern, text, expected)
            n_yes += expected
        for walk in answer["walks"]:
            assert "defect" not in walk, (pattern, walk)
            if walk["ended"]:
                assert re.fullmatch(pattern, walk["text"], re.A), (pattern, walk)
    grammar.close()
    assert n_yes > 1000


def test_pattern_is_a_search_inside_a_json_string(probe):
    grammar = GrammarProbe(probe("probe_grammar"))
    import json

    for seed in range(400):
        r = random.Random(seed)
        pattern = random_regex(r).replace("[]a]", "[a]")  # in ECMAScript [] is an empty class
        values = ["".join(r.choice('ab1c中.-_"\\') for _ in range(r.randrange(7))) for _ in range(20)]
        answer = grammar.ask(
            "schema",
            json.dumps({"type": "string", "pattern": pattern}),
            accept=[json.dumps(v, ensure_ascii=False) for v in values],
        )
        if answer["status"] in ("INVALID", "UNSUPPORTED", "FORMAT"):
            continue
        for value, accepted in zip(values, answer["accept"]):
            assert accepted == (re.search(pattern, value, re.A) is not None), (pattern, value)
    grammar.close()


def random_grammar(r):
    """A Lark grammar of four rules, with recursion on either side, and no empty rules (lark resolves those its own way)."""
    names = ["start", "b", "c", "d"]

    def item(depth):
        kind = r.randrange(6 if depth else 3)
        if kind < 2:
            return r.choice(['"x"', '"y"', '"xy"', '"("', '")"'])
        if kind == 2:
            return r.choice(names)
        if kind == 3:
            return f"({sequence(depth - 1)} | {sequence(depth - 1)})"
        return f"({sequence(depth - 1)})" + r.choice("?+*") if kind == 4 else item(0)

    def sequence(depth):
        return " ".join(item(depth) for _ in range(r.randrange(1, 4)))

    return "\n".join(f"{n}: {sequence(1)} | {sequence(1)} | {item(0)}" for n in names)


def test_ebnf_against_lark(probe):
    lark = pytest.importorskip("lark")
    grammar = GrammarProbe(probe("probe_grammar"))
    n_compared = n_yes = 0
    for seed in range(250):
        r = random.Random(seed)
        source = random_grammar(r)
        texts = ["".join(r.choice("xy()") for _ in range(r.randrange(1, 7))) for _ in range(25)]
        answer = grammar.ask("ebnf", source, accept=texts, walks={"n": 2, "seed": seed, "max_tokens": 40, "check": 3})
        try:
            parser = lark.Lark(source, parser="earley", lexer="dynamic_complete")
        except lark.exceptions.GrammarError:
            continue

        def parses(text):
            try:
                parser.parse(text)
                return True
            except (lark.exceptions.UnexpectedInput, lark.exceptions.ParseError):
                return False

        if answer["status"] != "OK":
            assert answer["status"] == "INVALID", (source, answer)
            assert not any(map(parses, texts)), (seed, source, answer)
            continue
        for text, accepted in zip(texts, answer["accept"]):
            expected = parses(text)
            assert accepted == expected, (seed, source, text, expected)
            n_compared += 1
            n_yes += expected
        for walk in answer["walks"]:
            assert "defect" not in walk, (source, walk)
            if walk["ended"] and 0 < len(walk["text"]) < 15:
                assert parses(walk["text"]), (seed, source, walk)
    grammar.close()
    assert n_compared > 1000 and n_yes > 100
