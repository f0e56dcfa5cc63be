"""Tokenizers of the Llama-2 and Mistral kind against HF tokenizers: spaces spelled "▁", characters by their bytes."""
import copy
import json
import random
import struct
import subprocess
import time
import types

import numpy
import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers

import llama3_tokenizer

BYTES = ["<0x%02X>" % i for i in range(256)]
PROBE_LIMIT_S = 100


def decoder(strip):
    stages = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(stages + ([decoders.Strip(" ", 1, 0)] if strip else []))


def set_stages(t, kind):
    if kind in ("legacy", "replace"):
        prepend = [normalizers.Prepend("▁")] if kind == "legacy" else []
        t.normalizer = normalizers.Sequence(prepend + [normalizers.Replace(" ", "▁")])
        t.pre_tokenizer = None
    else:
        t.normalizer = None
        t.pre_tokenizer = pre_tokenizers.Metaspace("▁", kind, False)
    t.decoder = decoder(kind not in ("replace", "never"))
    bos = t.token_to_id("<s>")
    t.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", bos)]
    )


@pytest.fixture(scope="session")
def corpus(shared):
    return llama3_tokenizer.mixed_documents(shared, 400_000)


@pytest.fixture(scope="session")
def trained(corpus):
    """A BPE of 3000 tokens trained on words with their mark in front, as SentencePiece trains."""
    t = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.pre_tokenizer = pre_tokenizers.Metaspace("▁", "always", True)
    specials = ["<unk>", "<s>", "</s>", *BYTES]
    trainer = trainers.BpeTrainer(vocab_size=3000, limit_alphabet=900, special_tokens=specials, show_progress=False)
    t.train_from_iterator(corpus, trainer)
    tree = json.loads(t.to_str())
    tree["added_tokens"] = tree["added_tokens"][:3]  # the byte tokens belong to the model alone
    return tree


@pytest.fixture(scope="session")
def tok512(shared):
    """The tokenizer of the tiny Llama, converted from its SentencePiece model."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString((shared / "data/tiny-llama/tok512.model").read_bytes())
    model.normalizer_spec.remove_extra_whitespaces = False  # as in the published models of Llama 2 and Mistral
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    vocab = {pieces.id_to_piece(i): i for i in range(pieces.get_piece_size())}
    merges = []
    for piece, rank in vocab.items():
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in vocab and right in vocab and not piece.startswith("<"):
                merges.append((rank, vocab[left], vocab[right], (left, right)))
    merges = [pair for *_, pair in sorted(merges)]
    t = tokenizers.Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in ("<unk>", "<s>", "</s>")])
    return types.SimpleNamespace(tree=json.loads(t.to_str()), pieces=pieces)


def variant(tree, kind, tmp_path, added=()):
    t = tokenizers.Tokenizer.from_str(json.dumps(tree))
    set_stages(t, kind)
    for token in added:
        t.add_special_tokens([token]) if token.special else t.add_tokens([token])
    path = tmp_path / f"{kind}.json"
    t.save(str(path))
    return t, path


@pytest.fixture(scope="session")
def ours(probe):
    def encode(path, documents, *options):
        raw = [d.encode() if isinstance(d, str) else d for d in documents]
        stdin = b"".join(b"%d\n" % len(d) + d for d in raw)
        command = [probe("probe_tokenizer"), str(path), "encode", *options]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=PROBE_LIMIT_S)
        assert done.returncode == 0, done.stderr.decode()
        flat, out, at = numpy.frombuffer(done.stdout, dtype="<i4"), [], 0
        for _ in raw:
            out.append(flat[at + 1 : at + 1 + flat[at]].tolist())
            at += 1 + int(flat[at])
        assert at == len(flat)
        return out

    return encode


@pytest.fixture(scope="session")
def ours_decode(probe):
    def decode(path, id_lists, *options, mode="decode"):
        stdin = b"".join(struct.pack(f"<i{len(ids)}i", len(ids), *ids) for ids in id_lists)
        command = [probe("probe_tokenizer"), str(path), mode, *options]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=PROBE_LIMIT_S)
        assert done.returncode == 0, done.stderr.decode()
        out, at = [], 0
        for _ in id_lists:
            end = done.stdout.index(b"\n", at)
            size = int(done.stdout[at:end])
            out.append(done.stdout[end + 1 : end + 1 + size])
            at = end + 1 + size
        return out

    return decode


def assert_same(actual, expected, documents):
    assert len(actual) == len(expected) == len(documents)
    for a, e, text in zip(actual, expected, documents):
        assert a == e, text[:200]


def texts_of_every_shape(corpus, seed):
    rng = random.Random(seed)
    texts = ["", " ", "  ", "▁", "▁▁ ▁", " a", "a ", "\n", "\t a", "Hello world", "臺灣 Taiwan", "<0x41>", "<s>", "a<unk>b"]
    texts += [d[:3000] for d in rng.sample(corpus, min(60, len(corpus)))]
    alphabet = list("aehinorst") + [" ", " ", "  ", "   ", "\n", "\t", "▁", "\u3000", "臺", "灣", "的", "𠀀", "😀", "é", "\u0301", "<", "0x0A>"]
    texts += ["".join(rng.choices(alphabet, k=rng.randrange(1, 50))) for _ in range(4000)]
    anything = [c for c in map(chr, rng.choices(range(0x110000), k=30000)) if not "\ud800" <= c <= "\udfff"]
    texts += ["".join(anything[i : i + 20]) for i in range(0, len(anything), 20)]
    texts += [rng.randbytes(rng.randrange(80)).decode("latin-1") for _ in range(1000)]
    return texts


KINDS = ["legacy", "replace", "first", "always", "never"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vocabulary", ["trained", "tok512"])
def test_as_huggingface(vocabulary, kind, trained, tok512, corpus, ours, ours_decode, tmp_path):
    theirs, path = variant(trained if vocabulary == "trained" else tok512.tree, kind, tmp_path)
    texts = texts_of_every_shape(corpus, len(kind))
    for as_text, option in [(False, "parsed"), (True, "text")]:
        theirs.encode_special_tokens = as_text
        expected = [e.ids for e in theirs.encode_batch(texts, add_special_tokens=False)]
        assert_same(ours(path, texts, option), expected, texts)
        for skip in (False, True):
            wanted = theirs.decode_batch(expected, skip_special_tokens=skip)
            got = ours_decode(path, expected, *(["skip"] if skip else []))
            assert_same([g.decode() for g in got], wanted, texts)
    theirs.encode_special_tokens = False
    with_bos = [t for t in texts if not t.startswith("<s>")]
    assert_same(ours(path, with_bos, "parsed", "bos"), [e.ids for e in theirs.encode_batch(with_bos)], with_bos)


def test_as_sentencepiece(tok512, corpus, ours, ours_decode, tmp_path):
    """The model's own library; it writes a space in front of a text and knows nothing of special tokens in it."""
    _, path = variant(tok512.tree, "legacy", tmp_path)
    texts = [t for t in texts_of_every_shape(corpus, 6) if "▁" not in t and "\0" not in t]
    expected = [tok512.pieces.encode(t) for t in texts]
    assert_same(ours(path, texts), expected, texts)
    assert [d.decode() for d in ours_decode(path, expected)] == [tok512.pieces.decode(e) for e in expected]


@pytest.mark.parametrize("kind", ["legacy", "replace"])
def test_streaming_cuts_no_character(kind, tok512, corpus, ours, ours_decode, tmp_path):
    """What comes out token by token is the text, with the space in front of it, in whole characters."""
    _, path = variant(tok512.tree, kind, tmp_path)
    texts = [t for t in texts_of_every_shape(corpus, 7) if "▁" not in t]
    ids = ours(path, texts)
    held_back = 0
    for text, tokens, streamed in zip(texts, ids, ours_decode(path, ids, mode="stream")):
        *pieces, behind = streamed.split(b"\xff")
        assert len(pieces) == len(tokens) + 1 and behind == b""
        assert pieces[-1] == b""  # a text ends with a whole character
        assert "".join(p.decode() for p in pieces) == (" " + text if kind == "legacy" and text else text)
        held_back += pieces[:-1].count(b"")
    assert held_back > 1000  # characters of byte tokens do occur


@pytest.mark.parametrize("kind", KINDS)
def test_added_tokens(kind, trained, ours, ours_decode, tmp_path):
    flags = [
        ("<x>", {"normalized": False, "special": True}),
        ("<both>", {"normalized": False, "lstrip": True, "rstrip": True}),
        (" spaced", {"normalized": True}),
        ("normzq", {"normalized": True}),
        ("wordzq", {"normalized": True, "single_word": True}),
        ("left▁", {"normalized": True, "lstrip": True}),
        ("▁<PRE>", {"normalized": False, "special": True}),
        ("▁<MID>", {"normalized": True, "special": True}),
    ]
    theirs, path = variant(trained, kind, tmp_path, [AddedToken(text, **f) for text, f in flags])
    rng = random.Random(4)
    alphabet = [text for text, _ in flags] + [" ", "  ", "▁", "a", "the", "臺", "\n", "<s>", ".", "_", "zq", "<PRE>"]
    texts = ["".join(rng.choices(alphabet, k=rng.randrange(1, 10))) for _ in range(10000)]
    for as_text, option in [(False, "parsed"), (True, "text")]:
        theirs.encode_special_tokens = as_text
        expected = [e.ids for e in theirs.encode_batch(texts, add_special_tokens=False)]
        assert_same(ours(path, texts, option), expected, texts)
        assert_same([d.decode() for d in ours_decode(path, expected)], theirs.decode_batch(expected, skip_special_tokens=False), texts)


@pytest.mark.parametrize("fuse", [False, True])
def test_unknown_token_without_byte_fallback(fuse, trained, corpus, ours, tmp_path):
    tree = copy.deepcopy(trained)
    tree["model"] |= {"byte_fallback": False, "fuse_unk": fuse}
    theirs, path = variant(tree, "legacy", tmp_path)
    texts = texts_of_every_shape(corpus, 9)
    assert_same(ours(path, texts, "parsed"), [e.ids for e in theirs.encode_batch(texts, add_special_tokens=False)], texts)


@pytest.mark.parametrize("kind", KINDS)
def test_any_bytes_come_back(kind, trained, ours, ours_decode, tmp_path):
    _, path = variant(trained, kind, tmp_path)
    rng = random.Random(11)
    documents = [rng.randbytes(rng.randrange(200)) for _ in range(2000)]
    documents += [bytes(rng.choices(b"\xe4\xb8\xad\xf0\x9f\x80 \nas1", k=40)) for _ in range(2000)]
    got = ours_decode(path, ours(path, documents))
    for document, back in zip(documents, got):
        assert back == (document if kind in ("legacy", "replace", "never") else document.removeprefix(b" "))


def test_a_megabyte_without_spaces_is_one_piece(trained, tok512, ours, tmp_path):
    """At quadratic cost each would take minutes; here all of them take well under a second a megabyte."""
    rng = random.Random(5)
    documents = [
        "".join(chr(rng.randrange(0x4E00, 0x9FA0)) for _ in range(350_000)),
        "".join(rng.choices("臺灣的是一不在有人a\U00020000", k=350_000)),
        "a" * 1_000_000,
        " " * 1_000_000,
    ]
    for number, tree in enumerate((trained, tok512.tree)):
        (tmp_path / str(number)).mkdir()
        theirs, path = variant(tree, "legacy", tmp_path / str(number))
        begin = time.monotonic()
        got = ours(path, documents)
        assert time.monotonic() - begin < 20
        assert_same(got, [theirs.encode(d, add_special_tokens=False).ids for d in documents], documents)


def changed(path, value):
    def change(tree):
        *folders, last = path
        for step in folders:
            tree = tree[step]
        tree[last] = value

    return change


METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
REFUSED = [
    ("first", changed(["pre_tokenizer", "split"], True), "split true"),
    ("first", changed(["pre_tokenizer", "replacement"], "_"), "replacement"),
    ("first", changed(["pre_tokenizer", "prepend_scheme"], "last"), "prepend_scheme"),
    ("first", changed(["pre_tokenizer", "add_prefix_space"], False), "add_prefix_space"),
    ("legacy", changed(["pre_tokenizer"], METASPACE), 'pre_tokenizer "Metaspace" behind'),
    ("legacy", changed(["normalizer"], None), "pre_tokenizer is missing"),
    ("legacy", changed(["normalizer", "normalizers", 0, "prepend"], "_"), "normalizer Prepend"),
    ("legacy", changed(["normalizer", "normalizers", 1, "content"], "_"), "normalizer Replace"),
    ("legacy", changed(["normalizer", "normalizers", 1, "pattern"], {"Regex": " "}), "normalizer Replace"),
    ("legacy", changed(["normalizer", "normalizers", 1], {"type": "NFKC"}), 'normalizer "NFKC"'),
    ("legacy", changed(["normalizer", "normalizers"], {}), "normalizer.normalizers"),
    ("legacy", changed(["decoder"], None), "decoder is not a Sequence"),
    ("legacy", changed(["decoder", "decoders", 1, "type"], "CTC"), 'decoder.decoders[1] "CTC"'),
    ("legacy", changed(["decoder", "decoders", 0, "content"], "_"), "decoder Replace"),
    ("legacy", changed(["decoder", "decoders", 3, "start"], 2), "decoder Strip"),
    ("legacy", changed(["decoder", "decoders", 3, "stop"], 1), "decoder Strip"),
    ("legacy", changed(["model", "unk_token"], "<none>"), 'model.unk_token "<none>"'),
    ("legacy", changed(["model", "byte_fallback"], "yes"), "byte_fallback"),
    ("legacy", lambda tree: tree["model"]["vocab"].pop("<0x7F>"), 'model.byte_fallback: "<0x7F>"'),
    ("legacy", changed(["model", "type"], "Unigram"), 'model.type "Unigram"'),
]


@pytest.mark.parametrize("kind,change,message", REFUSED)
def test_the_unknown_is_refused_by_name(kind, change, message, trained, probe, tmp_path):
    _, path = variant(trained, kind, tmp_path)
    tree = json.loads(path.read_text("utf-8"))
    assert subprocess.run([probe("probe_tokenizer"), str(path), "info"], capture_output=True).returncode == 0
    change(tree)
    path.write_text(json.dumps(tree), "utf-8")
    done = subprocess.run([probe("probe_tokenizer"), str(path), "info"], capture_output=True, text=True)
    assert done.returncode in (3, 4, 8), done
    assert message in done.stderr and str(path) in done.stderr
