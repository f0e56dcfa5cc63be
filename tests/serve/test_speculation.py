"""Guesses change nothing that a client sees: the same answers, logprobs, streams and grammars, and in less steps."""
import json
import pathlib
import re

import pytest
from serving import Server

DOCUMENT = "臺北市位於臺灣北部的臺北盆地，是中華民國的首都。臺南的牛肉湯、擔仔麵和虱目魚粥很有名。"
MODES = {
    "ngram": ["--speculative-config", json.dumps({"method": "ngram", "num_speculative_tokens": 6, "prompt_lookup_max": 4})],
    "draft": ["--speculative-model", str(pathlib.Path(__file__).parents[2] / "models" / "default")],
}
REQUESTS = {
    "greedy": {"temperature": 0},
    "sampled": {"temperature": 0.9, "top_p": 0.9, "seed": 11, "n": 3},
    "penalties": {"temperature": 0.7, "seed": 3, "repetition_penalty": 1.2, "frequency_penalty": 0.3, "min_tokens": 20},
    "stops": {"temperature": 0, "stop": ["首都", "有名"], "include_stop_str_in_output": True},
    "logprobs": {"temperature": 0.5, "seed": 9, "logprobs": 4},
    "a grammar": {"temperature": 0.6, "seed": 2, "structured_outputs": {"json": {
        "type": "object", "properties": {"city": {"type": "string", "maxLength": 12}, "n": {"type": "integer", "maximum": 99}},
        "required": ["city", "n"], "additionalProperties": False}}},
}


def ask(server, name):
    prompt = f"{DOCUMENT}\n{DOCUMENT}\n{DOCUMENT[:30]}"
    code, answer = server.call("/v1/completions", {"prompt": prompt, "max_tokens": 60, **REQUESTS[name]})
    assert code == 200, answer
    return [{k: c[k] for k in ("text", "finish_reason", "logprobs", "index")} for c in answer["choices"]]


def counters(server):
    text = server.call("/metrics")[1]
    found = dict(re.findall(r"^vllm:(spec_decode_\w+)\{[^}]*\} (\S+)$", text, re.M))
    return {k: float(v) for k, v in found.items()}


@pytest.fixture(scope="module")
def plain():
    with Server() as server:
        assert not counters(server)
        return {name: ask(server, name) for name in REQUESTS}


@pytest.mark.parametrize("mode", MODES)
def test_answers_are_those_without_guesses(plain, mode):
    with Server(*MODES[mode]) as server:
        for name in REQUESTS:
            got = ask(server, name)
            assert got == plain[name], name
            if name == "a grammar":
                assert got[0]["finish_reason"] == "length" or json.loads(got[0]["text"])
        seen = counters(server)
        per_place = re.findall(r"^vllm:spec_decode_num_accepted_tokens_per_pos_total\{.*position=\"(\d+)\"\} (\S+)$",
                               server.call("/metrics")[1], re.M)
    assert seen["spec_decode_num_draft_tokens_total"] >= seen["spec_decode_num_accepted_tokens_total"] > 50
    assert seen["spec_decode_num_accepted_tokens_total"] == sum(float(n) for _, n in per_place)
    assert [int(i) for i, _ in per_place] == list(range(6 if mode == "ngram" else 8))
    assert float(per_place[0][1]) <= seen["spec_decode_num_drafts_total"]


@pytest.mark.parametrize("config, words", [
    ('{"method": "eagle"}', ["method", "eagle", "ngram"]),
    ('{"method": "ngram", "num_speculative_tokens": 65}', ["num_speculative_tokens", "65", "1 to 64"]),
    ('{"method": "ngram", "draft_tensor_parallel_size": 2}', ["draft_tensor_parallel_size", "not supported"]),
    ('{"method": "ngram", "prompt_lookup_min": 9, "prompt_lookup_max": 3}', ["prompt_lookup_min", "9"]),
    ('{"method": "draft_model"}', ["draft_model", "needs"]),
    ("[1]", ["speculative_config"]),
])
def test_what_cannot_be_is_said(twllm_path, config, words):
    import subprocess

    done = subprocess.run([twllm_path, "generate", "x", "--speculative-config", config], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    for word in words:
        assert word in done.stderr
