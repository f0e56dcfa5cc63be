"""A checkpoint of a gigabyte, opened as a person would see it: progress, memory, and what is never copied.

The weights are a hole in a file (zeros that take no room on the disk); only their size matters here.
"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys

import pytest

pytest.importorskip("pyte", reason="the pyte terminal emulator is not installed")
from terminal import Terminal  # noqa: E402

WIDTH, FFN, LAYERS, KV_WIDTH = 2048, 8192, 8, 512


@pytest.fixture(scope="module")
def large_model(tmp_path_factory):
    """(folder, bytes of weights)"""
    source = os.path.join(os.path.dirname(__file__), "..", "..", "models", "default")
    folder = tmp_path_factory.mktemp("large")
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(os.path.join(source, name), folder / name)
    config = json.load(open(os.path.join(source, "config.json")))
    config.update(hidden_size=WIDTH, intermediate_size=FFN, num_hidden_layers=LAYERS, num_attention_heads=16, num_key_value_heads=4,
                  head_dim=128)  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {"model.embed_tokens.weight": [config["vocab_size"], WIDTH], "model.norm.weight": [WIDTH]}
    if not config.get("tie_word_embeddings"):
        shapes["lm_head.weight"] = shapes["model.embed_tokens.weight"]
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        shapes[at + "input_layernorm.weight"] = shapes[at + "post_attention_layernorm.weight"] = [WIDTH]
        shapes[at + "self_attn.q_proj.weight"] = shapes[at + "self_attn.o_proj.weight"] = [WIDTH, WIDTH]
        shapes[at + "self_attn.k_proj.weight"] = shapes[at + "self_attn.v_proj.weight"] = [KV_WIDTH, WIDTH]
        shapes[at + "mlp.gate_proj.weight"] = shapes[at + "mlp.up_proj.weight"] = [FFN, WIDTH]
        shapes[at + "mlp.down_proj.weight"] = [WIDTH, FFN]
    header, size = {}, 0
    for name, shape in shapes.items():
        n = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [size, size + n]}
        size += n
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + size)
    return folder, size


def forget_pages(path):
    file = os.open(path, os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def resident(pid):
    """{"RssAnon": bytes, "RssFile": bytes, ...}"""
    fields = re.findall(r"^(\w+):\s+(\d+) kB$", open(f"/proc/{pid}/status").read(), re.M)
    return {name: int(kilobytes) * 1024 for name, kilobytes in fields}


def test_progress_while_it_loads(twllm_path, large_model):
    """A bar with sizes and speed, in the reader's language, that goes away; the pages are mapped, not copied."""
    folder, size = large_model
    forget_pages(folder / "model.safetensors")
    with Terminal([str(twllm_path), "chat", str(folder), "--max-tokens", "2"], columns=100, rows=30, env={"LC_ALL": "zh_TW.UTF-8"}) as t:
        t.wait_for("\n>", limit=120)
        loading = t.raw
        assert "GB/s" not in t.text()
        memory = resident(t.pid)
        assert memory["RssFile"] > size and memory["RssAnon"] < 100e6, memory
        t.type("你好\r").wait_for("個詞元/秒", limit=60)
        memory = resident(t.pid)
        assert memory["RssFile"] < 1.1 * size and memory["RssAnon"] < 150e6, memory
        t.type("\x04")
        assert t.wait() == 0
    drawn = [(float(done), float(total)) for done, total in re.findall(rb"\[[#.]+\] ([\d.]+)/([\d.]+) GB  [\d.]+ GB/s", loading)]
    if not drawn:
        pytest.skip("loaded in less than the 200 ms that a bar waits")
    assert "載入" in loading.decode() and drawn == sorted(drawn)
    assert all(total == pytest.approx(size / 1e9, abs=0.01) for _, total in drawn)


def test_inspect_reads_no_weights(twllm_path, large_model):
    """What running would take is told before anything is allocated or read."""
    folder, size = large_model
    # A child's peak begins with what its parent has, so that a small one must start it.
    script = "import os, resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    command = [sys.executable, "-c", script, str(twllm_path), "inspect", str(folder), "--json"]
    *printed, kilobytes = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    report = json.loads("".join(printed))["memory"]
    assert int(kilobytes) * 1024 < size / 4
    assert report["weights_bytes"] == size and report["kv_cache_bytes"] > 0
    assert report["total_bytes"] == sum(report[part + "_bytes"] for part in ("weights", "kv_cache", "workspace", "logits", "bookkeeping"))
