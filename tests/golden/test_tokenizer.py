"""The tokenizer against tiktoken and HF tokenizers on the real Llama-3 vocabulary."""
import ast
import json
import os
import pathlib
import random
import struct
import subprocess

import numpy
import pytest

import llama3_tokenizer

os.environ["TOKENIZERS_PARALLELISM"] = "false"
MIXED_BYTES = 20_500_000


@pytest.fixture(scope="session")
def folder(shared, build):
    return llama3_tokenizer.make_folder(shared, build)


@pytest.fixture(scope="session")
def model_file(shared):
    return shared / "data/llama3-tokenizer/tokenizer.model"


@pytest.fixture(scope="session")
def oracle(shared):
    return llama3_tokenizer.tiktoken_encoding(shared)


@pytest.fixture(scope="session")
def huggingface(folder):
    import tokenizers

    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="session")
def ours(probe):
    """ours(path, documents, "parsed", ...) -> a list of id arrays; documents are str or bytes."""

    def encode(path, documents, *options):
        raw = [d.encode() if isinstance(d, str) else d for d in documents]
        stdin = b"".join(b"%d\n" % len(d) + d for d in raw)
        done = subprocess.run(
            [probe("probe_tokenizer"), str(path), "encode", *options], input=stdin, capture_output=True, timeout=300
        )
        assert done.returncode == 0, done.stderr.decode()
        flat, out, at = numpy.frombuffer(done.stdout, dtype="<i4"), [], 0
        for _ in raw:
            out.append(flat[at + 1 : at + 1 + flat[at]])
            at += 1 + int(flat[at])
        assert at == len(flat)
        return out

    return encode


def read_texts(stdout, count):
    out, at = [], 0
    for _ in range(count):
        end = stdout.index(b"\n", at)
        size = int(stdout[at:end])
        out.append(stdout[end + 1 : end + 1 + size])
        at = end + 1 + size
    return out


@pytest.fixture(scope="session")
def ours_decode(probe):
    def decode(path, id_lists, *options):
        stdin = b"".join(struct.pack("<i", len(ids)) + numpy.asarray(ids, "<i4").tobytes() for ids in id_lists)
        done = subprocess.run(
            [probe("probe_tokenizer"), str(path), "decode", *options], input=stdin, capture_output=True, timeout=300
        )
        assert done.returncode == 0, done.stderr.decode()
        return read_texts(done.stdout, len(id_lists))

    return decode


def info(probe, path):
    done = subprocess.run([probe("probe_tokenizer"), str(path), "info"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {key: int(value) for key, value in (line.split() for line in done.stdout.splitlines())}


def assert_same(actual, expected, documents):
    assert len(actual) == len(expected) == len(documents)
    for a, e, text in zip(actual, expected, documents):
        e = numpy.asarray(e, dtype="<i4")
        if len(a) == len(e) and (a == e).all():
            continue
        n = min(len(a), len(e))
        different = numpy.nonzero(a[:n] != e[:n])[0]
        first = int(different[0]) if len(different) else n
        pytest.fail(f"token {first} of {text[:80]!r}...: {a[first:first + 6]} instead of {e[first:first + 6]}")


def test_47_published_vectors(shared, ours, folder, model_file):
    base = shared / "data/llama3-tokenizer"
    texts = (base / "vectors.inp").read_bytes().split(b"\n__ggml_vocab_test__\n")
    # The last text is empty, and so is its line: nothing follows the final newline.
    expected = [[int(i) for i in line.split()] for line in (base / "vectors.out").read_text().split("\n")]
    assert len(texts) == len(expected) == 47
    for path in (folder, folder / "pairs" / "tokenizer.json", model_file):
        assert_same(ours(path, texts), expected, texts)


def test_every_code_point(ours, oracle, huggingface, folder, model_file):
    """Each scalar value between letters, before a digit, after a space, after an apostrophe and by a newline; for HF
    tokenizers, which take ten times as long, in the one place where letters, numbers, spaces and others all differ."""

    def blocks_of(*shapes):
        every = (c for c in range(0x110000) if not 0xD800 <= c < 0xE000)
        texts = ["|".join(shape % chr(c) for shape in shapes) for c in every]
        return ["\x00".join(texts[i : i + 512]) for i in range(0, len(texts), 512)]

    blocks = blocks_of("a%sb", "%s1", "'%s", "\n%s ")
    expected = [oracle.encode_ordinary(block) for block in blocks]
    assert_same(ours(folder, blocks), expected, blocks)
    assert_same(ours(model_file, blocks), expected, blocks)
    blocks = blocks_of(" %sb")
    expected = [huggingface.encode(block, add_special_tokens=False).ids for block in blocks]
    assert_same(ours(folder, blocks), expected, blocks)


def test_20_megabytes(shared, ours, oracle, huggingface, folder, model_file, ours_decode):
    documents = llama3_tokenizer.mixed_documents(shared, MIXED_BYTES)
    assert sum(len(d.encode()) for d in documents) > 20_000_000
    expected = [oracle.encode_ordinary(d) for d in documents]
    from_json = ours(folder, documents)
    assert_same(from_json, expected, documents)
    assert_same(ours(model_file, documents), expected, documents)
    huggingface.encode_special_tokens = True
    try:
        hf = [huggingface.encode(d, add_special_tokens=False).ids for d in documents]
    finally:
        huggingface.encode_special_tokens = False
    assert_same(from_json, hf, documents)
    decoded = ours_decode(folder, from_json)
    assert decoded == [d.encode() for d in documents]


def test_random_bytes_come_back(ours, ours_decode, folder):
    rng = random.Random(11)
    documents = [rng.randbytes(rng.randrange(0, 400)) for _ in range(3000)]
    documents += [bytes(rng.choices(b"\xe4\xb8\xad\xf0\x9f\x80 '\nas1", k=60)) for _ in range(3000)]
    assert ours_decode(folder, ours(folder, documents)) == documents


def test_random_text_as_tiktoken(ours, oracle, folder, model_file):
    rng = random.Random(12)
    alphabet = list("aAbesStTlLdDvVmMrR'’ſ019٣½Ⅷ \t\n\r\v\u00a0\u3000\u2028!.,-_()中文臺灣的了é\u0301😀𠀀한ñ")
    documents = ["".join(rng.choices(alphabet, k=rng.randrange(1, 60))) for _ in range(60000)]
    joined = ["".join(rng.choices("ab \n中", k=1)[0] * rng.randrange(1, 300) for _ in range(20)) for _ in range(200)]
    documents += joined
    expected = [oracle.encode_ordinary(d) for d in documents]
    assert_same(ours(folder, documents), expected, documents)
    assert_same(ours(model_file, documents), expected, documents)


def test_long_pieces_are_not_quadratic(ours, oracle, folder):
    """One megabyte without a cut; at quadratic cost each would take many minutes."""
    rng = random.Random(5)
    documents = ["a" * 1_000_000, "臺" * 350_000, "".join(chr(rng.randrange(0x4E00, 0x9FA0)) for _ in range(300_000)), "=" * 1_000_000, " " * 1_000_000]
    got = ours(folder, documents)
    assert_same([g[:2000] for g in got[2:3]], [oracle.encode_ordinary(documents[2][:6000])[:2000]], documents[2:3])
    assert_same([got[0]], [oracle.encode_ordinary("a" * 8) * 125_000], ["a"])


def test_detokenizer_replaces_as_python(probe):
    rng = random.Random(8)
    pieces = [b"a", "臺".encode(), "😀".encode(), "é".encode()] + [bytes([b]) for b in range(0x80, 0x100)]
    documents = [b"".join(rng.choices(pieces, k=rng.randrange(12))) for _ in range(20000)]
    documents += [bytes(rng.choices(b"\xe8\x87\xba\xf0\x9f\x98\xed\xa0\xf4\x90\x80\xc2a", k=9)) for _ in range(20000)]
    stdin = b"".join(b"%d\n" % len(d) + d for d in documents)
    done = subprocess.run([probe("probe_tokenizer"), "-", "detokenize"], input=stdin, capture_output=True, check=True)
    assert read_texts(done.stdout, len(documents)) == [d.decode("utf-8", "replace").encode() for d in documents]


SPECIAL_TEXT = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n你好 <|eot_id|>  <|eot_id |><|reserved_special_token_7|>"
    "<<|eot_id|>><|eot_id|"
)


def test_special_tokens_as_text_and_parsed(ours, ours_decode, oracle, huggingface, folder, model_file):
    for path in (folder, model_file):
        assert_same(ours(path, [SPECIAL_TEXT]), [oracle.encode_ordinary(SPECIAL_TEXT)], [SPECIAL_TEXT])
        parsed = ours(path, [SPECIAL_TEXT], "parsed")
        assert_same(parsed, [oracle.encode(SPECIAL_TEXT, allowed_special="all")], [SPECIAL_TEXT])
        assert_same(parsed, [huggingface.encode(SPECIAL_TEXT, add_special_tokens=False).ids], [SPECIAL_TEXT])
        assert ours_decode(path, parsed) == [SPECIAL_TEXT.encode()]
        assert ours_decode(path, parsed, "skip")[0].decode() == huggingface.decode(parsed[0].tolist())


def test_bos_as_auto_tokenizer(ours, probe, folder):
    from transformers import AutoTokenizer

    auto = AutoTokenizer.from_pretrained(str(folder))
    facts = info(probe, folder)
    assert (facts["bos"], facts["eos"], facts["pad"]) == (auto.bos_token_id, auto.eos_token_id, -1)
    assert facts["vocab_size"] == len(auto)
    assert facts["adds_bos"] == 1 and facts["adds_eos"] == 0
    texts = ["", "你好", " a", "x<|eot_id|>y"]
    assert_same(ours(folder, texts, "parsed", "bos"), [auto(t)["input_ids"] for t in texts], texts)
    # A rendered template begins with BOS already; it is not doubled (transformers doubles it here).
    assert ours(folder, ["<|begin_of_text|>hi"], "parsed", "bos")[0].tolist() == [128000, *auto("hi")["input_ids"][1:]]


def added_token_variant(folder, tmp_path, tokens):
    """The Llama-3 tokenizer.json with more added tokens: ids from 128256."""
    tree = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    for i, (content, flags) in enumerate(tokens):
        token = {"content": content, "single_word": False, "lstrip": False, "rstrip": False}
        token |= {"normalized": False, "special": True} | flags
        tree["added_tokens"].append({"id": 128256 + i} | token)
        config["added_tokens_decoder"][str(128256 + i)] = token
    config["eos_token"] = {"content": tokens[0][0], "__type": "AddedToken"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tree), "utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return tmp_path


def test_added_tokens_of_a_chatml_fine_tune(ours, probe, folder, tmp_path, huggingface):
    import tokenizers

    path = added_token_variant(folder, tmp_path, [("<|im_end|>", {}), ("<|im_start|>", {"special": False})])
    theirs = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
    text = "<|im_start|>system\n你是助理<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
    for special, option in [(False, "parsed"), (True, "text")]:
        theirs.encode_special_tokens = special
        assert_same(ours(path, [text], option), [theirs.encode(text, add_special_tokens=False).ids], [text])
    assert info(probe, path)["eos"] == 128256
    assert info(probe, path)["vocab_size"] == 128258


def test_added_token_flags(ours, folder, tmp_path):
    import tokenizers

    tokens = [
        ("<e>", {}),
        ("<left>", {"lstrip": True}),
        ("<right>", {"rstrip": True}),
        ("<both>", {"lstrip": True, "rstrip": True, "special": False}),
        ("wordzq", {"single_word": True, "special": False}),
        ("詞zq", {"single_word": True, "normalized": True, "special": False}),
        ("<e><e>", {}),
        ("normzq", {"normalized": True, "special": False}),
        ("<left>x", {"normalized": True}),
    ]
    path = added_token_variant(folder, tmp_path, tokens)
    theirs = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
    rng = random.Random(3)
    alphabet = [t for t, _ in tokens] + [" ", "  ", "\n", "\u3000", "a", "_", "é", "\u0301", "詞", "1", "<", ".", "x", "<eot"]
    texts = ["".join(rng.choices(alphabet, k=rng.randrange(1, 12))) for _ in range(20000)]
    for as_text, option in [(False, "parsed"), (True, "text")]:
        theirs.encode_special_tokens = as_text
        expected = [e.ids for e in theirs.encode_batch(texts, add_special_tokens=False)]
        assert_same(ours(path, texts, option), expected, texts)


def test_gpt2_kind(ours, tmp_path):
    """A tokenizer trained here with ByteLevel's own regex and no ignore_merges."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    text = pathlib.Path(ast.__file__).read_text() + "臺灣是一個島嶼，臺北在北部。" * 50
    theirs = tokenizers.Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, special_tokens=["<s>"], show_progress=False)
    theirs.train_from_iterator([text], trainer)
    theirs.save(str(tmp_path / "tokenizer.json"))
    rng = random.Random(2)
    texts = [text[i : i + rng.randrange(400)] for i in rng.choices(range(len(text)), k=2000)]
    texts += ["".join(rng.choices("aehtsrn' \n1!臺灣\u3000", k=30)) for _ in range(5000)]
    assert_same(ours(tmp_path, texts), [theirs.encode(t).ids for t in texts], texts)


BROKEN = [
    ('{"model":', "line 1"),
    ("[]", "not a JSON object"),
    ('{"pre_tokenizer":{"type":"Whitespace"},"model":{"type":"BPE","vocab":{},"merges":[]}}', "Whitespace"),
    ('{"normalizer":{"type":"NFKC"}}', 'normalizer "NFKC"'),
    ('{"pre_tokenizer":PRE,"model":{"type":"Unigram"}}', 'model.type "Unigram"'),
    ('{"pre_tokenizer":PRE,"model":{"type":"BPE","vocab":[],"merges":[]}}', "model.vocab"),
    ('{"pre_tokenizer":PRE,"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}', 'the id of "a"'),
    ('{"pre_tokenizer":PRE,"model":{"type":"BPE","vocab":{"a":2147483648},"merges":[]}}', "too large"),
    ('{"pre_tokenizer":PRE,"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}}', "both have id 0"),
    ('{"pre_tokenizer":PRE,"model":{"type":"BPE","vocab":{"a":0},"merges":["a q"]}}', 'model.merges[0]: "q"'),
    ('{"pre_tokenizer":PRE,"model":{"type":"BPE","vocab":{"a":0},"merges":["a a"]}}', '"aa" is not in'),
    ('{"pre_tokenizer":PRE,"model":{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}}', "model.merges[0]"),
    ('{"pre_tokenizer":PRE,"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}', "single byte 0x00"),
    ('{"pre_tokenizer":PRE,"model":{"type":"BPE","dropout":0.1,"vocab":{"a":0},"merges":[]}}', "model.dropout"),
    (
        '{"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"x+"},'
        '"behavior":"Isolated","invert":false},PRE]}}',
        'pattern "x+"',
    ),
]


@pytest.mark.parametrize("text,message", BROKEN)
def test_broken_files_are_refused_by_name(probe, tmp_path, text, message):
    pre = '{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}'
    path = tmp_path / "tokenizer.json"
    path.write_text(text.replace("PRE", pre))
    done = subprocess.run([probe("probe_tokenizer"), str(path), "info"], capture_output=True, text=True)
    assert done.returncode in (3, 4, 8), done
    assert message in done.stderr and str(path) in done.stderr
