"""What a person sees of convert and quantize: small memory, interruptions, full disks, other programs at work."""
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import time

import pytest

MB = 1 << 20


def write_model(root, folder, sizes, fill):
    """A checkpoint of one file; fill(file, bytes) writes the tensors' data, or leaves a hole."""
    source = root / "models" / "default"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(source / name, folder / name)
    config = {**json.loads((source / "config.json").read_text()), **sizes}
    (folder / "config.json").write_text(json.dumps(config))
    width, ffn = config["hidden_size"], config["intermediate_size"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    shapes = {"model.embed_tokens.weight": [config["vocab_size"], width], "model.norm.weight": [width]}
    for i in range(config["num_hidden_layers"]):
        at = f"model.layers.{i}."
        shapes[at + "input_layernorm.weight"] = shapes[at + "post_attention_layernorm.weight"] = [width]
        shapes[at + "self_attn.q_proj.weight"] = shapes[at + "self_attn.o_proj.weight"] = [width, width]
        shapes[at + "self_attn.k_proj.weight"] = shapes[at + "self_attn.v_proj.weight"] = [kv, width]
        shapes[at + "mlp.gate_proj.weight"] = shapes[at + "mlp.up_proj.weight"] = [ffn, width]
        shapes[at + "mlp.down_proj.weight"] = [width, ffn]
    header, size = {}, 0
    for name, shape in shapes.items():
        n = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [size, size + n]}
        size += n
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        fill(file, size)
    return size


@pytest.fixture(scope="module")
def wide(root, tmp_path_factory):
    """One layer as wide as those of 8B, as a hole in a file."""
    folder = tmp_path_factory.mktemp("wide") / "model"
    sizes = dict(hidden_size=4096, intermediate_size=14336, num_hidden_layers=1, num_attention_heads=32,
                 num_key_value_heads=8, head_dim=128)  # fmt: skip
    size = write_model(root, folder, sizes, lambda file, n: file.truncate(file.tell() + n))
    assert size > 5e8
    return folder


def test_a_wide_model_in_little_memory(wide, twllm_path, tmp_path):
    """The process may have 96 MB of memory of its own beside the maps, two threads' buffers in it."""
    if "ASAN_OPTIONS" in os.environ or "TSAN_OPTIONS" in os.environ:
        pytest.skip("a sanitizer needs more memory than the limit")

    def limit():
        resource.setrlimit(resource.RLIMIT_DATA, (96 * MB, 96 * MB))

    done = subprocess.run([twllm_path, "quantize", wide, tmp_path / "q.gguf", "Q4_0", "-t", "2", "--json"], preexec_fn=limit,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["n_parameters"] > 2.5e8
    assert report["bytes"] == pytest.approx(report["n_parameters"] * 4.9 / 8, rel=0.08)
    (tmp_path / "q.gguf").unlink()


@pytest.fixture(scope="module")
def noise(root, tmp_path_factory):
    """Some seconds of work for one thread."""
    folder = tmp_path_factory.mktemp("noise") / "model"
    sizes = dict(hidden_size=256, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4,
                 num_key_value_heads=2, head_dim=64)  # fmt: skip
    block = b"".join(struct.pack("<H", (0x3C00 + 37 * i % 0x200) | (i * 7 % 2) << 15) for i in range(4096))

    def fill(file, n):
        for at in range(0, n, len(block)):
            file.write(block[: n - at])

    write_model(root, folder, sizes, fill)
    return folder


def journal_lines(path):
    return path.read_text().count("\n") if path.exists() else 0


def test_goes_on_after_kill_9(noise, twllm, twllm_path, tmp_path):
    whole, cut = tmp_path / "whole.gguf", tmp_path / "cut.gguf"
    command = ["quantize", noise, cut, "Q2_K", "-t", "1", "--json"]
    expected = twllm("quantize", noise, whole, "Q2_K", "-t", "2", "--json")
    assert expected.returncode == 0, expected.stderr
    assert json.loads(expected.stdout)["resumed_bytes"] == 0
    journal = tmp_path / "cut.gguf.journal"
    for round_ in (1, 2):
        before = journal_lines(journal)
        running = subprocess.Popen([twllm_path, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while journal_lines(journal) < max(before + 1, 2) and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        assert running.poll() is None, "it was over before it could be stopped"
        assert not cut.exists()  # it has its name only when all is there
        if round_ == 1:
            other = twllm(*command)
            assert other.returncode == 9 and "another process" in other.stderr
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert (tmp_path / "cut.gguf.partial").exists()
    done = twllm(*command, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert cut.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("cut")) == ["cut.gguf"]
    assert json.loads(done.stdout)["resumed_bytes"] > 0


def test_what_an_earlier_run_left_is_not_believed(noise, twllm, twllm_path, tmp_path):
    """Bytes that changed since are written again; a partial file of another conversion is not used."""
    out = tmp_path / "q.gguf"
    running = subprocess.Popen([twllm_path, "quantize", noise, out, "Q2_K", "-t", "1"], stdout=subprocess.PIPE)
    journal, partial = tmp_path / "q.gguf.journal", tmp_path / "q.gguf.partial"
    deadline = time.monotonic() + 60
    while journal_lines(journal) < 2 and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    running.kill()
    running.wait()
    if partial.exists():
        with open(partial, "r+b") as file:
            file.seek(partial.stat().st_size // 3)
            file.write(bytes(range(256)) * 64)
            file.seek(1_000_000)
            file.write(bytes(range(256)) * 64)
    assert twllm("quantize", noise, out, "Q2_K", "--overwrite").returncode == 0
    good = out.read_bytes()
    out.unlink()
    assert twllm("quantize", noise, out, "Q2_K").returncode == 0
    assert out.read_bytes() == good


def test_an_output_that_exists(noise, twllm, tmp_path):
    out = tmp_path / "q.gguf"
    out.write_text("precious")
    done = twllm("quantize", noise, out, "Q8_0")
    assert done.returncode == 2 and "--overwrite" in done.stderr and out.read_text() == "precious"
    os.symlink(tmp_path / "nowhere", tmp_path / "q.gguf.partial")
    assert twllm("quantize", noise, out, "Q8_0", "--overwrite").returncode == 6  # somebody else's link is not followed
    assert out.read_text() == "precious" and not (tmp_path / "nowhere").exists()
    for name, words in ((tmp_path, ".gguf"), (tmp_path / "x.bin", ".gguf"), (tmp_path / "none" / "q.gguf", "none")):
        done = twllm("quantize", noise, name, "Q8_0")
        assert done.returncode in (2, 5) and words in done.stderr, done.stderr
    assert twllm("quantize", noise, out, "Q9_Z", "--overwrite").returncode == 2
    assert twllm("quantize", noise, out).returncode == 2


def test_a_disk_with_too_little_room(root, twllm, tmp_path):
    """Refused with the numbers before anything is computed: a hole in the shape of 70B as F32 is 270 GB."""
    sizes = dict(hidden_size=8192, intermediate_size=28672, num_hidden_layers=80, num_attention_heads=64,
                 num_key_value_heads=8, head_dim=128)  # fmt: skip
    if shutil.disk_usage(tmp_path).free > 260e9:
        pytest.skip("this disk has room for it")
    write_model(root, tmp_path / "vast", sizes, lambda file, n: file.truncate(file.tell() + n))
    began = time.monotonic()
    done = twllm("quantize", tmp_path / "vast", tmp_path / "q.gguf", "F32")
    assert done.returncode == 9 and "GB free" in done.stderr, done.stderr
    assert time.monotonic() - began < 20
    assert not list(tmp_path.glob("q.gguf*"))
