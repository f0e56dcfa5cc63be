"""The sampler against transformers' logits processors, and against plain readings of DRY and XTC.

Each case is a row of random logits with a history; the probe states the probabilities that the sampler would draw with.
Tolerance: 3e-6 absolute on a probability, a few units in the last place of float32 sums; a token may fall on the other
side of a cut only when the cut lies within rounding of it, which the fixed seeds here never meet.
"""
import json
import math
import random
import subprocess

import pytest
import torch
from transformers import (
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

TOLERANCE = 3e-6


@pytest.fixture
def distribution(probe):
    def run(cases):
        lines = "".join(json.dumps(case) + "\n" for case in cases)
        done = subprocess.run([probe("probe_sampler")], input=lines, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def make_case(seed, vocab, spread, n_tokens=40, alphabet=None, **params):
    rng = random.Random(seed)
    logits = torch.tensor([rng.gauss(0, spread) for _ in range(vocab)], dtype=torch.float32)
    tokens = [rng.randrange(alphabet or vocab) for _ in range(n_tokens)]
    return {"logits": [float(x) for x in logits], "tokens": tokens, "n_prompt": n_tokens // 2, "params": params}


def reference(case):
    """transformers' classes in the sampler's documented order."""
    p = case["params"]
    ids, scores = torch.tensor([case["tokens"]]), torch.tensor([case["logits"]], dtype=torch.float32)
    steps = []
    if "no_repeat_ngram_size" in p:
        steps.append(NoRepeatNGramLogitsProcessor(p["no_repeat_ngram_size"]))
    if "repetition_penalty" in p:
        steps.append(RepetitionPenaltyLogitsProcessor(float(p["repetition_penalty"])))
    if "temperature" in p:
        steps.append(TemperatureLogitsWarper(float(p["temperature"])))
    if "min_p" in p:
        steps.append(MinPLogitsWarper(p["min_p"]))
    if "top_k" in p:
        steps.append(TopKLogitsWarper(p["top_k"]))
    if "top_p" in p:
        steps.append(TopPLogitsWarper(p["top_p"]))
    if "typical_p" in p:
        steps.append(TypicalLogitsWarper(p["typical_p"]))
    for step in steps:
        scores = step(ids, scores)
    return torch.softmax(scores[0].double(), -1)


def check(cases, got):
    assert len(got) == len(cases)
    for case, ours in zip(cases, got):
        theirs = reference(case)
        assert not isinstance(ours, dict), ours
        difference = (torch.tensor(ours, dtype=torch.float64) - theirs).abs().max().item()
        assert difference <= TOLERANCE, (case["params"], len(case["logits"]), difference)


SINGLE = {
    "temperature": [0.1, 0.5, 0.9, 1.0, 1.9],
    "top_k": [1, 2, 5, 50, 100000],
    "top_p": [0.01, 0.3, 0.8, 0.95, 0.999],
    "min_p": [0.01, 0.05, 0.3, 1.0],
    "typical_p": [0.05, 0.2, 0.5, 0.95],
    "repetition_penalty": [0.5, 1.1, 1.3, 5.0],
    "no_repeat_ngram_size": [1, 2, 3, 4],
}


@pytest.mark.parametrize("name", SINGLE)
def test_one_processor_at_a_time(distribution, name):
    cases = [
        make_case(seed, vocab, spread, alphabet=4 if name == "no_repeat_ngram_size" else None, **{name: value})
        for seed, (vocab, spread) in enumerate([(17, 1.0), (320, 0.3), (1000, 2.0), (5000, 1.0), (5000, 4.0)])
        for value in SINGLE[name]
    ]
    check(cases, distribution(cases))


def test_everything_together(distribution):
    cases = []
    for seed in range(120):
        rng = random.Random(1000 + seed)
        params = {name: rng.choice(values) for name, values in SINGLE.items() if rng.random() < 0.5}
        if params.get("no_repeat_ngram_size") == 1:
            del params["no_repeat_ngram_size"]
        cases.append(make_case(seed, rng.choice([40, 700, 3000]), rng.choice([0.5, 1, 3]), **params))
    check(cases, distribution(cases))


def dry_penalties(tokens, texts, multiplier, base, allowed, last_n, breakers):
    """For every token that follows an earlier copy of the end of the text, by the definition, quadratically."""
    window = tokens[-last_n:] if last_n >= 0 else tokens
    joined, ends = "", []  # ends[i]: length of the text up to and with token i
    for t in window:
        joined += texts[t]
        ends.append(len(joined))
    start_of_run = 0  # tokens after the one in which the last breaker ends
    for breaker in breakers:
        for at in range(len(joined)):
            if joined.startswith(breaker, at):
                last = at + len(breaker)
                token = next(i for i, e in enumerate(ends) if e >= last)
                start_of_run = max(start_of_run, token + 1)
    longest = {}
    limit = len(window) - start_of_run
    for i in range(len(window) - 1):
        length = 0
        while length < limit and length <= i and window[i - length] == window[-1 - length]:
            length += 1
        follower = window[i + 1]
        longest[follower] = max(longest.get(follower, 0), length)
    return {
        t: multiplier * base ** (n - allowed)
        for t, n in longest.items()
        if n >= allowed and not any(b in texts[t] for b in breakers)
    }


def test_dry(distribution):
    cases, expected = [], []
    letters = ["a", "b", "c", "x\n", ":", "da", "ad", "#", "#e", "e#"]
    for seed in range(300):
        rng = random.Random(seed)
        breakers = rng.choice([[], ["\n", ":"], ["ada"], ["##"], ["c", "e"]])
        alphabet = rng.choice([2, 3, 5, 10])
        params = dict(dry_multiplier=0.8, dry_base=rng.choice([1.1, 1.75]), dry_allowed_length=rng.choice([1, 2, 4]),
                      dry_penalty_last_n=rng.choice([-1, 30, 12]), dry_sequence_breakers=breakers)  # fmt: skip
        case = make_case(seed, 10, 1.0, n_tokens=rng.randrange(1, 80), alphabet=alphabet, **params)
        case["text"] = letters
        cases.append(case)
        used = breakers or ["\n", ":", '"', "*"]
        penalties = dry_penalties(case["tokens"], letters, 0.8, params["dry_base"], params["dry_allowed_length"],
                                  params["dry_penalty_last_n"], used)  # fmt: skip
        logits = [x - penalties.get(i, 0.0) for i, x in enumerate(case["logits"])]
        expected.append(torch.softmax(torch.tensor(logits, dtype=torch.float64), -1))
    penalised = 0
    for case, ours, theirs in zip(cases, distribution(cases), expected):
        difference = (torch.tensor(ours, dtype=torch.float64) - theirs).abs().max().item()
        assert difference <= 1e-5, (case, difference)
        plain = torch.softmax(torch.tensor(case["logits"], dtype=torch.float64), -1)
        penalised += (theirs - plain).abs().max().item() > 1e-3
    assert penalised > 100  # the cases do repeat themselves


def test_xtc(distribution):
    cases = [
        make_case(seed, 60, 2.0, xtc_probability=1.0, xtc_threshold=threshold, temperature=1.0)
        for seed in range(60)
        for threshold in [0.01, 0.05, 0.1, 0.3, 0.51]
    ]
    acted = 0
    for case, ours in zip(cases, distribution(cases)):
        p = torch.softmax(torch.tensor(case["logits"], dtype=torch.float64), -1)
        threshold = case["params"]["xtc_threshold"]
        likely = [i for i in range(60) if p[i] >= threshold]
        if len(likely) >= 2 and threshold <= 0.5:
            kept = min(likely, key=lambda i: p[i])
            for i in likely:
                if i != kept:
                    p[i] = 0
            p /= p.sum()
            acted += 1
        assert (torch.tensor(ours, dtype=torch.float64) - p).abs().max().item() <= TOLERANCE
    assert acted > 100


def test_frequency_and_presence(distribution):
    """vLLM's formula over the output: logit - frequency * count - presence * (count > 0)."""
    cases, expected = [], []
    for seed in range(40):
        case = make_case(seed, 30, 1.0, n_tokens=60, frequency_penalty=0.3, presence_penalty=-0.7)
        output = case["tokens"][case["n_prompt"] :]
        logits = [x - 0.3 * output.count(i) + 0.7 * (i in output) for i, x in enumerate(case["logits"])]
        cases.append(case)
        expected.append(torch.softmax(torch.tensor(logits, dtype=torch.float64), -1))
    for ours, theirs in zip(distribution(cases), expected):
        assert (torch.tensor(ours, dtype=torch.float64) - theirs).abs().max().item() <= TOLERANCE


def test_min_tokens_and_greedy(distribution):
    case = make_case(1, 50, 1.0, temperature=0.0)
    best = max(range(50), key=lambda i: case["logits"][i])
    held = dict(case, held=[best], params=dict(temperature=0.0, min_tokens=21, max_tokens=30))
    second = max((i for i in range(50) if i != best), key=lambda i: case["logits"][i])
    free = dict(held, params=dict(temperature=0.0, min_tokens=20, max_tokens=30))  # 20 were generated
    got = distribution([case, held, free])
    assert [row.index(1) for row in got] == [best, second, best]
    assert all(math.isclose(sum(row), 1) for row in got)
