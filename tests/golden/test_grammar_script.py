"""Grammars compiled for Traditional Chinese: their answers are those of the grammar that have no Simplified-only
character, judged by the grammar itself and by the characters of the answers."""
import json

import jsonschema
import pytest
from grammar_probe import GrammarProbe

SIMPLIFIED = set("国们学习汉语说话这时间经济发东车马见长门问风飞鸟龙龟")
HANT = {"script": "hant"}


@pytest.fixture(scope="module")
def probe_bytes(probe):
    running = GrammarProbe(probe("probe_grammar"))
    yield running
    running.close()


CASES = [
    ("choice", ["国國", "台灣", "学校", "中華民國"], ["台灣", "中華民國"]),
    ("regex", "[国國][家学]?", ["國", "國家"]),
    ("regex", "(?:国|國){2,3}", ["國國", "國國國"]),
    ("ebnf", 'root ::= "a" item+\nitem ::= "国" | "國" | "[" item "]"', ["a國", "a[國]國"]),
    ("schema", json.dumps({"enum": ["台湾", "台灣", 5]}), ['"台灣"', "5"]),
    ("schema", json.dumps({"type": "string", "maxLength": 3}), ['""', '"臺灣"', '"abc"', '"\\n"']),
    ("schema", json.dumps({"type": "object", "properties": {"国": {}, "a": {"type": "null"}},
                           "additionalProperties": False}), ['{}', '{"a": null}']),
]


@pytest.mark.parametrize("kind,source,good", CASES, ids=range(len(CASES)))
def test_answers_are_those_without_simplified_characters(probe_bytes, kind, source, good):
    bad = {"choice": ["国國", "学校", "中華"], "regex": ["国", "國学", "国国", "国國"], "ebnf": ["a国", "a[国]", "a"],
           "schema": ['"台湾"', '"国"', '{"国": null}', '"\\u56fd"', '"\\u570b"']}[kind]
    texts = good + bad
    free = probe_bytes.ask(kind, source, accept=texts)
    kept = probe_bytes.ask(kind, source, accept=texts, options=HANT)
    assert kept["accept"] == [text in good for text in texts]
    assert all(f for f, k in zip(free["accept"], kept["accept"]) if k)
    for walk in probe_bytes.ask(kind, source, options=HANT,
                                walks={"n": 30, "seed": 3, "max_tokens": 200, "check": 20})["walks"]:
        assert "error" not in walk, walk
        assert not SIMPLIFIED & set(walk["text"]), walk


def test_what_demands_one_is_refused_or_left_alone(probe_bytes):
    schema = {"type": "object", "properties": {"国": {"enum": ["国", "國"]}, "b": {"enum": ["话"]}},
              "required": ["国", "b"], "additionalProperties": False}
    refused = probe_bytes.ask("schema", json.dumps(schema), options=HANT)
    assert refused["status"] == "INVALID" and "no answer" in refused["error"]
    possible = {"script": "where possible"}
    good, bad = '{"国": "國", "b": "话"}', '{"国": "国", "b": "话"}'
    assert probe_bytes.ask("schema", json.dumps(schema), options=possible, accept=[good, bad])["accept"] == [True, False]
    for walk in probe_bytes.ask("schema", json.dumps(schema), options=possible,
                                walks={"n": 10, "seed": 1, "max_tokens": 200})["walks"]:
        if walk["ended"]:
            jsonschema.validate(json.loads(walk["text"]), schema)
