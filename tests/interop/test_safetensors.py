"""Files written by the safetensors package are read; bytes it refuses are refused, with a message naming the file."""
import json
import random
import struct
import subprocess
import zlib

import numpy
import pytest
import safetensors
import safetensors.numpy
import torch
from safetensors.torch import save_file

TORCH_TYPES = {
    "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64,
    "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool, "I16": torch.int16, "U16": torch.uint16,
    "I32": torch.int32, "U32": torch.uint32, "I64": torch.int64, "U64": torch.uint64,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip


def read(probe, path):
    out = subprocess.run([probe("probe_safetensors"), path], capture_output=True, check=True)
    lines = out.stdout.decode(errors="replace").split("\n")
    if lines[0].startswith("error "):
        return None, lines[0]
    assert lines[0].startswith("ok ")
    tensors = {}
    for line in lines[1 : 1 + int(lines[0][3:])]:
        name, dtype, shape, crc = line.split("\t")
        tensors[name] = (dtype, [int(d) for d in shape.split(",") if d], int(crc, 16))
    return tensors, None


def random_bytes_tensor(rng, dtype, shape):
    count = int(numpy.prod(shape, dtype=int))
    size = torch.empty(0, dtype=dtype).element_size()
    raw = bytes(rng.getrandbits(8) & (1 if dtype == torch.bool else 255) for _ in range(count * size))
    flat = torch.frombuffer(bytearray(raw), dtype=torch.uint8) if raw else torch.empty(0, dtype=torch.uint8)
    return flat.view(dtype).reshape(shape), zlib.crc32(raw)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    rng = random.Random(5)
    tensors, expected = {}, {}
    for name, dtype in TORCH_TYPES.items():
        for shape in [[3], [2, 5], [1, 2, 3, 4], [], [0, 7]]:
            key = f"model.{name}.{'x'.join(map(str, shape))}.權重"
            tensors[key], crc = random_bytes_tensor(rng, dtype, shape)
            expected[key] = (name, shape, crc)
    path = tmp_path_factory.mktemp("safetensors") / "model.safetensors"
    save_file(tensors, path, metadata={"format": "pt", "note": "混合 types"})
    return path, expected


def test_every_dtype_and_rank(probe, sample):
    path, expected = sample
    assert read(probe, path)[0] == expected
    assert read(probe, path.parent)[0] == expected  # its folder


def test_sharded_as_huggingface_hub_writes_it(probe, tmp_path):
    from huggingface_hub import save_torch_state_dict

    rng = random.Random(6)
    state, expected = {}, {}
    for i in range(40):
        state[f"layers.{i}.weight"], crc = random_bytes_tensor(rng, torch.bfloat16, [16, 32])
        expected[f"layers.{i}.weight"] = ("BF16", [16, 32], crc)
    save_torch_state_dict(state, tmp_path, max_shard_size=5000)
    assert len(list(tmp_path.glob("*.safetensors"))) > 5
    assert read(probe, tmp_path)[0] == expected
    assert read(probe, tmp_path / "model.safetensors.index.json")[0] == expected


def their_verdict(data):
    try:
        safetensors.deserialize(data)
        return True
    except Exception:
        return False


def mutations(data, rng, count):
    """The file with its header length, header text, data size or bytes changed."""
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + n])
    body = data[8 + n :]
    names = [k for k in header if k != "__metadata__"]

    def build(value, tail=body, pad=True):
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        if pad:
            text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + tail

    for _ in range(count):
        kind = rng.randrange(9)
        changed = json.loads(json.dumps(header))
        info = changed[rng.choice(names)]
        if kind == 0:  # bytes of the header
            text = bytearray(data[: 8 + n])
            for _ in range(rng.randint(1, 3)):
                text[rng.randrange(len(text))] = rng.choice(b'{}[]",:0123456789 abc\x00\xff\x80')
            yield bytes(text) + body
        elif kind == 1:
            yield data[: rng.randrange(len(data))]
        elif kind == 2:
            yield data + bytes(rng.randint(1, 9))
        elif kind == 3:
            info["data_offsets"][rng.randrange(2)] += rng.choice([-8, -1, 1, 8, 2**31, 2**63, -(2**63)])
            yield build(changed)
        elif kind == 4:
            shape = info["shape"]
            if shape:
                shape[rng.randrange(len(shape))] = rng.choice([-1, 0, 1, 2, 2**31, 2**32, 2**62, 2**63, 1.5, "2", None])
            yield build(changed)
        elif kind == 5:
            info["dtype"] = rng.choice(["F32", "F16", "BF16", "U8", "F64", "Q4_0", "", 3, None])
            yield build(changed)
        elif kind == 6:
            other = changed[rng.choice(names)]
            info["data_offsets"] = other["data_offsets"]
            yield build(changed)
        elif kind == 7:
            del changed[rng.choice(names)][rng.choice(["dtype", "shape", "data_offsets"])]
            yield build(changed)
        else:
            changed["__metadata__"] = rng.choice([{"a": 1}, [], "x", {"a": "b"}, None, {"a": None}])
            yield build(changed)


def test_mutations_are_refused_where_the_package_refuses(probe, sample, tmp_path):
    rng = random.Random(7)
    data = sample[0].read_bytes()
    process = subprocess.Popen([probe("probe_safetensors")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               errors="replace")  # fmt: skip
    path = tmp_path / "mutated.safetensors"
    refused = stricter = 0
    for mutated in mutations(data, rng, 1500):
        path.write_bytes(mutated)
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        first = process.stdout.readline()
        assert first, f"the probe died: {process.wait()}"
        accepted = first.startswith("ok ")
        if accepted:
            for _ in range(int(first[3:])):
                process.stdout.readline()
        else:
            assert "mutated.safetensors: " in first
        theirs = their_verdict(mutated)
        assert theirs or not accepted, f"accepted what the package refuses: {mutated[:300]!r}"
        refused += not theirs
        if theirs and not accepted:
            stricter += 1
            # beyond the package: repeated keys, NUL in names, a dimension >= 2**63 of an empty one
            known = ["repeated key", "NUL character", "UNSUPPORTED", "not a non-negative integer"]
            assert any(s in first for s in known), first
    process.stdin.close()
    process.wait()
    assert refused > 700  # most mutations are real damage
    print(f"refused by the package {refused}, by us alone {stricter}")


@pytest.mark.parametrize(
    "index, message",
    [
        ({"weight_map": {"a": "missing.safetensors"}}, "names a shard that does not exist"),
        ({"weight_map": {"a": "../model.safetensors"}}, "not a plain file name"),
        ({"weight_map": {"a": "/etc/passwd"}}, "not a plain file name"),
        ({"weight_map": {"a": ".."}}, "not a plain file name"),
        ({"weight_map": {"b": "one.safetensors"}}, '"b" is not in one.safetensors'),
        ({"weight_map": {"a": "two.safetensors", "c": "one.safetensors"}}, "not in two.safetensors"),
        ({"weight_map": {"a": 3}}, "not a plain file name"),
        ({"weight_map": {}}, "names 0 files"),
        ({"weight_map": []}, "weight_map is missing"),
        ({}, "weight_map is missing"),
        ({"weight_map": {"a": "one.safetensors", "d": "double.safetensors"}}, "is both in"),
    ],
)
def test_bad_index(probe, tmp_path, index, message):
    save_file({"a": torch.zeros(2), "c": torch.zeros(1)}, tmp_path / "one.safetensors")
    save_file({"c2": torch.zeros(2)}, tmp_path / "two.safetensors")
    save_file({"a": torch.zeros(2), "d": torch.zeros(1)}, tmp_path / "double.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    tensors, error = read(probe, tmp_path)
    assert tensors is None and message in error


def test_folder_without_tensors(probe, tmp_path):
    assert "neither model.safetensors nor" in read(probe, tmp_path)[1]
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    assert "pickle" in read(probe, tmp_path)[1]
    assert "NOT_FOUND" in read(probe, tmp_path / "absent.safetensors")[1]
