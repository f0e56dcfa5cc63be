"""The real Llama-3 vocabulary for tests: as a tiktoken encoding, and as a tokenizer.json made from it.

tokenizer.json is made by transformers' converter from Meta's tokenizer.model, with the 256 special tokens and the
post-processor that Llama-3 checkpoints have, and is kept in the build folder.
"""
import base64
import json
import lzma
import pathlib
import random
import sysconfig

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
N_RANKS = 128000


def special_tokens():
    """The 256 special tokens of Llama 3 in the order of their ids (llama-models, tokenizer.py)."""
    reserved = iter(f"<|reserved_special_token_{i}|>" for i in range(256))
    named = {
        0: "<|begin_of_text|>",
        1: "<|end_of_text|>",
        6: "<|start_header_id|>",
        7: "<|end_header_id|>",
        9: "<|eot_id|>",
    }
    return [named.get(i) or next(reserved) for i in range(256)]


def ranks(shared):
    with open(shared / "data/llama3-tokenizer/tokenizer.model", "rb") as file:
        return {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, file)}


def tiktoken_encoding(shared):
    import tiktoken

    return tiktoken.Encoding(
        "llama3",
        pat_str=PATTERN,
        mergeable_ranks=ranks(shared),
        special_tokens={text: N_RANKS + i for i, text in enumerate(special_tokens())},
    )


def make_folder(shared, build):
    """A folder with tokenizer.json and tokenizer_config.json of the Llama-3 kind; made once."""
    folder = pathlib.Path(build) / "golden" / "llama3-tokenizer"
    if (folder / "done").exists():
        return folder
    from tokenizers import AddedToken, processors
    from transformers.convert_slow_tokenizer import TikTokenConverter

    folder.mkdir(parents=True, exist_ok=True)
    model = shared / "data/llama3-tokenizer/tokenizer.model"
    tokenizer = TikTokenConverter(vocab_file=str(model), pattern=PATTERN).converted()
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in special_tokens()])
    bos = special_tokens()[0]
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, N_RANKS)]
            ),
        ]
    )
    tokenizer.save(str(folder / "tokenizer.json"), pretty=True)
    # Meta's file predates the spelling of merges as pairs; both are kept (the other in pairs/).
    (folder / "pairs").mkdir(exist_ok=True)
    (folder / "tokenizer.json").rename(folder / "pairs" / "tokenizer.json")
    tree = json.loads((folder / "pairs" / "tokenizer.json").read_text("utf-8"))
    tree["model"]["merges"] = [" ".join(pair) for pair in tree["model"]["merges"]]
    (folder / "tokenizer.json").write_text(json.dumps(tree, indent=2, ensure_ascii=False), "utf-8")
    config = {
        "added_tokens_decoder": {
            str(N_RANKS + i): {
                "content": text,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": True,
            }
            for i, text in enumerate(special_tokens())
        },
        "bos_token": bos,
        "eos_token": "<|eot_id|>",
        "clean_up_tokenization_spaces": True,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 8192,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
    (folder / "done").write_text("")
    return folder


def mixed_documents(shared, limit):
    """Traditional Chinese, English and code, interleaved, about `limit` bytes in all."""
    corpus = shared / "data/corpus"

    def texts(pattern):
        for path in sorted(corpus.glob(pattern)):
            with lzma.open(path, "rt", encoding="utf-8") as lines:
                for line in lines:
                    row = json.loads(line)
                    yield row["text"] if "text" in row else line

    def code():
        for path in sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
            yield path.read_text("utf-8", "replace")

    parts = []
    for source, share in [(texts("pretrain/*zhtw*"), 0.4), (texts("chat/*"), 0.1), (texts("pretrain/*_en*"), 0.1)] + [
        (texts("en/*"), 0.1),
        (code(), 0.3),
    ]:
        size = 0
        for text in source:
            parts.append(text)
            size += len(text.encode())
            if size > limit * share:
                break
    random.Random(7).shuffle(parts)
    return parts
