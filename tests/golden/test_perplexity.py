"""Perplexity, divergence and importances of the embedded model against PyTorch's numbers for the same windows."""
import json
import struct
import subprocess

import llama_models
import numpy
import pytest
import torch
from gguf import GGUFReader

N_CTX = 64


@pytest.fixture(scope="module")
def text(root, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text((root / "README.zh-TW.md").read_text()[:900] + "\n")
    return path


@pytest.fixture(scope="module")
def windows(twllm_path, text):
    """(n, N_CTX) ids as the text has them, and what stands in front of each."""
    plain = text.read_text().removesuffix("\n")
    ids = subprocess.run([twllm_path, "tokenize", "--json"], input=plain, capture_output=True, text=True, check=True).stdout
    ids = json.loads(ids)
    ids = ids["ids"] if isinstance(ids, dict) else ids
    bos = 13296
    ids = ids if ids[0] == bos else [bos, *ids]
    n = len(ids) // N_CTX
    return numpy.array(ids[: n * N_CTX]).reshape(n, N_CTX), bos


@pytest.fixture(scope="module")
def model(root):
    return llama_models.load(root / "models" / "default", torch.float32)


def log_probabilities(model, windows, bos):
    """Of each counted position, in float64: (windows, positions, vocabulary)."""
    out = []
    for row in windows:
        seen = [bos, *row[1:].tolist()]
        logits = torch.from_numpy(llama_models.logits_of(model, seen)[N_CTX // 2 : N_CTX - 1]).double()
        out.append(torch.log_softmax(logits, -1).numpy())
    return numpy.stack(out)


def run(twllm, *arguments):
    done = twllm("perplexity", "-c", N_CTX, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_perplexity(twllm, text, windows, model):
    """Equal but for the float32 of both: 1e-5 of the logarithm with keys and values in f32, 1e-3 in f16."""
    ids, bos = windows
    right = numpy.take_along_axis(log_probabilities(model, ids, bos), ids[:, N_CTX // 2 + 1 :, None], 2)
    expected = -right.mean()
    for dtype, tolerance in (("f32", 1e-5), ("f16", 1e-3)):
        found = run(twllm, "-f", text, "--kv-cache-dtype", dtype)
        assert found["chunks"] == len(ids) and found["tokens"] == right.size
        assert abs(numpy.log(found["ppl"]) - expected) < tolerance
    deviation = right.std() / (right.size - 1) ** 0.5
    assert found["ppl_error"] == pytest.approx(numpy.exp(expected) * deviation, rel=1e-2)
    assert "Final estimate: PPL =" in twllm("perplexity", "-c", N_CTX, "-f", text).stdout


def test_divergence(twllm, root, text, windows, model, tmp_path):
    """From the file of the original's log-probabilities, whose 16 bits cost 16 / 65535 of a logarithm at most."""
    ids, bos = windows
    run(twllm, "-f", text, "--kv-cache-dtype", "f32", "--kl-divergence-base", tmp_path / "base")
    head = struct.unpack("<8sIii", (tmp_path / "base").read_bytes()[:20])
    assert head == (b"_logits_", N_CTX, 13312, len(ids))
    same = run(twllm, "--kl-divergence", "--kl-divergence-base", tmp_path / "base", "--kv-cache-dtype", "f32")
    assert abs(same["kl"]) < 1e-4 and same["same_top"] == 1
    assert twllm("quantize", root / "models" / "default", tmp_path / "q.gguf", "Q3_K_M").returncode == 0
    assert twllm("convert", tmp_path / "q.gguf", tmp_path / "hf", "--type", "F32").returncode == 0
    found = run(twllm, "-m", tmp_path / "hf", "--kl-divergence", "--kl-divergence-base", tmp_path / "base")
    p = log_probabilities(model, ids, bos)
    q = log_probabilities(llama_models.load(tmp_path / "hf", torch.float32), ids, bos)
    assert found["kl"] == pytest.approx((numpy.exp(p) * (p - q)).sum(-1).mean(), rel=5e-3)
    assert found["same_top"] == pytest.approx((p.argmax(-1) == q.argmax(-1)).mean(), abs=2.5 / p[..., 0].size)
    right = numpy.exp([numpy.take_along_axis(x, ids[:, N_CTX // 2 + 1 :, None], 2) for x in (p, q)])
    assert found["rms_dp"] == pytest.approx(((right[0] - right[1]) ** 2).mean() ** 0.5, rel=1e-2)


def test_importances(twllm, text, windows, model, tmp_path):
    ids, bos = windows
    done = twllm("imatrix", "-c", N_CTX, "-f", text, tmp_path / "i.gguf")
    assert done.returncode == 0, done.stderr
    sums, hooks = {}, []
    names = {"self_attn.q_proj": "attn_q", "self_attn.o_proj": "attn_output", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    for key, module in model.named_modules():
        rest = key.split(".", 3)[-1]
        if rest in names:
            name = f"blk.{key.split('.')[2]}.{names[rest]}.weight"

            def add(_, inputs, name=name):
                sums[name] = sums.get(name, 0) + inputs[0].double().pow(2).sum((0, 1)).numpy()

            hooks.append(module.register_forward_pre_hook(add))
    for row in ids:
        llama_models.logits_of(model, [bos, *row[1:].tolist()])
    for hook in hooks:
        hook.remove()
    found = {t.name: t.data.ravel() for t in GGUFReader(tmp_path / "i.gguf").tensors}
    assert len(sums) == 40
    for name, expected in sums.items():
        assert found[name + ".counts"][0] == ids.size
        # keys and values are f16 in ours: 2^-11 of each number
        assert numpy.abs(found[name + ".in_sum2"] / expected - 1).max() < 2e-2, name
    done = twllm("quantize", "", tmp_path / "q.gguf", "Q2_K", "--imatrix", tmp_path / "i.gguf", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["without_importance"] == 0


def test_files_that_are_none(twllm, text, tmp_path):
    bad = tmp_path / "bad"
    for content in (b"", b"_logits_" + bytes(12), b"_logits_" + struct.pack("<Iii", N_CTX, 13312, 2**31 - 1),
                    b"_logits_" + struct.pack("<Iii", N_CTX, 5, 1), b"nonsense" * 9):  # fmt: skip
        bad.write_bytes(content)
        done = twllm("perplexity", "--kl-divergence", "--kl-divergence-base", bad)
        assert done.returncode == 3 and "bad" in done.stderr, done.stderr
    done = twllm("quantize", "", tmp_path / "q.gguf", "Q4_0", "--imatrix", bad)
    assert done.returncode == 3
    assert twllm("perplexity").returncode == 2
    assert twllm("perplexity", "-f", text, "-c", "100000").returncode == 2
    bad.write_text("短")
    assert twllm("perplexity", "-f", bad).returncode == 2
