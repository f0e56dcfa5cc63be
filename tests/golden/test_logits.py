"""The forward pass against transformers in float32: logits, greedy continuations, and the same bits for every way of
cutting the same sequences into steps.

Tolerance: max |difference| <= 2e-4 of the logits' spread (max - min). Both sides sum thousands of float32 products in
different orders; what is measured is about 1e-6, and one wrong term anywhere is far above 2e-4.
"""
import llama_models
import numpy
import pytest
import torch
from llama_models import has_isa, run_logits

TOLERANCE = 2e-4


def error_of(ours, theirs):
    return numpy.abs(ours - theirs).max() / (theirs.max() - theirs.min())


class Golden:
    def __init__(self, name, folder):
        self.folder = folder
        self.model, self.sequences = llama_models.make(name, folder)
        self.vocab_size = self.model.config.vocab_size
        self.depends_on_length = self.model.config.rope_parameters["rope_type"] in ("dynamic", "longrope")
        self.logits = [llama_models.logits_of(self.model, ids) for ids in self.sequences]


@pytest.fixture(scope="module", params=llama_models.MODELS)
def golden(request, tmp_path_factory):
    return Golden(request.param, tmp_path_factory.mktemp("model"))


def split(raw, golden, sequences):
    logits = numpy.frombuffer(raw, numpy.float32).reshape(-1, golden.vocab_size)
    ends = numpy.cumsum([len(s) for s in sequences])
    return numpy.split(logits, ends[:-1])


@pytest.mark.parametrize("isa", ["ref", "avx2", "avx512", "avx512vnni", "avx512bf16", "neon"])
def test_logits_equal_transformers(probe, golden, isa, record_property):
    if not has_isa(probe, golden.folder, isa):
        pytest.skip(f"this machine has no {isa}")
    longest = 200 if isa == "ref" else 10000  # the scalar bodies are slow; causal: a prefix has the same logits
    sequences = [s[:longest] for s in golden.sequences]
    if isa == "ref" and golden.depends_on_length:
        sequences = [s for s in golden.sequences if len(s) <= longest]
    ours = split(run_logits(probe, golden.folder, sequences, isa=isa), golden, sequences)
    worst = max(error_of(a, b[: len(a)]) for a, b in zip(ours, golden.logits))
    record_property("worst", float(worst))
    print(f"worst difference {worst:.1e} of the spread")
    assert worst <= (bf16_error(golden) if isa == "avx512bf16" else TOLERANCE)


@pytest.mark.parametrize("isa", ["ref", "avx2", "avx512", "auto"])
def test_every_composition_gives_the_same_bits(probe, golden, isa):
    if not has_isa(probe, golden.folder, isa):
        pytest.skip(f"this machine has no {isa}")
    sequences = [s[: 300 if isa == "auto" else 40] for s in golden.sequences]
    at_once = run_logits(probe, golden.folder, sequences, isa=isa)
    ways = [dict(chunk=7), dict(chunk=1), dict(mixed=1), dict(mixed=1, threads=1), dict(chunk=33, threads=1)]
    for options in ways if isa == "auto" else ways[:3]:
        assert run_logits(probe, golden.folder, sequences, isa=isa, **options) == at_once, options


def bf16_error(golden):
    """How far transformers itself is from its float32 logits when it computes in bfloat16."""
    model = llama_models.load(golden.folder, torch.bfloat16)
    pairs = zip(golden.sequences, golden.logits, strict=True)
    return max(error_of(llama_models.logits_of(model, ids), expected) for ids, expected in pairs)


def test_reduced_precision_stays_below_bfloat16_error(probe, tmp_path):
    """The bound for anything kept in 16 bits (the kv cache, bf16 dot products): the error that transformers makes when
    it computes the whole model in bfloat16, measured on the same weights and tokens."""
    golden = Golden("llama3", tmp_path)
    bound = bf16_error(golden)
    assert 1e-3 < bound < 0.1
    for cache in ["F16", "BF16"]:
        ours = split(run_logits(probe, tmp_path, golden.sequences, cache=cache), golden, golden.sequences)
        worst = max(error_of(a, b) for a, b in zip(ours, golden.logits, strict=True))
        print(f"{cache} cache: {worst:.1e}, transformers in bfloat16: {bound:.1e}")
        assert worst <= bound
        assert run_logits(probe, tmp_path, golden.sequences, cache=cache, mixed=1) == run_logits(
            probe, tmp_path, golden.sequences, cache=cache
        )


@pytest.mark.parametrize("name", ["llama3", "llama3.1", "wide heads, linear", "dynamic", "yarn, mscale", "longrope"])
def test_old_names_of_rope_settings(probe, tmp_path, name):
    golden = Golden(name, tmp_path)
    new = run_logits(probe, tmp_path, golden.sequences)
    llama_models.write_old_style_config(tmp_path)
    assert run_logits(probe, tmp_path, golden.sequences) == new
