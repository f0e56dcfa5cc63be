"""Conversions between safetensors and GGUF against transformers and the gguf package, and what became of the words."""
import hashlib
import json
import re
import shutil

import gguf_models
import llama_models
import numpy
import packed_models
import pytest
import torch
from gguf import GGUFReader
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"]
KINDS = ["llama2", "llama3", "llama3.1", "llama3.2", "biased", "wide heads, linear", "yarn"]
TEXT = "台灣 the 1234567 don't\n\n  <|eot_id|>🦙 ㄅㄆㄇ"


def write_tokenizer(root, folder):
    """The embedded model's stages over a vocabulary of single bytes: conversions need one, few words will do."""
    tokenizer = json.loads((root / "models" / "default" / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"].update(vocab={t: i for i, t in enumerate(sorted(t for t in vocabulary if len(t) == 1)[:256])}, merges=[])
    assert len(tokenizer["model"]["vocab"]) == 256
    tokenizer["added_tokens"] = [{**t, "id": 256 + i} for i, t in enumerate(tokenizer["added_tokens"][:10])]
    tokenizer["post_processor"] = tokenizer["post_processor"]["processors"][0]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def make(root, folder, name, **more):
    """One of the small random models, with words."""
    changes, dtype, _ = llama_models.MODELS[name]
    options = {**llama_models.SHAPE, **changes, "vocab_size": 320, "num_hidden_layers": 2, **more}
    model = LlamaForCausalLM(LlamaConfig(**options))
    llama_models.fill(model, 7)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    write_tokenizer(root, folder)
    return dtype


def logits(probe, path, ids):
    return numpy.frombuffer(llama_models.run_logits(probe, path, ids), numpy.float32)


def tensors_of(folder):
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(path))
    return tensors


@pytest.mark.parametrize("name", KINDS)
def test_there_and_back(probe, twllm, root, tmp_path, name):
    """The file gives the checkpoint's logits, bit for bit unless the llama3 frequencies were rounded as quotients (the bound
    of test_gguf_models); every tensor comes back with the same bits, and transformers runs what came back."""
    make(root, tmp_path / "hf", name)
    for arguments in (("convert", tmp_path / "hf", tmp_path / "m.gguf"), ("convert", tmp_path / "m.gguf", tmp_path / "back")):
        done = twllm(*arguments)
        assert done.returncode == 0, done.stderr
    ids = [[(7 * i + n) % 300 for i in range(n)] for n in (1, 40)]
    a, b = logits(probe, tmp_path / "hf", ids), logits(probe, tmp_path / "m.gguf", ids)
    if name.startswith("llama3."):
        assert numpy.abs(a - b).max() < 2e-3 * numpy.abs(a).max()
    else:
        assert (a == b).all()
    before, after = tensors_of(tmp_path / "hf"), tensors_of(tmp_path / "back")
    assert before.keys() == after.keys()
    for key in before:
        assert before[key].shape == after[key].shape
        assert (before[key].float() == after[key].float()).all(), key
    expected = numpy.concatenate([llama_models.logits_of(llama_models.load(tmp_path / "hf", torch.float32), s) for s in ids])
    found = numpy.concatenate([llama_models.logits_of(llama_models.load(tmp_path / "back", torch.float32), s) for s in ids])
    assert numpy.abs(expected - found).max() < 2e-3 * numpy.abs(expected).max()


def test_rope_frequencies_are_those_of_the_other_converter(twllm, root, tmp_path):
    make(root, tmp_path / "hf", "llama3.1")
    assert twllm("convert", tmp_path / "hf", tmp_path / "m.gguf").returncode == 0
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    ours = next(t for t in GGUFReader(tmp_path / "m.gguf").tensors if t.name == "rope_freqs.weight").data
    theirs = gguf_models.llama3_divisors(config, config["rope_parameters"])
    assert numpy.abs(ours / theirs - 1).max() < 1e-5  # two roundings of a float, and theirs


@pytest.mark.parametrize("kind", TYPES)
def test_every_type(probe, twllm, root, tmp_path, kind):
    """Rows of 256 and 512: each type fits. The reader of the gguf package sees the types asked for; what it dequantises is
    what our loader runs (test_gguf_models compares that), and it is near the original."""
    make(root, tmp_path / "hf", "llama3", hidden_size=256, intermediate_size=512, num_hidden_layers=1)
    done = twllm("quantize", tmp_path / "hf", tmp_path / "q.gguf", kind, "--pure", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    original = tensors_of(tmp_path / "hf")
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    found = {t.name: t for t in GGUFReader(tmp_path / "q.gguf").tensors}
    squares = errors = 0.0
    for name, tensor in original.items():
        t = found.pop(gguf_models.gguf_name(name))
        assert t.tensor_type.name == (kind if tensor.dim() == 2 else "F32"), name
        heads = gguf_models.heads_of(name, config)
        x = (gguf_models.side_by_side(tensor, heads) if heads else tensor).float().numpy().astype(numpy.float64)
        y = gguf_models.dequantize(t.data, t.tensor_type).reshape(x.shape)
        if tensor.dim() == 2 and kind not in ("F32", "F16", "BF16"):
            squares, errors = squares + (x * x).sum(), errors + ((x - y) ** 2).sum()
        else:
            assert (x == y).all() or kind == "F16"
    assert not found
    if squares:
        assert abs(report["relative_error"] - (errors / squares) ** 0.5) < 1e-6
        assert report["relative_error"] < {"Q2_K": 0.35, "Q3_K": 0.18, "MXFP4": 0.14}.get(kind, 0.1)
    ids = [[(11 * i + 3) % 320 for i in range(30)]]
    assert numpy.isfinite(logits(probe, tmp_path / "q.gguf", ids)).all()


def test_a_mix(twllm, root, tmp_path):
    """The rules are tested without files in tests/unit/test_quant_mix.c; here that they reach the file."""
    make(root, tmp_path / "hf", "llama3.2", hidden_size=256, intermediate_size=256, num_hidden_layers=4,
         num_attention_heads=4, num_key_value_heads=2, head_dim=64)  # fmt: skip
    assert twllm("quantize", tmp_path / "hf", tmp_path / "q.gguf", "Q4_K_M").returncode == 0
    file = GGUFReader(tmp_path / "q.gguf")
    found = {t.name: t.tensor_type.name for t in file.tensors}
    assert [found[f"blk.{i}.attn_v.weight"] for i in range(4)] == ["Q4_K", "Q4_K", "Q6_K", "Q6_K"]
    assert found["token_embd.weight"] == "Q6_K" and found["blk.3.attn_q.weight"] == "Q4_K"
    assert file.fields["general.file_type"].contents() == 15


def test_rows_that_blocks_do_not_divide(twllm, root, tmp_path):
    """Rows of 64 elements hold no blocks of 256: the rules name a type of blocks of 32 instead."""
    make(root, tmp_path / "hf", "llama3")
    instead = {"Q2_K": "IQ4_NL", "Q4_K_S": "Q5_0", "Q5_K_S": "Q5_1", "Q6_K": "Q8_0", "IQ4_XS": "IQ4_NL"}
    for kind, expected in instead.items():
        assert twllm("quantize", tmp_path / "hf", tmp_path / "q.gguf", kind, "--overwrite").returncode == 0
        found = {t.name: t.tensor_type.name for t in GGUFReader(tmp_path / "q.gguf").tensors}
        assert found["blk.1.attn_q.weight"] == expected
        assert found["blk.1.ffn_down.weight"] == "F16"  # 176 = 5.5 * 32


@pytest.fixture(scope="module")
def embedded(root, twllm_path, tmp_path_factory):
    import subprocess

    folder = tmp_path_factory.mktemp("convert")
    for arguments in (("convert", root / "models" / "default", folder / "e.gguf"), ("convert", folder / "e.gguf", folder / "back"),
                      ("convert", folder / "e.gguf", folder / "parts", "--split-max-size", "5M"),
                      ("convert", folder / "e.gguf", folder / "split.gguf", "--split-max-size", "5M")):  # fmt: skip
        subprocess.run([twllm_path, *arguments], check=True, capture_output=True)
    return folder


def test_the_embedded_model_says_the_same(twllm, embedded):
    question = ["generate", "你好，請介紹台北。", "--chat", "--temperature", "0", "--max-tokens", "40"]
    expected = twllm(*question).stdout
    assert len(expected) > 20
    for name in ("e.gguf", "back", "parts", "split-00001-of-00005.gguf"):
        done = twllm(*question, "-m", embedded / name)
        assert done.stdout == expected, (name, done.stderr)
        assert twllm("tokenize", "-m", embedded / name, stdin=TEXT).stdout == twllm("tokenize", stdin=TEXT).stdout
    done = twllm("convert", embedded / "split-00003-of-00005.gguf", embedded / "joined.gguf")
    assert done.returncode == 0, done.stderr
    assert (embedded / "joined.gguf").read_bytes() == (embedded / "e.gguf").read_bytes()


def test_vocabulary_and_metadata(root, embedded):
    """Field by field what a file holds that the gguf package wrote."""
    gguf_models.write(root / "models" / "default", embedded / "theirs.gguf", lambda *_: "BF16", tokenizer=True)
    ours, theirs = GGUFReader(embedded / "e.gguf").fields, GGUFReader(embedded / "theirs.gguf").fields
    for key in theirs:
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        assert ours[key].contents() == theirs[key].contents(), key
    assert ours["tokenizer.ggml.eot_token_id"].contents() in (13297, 13304)


def test_tokenizer_json_comes_back(root, embedded):
    """The file written from the metadata encodes like the original, in Hugging Face's library."""
    a = Tokenizer.from_file(str(root / "models" / "default" / "tokenizer.json"))
    b = Tokenizer.from_file(str(embedded / "back" / "tokenizer.json"))
    text = (root / "README.zh-TW.md").read_text() + TEXT
    assert a.encode(text).ids == b.encode(text).ids
    assert a.get_vocab() == b.get_vocab()
    assert b.decode(b.encode(text).ids, skip_special_tokens=False) == a.decode(a.encode(text).ids, skip_special_tokens=False)


def test_greedy_tokens_of_llama_cpp(twllm, embedded, tmp_path):
    """Optional: with llama-cpp-python in this environment, the files load there and give the same greedy tokens."""
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    twllm("convert", embedded / "e.gguf", tmp_path / "f32.gguf", "--type", "F32")
    for name in (tmp_path / "f32.gguf",):
        prompt = [int(n) for n in twllm("tokenize", stdin="你好，請介紹台北。").stdout.split()]
        model = llama_cpp.Llama(str(name), n_ctx=256, verbose=False, logits_all=True)
        theirs = []
        for token in model.generate(prompt, temp=0.0):
            theirs.append(token)
            if len(theirs) == 24:
                break
        done = twllm("generate", "你好，請介紹台北。", "-m", name, "--temperature", "0", "--max-tokens", "24", "--json", "--ignore-eos")
        ours = json.loads(done.stdout)["completions"][0]["token_ids"]
        assert ours == theirs[: len(ours)]


def test_llama_cpp_refuses_nothing_we_write_twice(twllm, embedded, tmp_path):
    """Requantising is refused unless asked for; a type is refused that safetensors do not have."""
    assert twllm("quantize", embedded / "e.gguf", tmp_path / "q.gguf", "Q4_0").returncode == 0
    done = twllm("quantize", tmp_path / "q.gguf", tmp_path / "r.gguf", "Q5_0")
    assert done.returncode == 2 and "--allow-requantize" in done.stderr
    assert not list(tmp_path.glob("r.gguf*"))
    assert twllm("quantize", tmp_path / "q.gguf", tmp_path / "r.gguf", "Q5_0", "--allow-requantize").returncode == 0
    done = twllm("convert", tmp_path / "q.gguf", tmp_path / "hf", "--type", "Q8_0")
    assert done.returncode in (2, 4) and not (tmp_path / "hf" / "model.safetensors").exists()


@pytest.mark.parametrize("name, kind", [("gptq 4 g128", "auto"), ("awq g128", "F32"), ("fp8 blocks", "F32")])
def test_packed_checkpoints(probe, twllm, root, tmp_path, name, kind):
    """Symmetric GPTQ is Q4_0: the same bits. The others as F32: the same products, blocks or not."""
    packed_models.make(tmp_path, name)
    write_tokenizer(root, tmp_path)
    done = twllm("convert", tmp_path, tmp_path / "m.gguf", "--type", kind)
    assert done.returncode == 0, done.stderr
    ids = [[(7 * i + n) % 300 for i in range(n)] for n in (1, 40)]
    a, b = logits(probe, tmp_path, ids), logits(probe, tmp_path / "m.gguf", ids)
    assert (a == b).all() if kind == "auto" else numpy.abs(a - b).max() < 1e-4 * numpy.abs(a).max()
    if kind == "auto":
        assert {t.tensor_type.name for t in GGUFReader(tmp_path / "m.gguf").tensors} == {"Q4_0", "F32"}


def test_same_bytes_whatever_the_threads(twllm, embedded, tmp_path):
    digests = set()
    for threads in (1, 3):
        assert twllm("quantize", embedded / "e.gguf", tmp_path / "q.gguf", "Q4_0", "-t", threads, "--overwrite").returncode == 0
        digests.add(hashlib.sha256((tmp_path / "q.gguf").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_values_a_type_cannot_hold(twllm, root, tmp_path):
    make(root, tmp_path / "hf", "llama2")
    tensors = tensors_of(tmp_path / "hf")
    from safetensors.torch import save_file

    for value, kind in ((1e5, "F16"), (float("nan"), "Q4_0"), (float("inf"), "Q8_0")):
        changed = {k: v.clone() for k, v in tensors.items()}
        changed["model.layers.1.mlp.up_proj.weight"][5, 3] = value
        save_file(changed, tmp_path / "hf" / "model.safetensors", {"format": "pt"})
        done = twllm("quantize", tmp_path / "hf", tmp_path / "q.gguf", kind)
        assert done.returncode == 3, done.stderr
        assert re.search(r"blk\.1\.ffn_up\.weight.*element 3 of row 5", done.stderr)
        assert not (tmp_path / "q.gguf").exists()
