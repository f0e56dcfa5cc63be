"""The JSON reader and writer against Python's json module, on random documents and random damage."""
import json
import math
import random
import struct
import subprocess

ALPHABET = 'aZ09 "\\/\b\f\n\r\t\x00\x1f\x7f\x80éß台灣\u2028\ufeff\uffff😀\U0010ffff{}[]:,'


def ask(probe, documents, *arguments):
    """The probe's answer to each document: its bytes, or the message."""
    data = b"".join(b"%d\n" % len(d) + d for d in documents)
    out = subprocess.run([probe("probe_json"), *arguments], input=data, capture_output=True, check=True).stdout
    answers = []
    while out:
        line, out = out.split(b"\n", 1)
        if line.startswith(b"ok "):
            size = int(line[3:])
            answers.append(out[:size])
            out = out[size + 1 :]
        else:
            assert line.startswith(b"error ")
            answers.append(line.decode(errors="replace"))
    assert len(answers) == len(documents)
    return answers


def random_double(rng):
    kind = rng.randrange(4)
    if kind == 0:
        return struct.unpack("<d", rng.randbytes(8))[0]
    if kind == 1:
        return rng.uniform(-1000, 1000)
    if kind == 2:
        return round(rng.uniform(-10, 10), rng.randint(0, 6)) * 10.0 ** rng.randint(-20, 20)
    return math.ldexp(rng.choice([1, 1, 3, rng.getrandbits(53)]), rng.randint(-1074, 950))


def random_value(rng, depth=0):
    kind = rng.randrange(8 if depth < 5 else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice([0, -1, 2**63 - 1, -(2**63), 2**64, rng.getrandbits(rng.randint(1, 90)), -rng.getrandbits(20)])
    if kind == 2:
        value = random_double(rng)
        return value if math.isfinite(value) else 0.5
    if kind < 6:
        return "".join(rng.choice(ALPHABET) for _ in range(rng.choice([0, 1, 3, 7, 8, 9, 17, 40])))
    n = rng.choice([0, 1, 2, 5, 12])
    if kind == 6:
        return [random_value(rng, depth + 1) for _ in range(n)]
    return {"".join(rng.choice(ALPHABET) for _ in range(rng.randint(0, 9))): random_value(rng, depth + 1) for _ in range(n)}


def test_documents_are_written_as_python_writes_them(probe):
    rng = random.Random(1)
    values = [random_value(rng) for _ in range(600)]
    styles = {
        "compact": dict(separators=(",", ":"), ensure_ascii=False),
        "spaced": dict(ensure_ascii=False),
        "ascii": dict(),
        "indent": dict(indent=2, ensure_ascii=False),
    }
    for reader in styles.values():
        documents = [json.dumps(v, **reader).encode() for v in values]
        for style, options in styles.items():
            for value, ours in zip(values, ask(probe, documents, style), strict=True):
                assert ours == json.dumps(value, **options).encode()


def test_numbers_read_and_written_as_python_does(probe):
    rng = random.Random(2)
    values = [math.ldexp(1.0, e) for e in range(-1074, 1024)]
    values += [v for v in (random_double(rng) for _ in range(20000)) if math.isfinite(v)]
    texts = [repr(v) for v in values]
    # the same numbers with more digits than a double holds, and half way to the next one
    texts += [f"{v:.25e}" for v in values[2098:5000]]
    texts += [format(v, ".1100f") for v in values[900:1250]]
    answers = ask(probe, [t.encode() for t in texts], "numbers")
    for text, ours in zip(texts, answers, strict=True):
        expected = json.loads(text)
        assert ours.decode() == repr(float(expected)), text


def their_verdict(data):
    """What Python reads, or None. Stricter than Python's default in what RFC 8259 requires."""

    def no_repeats(pairs):
        if len({k for k, _ in pairs}) < len(pairs):
            raise ValueError("repeated key")
        return dict(pairs)

    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=no_repeats)
        json.dumps(value, ensure_ascii=False).encode()  # lone surrogates
        return value
    except (ValueError, RecursionError):
        return None


def test_damaged_documents_are_refused_where_python_refuses(probe):
    rng = random.Random(3)
    documents = []
    for _ in range(4000):
        data = bytearray(json.dumps(random_value(rng), ensure_ascii=rng.random() < 0.5).encode())
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data) + 1)
            what = rng.randrange(3)
            if what == 0:
                data[at:at] = bytes([rng.choice(b'{}[]",:0123456789.eE+-\\u tfn\x00\x1f\x7f\x80\xc0\xed\xa0\xf5')])
            elif what == 1:
                del data[at : at + rng.randint(1, 3)]
            elif at < len(data):
                data[at] = rng.randrange(256)
        documents.append(bytes(data))
    refused = 0
    for data, ours in zip(documents, ask(probe, documents, "compact"), strict=True):
        theirs = their_verdict(data)
        if data.startswith(b"\xef\xbb\xbf"):
            continue
        if isinstance(ours, str):
            refused += 1
            assert theirs is None, (data, ours)
        else:
            assert theirs is not None or data.strip() == b"null", (data, ours)
            assert json.loads(ours) == theirs or theirs != theirs or b"NaN" in data
    assert refused > 1500


def test_last_of_repeated_keys_wins_as_in_python(probe):
    rng = random.Random(4)
    documents = []
    for _ in range(200):
        keys = [rng.choice("abcdefghijklmnop") * rng.randint(1, 3) for _ in range(rng.randint(1, 40))]
        documents.append(("{" + ",".join(f'"{k}":{i}' for i, k in enumerate(keys)) + "}").encode())
    for data, ours in zip(documents, ask(probe, documents, "compact", "last"), strict=True):
        assert ours == json.dumps(json.loads(data), separators=(",", ":")).encode()
