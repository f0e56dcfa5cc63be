"""The engine against transformers.generate on small random models: greedy, beams, stops, logprobs; and the engine's
promise that a request's tokens do not depend on batch, chunks, cached prefixes, preemption or threads.

Models are float32 with weights wide enough that two candidates hardly ever come within float rounding of each other:
token ids must be equal, scores within 1e-4 relative.
"""
import json
import random
import subprocess

import pytest
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, StoppingCriteria

VOCAB = 320
ROPES = {
    "default": (256, None),
    "llama3": (256, dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                         high_freq_factor=4.0, original_max_position_embeddings=32)),
    "dynamic": (48, dict(rope_type="dynamic", rope_theta=10000.0, factor=2.0)),
    "longrope": (256, dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.0, 1.1, 1.2, 1.3],
                           long_factor=[1.0, 2.0, 5.0, 12.0], original_max_position_embeddings=48)),
}  # fmt: skip


def make_model(folder, seed, vocab=VOCAB, kind="default"):
    length, rope = ROPES[kind]
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=8,
        num_key_value_heads=2, max_position_embeddings=length, bos_token_id=1, eos_token_id=None, pad_token_id=0,
        **({"rope_parameters": rope} if rope else {}),
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            scale = 2.0 / p.shape[-1] ** 0.5 if p.dim() == 2 else 0.0
            p.copy_(torch.randn(p.shape, generator=generator) * scale + (0.0 if p.dim() == 2 else 1.0))
        model.model.embed_tokens.weight.mul_(4.0)
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}

    def get(kind="default", seed=1, vocab=VOCAB):
        key = (kind, seed, vocab)
        if key not in made:
            folder = tmp_path_factory.mktemp(kind)
            made[key] = (make_model(folder, seed, vocab, kind), folder)
        return made[key]

    return get


@pytest.fixture
def generate(probe):
    def run(folder, requests, *options):
        lines = "".join(json.dumps(r) + "\n" for r in requests)
        done = subprocess.run(
            [probe("probe_generate"), folder, *options], input=lines, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        results = {(r["request"], r["index"]): r for r in rows[:-1] if "index" in r}
        refused = [r for r in rows[:-1] if "refused" in r]
        return results, rows[-1], refused

    return run


def prompts(seed, lengths, vocab=VOCAB):
    rng = random.Random(seed)
    return [[rng.randrange(2, vocab) for _ in range(n)] for n in lengths]


def theirs(model, prompt, **kwargs):
    # Dynamic rope leaves the frequencies of the last call behind, and a prompt of just the original length would meet
    # them: begin afresh.
    model.model.rotary_emb = type(model.model.rotary_emb)(model.config)
    config = GenerationConfig(pad_token_id=0, bos_token_id=1, **kwargs)
    with torch.no_grad():
        return model.generate(torch.tensor([prompt]), generation_config=config)


@pytest.mark.parametrize("kind", ROPES)
def test_greedy_equals_transformers(models, generate, kind):
    model, folder = models(kind)
    batch = prompts(3, [1, 40, 47, 48, 49, 90])
    requests = [{"prompt": p, "params": {"temperature": 0, "max_tokens": 64}} for p in batch]
    results, _, _ = generate(folder, requests, "max_model_len=256", "max_num_batched_tokens=24", "max_num_seqs=8")
    for i, prompt in enumerate(batch):
        expected = theirs(model, prompt, do_sample=False, max_new_tokens=64)[0, len(prompt) :].tolist()
        assert results[i, 0]["tokens"] == expected, (kind, len(prompt))
        assert results[i, 0]["finish"] == 2


def eos_that_occur(model, prompt, count):
    """Ids that the best beams do contain, so that some end early."""
    beams = theirs(model, prompt, do_sample=False, num_beams=4, num_return_sequences=2, max_new_tokens=24)
    tokens = beams[:, len(prompt) :].T.flatten().tolist()
    return list(dict.fromkeys(tokens[6::9]))[:count]


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize("n_eos", [0, 1, 3])
def test_beams_equal_transformers(models, generate, early_stopping, n_eos):
    model, folder = models("default", 2)
    requests, expected = [], []
    batch = prompts(11, [6, 33])
    eos = eos_that_occur(model, batch[0], n_eos) if n_eos else None
    for prompt in batch:
        for num_beams, length_penalty in [(2, 1.0), (4, 0.0), (3, 2.0), (5, 0.6)]:
            n = 1 + len(requests) % num_beams
            out = theirs(
                model, prompt, do_sample=False, num_beams=num_beams, num_return_sequences=n, max_new_tokens=24,
                length_penalty=length_penalty, early_stopping=early_stopping, eos_token_id=eos,
                return_dict_in_generate=True, output_scores=True,
            )  # fmt: skip
            params = dict(num_beams=num_beams, n=n, max_tokens=24, length_penalty=length_penalty,
                          early_stopping={False: 0, True: 1, "never": 2}[early_stopping])  # fmt: skip
            requests.append({"prompt": prompt, "params": params})
            expected.append((out.sequences[:, len(prompt) :].tolist(), out.sequences_scores.tolist()))
    options = [f"eos={i}" for i in eos or []]
    # few blocks and a small budget: beams are preempted and computed again on the way
    results, stats, _ = generate(folder, requests, "kv_blocks=42", "block_size=8", "max_num_batched_tokens=20",
                                 "max_num_seqs=20", "max_model_len=96", *options)  # fmt: skip
    assert stats["preemptions"] > 0
    ended_early = 0
    for i, (sequences, scores) in enumerate(expected):
        for j, (sequence, score) in enumerate(zip(sequences, scores)):
            ours = results[i, j]
            assert ours["tokens"] == sequence[: len(ours["tokens"])], (i, j)
            assert all(t in (eos or [])[:1] for t in sequence[len(ours["tokens"]) :]), (i, j)  # their padding
            assert ours["score"] == pytest.approx(score, rel=1e-4, abs=1e-4)
            ended_early += len(ours["tokens"]) < 24
    assert n_eos == 0 or ended_early > 0


def test_beams_with_processors_equal_transformers(models, generate):
    model, folder = models("default", 2)
    batch = prompts(12, [4, 15, 30])
    eos = eos_that_occur(model, batch[0], 2)
    expected, requests = [], []
    for prompt in batch:
        out = theirs(
            model, prompt, do_sample=False, num_beams=4, num_return_sequences=2, max_new_tokens=20, min_new_tokens=6,
            repetition_penalty=1.4, no_repeat_ngram_size=2, eos_token_id=eos, return_dict_in_generate=True,
            output_scores=True,
        )  # fmt: skip
        params = dict(num_beams=4, n=2, max_tokens=20, min_tokens=6, repetition_penalty=1.4, no_repeat_ngram_size=2)
        requests.append({"prompt": prompt, "params": params})
        expected.append((out.sequences[:, len(prompt) :].tolist(), out.sequences_scores.tolist()))
    results, _, _ = generate(folder, requests, "max_num_seqs=12", *[f"eos={i}" for i in eos])
    for i, (sequences, scores) in enumerate(expected):
        for j, (sequence, score) in enumerate(zip(sequences, scores)):
            ours = results[i, j]
            assert ours["tokens"] == sequence[: len(ours["tokens"])]
            assert ours["score"] == pytest.approx(score, rel=1e-4, abs=1e-4)


class EosListStoppingCriteria(StoppingCriteria):
    """As the card of Llama-3-Taiwan gives it: the last ids equal a sequence."""

    def __init__(self, eos_sequence):
        self.eos_sequence = eos_sequence

    def __call__(self, input_ids, scores, **kwargs):
        return self.eos_sequence in input_ids[:, -len(self.eos_sequence) :].tolist()


def test_stop_token_sequences_equal_the_cards_criterion(models, generate):
    model, folder = models()
    requests, expected = [], []
    for prompt in prompts(21, [3, 9, 20]):
        greedy = theirs(model, prompt, do_sample=False, max_new_tokens=40)[0, len(prompt) :].tolist()
        for length in (1, 2, 3):
            stop = greedy[10 : 10 + length]
            config = GenerationConfig(do_sample=False, max_new_tokens=40, pad_token_id=0)
            out = model.generate(
                torch.tensor([prompt]), generation_config=config, stopping_criteria=[EosListStoppingCriteria(stop)]
            )
            requests.append({"prompt": prompt, "params": dict(temperature=0, max_tokens=40, stop_token_sequences=[stop])})
            expected.append(out[0, len(prompt) :].tolist())
    results, _, _ = generate(folder, requests)
    for i, tokens in enumerate(expected):
        assert results[i, 0]["tokens"] == tokens
        assert results[i, 0]["finish"] == 1 and len(tokens) < 40


@pytest.fixture(scope="module")
def text_model(models, root):
    path = root / "models" / "default"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path / "tokenizer.json"))
    model, folder = models("default", 5, len(tokenizer))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (path / name).exists():
            (folder / name).write_bytes((path / name).read_bytes())
    return model, folder, tokenizer


def test_stop_strings_equal_transformers(text_model, generate):
    model, folder, tokenizer = text_model
    requests, expected, stops = [], [], []
    for prompt in prompts(31, [3, 8, 15, 22, 40], len(tokenizer) - 300):
        greedy = theirs(model, prompt, do_sample=False, max_new_tokens=40)[0, len(prompt) :].tolist()
        text = tokenizer.decode(greedy, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        whole = [i for i in range(4, len(text) - 3) if "\ufffd" not in text[i : i + 3]]
        for at in whole[:: max(1, len(whole) // 3)][:3]:
            stop = [text[at : at + 3], "never in it", text[at + 1 : at + 3]]
            config = GenerationConfig(do_sample=False, max_new_tokens=40, pad_token_id=0, stop_strings=stop)
            with torch.no_grad():
                out = model.generate(torch.tensor([prompt]), generation_config=config, tokenizer=tokenizer)
            for include in (False, True):
                params = dict(temperature=0, max_tokens=40, stop=stop, include_stop_str_in_output=include)
                requests.append({"prompt": prompt, "params": params})
                expected.append(out[0, len(prompt) :].tolist())
                stops.append((stop, include))
    assert len(requests) > 12
    results, _, _ = generate(folder, requests, "tokenizer=1")
    for i, tokens in enumerate(expected):
        ours, (stop, include) = results[i, 0], stops[i]
        assert ours["tokens"] == tokens, (stop, ours["text"])
        assert ours["finish"] == 1 and ours["stop_string"] in stop
        whole = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        cut = whole.index(ours["stop_string"]) + (len(ours["stop_string"]) if include else 0)
        assert ours["text"] == whole[:cut]


def test_logprobs_equal_log_softmax(models, generate):
    model, folder = models("llama3")
    batch = prompts(41, [2, 30, 77])
    params = dict(temperature=0.7, top_k=20, max_tokens=12, logprobs=5, prompt_logprobs=3, seed=4, repetition_penalty=1.3)
    results, _, _ = generate(folder, [{"prompt": p, "params": params} for p in batch], "max_num_batched_tokens=10",
                             "max_num_seqs=4")  # fmt: skip
    for i, prompt in enumerate(batch):
        ours = results[i, 0]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ours["tokens"]])).logits[0].double()
        reference = torch.log_softmax(logits, -1)
        rows = ours["prompt_logprobs"] + ours["logprobs"]
        following = prompt[1:] + ours["tokens"]
        assert len(rows) == len(following)
        total = 0.0
        for position, (row, token) in enumerate(zip(rows, following)):
            assert row[0][0] == token
            k = 3 if position < len(prompt) - 1 else 5
            best = torch.topk(reference[position], k)
            assert [e[0] for e in row[1:]] == best.indices.tolist()
            for entry in row:
                assert entry[1] == pytest.approx(reference[position, entry[0]].item(), abs=2e-4)
            assert row[0][2] == 1 + int((reference[position] > reference[position, token]).sum())
            if position >= len(prompt) - 1:
                total += row[0][1]
        assert ours["cumulative"] == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("kind", ["default", "dynamic", "longrope"])
def test_nothing_but_the_request_decides(models, generate, kind):
    """The same requests alone, in one batch, in chunks of any size, from cached prefixes, preempted, on other threads."""
    _, folder = models(kind)
    rng = random.Random(7)
    shared = [rng.randrange(2, VOCAB) for _ in range(40)]
    requests = []
    for i in range(10):
        prompt = shared[: rng.choice([0, 16, 40])] + [rng.randrange(2, VOCAB) for _ in range(rng.randrange(1, 40))]
        params = dict(max_tokens=rng.randrange(5, 50), seed=i, temperature=rng.choice([0, 0.8, 1.3]), n=rng.choice([1, 1, 3]))
        if i % 3 == 0:
            params.update(top_p=0.9, repetition_penalty=1.2)
        if i % 4 == 1:
            params.update(logprobs=2)
        if i % 7 == 2:
            params.update(num_beams=3, n=2)
        requests.append({"prompt": prompt, "params": params, "priority": i % 2})
    base = ["max_model_len=160", "max_num_seqs=12", "block_size=8"]  # attention adds up block by block
    alone = {}
    for i, request in enumerate(requests):
        results, _, _ = generate(folder, [request], *base, "max_num_batched_tokens=256", "no_prefix_cache=1", "threads=1")
        alone.update({(i, index): r for (_, index), r in results.items()})
    ways = [
        ["max_num_batched_tokens=256", "threads=2"],
        ["max_num_batched_tokens=12", "no_prefix_cache=1"],
        ["max_num_batched_tokens=33", "stagger=3"],
        ["max_num_batched_tokens=64", "kv_blocks=54"],
        ["max_num_batched_tokens=19", "kv_blocks=56", "no_prefix_cache=1", "threads=2"],
    ]
    preemptions = hits = 0
    for way in ways:
        results, stats, _ = generate(folder, requests, *base, *way)
        preemptions += stats["preemptions"]
        hits += stats["prefix_hits"]
        assert results.keys() == alone.keys()
        for key, ours in results.items():
            for field in ("tokens", "finish", "score", "logprobs", "cumulative"):
                assert ours[field] == alone[key][field], (way, key, field)
    assert preemptions > 0 and hits > 0


def test_requests_that_cannot_be_are_refused(models, generate):
    _, folder = models()
    long = prompts(1, [300])[0]
    bad = [
        {"prompt": long},
        {"prompt": []},
        {"prompt": [VOCAB]},
        {"prompt": [5], "params": {"n": 9}},
        {"prompt": [5], "params": {"num_beams": 4, "max_tokens": 90}},
        {"prompt": [5], "params": {"stop": ["x"]}},
        {"prompt": [5], "params": {"temperature": 1e30}},
    ]
    results, _, refused = generate(folder, bad + [{"prompt": [5], "params": {"max_tokens": 3, "temperature": 0}}],
                                   "max_num_seqs=4", "kv_blocks=8", "max_model_len=100")  # fmt: skip
    assert [r["request"] for r in refused] == list(range(len(bad)))
    assert list(results) == [(len(bad), 0)]
    needles = ["99", "no tokens", "vocabulary", "max_num_seqs", "kv blocks", "tokenizer", "temperature"]
    for needle, r in zip(needles, refused):
        assert needle in r["refused"]
