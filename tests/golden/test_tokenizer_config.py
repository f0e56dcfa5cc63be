"""What stands beside tokenizer.json, against transformers: special tokens, added tokens, chat templates."""
import json
import subprocess

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PLAIN = "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n臺灣{% endfor %}"
TOOLS = "{# with tools #}{{ tools | tojson }}" + PLAIN


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory):
    """256 byte tokens, three special tokens and a fine-tune's two behind them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    t = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(["<s>", "</s>", "<pad>"])
    t.add_tokens([AddedToken("<|im_start|>", normalized=False), AddedToken("<|im_end|>", normalized=False)])
    path = tmp_path_factory.mktemp("vocabulary") / "tokenizer.json"
    t.save(str(path))
    return path.read_bytes()


@pytest.fixture
def folder(vocabulary, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(vocabulary)
    return tmp_path


def put(folder, **files):
    for name, content in files.items():
        name = {"config": "tokenizer_config.json", "special": "special_tokens_map.json"}.get(name, name)
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, "utf-8")


def ours(probe, folder):
    done = subprocess.run([probe("probe_tokenizer"), str(folder), "info"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {key: int(value) for key, value in (line.split() for line in done.stdout.splitlines())}


def template(probe, folder, name="default"):
    done = subprocess.run([probe("probe_tokenizer"), str(folder), "template", name], capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def encoded(probe, folder, text, option="parsed"):
    stdin = b"%d\n" % len(text.encode()) + text.encode()
    done = subprocess.run([probe("probe_tokenizer"), str(folder), "encode", option], input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr
    return [int.from_bytes(done.stdout[i : i + 4], "little") for i in range(4, len(done.stdout), 4)]


def id_or_none(value):
    return -1 if value is None else value


AS_OBJECT = {"content": "</s>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
NAMED = [
    {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"},
    {"bos_token": "<s>", "eos_token": AS_OBJECT},
    {"eos_token": "<|im_end|>", "pad_token": "<pad>"},
    {"bos_token": None, "eos_token": AS_OBJECT},
]


@pytest.mark.parametrize("where", ["config", "special"])
@pytest.mark.parametrize("names", NAMED)
def test_named_tokens(probe, folder, names, where):
    put(folder, config={}, **({where: names} if where == "special" else {}))
    if where == "config":  # where transformers marks its objects
        put(folder, config={k: {"__type": "AddedToken"} | v if isinstance(v, dict) else v for k, v in names.items()})
    theirs = PreTrainedTokenizerFast.from_pretrained(str(folder))
    for key, value in names.items():  # the expectation itself must not be empty
        assert value is None or getattr(theirs, f"{key}_id") is not None
    got = ours(probe, folder)
    assert got["bos"] == id_or_none(theirs.bos_token_id)
    assert got["eos"] == id_or_none(theirs.eos_token_id)
    assert got["pad"] == id_or_none(theirs.pad_token_id)
    assert got["vocab_size"] == len(theirs)
    text = "<s>a<|im_start|>b<|im_end|></s>"
    assert encoded(probe, folder, text) == theirs(text, add_special_tokens=False)["input_ids"]


def test_a_token_named_end_of_sequence_is_special(probe, folder):
    """The vocabulary calls <|im_end|> an ordinary added token; as EOS it is special, and text does not make it."""
    text = "x<|im_end|>"
    assert encoded(probe, folder, text, "text")[-1] == encoded(probe, folder, text, "parsed")[-1] == 260
    put(folder, config={"eos_token": "<|im_end|>"})
    assert len(encoded(probe, folder, text, "text")) == len(text) and encoded(probe, folder, text)[-1] == 260
    theirs = PreTrainedTokenizerFast.from_pretrained(str(folder))
    assert "<|im_end|>" in theirs.all_special_tokens


def test_one_template(probe, folder):
    put(folder, config={"chat_template": PLAIN})
    theirs = PreTrainedTokenizerFast.from_pretrained(str(folder))
    assert template(probe, folder) == theirs.chat_template == PLAIN
    assert template(probe, folder, "tool_use") == ""


def test_named_templates(probe, folder):
    named = [{"name": "default", "template": PLAIN}, {"name": "tool_use", "template": TOOLS}]
    put(folder, config={"chat_template": named})
    theirs = PreTrainedTokenizerFast.from_pretrained(str(folder))
    assert theirs.chat_template == {"default": PLAIN, "tool_use": TOOLS}
    for name, text in theirs.chat_template.items():
        assert template(probe, folder, name) == text


def test_the_template_file_wins(probe, folder):
    put(folder, config={"chat_template": "old"}, **{"chat_template.jinja": PLAIN})
    theirs = PreTrainedTokenizerFast.from_pretrained(str(folder))
    assert template(probe, folder) == theirs.chat_template == PLAIN


def test_the_older_template_file(probe, folder):
    """As processors write it."""
    put(folder, config={}, **{"chat_template.json": {"chat_template": PLAIN}})
    assert template(probe, folder) == PLAIN
    put(folder, **{"chat_template.jinja": TOOLS})
    assert template(probe, folder) == TOOLS


def test_no_template(probe, folder):
    put(folder, config={"chat_template": None})
    assert template(probe, folder) == ""
    assert PreTrainedTokenizerFast.from_pretrained(str(folder)).chat_template is None


@pytest.mark.parametrize(
    "config,message",
    [
        ({"chat_template": 5}, "chat_template is neither"),
        ({"chat_template": [{"name": "x"}]}, "chat_template[0]"),
        ({"bos_token": "<none>"}, 'bos_token "<none>"'),
        ({"eos_token": 7}, "eos_token is neither"),
        ({"added_tokens_decoder": {"-1": AS_OBJECT}}, '"-1" is not a token id'),
        ({"added_tokens_decoder": {"3": AS_OBJECT}}, "token id 3"),
    ],
)
def test_broken_files_are_refused_by_name(probe, folder, config, message):
    put(folder, config=config)
    done = subprocess.run([probe("probe_tokenizer"), str(folder), "info"], capture_output=True, text=True)
    assert done.returncode in (3, 4, 8), done
    assert message in done.stderr and "tokenizer_config.json" in done.stderr
