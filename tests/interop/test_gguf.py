"""Files written by the gguf package are read as they were written; altered ones are read alike or refused, with a
message naming the file; parts belong together."""
import random
import struct
import subprocess
import zlib

import numpy
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter

KINDS = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 I8 I16 I32 I64 F64".split()
FORMATS = {
    GGUFValueType.UINT8: "B", GGUFValueType.INT8: "b", GGUFValueType.UINT16: "H", GGUFValueType.INT16: "h",
    GGUFValueType.UINT32: "I", GGUFValueType.INT32: "i", GGUFValueType.UINT64: "Q", GGUFValueType.INT64: "q",
    GGUFValueType.FLOAT32: "f", GGUFValueType.FLOAT64: "d", GGUFValueType.BOOL: "?",
}  # fmt: skip


def read_all(probe, paths):
    text = "".join(f"{path}\n" for path in paths)
    out = subprocess.run([probe("probe_gguf")], input=text.encode(), capture_output=True, check=True)
    lines = iter(out.stdout.decode(errors="replace").split("\n"))
    answers = []
    for _ in paths:
        first = next(lines)
        if first.startswith("error "):
            answers.append(first)
            continue
        n_values, n_tensors = map(int, first.split()[1:])
        values = {}
        for _ in range(n_values):
            key, kind, element, count, crc = next(lines).split("\t")
            values[key] = (int(kind), int(element) if int(kind) == 9 else None, int(count), int(crc, 16))
        tensors = {}
        for _ in range(n_tensors):
            name, dtype, shape, crc = next(lines).split("\t")
            tensors[name] = (dtype, [int(d) for d in shape.split(",") if d], int(crc, 16))
        answers.append((values, tensors))
    return answers


def pack(kind, value):
    if kind == GGUFValueType.STRING:
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw
    return struct.pack("<" + FORMATS[kind], value)


def random_scalar(rng, kind):
    if kind == GGUFValueType.STRING:
        return "".join(rng.choice("abc 臺灣🦙\n\0") for _ in range(rng.randrange(12)))
    if kind == GGUFValueType.BOOL:
        return rng.random() < 0.5
    if kind in (GGUFValueType.FLOAT32, GGUFValueType.FLOAT64):
        return float(numpy.float32(rng.gauss(0, 1e3)))
    bits = struct.calcsize(FORMATS[kind]) * 8
    low = 0 if FORMATS[kind].isupper() else -(1 << (bits - 1))
    return low + rng.getrandbits(bits)


def write(path, rng, tensors, values=True, **split):
    """Writes random metadata and the tensors; returns what a reader should find."""
    writer = GGUFWriter(path, "llama")
    writer.data_alignment = split.pop("alignment", 32)
    found = {"general.architecture": (8, None, 1, zlib.crc32(b"llama"))}
    if writer.data_alignment != 32:
        writer.add_custom_alignment(writer.data_alignment)
        found["general.alignment"] = (4, None, 1, zlib.crc32(struct.pack("<I", writer.data_alignment)))
    for kind in [*FORMATS, GGUFValueType.STRING] if values else []:
        key, value = f"鍵.{kind.name}", random_scalar(rng, kind)
        writer.add_key_value(key, value, kind)
        raw = value.encode() if kind == GGUFValueType.STRING else pack(kind, value)
        found[key] = (int(kind), None, 1, zlib.crc32(raw))
        items = [random_scalar(rng, kind) for _ in range(rng.randrange(1, 9))]
        key = f"list.{kind.name}"
        writer.add_key_value(key, items, GGUFValueType.ARRAY, sub_type=kind)
        raw = b"".join(pack(kind, item) for item in items)
        found[key] = (9, int(kind), len(items), zlib.crc32(raw))
    for key, (number, total) in split.items():
        writer.add_uint16(key.replace("_", ".", 1), number)
    expected = {}
    for name, (kind, shape) in tensors.items():
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
        raw = numpy.frombuffer(rng.randbytes(int(numpy.prod(shape)) // block * size), numpy.uint8)
        width = shape[-1] // block * size
        writer.add_tensor(name, raw.reshape(*shape[:-1], width), raw_dtype=GGMLQuantizationType[kind])
        expected[name] = (kind, list(shape), zlib.crc32(raw.tobytes()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return found, expected


def random_tensors(rng, count):
    tensors = {}
    for i in range(count):
        kind = rng.choice(KINDS)
        block = GGML_QUANT_SIZES[GGMLQuantizationType[kind]][0]
        shape = [rng.randrange(1, 5) for _ in range(rng.randrange(0, 3))] + [block * rng.randrange(1, 4)]
        tensors[f"blk.{i}.權重"] = (kind, shape)
    return tensors


def test_everything_the_package_writes(probe, tmp_path):
    rng = random.Random(11)
    cases, paths = [], []
    for i in range(25):
        path = tmp_path / f"{i}.gguf"
        tensors = dict.fromkeys([]) if i == 0 else random_tensors(rng, rng.randrange(1, 30))
        if i == 1:
            tensors = {f"t.{kind}": (kind, [2, 3, GGML_QUANT_SIZES[GGMLQuantizationType[kind]][0]]) for kind in KINDS}
        cases.append(write(path, rng, tensors, values=i != 2, alignment=rng.choice([32, 32, 64, 256])))
        paths.append(path)
    for path, (values, tensors), answer in zip(paths, cases, read_all(probe, paths)):
        assert not isinstance(answer, str), answer
        assert answer[0] == values
        assert answer[1] == tensors
        assert {t.name for t in GGUFReader(path).tensors} == set(tensors)


def test_version_2_and_other_versions(probe, tmp_path):
    write(tmp_path / "3.gguf", random.Random(1), {"a": ("F32", [8])})
    raw = bytearray((tmp_path / "3.gguf").read_bytes())
    for version in (0, 1, 2, 4, 3 << 24):
        raw[4:8] = struct.pack("<I", version)
        (tmp_path / f"v{version}.gguf").write_bytes(raw)
    answers = read_all(probe, [tmp_path / f"v{v}.gguf" for v in (2, 3, 0, 1, 4, 3 << 24) if v != 3])
    assert not isinstance(answers[0], str)
    for answer in answers[1:]:
        assert answer.startswith("error UNSUPPORTED") and "version" in answer


def test_altered_files(probe, tmp_path):
    """Bytes changed, cut off or repeated: read as the package reads them, or refused by name."""
    rng = random.Random(3)
    base = tmp_path / "base.gguf"
    write(base, rng, {"a": ("Q4_0", [4, 32]), "b": ("F32", [3]), "c": ("Q6_K", [256])})
    raw = base.read_bytes()
    header = GGUFReader(base).data_offset
    paths = []
    for i in range(600):
        changed = bytearray(raw)
        if i % 3 == 0:
            changed = changed[: rng.randrange(len(changed))]
        elif i % 3 == 1:
            at = rng.randrange(header)
            changed[at] = rng.choice([0, 1, 255, 128, changed[at] ^ 1 << rng.randrange(8)])
        else:
            at = rng.randrange(header - 8)
            changed[at : at + 8] = struct.pack("<Q", rng.choice([0, 1, 1 << 31, 1 << 32, 1 << 62, (1 << 64) - 1]))
        path = tmp_path / f"{i}.gguf"
        path.write_bytes(changed)
        paths.append(path)
    answers = read_all(probe, paths)
    assert len(answers) == len(paths)
    agreed = 0
    for path, answer in zip(paths, answers):
        if isinstance(answer, str):
            assert path.name in answer and answer.split()[1] in ("FORMAT", "LIMIT", "UNSUPPORTED"), answer
            continue
        theirs = {t.name: (t.tensor_type.name, [int(d) for d in reversed(t.shape)]) for t in GGUFReader(path).tensors}
        assert {name: (kind, shape) for name, (kind, shape, _) in answer[1].items()} == theirs
        agreed += 1
    assert agreed > 20 and agreed < len(paths) - 200


def header(n_tensors, n_values, rest, version=3):
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_values) + rest


def value(key, kind, payload):
    return pack(GGUFValueType.STRING, key) + struct.pack("<I", kind) + payload


def info(name, extents, kind, offset):
    out = pack(GGUFValueType.STRING, name) + struct.pack("<I", len(extents))
    return out + struct.pack(f"<{len(extents)}Q", *extents) + struct.pack("<IQ", kind, offset)


def nested(depth):
    out = struct.pack("<IQ", 0, 1) + b"\1"
    for _ in range(depth - 1):
        out = struct.pack("<IQ", 9, 1) + out
    return out


U32 = struct.pack("<I", 7)
HOSTILE = {
    "too many values": header(0, 1 << 60, b""),
    "too many tensors": header(1 << 60, 0, b"\0" * 64),
    "tensors times size overflows": header((1 << 64) // 33 + 1, 0, b"\0" * 64),
    "key longer than the file": header(0, 1, struct.pack("<Q", 1 << 63) + b"x" * 64),
    "empty key": header(0, 1, value("", 4, U32) + b"\0" * 32),
    "key with NUL": header(0, 1, value("a\0b", 4, U32)),
    "key twice": header(0, 2, value("a", 4, U32) + value("a", 4, U32)),
    "unknown type": header(0, 1, value("a", 13, U32) + b"\0" * 8),
    "unknown element type": header(0, 1, value("a", 9, struct.pack("<IQ", 99, 1)) + b"\0" * 8),
    "array overflow": header(0, 1, value("a", 9, struct.pack("<IQ", 10, 1 << 61)) + b"\0" * 8),
    "array of strings overflow": header(0, 1, value("a", 9, struct.pack("<IQ", 8, 1 << 61)) + b"\0" * 8),
    "arrays too deep": header(0, 1, value("a", 9, nested(5))),
    "bool of 2": header(0, 1, value("a", 7, b"\2") + b"\0" * 8),
    "alignment 0": header(0, 1, value("general.alignment", 4, struct.pack("<I", 0))),
    "alignment 24": header(0, 1, value("general.alignment", 4, struct.pack("<I", 24))),
    "alignment is text": header(0, 1, value("general.alignment", 8, pack(GGUFValueType.STRING, "32"))),
    "no dimension": header(1, 0, info("a", [], 0, 0) + b"\0" * 64),
    "five dimensions": header(1, 0, info("a", [1] * 5, 0, 0) + b"\0" * 64),
    "extent 0": header(1, 0, info("a", [0], 0, 0) + b"\0" * 64),
    "product overflows": header(1, 0, info("a", [1 << 32, 1 << 32], 0, 0) + b"\0" * 64),
    "bytes overflow": header(1, 0, info("a", [1 << 62], 0, 0) + b"\0" * 64),
    "negative extent": header(1, 0, info("a", [(1 << 64) - 1], 0, 0) + b"\0" * 64),
    "row of half a block": header(1, 0, info("a", [48], 2, 0) + b"\0" * 128),
    "type 4, withdrawn": header(1, 0, info("a", [32], 4, 0) + b"\0" * 128),
    "offset unaligned": header(1, 0, info("a", [4], 0, 4) + b"\0" * 128),
    "offset beyond": header(1, 0, info("a", [4], 0, 1 << 40) + b"\0" * 128),
    "offset overflows": header(1, 0, info("a", [4], 0, (1 << 64) - 32) + b"\0" * 128),
    "overlap": header(2, 0, info("a", [16], 0, 0) + info("b", [4], 0, 32) + b"\0" * 256),
    "tensor twice": header(2, 0, info("a", [4], 0, 0) + info("a", [4], 0, 32) + b"\0" * 256),
    "name too long": header(1, 0, info("a" * 300, [4], 0, 0) + b"\0" * 64),
    "nothing": b"",
    "other magic": b"GGML" + b"\0" * 64,
}


def test_hostile_headers(probe, tmp_path):
    paths = []
    for name, raw in HOSTILE.items():
        path = tmp_path / (name.replace(" ", "-") + ".gguf")
        path.write_bytes(raw)
        paths.append(path)
    fine = tmp_path / "fine.gguf"
    fine.write_bytes(header(1, 1, value("a", 9, nested(4)) + info("a", [4], 0, 0) + b"\0" * 128))
    for name, answer in zip([*HOSTILE, "fine"], read_all(probe, [*paths, fine])):
        assert isinstance(answer, str) == (name != "fine"), (name, answer)


def test_split_models(probe, tmp_path):
    rng = random.Random(8)
    everything, first_values = {}, None
    for i in range(3):
        tensors = {f"blk.{i}.{k}": ("Q8_0", [4, 64]) for k in range(5)}
        path = tmp_path / f"model-{i + 1:05}-of-00003.gguf"
        writer = GGUFWriter(path, "llama")
        writer.add_uint16("split.no", i)
        writer.add_uint16("split.count", 3)
        writer.add_int32("split.tensors.count", 15)
        for name, (kind, shape) in tensors.items():
            raw = numpy.frombuffer(rng.randbytes(4 * 68), numpy.uint8).reshape(4, 68)
            writer.add_tensor(name, raw, raw_dtype=GGMLQuantizationType[kind])
            everything[name] = (kind, shape, zlib.crc32(raw.tobytes()))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    parts = sorted(tmp_path.glob("model-*.gguf"))
    for answer in read_all(probe, parts):  # whichever part is named
        assert answer[1] == everything
    renamed = tmp_path / "whole.gguf"
    renamed.write_bytes(parts[0].read_bytes())
    assert "parts" in read_all(probe, [renamed])[0]
    parts[1].rename(tmp_path / "gone")
    answer = read_all(probe, [parts[0]])[0]
    assert answer.startswith("error NOT_FOUND") and "part 2 of 3" in answer
    parts[1].write_bytes(parts[2].read_bytes())
    assert "part 3 of 3, expected 2 of 3" in read_all(probe, [parts[0]])[0]
