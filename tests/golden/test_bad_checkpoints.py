"""Damaged and hostile checkpoints: a message that names file and field, a status that is not zero, never a crash.

Exit statuses are those of base/status.h: 3 malformed, 4 not supported, 5 not found.
"""
import json
import math
import random
import shutil
import struct
import subprocess
from pathlib import Path

import llama_models
import pytest
import torch
from safetensors.torch import load_file, save_file

FORMAT, UNSUPPORTED, NOT_FOUND = 3, 4, 5


def open_checkpoint(probe, folder):
    done = subprocess.run([probe("probe_checkpoint"), folder], capture_output=True, timeout=60)
    return done.returncode, done.stderr.decode()


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    llama_models.make("llama2", folder)
    return folder


@pytest.fixture
def folder(good, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(good, copy)
    return copy


def change_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key, value in changes.items():
        config.pop(key, None)
        if value is not ...:
            config[key] = value
    path.write_text(json.dumps(config))


def change_header(folder, change):
    """Rewrites the header of model.safetensors; the data stays."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + n])
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + n :])


def change_tensors(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_the_good_one_opens(probe, good):
    assert open_checkpoint(probe, good) == (0, "")


CONFIGS = {
    "hidden_size lies": (dict(hidden_size=128, head_dim=8), FORMAT, ["expected (321, 128) from config.json"]),
    "vocab_size lies": (dict(vocab_size=322), FORMAT, ["embed_tokens", "F32 (321, 64), expected (322, 64)"]),
    "too many layers": (dict(num_hidden_layers=4), FORMAT, ['"model.layers.3.input_layernorm.weight" is missing']),
    "too few layers": (dict(num_hidden_layers=2), UNSUPPORTED, ['"model.layers.2.', "has no place"]),
    "heads lie": (dict(num_key_value_heads=4), FORMAT, ["k_proj", "F32 (64, 64), expected (32, 64)"]),
    "head_dim lies": (dict(head_dim=16), FORMAT, ["q_proj", "expected (128, 64)"]),
    "bias promised": (dict(attention_bias=True), FORMAT, ["q_proj.bias", "is missing"]),
    "tied promised": (dict(tie_word_embeddings=True, vocab_size=320), FORMAT, ["embed_tokens"]),
    "huge vocab": (dict(vocab_size=10**18), FORMAT, ["config.json: vocab_size is 1000000000000000000"]),
    "negative layers": (dict(num_hidden_layers=-1), FORMAT, ["config.json: num_hidden_layers is -1"]),
    "text for a number": (dict(hidden_size="64"), FORMAT, ['config.json: hidden_size is "64", expected an integer']),
    "missing size": (dict(intermediate_size=...), FORMAT, ["config.json: intermediate_size is missing"]),
    "wrong architecture": (dict(architectures=["GPT2LMHeadModel"]), UNSUPPORTED, ["config.json", "GPT2LMHeadModel"]),
    "quantised": (dict(quantization_config=dict(quant_method="bitsandbytes")), UNSUPPORTED, ["bitsandbytes"]),
    "zero heads": (dict(num_attention_heads=0), FORMAT, ["config.json: num_attention_heads is 0"]),
    "odd rope": (dict(rope_parameters=dict(rope_type="spiral")), UNSUPPORTED, ["config.json", '"spiral"']),
    "rope without factor": (dict(rope_parameters=dict(rope_type="linear")), FORMAT, ["config.json", "factor"]),
    "eos is text": (dict(eos_token_id="</s>"), FORMAT, ["config.json", "eos_token_id"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_bad_config(probe, folder, name):
    changes, expected, words = CONFIGS[name]
    change_config(folder, **changes)
    code, message = open_checkpoint(probe, folder)
    assert code == expected, message
    for word in [*words, str(folder)]:
        assert word in message


def test_config_that_is_not_json(probe, folder):
    for text in ["", "{", "[]", "\ufeff{]", '{"a":1,"a":2}', "null", "{" * 1000]:
        (folder / "config.json").write_text(text)
        code, message = open_checkpoint(probe, folder)
        assert code in (FORMAT, 8) and "config.json" in message
    (folder / "config.json").write_bytes(b"\xff\xfe{\x00}\x00")
    assert open_checkpoint(probe, folder)[0] == FORMAT
    (folder / "config.json").unlink()
    code, message = open_checkpoint(probe, folder)
    assert code == NOT_FOUND and "config.json" in message


def test_every_truncation_is_refused(probe, folder):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    rng = random.Random(3)
    for size in [0, 1, 7, 8, 9, len(data) - 1, *(rng.randrange(len(data)) for _ in range(20))]:
        path.write_bytes(data[:size])
        code, message = open_checkpoint(probe, folder)
        assert code == FORMAT and "model.safetensors" in message
    path.write_bytes(data + b"\0")
    code, message = open_checkpoint(probe, folder)
    assert code == FORMAT and "the file holds" in message


def lower(header, key, by):
    header[key]["data_offsets"] = [offset - by for offset in header[key]["data_offsets"]]


Q = "model.layers.1.self_attn.q_proj.weight"
HEADERS = {
    "overlapping": (lambda h: h[Q].update(data_offsets=h["lm_head.weight"]["data_offsets"][:1] * 2), Q),
    "negative offset": (lambda h: lower(h, Q, 10**9), Q),
    "huge offset": (lambda h: h[Q].update(data_offsets=[2**63, 2**63 + 64 * 64 * 4]), Q),
    "huge shape": (lambda h: h[Q].update(shape=[2**40, 2**40]), Q),
    "negative shape": (lambda h: h[Q].update(shape=[-64, -64]), Q),
    "wrong shape": (lambda h: h[Q].update(shape=[32, 128]), Q),
    "flat shape": (lambda h: h[Q].update(shape=[4096]), Q),
    "wrong type": (lambda h: h[Q].update(dtype="I32"), Q),
    "unknown type": (lambda h: h[Q].update(dtype="Q4_K"), Q),
    "narrow type": (lambda h: h[Q].update(dtype="BF16"), Q),
    "no type": (lambda h: h[Q].pop("dtype"), Q),
    "not an object": (lambda h: h.update({Q: [1, 2]}), Q),
    "renamed": (lambda h: h.update({"model.layers.1.self_attn.Q": h.pop(Q)}), Q),
    "metadata": (lambda h: h.update(__metadata__=[1]), "__metadata__"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_bad_header(probe, folder, name):
    change, field = HEADERS[name]
    change_header(folder, change)
    code, message = open_checkpoint(probe, folder)
    assert code in (FORMAT, UNSUPPORTED), message
    assert "model.safetensors: " in message and field in message


TENSORS = {
    "missing": (lambda t: t.pop("model.norm.weight"), '"model.norm.weight" is missing'),
    "added": (lambda t: t.update({"model.layers.0.self_attn.q_norm.weight": torch.ones(8)}), "q_norm.weight"),
    "of layer 99": (lambda t: t.update({"model.layers.99.input_layernorm.weight": torch.ones(64)}), "layers.99."),
    "numbered 01": (lambda t: t.update({"model.layers.01.input_layernorm.weight": torch.ones(64)}), "layers.01."),
    "integers": (lambda t: t.update({"model.norm.weight": torch.ones(64, dtype=torch.int32)}), "norm.weight"),
    "float64": (lambda t: t.update({"model.norm.weight": torch.ones(64, dtype=torch.float64)}), "norm.weight"),
    "5 dimensions": (lambda t: t.update({"x": torch.ones(1, 1, 1, 1, 1)}), '"x" has 5 dimensions'),
    "empty": (lambda t: t.clear(), "is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", TENSORS)
def test_bad_tensors(probe, folder, name):
    change, words = TENSORS[name]
    change_tensors(folder, change)
    code, message = open_checkpoint(probe, folder)
    assert code in (FORMAT, UNSUPPORTED) and words in message


def test_harmless_additions_are_accepted(probe, folder):
    change_tensors(folder, lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}))
    assert open_checkpoint(probe, folder) == (0, "")
    change_config(folder, unknown_member={"a": [1]}, torch_dtype="bfloat16")
    assert open_checkpoint(probe, folder) == (0, "")
    change_tensors(folder, lambda t: [t.update({k: v.to(torch.bfloat16)}) for k, v in t.items() if "mlp" in k])
    assert open_checkpoint(probe, folder) == (0, "")  # element types may differ by tensor


def test_missing_and_swapped_shards(probe, tmp_path):
    llama_models.make("mistral, sharded, added rows", tmp_path)
    assert open_checkpoint(probe, tmp_path)[0] == 0
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 2
    moved = shards[0].read_bytes()
    shards[0].unlink()
    code, message = open_checkpoint(probe, tmp_path)
    assert code == NOT_FOUND and shards[0].name in message and "model.safetensors.index.json" in message
    shards[0].write_bytes(shards[1].read_bytes())
    code, message = open_checkpoint(probe, tmp_path)
    assert code == FORMAT and "is both in" in message
    shards[0].write_bytes(moved[: len(moved) // 2])
    code, message = open_checkpoint(probe, tmp_path)
    assert code == FORMAT and shards[0].name in message
    shards[0].unlink()
    shards[0].mkdir()
    code, message = open_checkpoint(probe, tmp_path)
    assert code == 2 and "not a regular file" in message


def test_random_damage_never_crashes(probe, folder):
    """Bytes of config.json and of the header replaced at random: opened or refused, never a signal."""
    rng = random.Random(11)
    config, weights = folder / "config.json", folder / "model.safetensors"
    good_config, good_weights = config.read_bytes(), weights.read_bytes()
    header = 8 + struct.unpack("<Q", good_weights[:8])[0]
    for _ in range(150):
        damaged = bytearray(good_config)
        for _ in range(rng.randint(0, 3)):
            damaged[rng.randrange(len(damaged))] = rng.choice(b'{}[]",:-0919eE.\\x\x00\xff')
        config.write_bytes(damaged)
        head = bytearray(good_weights[:header])
        for _ in range(rng.randint(0, 3)):
            head[rng.randrange(len(head))] = rng.choice(b'{}[]",:-0919eE.\\x\x00\xff')
        weights.write_bytes(bytes(head) + good_weights[header:])
        code, message = open_checkpoint(probe, folder)
        assert 0 <= code < 12, message
        assert code == 0 or str(folder) in message


DEFAULT_MODEL = Path(__file__).resolve().parents[2] / "models" / "default"


def test_data_off_its_alignment_is_used(twllm_path, tmp_path):
    """A header of odd length, as the first versions of safetensors wrote it: the same answers, from aligned copies."""
    folder = tmp_path / "model"
    shutil.copytree(DEFAULT_MODEL, folder)

    def run(*arguments):
        done = subprocess.run([twllm_path, *arguments], capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def answer():
        done = run("generate", "-m", folder, "臺灣的首都", "--max-tokens", "12", "--temperature", "0", "--logprobs", "2", "--json")
        return done["text"], done["logprobs"], run("inspect", folder, "--verify", "--json")["memory"]["weights_bytes"]

    text, logprobs, mapped_bytes = answer()
    path = folder / "model.safetensors"
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    path.write_bytes(struct.pack("<Q", n + 1) + data[8 : 8 + n] + b" " + data[8 + n :])
    assert load_file(path)  # the package reads it
    *again, bytes_with_copies = answer()
    assert again == [text, logprobs] and bytes_with_copies == pytest.approx(2 * mapped_bytes, rel=1e-3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("everywhere", [True, False])
def test_weights_that_are_not_numbers(twllm_path, tmp_path, value, everywhere):
    """Named by inspect --verify; a model that answers with them is refused, and nothing is printed as its answer."""
    folder = tmp_path / "model"
    shutil.copytree(DEFAULT_MODEL, folder)
    name = "model.layers.1.input_layernorm.weight"
    change_tensors(
        folder, lambda t: [tensor.view(-1)[slice(None) if everywhere else slice(3, 4)].fill_(value) for n, tensor in t.items() if everywhere or n == name]
    )

    def run(*arguments):
        done = subprocess.run([twllm_path, *arguments], capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    code, _, message = run("inspect", "--verify", folder)
    assert code == FORMAT and "model.safetensors: tensor model." in message and ("NaN" if value != value else "infinite") in message
    assert everywhere or (name in message and "at index 3" in message)
    for command in (["generate", "-m", folder, "--prompt", "你好"], ["chat", folder, "--once", "你好"]):
        code, answer, message = run(*command, "--max-tokens", "4")
        assert code == 1 and answer == "" and "logits: NaN or infinity from the model" in message
