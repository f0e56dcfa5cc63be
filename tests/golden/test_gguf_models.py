"""GGUF files give the same logits as the checkpoints they were made of."""
import json
import shutil
import subprocess

import gguf_models
import llama_models
import numpy
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter

KINDS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"]
DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


@pytest.mark.parametrize("name", ["llama2", "llama3", "llama3.1", "llama3.2", "biased", "wide heads, linear", "yarn"])
def test_same_bits_as_the_safetensors_checkpoint(probe, tmp_path, name):
    """Pairs that stand side by side are put apart before they are turned, so nothing else differs. Only the llama3
    frequencies, which the file holds as quotients, may differ by a rounding: 2^-23 of the angle, at most 300 here."""
    llama_models.make(name, tmp_path / "hf")
    changes, dtype, lengths = llama_models.MODELS[name]
    gguf_models.write(tmp_path / "hf", tmp_path / "model.gguf", lambda *_: DTYPES[dtype])
    ids = [[(7 * i + n) % 300 for i in range(n)] for n in lengths]
    a = numpy.frombuffer(llama_models.run_logits(probe, tmp_path / "hf", ids), numpy.float32)
    b = numpy.frombuffer(llama_models.run_logits(probe, tmp_path / "model.gguf", ids), numpy.float32)
    if name.startswith("llama3."):
        assert numpy.abs(a - b).max() < 2e-3 * numpy.abs(a).max()
    else:
        assert (a == b).all()


def quantised_model(folder, kind, rng):
    """Random blocks as weights: a GGUF file of them, and transformers' model of their values."""
    options = dict(hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=8,
                   num_key_value_heads=2, vocab_size=320)  # fmt: skip
    config = llama_models.LlamaConfig(**{**llama_models.SHAPE, **options})
    model = llama_models.LlamaForCausalLM(config)
    llama_models.fill(model, 5)
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    writer = GGUFWriter(folder / "model.gguf", "llama")
    gguf_models.add_metadata(writer, config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                writer.add_tensor(gguf_models.gguf_name(name), p.numpy())
                continue
            scale = 0.5 if "embed" in name else 1.4 / p.shape[1] ** 0.5
            raw, values = gguf_models.random_blocks(rng, kind, p.shape, scale)
            writer.add_tensor(gguf_models.gguf_name(name), raw, raw_dtype=GGMLQuantizationType[kind])
            heads = gguf_models.heads_of(name, config)
            values = torch.from_numpy(values)
            p.copy_(gguf_models.apart(values, heads) if heads else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_quantised_weights(probe, tmp_path, kind):
    """The reference bodies multiply the dequantised weights: f32 roundings only. The others may round activations to
    eight bits in each block, within the bound that tests/op/test_op_linear_quantised.c holds each product to; through a
    whole model of random weights that was 0.34 of the logits' deviation at most and 0.031 on average."""
    model = quantised_model(tmp_path, kind, numpy.random.default_rng(9))
    ids = [[(11 * i + 3) % 320 for i in range(n)] for n in (40, 1, 7)]
    expected = numpy.concatenate([llama_models.logits_of(model, s) for s in ids])
    size = expected.std()
    for isa in ("ref", "avx2", "avx512", "auto"):
        if not llama_models.has_isa(probe, tmp_path / "model.gguf", isa):
            continue
        largest, mean = (3e-4, 3e-5) if isa == "ref" else (0.6, 0.06)
        got = numpy.frombuffer(llama_models.run_logits(probe, tmp_path / "model.gguf", ids, isa=isa), numpy.float32)
        error = numpy.abs(got.reshape(expected.shape) - expected) / size
        assert error.max() < largest and error.mean() < mean, (isa, error.max(), error.mean())
    whole = llama_models.run_logits(probe, tmp_path / "model.gguf", ids)
    assert llama_models.run_logits(probe, tmp_path / "model.gguf", ids, chunk=3, mixed=1) == whole  # in any company
    assert llama_models.run_logits(probe, tmp_path / "model.gguf", ids, chunk=1, threads=1) == whole


@pytest.fixture(scope="module")
def embedded(root, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "embedded.gguf"
    gguf_models.write(root / "models" / "default", path, lambda *_: "BF16", tokenizer=True)
    return path


def test_the_embedded_model_as_a_file(twllm, embedded, root):
    """Everything but the weights' names comes from the metadata: the same ids, prompt, answers and settings."""
    text = "台灣 the 1234567 don't\n\n  <|eot_id|>🦙 ㄅㄆㄇ"
    for extra in ([], ["--special", "parse"]):
        expected = twllm("tokenize", *extra, stdin=text)
        assert expected.returncode == 0
        assert twllm("tokenize", "-m", embedded, *extra, stdin=text).stdout == expected.stdout
    arguments = ["generate", "你好，請介紹台北。", "--chat", "--temperature", "0", "--max-tokens", "40"]
    ours, file = twllm(*arguments), twllm(*arguments, "-m", embedded)
    assert file.returncode == 0, file.stderr
    assert file.stdout == ours.stdout and len(ours.stdout) > 10
    report = json.loads(twllm("inspect", "-m", embedded, "--json").stdout)
    expected = json.loads(twllm("inspect", "--json").stdout)
    for key in ("vocab_size", "n_parameters", "n_tensors"):
        if key in expected:
            assert report[key] == expected[key], key


def divergence(probe, reference, path, sequences):
    """Mean KL divergence of the distributions, in nats."""
    def distributions(name):
        logits = torch.frombuffer(bytearray(llama_models.run_logits(probe, name, sequences)), dtype=torch.float32)
        return torch.log_softmax(logits.reshape(sum(map(len, sequences)), -1).double(), -1)

    p, q = distributions(reference), distributions(path)
    return (p.exp() * (p - q)).sum(-1).mean().item()


def test_quantised_embedded_model_says_the_same(probe, twllm, root, embedded, tmp_path):
    """Eight bits: next to nothing is lost. Embedding and output share one matrix."""
    gguf_models.write(root / "models" / "default", tmp_path / "q8.gguf", lambda *_: "Q8_0", tokenizer=True)
    text = (root / "models" / "default" / "README.md").read_text()[:600]
    ids = [int(n) for n in twllm("tokenize", stdin=text).stdout.split()]
    assert 100 < len(ids) < 500
    assert divergence(probe, embedded, tmp_path / "q8.gguf", [ids]) < 2e-3
    done = twllm("generate", "台灣", "-m", tmp_path / "q8.gguf", "--max-tokens", "5", "--ignore-eos")
    assert done.returncode == 0, done.stderr


def test_metadata_that_do_not_fit(twllm, embedded, tmp_path):
    """Refused with the key's name."""
    raw = embedded.read_bytes()
    cases = {
        b"llama.embedding_length": b"llama.embedding_lengtx", b"general.architecture": b"general.architecturx",
        b"llama.block_count": b"llama.block_counx", b"tokenizer.ggml.merges": b"tokenizer.ggml.mergex",
        b"tokenizer.ggml.pre": b"tokenizer.ggml.prx", b"blk.3.ffn_up.weight": b"blk.3.ffn_ux.weight",
    }  # fmt: skip
    for i, (old, new) in enumerate(cases.items()):
        path = tmp_path / f"{i}.gguf"
        path.write_bytes(raw.replace(old, new, 1))
        done = twllm("generate", "x", "-m", path, "--max-tokens", "1")
        assert done.returncode in (3, 4), (old, done.stderr)
        assert old.decode() in done.stderr
