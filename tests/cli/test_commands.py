"""Every subcommand as scripts meet it: help, exit codes, JSON, languages, full disks, interrupted writes."""
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

COMMANDS = ["chat", "generate", "tokenize", "detokenize", "template", "inspect", "bench"]
INVALID, FORMAT, NOT_FOUND, IO, LIMIT, CANCELLED = 2, 3, 5, 6, 8, 10


def ok(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- help and messages ---------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_in_both_languages(twllm, command):
    english = ok(twllm(command, "--help"))
    taiwan = ok(twllm(command, "--help", env={"LC_ALL": "zh_TW.UTF-8"}))
    for text in (english, taiwan):
        assert f"twllm {command}" in text
        assert text.count(f"twllm {command} ") >= 2  # usage and examples
        assert max(map(len, text.splitlines())) <= 110
    assert english.startswith("usage:") and "Examples:" in english
    assert taiwan.startswith("用法：") and "範例：" in taiwan
    # The same options in both, each with a text.
    options = [re.findall(r"^ +(?:-\w, )?(--[\w-]+)", text, re.M) for text in (english, taiwan)]
    assert options[0] == options[1] and "--model" in options[0]
    assert not re.search(r"^ +--?\S+( \S+)?$\n^ {0,10}\S", english, re.M)


def test_program_help_lists_commands_and_exit_codes(twllm):
    text = ok(twllm("--help"))
    assert ok(twllm()) == text
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\w", text, re.M)
    for code in range(12):
        assert re.search(rf"^ +{code}  \w", text, re.M)
    assert re.fullmatch(r"twllm \d+\.\d+\.\d+\n", ok(twllm("--version")))


def test_language_option_beats_the_locale(twllm):
    assert "指令" in ok(twllm("--lang", "zh-TW", "--help"))
    assert "Commands" in ok(twllm("--lang=en", env={"LC_ALL": "zh_TW.UTF-8"}))
    assert "範例" in ok(twllm("chat", "--lang", "zh-TW", "--help"))
    assert twllm("--lang", "fr").returncode == INVALID


def test_lines_are_broken_where_chinese_allows(twllm):
    for command in COMMANDS:
        for line in ok(twllm(command, "--help", "--lang", "zh-TW")).splitlines():
            assert not re.match(r"\s*[、。，；：！？）」』〕》]", line), line
            assert not re.search(r"[（「『〔《]$", line), line


@pytest.mark.parametrize(
    "arguments, code, says",
    [
        (["caht"], INVALID, "did you mean 'chat'"),
        (["frobnicate"], INVALID, "unknown command 'frobnicate'"),
        (["chat", "--temprature", "1"], INVALID, "did you mean --temperature"),
        (["chat", "--temperature", "-1", "--once", "x"], INVALID, "--temperature"),
        (["chat", "--top-p", "1.5", "--once", "x"], INVALID, "--top-p takes a value from 0 to 1, not 1.5"),
        (["chat", "--max-model-len", "0", "--once", "x"], INVALID, "--max-model-len"),
        (["chat", "--isa", "mmx", "--once", "x"], INVALID, "--isa is one of"),
        (["generate"], INVALID, "--input"),
        (["generate", "x", "--input", "y"], INVALID, "exclude each other"),
        (["generate", "x", "--resume"], INVALID, "--output"),
        (["generate", "x", "--logit-bias", "abc"], INVALID, "ID=BIAS"),
        (["detokenize", "12", "x"], INVALID, "'x' is not a token id"),
        (["detokenize", "99999999"], INVALID, "99999999"),
        (["template", "/nonexistent.json"], NOT_FOUND, "/nonexistent.json"),
        (["inspect", "/nonexistent"], NOT_FOUND, "/nonexistent"),
        (["inspect", "org/unknown-model"], NOT_FOUND, "org/unknown-model"),
        (["bench", "--random", "9000b"], INVALID, "9000b"),
        (["bench", "--prompt-sizes", "1,,2"], INVALID, "--prompt-sizes"),
        (["chat", "one", "two"], INVALID, "'two'"),
    ],
)
def test_refusals(twllm, arguments, code, says):
    done = twllm(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("twllm: ") and done.stderr.count("\n") == 1
    assert says in done.stderr
    taiwan = twllm(*arguments, env={"LC_ALL": "zh_TW.UTF-8"})
    assert taiwan.returncode == code
    assert re.match(r"twllm：.*[\u4e00-\u9fff]", taiwan.stderr), taiwan.stderr


@pytest.mark.parametrize(
    "name, text, says",
    [
        ("--top-k", "1.5", "twllm：--top-k 要給整數，不能是「1.5」\n"),
        ("--min-p", "x", "twllm：--min-p 要給數字，不能是「x」\n"),
        ("--min-p", "2", "twllm：--min-p 的值要在 0 到 1 之間，不能是 2\n"),
    ],
)
def test_sampling_mistakes_are_told_in_chinese(twllm, name, text, says):
    done = twllm("chat", "--once", "x", name, text, "--lang", "zh-TW")
    assert (done.returncode, done.stdout, done.stderr) == (INVALID, "", says)


# ---- tokens and templates ------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["臺灣的夏天", "a\n\n b\t", "<|eot_id|>", "🙂e\u0301", ""])
def test_tokens_round_trip(twllm, text):
    ids = ok(twllm("tokenize", stdin=text))
    assert ok(twllm("detokenize", stdin=ids)) == text
    parsed = json.loads(ok(twllm("tokenize", "--json", stdin=text)))
    assert parsed["ids"] == [int(word) for word in ids.split()]
    assert parsed["count"] == len(parsed["ids"]) == len(parsed["pieces"])
    assert json.loads(ok(twllm("detokenize", "--json", stdin=json.dumps(parsed["ids"]))))["text"] == text


def test_any_bytes_round_trip(twllm):
    data = bytes(range(256)) * 3
    ids = twllm("tokenize", stdin=data, binary=True)
    back = twllm("detokenize", stdin=ids.stdout, binary=True)
    assert back.stdout == data


def test_special_tokens_are_text_unless_asked(twllm):
    assert len(ok(twllm("tokenize", "<|eot_id|>")).split()) > 1
    (one,) = ok(twllm("tokenize", "--special", "parse", "<|eot_id|>")).split()
    assert ok(twllm("detokenize", one)) == "<|eot_id|>"
    assert ok(twllm("detokenize", "--skip-special", one)) == ""
    plain, with_bos = ok(twllm("tokenize", "x")).split(), ok(twllm("tokenize", "--bos", "x")).split()
    assert with_bos[1:] == plain


def test_template(twllm, tmp_path):
    messages = [{"role": "system", "content": "簡短"}, {"role": "user", "content": "你好"}]
    path = tmp_path / "m.json"
    path.write_text(json.dumps(messages))
    prompt = ok(twllm("template", path))
    assert "簡短" in prompt and "你好" in prompt and prompt.index("簡短") < prompt.index("你好")
    assert ok(twllm("template", stdin=json.dumps({"messages": messages}))) == prompt
    assert json.loads(ok(twllm("template", path, "--json")))["prompt"] == prompt
    shorter = ok(twllm("template", path, "--no-add-generation-prompt"))
    assert prompt.startswith(shorter) and len(shorter) < len(prompt)
    for bad, code in (("{", FORMAT), ("[1]", INVALID), ('{"a":1}', FORMAT), ('{"messages":3}', INVALID)):
        done = twllm("template", stdin=bad)
        assert done.returncode == code and done.stderr.startswith("twllm: "), (bad, done)


# ---- inspect and bench ---------------------------------------------------------------------------


def test_inspect(twllm):
    facts = json.loads(ok(twllm("inspect", "--json", "--tensors", "--verify", "--max-num-seqs", "2", "--max-model-len", "256")))
    assert facts["parameters"] == sum(eval("*".join(map(str, t["shape"]))) for t in facts["tensors"])
    assert facts["n_tensors"] == len(facts["tensors"]) == sum(d["tensors"] for d in facts["dtypes"].values())
    assert facts["finite_values"] == facts["parameters"]
    memory = facts["memory"]
    assert memory["max_model_len"] == 256 and memory["max_num_seqs"] == 2
    parts = sum(memory[name] for name in memory if name.endswith("_bytes") and name.split("_")[0] not in ("total", "available"))
    assert parts == memory["total_bytes"]
    assert memory["kv_cache_bytes"] == memory["kv_blocks"] * memory["block_size"] * memory["kv_bytes_per_token"]
    text = ok(twllm("inspect", "--tensors", "--lang", "zh-TW"))
    assert "所需記憶體" in text and "model.embed_tokens.weight" in text


def test_bench_measures_what_was_asked(twllm, tmp_path):
    sizes = ["--prompt-sizes", "8,40", "--batch-sizes", "1,3", "--generate-size", "5", "--repeat", "1"]
    report = json.loads(ok(twllm("bench", "--random", "tiny", "--json", *sizes)))
    got = [(r["work"], r["sequences"], r["tokens"]) for r in report["results"]]
    assert got == [("prefill", 1, 8), ("prefill", 1, 40), ("decode", 1, 5), ("decode", 3, 15)]
    assert all(r["tokens_per_second"] > 0 for r in report["results"])
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "vocab_size": 512,
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4,
        "num_key_value_heads": 1, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "attention_bias": True,
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    for dtype in ("bf16", "f16", "f32"):
        report = json.loads(ok(twllm("bench", "--random", path, "--dtype", dtype, "--json", "--isa", "ref", *sizes)))
        assert report["dtype"] == dtype.upper() and report["isa"] == "ref"
    assert "decode" in ok(twllm("bench", *sizes))


def test_bench_of_answers(twllm):
    report = json.loads(ok(twllm("bench", "--throughput", "16,8,5,3", "--num-prompts", 3, "--json")))
    assert [(r["work"], r["sequences"], r["prompt_tokens"], r["tokens"]) for r in report["results"]] == [
        ("throughput", 3, 16, 24), ("throughput", 3, 5, 9)]
    assert twllm("bench", "--throughput", "16").returncode == 2


def test_bench_of_a_load(twllm, tmp_path):
    path = tmp_path / "load.jsonl"
    path.write_text("".join(json.dumps({"prompt": [100 + i, 200, 300], "max_tokens": 3 + i % 5}) + "\n" for i in range(12)))
    report = json.loads(ok(twllm("bench", "--requests", path, "--concurrency", 4, "--json")))
    assert (report["requests"], report["concurrency"], report["prompt_tokens"]) == (12, 4, 36)
    assert report["tokens"] == sum(3 + i % 5 for i in range(12))  # ends of sequences are ignored
    assert 0 < report["gap_ms"]["p50"] <= report["gap_ms"]["p99"] and report["processor_s"] > 0
    for line in ('{"prompt": "text", "max_tokens": 3}', '{"prompt": [], "max_tokens": 3}', '{"prompt": [1]}', '{"prompt": [-1], "max_tokens": 3}', "[", ""):
        path.write_text('{"prompt": [1], "max_tokens": 1}\n' + line + "\n" if line else "")
        done = twllm("bench", "--requests", path)
        assert done.returncode != 0 and (f"{path}: line 2" in done.stderr or f"{path}:2" in done.stderr or not line), done.stderr


# ---- generate ------------------------------------------------------------------------------------

GREEDY = ["--temperature", "0", "--max-tokens", "12"]


def test_generate_one(twllm):
    text = ok(twllm("generate", "臺灣最高的山", *GREEDY))
    result = json.loads(ok(twllm("generate", "臺灣最高的山", *GREEDY, "--json", "--logprobs", "2", "--prompt-logprobs", "1")))
    assert result["text"] + "\n" == text
    assert result["usage"]["completion_tokens"] == len(result["tokens"]) == len(result["logprobs"])
    assert result["finish_reason"] in ("stop", "length")
    assert all(entry["rank"] == 1 and len(entry["top"]) >= 2 for entry in result["logprobs"])
    assert len(result["prompt_logprobs"]) == result["usage"]["prompt_tokens"]
    assert ok(twllm("generate", "-", *GREEDY, stdin="臺灣最高的山")) == text
    assert ok(twllm("generate", "臺灣最高的山", *GREEDY, "--echo")) == "臺灣最高的山" + text


def test_generate_stops(twllm):
    whole = json.loads(ok(twllm("generate", "--chat", "你好", *GREEDY, "--json")))
    stop = whole["text"][3]
    cut = json.loads(ok(twllm("generate", "--chat", "你好", *GREEDY, "--json", "--stop", stop)))
    assert cut["text"] == whole["text"].split(stop)[0]
    assert (cut["finish_reason"], cut["stop_reason"]) == ("stop", stop)
    ids = whole["tokens"][2:4]
    cut = json.loads(ok(twllm("generate", "--chat", "你好", *GREEDY, "--json", "--stop-token-sequences", f"{ids[0]},{ids[1]}")))
    assert cut["tokens"] == whole["tokens"][:4] and cut["finish_reason"] == "stop"
    banned = json.loads(ok(twllm("generate", "--chat", "你好", *GREEDY, "--json", "--logit-bias", f"{whole['tokens'][0]}=-100")))
    assert banned["tokens"][0] != whole["tokens"][0]


def test_generate_several(twllm):
    result = json.loads(ok(twllm("generate", "--chat", "你好", "--n", "3", "--seed", "5", "--max-tokens", "8", "--json")))
    assert [choice["index"] for choice in result["choices"]] == [0, 1, 2]
    again = json.loads(ok(twllm("generate", "--chat", "你好", "--n", "3", "--seed", "5", "--max-tokens", "8", "--json")))
    assert again == result
    beams = json.loads(ok(twllm("generate", "--chat", "你好", "--num-beams", "4", "--n", "2", "--max-tokens", "8", "--json")))
    scores = [choice["cumulative_logprob"] for choice in beams["choices"]]
    assert len(scores) == 2


REQUESTS = [
    {"prompt": "你好", "max_tokens": 4},
    {"id": "chat", "messages": [{"role": "user", "content": "你是誰？"}], "temperature": 0, "max_tokens": 30},
    {"id": [1, {"a": None}], "prompt": [1, 2, 3], "max_tokens": 2, "stop": ["x"], "logit_bias": {"5": -100}},
    {"prompt": "one " * 5, "n": 2, "max_tokens": 3},
]


def write_requests(path, requests):
    path.write_text("\n".join(json.dumps(request) for request in requests) + "\n\n")


def test_batch_keeps_order_and_equals_single(twllm, tmp_path):
    write_requests(tmp_path / "in.jsonl", REQUESTS * 10)
    ok(twllm("generate", "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl", "--temperature", "0"))
    results = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [r["id"] for r in results] == [request.get("id", i) for i, request in enumerate(REQUESTS * 10)]
    single = json.loads(ok(twllm("generate", "--chat", "你是誰？", "--temperature", "0", "--max-tokens", "30", "--json")))
    assert results[1]["text"] == single["text"] and results[1]["tokens"] == single["tokens"]
    assert len(results[3]["choices"]) == 2
    assert not list(tmp_path.glob("*.partial"))


BAD_LINES = [
    ('{"prompt": 3}', "prompt"), ("{", "JSON"), ("[]", "object"), ("\x00", "JSON"), ('{"prompt": [-1]}', "-1"),
    ('{"prompt": [99999999]}', "99999999"), ('{"prompt": ""}', ""), ('{"prompt": "x", "temprature": 1}', "temprature"),
    ('{"prompt": "x", "temperature": "hot"}', "temperature"), ('{"prompt": "x", "max_tokens": "many"}', "max_tokens"),
    ('{"prompt": "x", "min_tokens": 9, "max_tokens": 3}', "min_tokens"), ('{"messages": [{"role": 3}]}', ""),
]  # fmt: skip


def test_bad_lines_of_a_batch_fail_alone(twllm, tmp_path):
    path = tmp_path / "in.jsonl"
    good = json.dumps({"prompt": "x", "max_tokens": 2})
    path.write_text("".join(f"{good}\n{bad}\n" for bad, _ in BAD_LINES) + '{"id": "mine", "prompt": "x", "max_tokens": null, "min_tokens": -1}\n')
    done = twllm("generate", "--input", path, "--output", tmp_path / "out.jsonl", "--temperature", "0")
    results = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    n_failed = sum(r["finish_reason"] == "error" for r in results)
    assert done.returncode == INVALID and f"{n_failed} of {len(results)}" in done.stderr
    assert len(results) == 2 * len(BAD_LINES) + 1 and results[-1]["id"] == "mine" and "error" in results[-1]
    alone = ok(twllm("generate", "x", "--max-tokens", "2", "--temperature", "0", "--json"))
    for i, (bad, says) in enumerate(BAD_LINES):
        answered, refused = results[2 * i : 2 * i + 2]
        assert answered["id"] == 2 * i and answered["tokens"] == json.loads(alone)["tokens"]
        if bad == '{"prompt": ""}' and refused["finish_reason"] != "error":
            continue  # an empty prompt is the beginning-of-text token alone
        assert refused["id"] == 2 * i + 1 and refused["finish_reason"] == "error" and says in refused["error"], refused
        if "99999999" not in bad:
            assert f"{path}: line {2 * i + 2}: " in refused["error"]
    assert not list(tmp_path.glob("*.partial"))


def test_batch_of_which_one_is_too_long(twllm, tmp_path):
    write_requests(tmp_path / "in.jsonl", [{"prompt": "x", "max_tokens": 1}, {"prompt": "long " * 500}, {"prompt": "y", "max_tokens": 1}])
    done = twllm("generate", "--input", tmp_path / "in.jsonl", "--max-model-len", "128")
    assert done.returncode == INVALID and "1 of 3" in done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["finish_reason"] for r in results] == ["length", "error", "length"]
    assert "128" in results[1]["error"]


def test_batch_resumes(twllm, tmp_path):
    write_requests(tmp_path / "in.jsonl", REQUESTS * 5)
    arguments = ["generate", "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl", "--temperature", "0"]
    ok(twllm(*arguments))
    whole = (tmp_path / "out.jsonl").read_text()
    (tmp_path / "out.jsonl").unlink()
    lines = whole.splitlines(keepends=True)
    # What a kill leaves: seven results and a broken one.
    (tmp_path / "out.jsonl.partial").write_text("".join(lines[:7]) + lines[7][:20])
    ok(twllm(*arguments, "--resume"))
    assert (tmp_path / "out.jsonl").read_text() == whole
    (tmp_path / "out.jsonl.partial").write_text(lines[3])
    done = twllm(*arguments, "--resume")
    assert done.returncode == INVALID and "line 1" in done.stderr
    assert (tmp_path / "out.jsonl").read_text() == whole


def test_killed_batch_leaves_whole_lines_aside(twllm_path, tmp_path):
    write_requests(tmp_path / "in.jsonl", [{"prompt": "x", "max_tokens": 100, "ignore_eos": True}] * 400)
    (tmp_path / "out.jsonl").write_text("old\n")
    process = subprocess.Popen(
        [str(twllm_path), "generate", "--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl"), "--max-num-seqs", "2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    partial = tmp_path / "out.jsonl.partial"
    for _ in range(400):
        if partial.exists() and partial.stat().st_size > 1000:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "out.jsonl").read_text() == "old\n"
    for line in partial.read_text().splitlines()[:-1]:
        json.loads(line)


def test_interrupt_tells_how_to_go_on(twllm_path, tmp_path):
    write_requests(tmp_path / "in.jsonl", [{"prompt": "x", "max_tokens": 100, "ignore_eos": True}] * 400)
    process = subprocess.Popen(
        [str(twllm_path), "generate", "--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl"), "--max-num-seqs", "2"],
        stderr=subprocess.PIPE, text=True, env=dict(os.environ, LC_ALL="C.UTF-8"),
    )
    partial = tmp_path / "out.jsonl.partial"
    for _ in range(400):
        if partial.exists() and partial.stat().st_size > 1000:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == CANCELLED
    assert "--resume" in errors and str(partial) in errors
    for line in partial.read_text().splitlines():
        json.loads(line)


# ---- outputs that cannot be written --------------------------------------------------------------


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["tokenize", "x"], ["detokenize", "5"], ["inspect"], ["inspect", "--json"], ["chat", "--help"],
     ["generate", "x", "--max-tokens", "4"], ["chat", "--once", "x", "--max-tokens", "4"],
     ["bench", "--random", "tiny", "--repeat", "1", "--prompt-sizes", "8", "--batch-sizes", "1", "--generate-size", "2"]],
)
def test_full_disk_is_an_error(twllm_path, arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run([str(twllm_path), *arguments], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False,
                              env=dict(os.environ, LC_ALL="C.UTF-8"))
    assert done.returncode == IO
    assert b"twllm: " in done.stderr and b"No space left" in done.stderr


def test_output_that_cannot_be_made(twllm, tmp_path):
    write_requests(tmp_path / "in.jsonl", REQUESTS)
    done = twllm("generate", "--input", tmp_path / "in.jsonl", "--output", tmp_path / "no" / "out.jsonl")
    assert done.returncode in (NOT_FOUND, IO) and "out.jsonl" in done.stderr
    done = twllm("generate", "--input", tmp_path / "in.jsonl", "--output", "/dev/full")
    assert done.returncode == IO and "/dev/full" in done.stderr


# ---- chat through pipes --------------------------------------------------------------------------


def test_chat_once(twllm):
    done = twllm("chat", "--once", "你好", "--temperature", "0")
    assert ok(done).endswith("\n") and re.search("[\u4e00-\u9fff]", done.stdout)
    assert len(re.findall(r"tokens/s", done.stderr)) == 2
    assert "tokens/s" not in done.stdout
    assert twllm("chat", "--once", "你好", "--temperature", "0", "--no-statistics").stderr.count("tokens/s") == 0


def test_chat_lines_from_a_pipe(twllm, tmp_path):
    saved = tmp_path / "saved.json"
    script = f'你好\n"""\n第一行\n第二行\n"""\n//斜線\n/undo\n/save {saved}\n/exit\nnot reached\n'
    done = twllm("chat", "--temperature", "0", "--max-tokens", "8", "--system", "簡短回答", stdin=script)
    ok(done)
    messages = json.loads(saved.read_text())["messages"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user", "assistant"]
    assert messages[0]["content"] == "簡短回答" and messages[3]["content"] == "第一行\n第二行"
    assert done.stdout.count("\n") >= 3
    # Going on from the file gives the same conversation.
    again = tmp_path / "again.json"
    ok(twllm("chat", "--load", saved, stdin=f"/save {again}\n"))
    assert json.loads(again.read_text())["messages"] == messages
    bad = twllm("chat", stdin="/lod x\n")
    assert bad.returncode == INVALID and "did you mean /load" in bad.stderr


def test_absent_system_message_is_said_once_of_a_checkpoint(twllm, root):
    folder = root / "models" / "default"
    done = twllm("chat", folder, "--max-tokens", "4", stdin="你好\n再見\n")
    assert ok(done) and done.stderr.count("No system message") == 1
    for system in ("x", ""):
        assert "No system message" not in twllm("chat", folder, "--max-tokens", "4", "--system", system, stdin="你好\n").stderr
    # The embedded model's card advises nothing of the kind.
    assert "No system message" not in twllm("chat", "--max-tokens", "4", stdin="你好\n").stderr


def test_regenerating_takes_the_next_seed(twllm, tmp_path):
    """A seed makes a conversation repeatable, its second answer included, but no second answer the same as the first."""

    def answers(seed, n_regenerations):
        path = tmp_path / "talk.json"
        script = "故事\n" + "/regenerate\n" * n_regenerations + f"/save {path}\n"
        ok(twllm("chat", "--seed", str(seed), "--temperature", "2", "--max-tokens", "24", "--system", "x", stdin=script))
        return json.loads(path.read_text())["messages"][-1]["content"]

    assert answers(7, 0) == answers(7, 0) != answers(7, 1) == answers(7, 1) == answers(8, 0)


def test_chat_makes_room_for_beams(twllm):
    for several in (["--num-beams", "4"], ["--n", "2"]):
        assert ok(twllm("chat", "--once", "你好", "--max-tokens", "8", *several)).strip()
    done = twllm("chat", "--once", "你好", "--num-beams", "4", "--max-num-seqs", "2")
    assert done.returncode == INVALID and "num_beams" in done.stderr and "max_num_seqs (2)" in done.stderr


def test_settings_file(twllm, tmp_path):
    folder = tmp_path / "config" / "twllm"
    folder.mkdir(parents=True)
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    (folder / "config.json").write_text('{"system": "簡短", "params": {"temperature": 0, "max_tokens": 3}}')
    saved = tmp_path / "saved.json"
    done = twllm("chat", stdin=f"你好\n/save {saved}\n", env=env)
    assert "answer: 3 tokens" in done.stderr or ok(done)
    assert json.loads(saved.read_text())["messages"][0] == {"role": "system", "content": "簡短"}
    (folder / "config.json").write_text('{"sytem": "x"}')
    done = twllm("chat", "--once", "x", env=env)
    assert done.returncode == FORMAT and "sytem" in done.stderr and "config.json" in done.stderr


def test_conversation_that_outgrows_the_model(twllm, tmp_path):
    saved = tmp_path / "saved.json"
    lines = "".join(f"第{i}個問題，請說說臺灣的夏天和海邊有什麼好玩的地方。\n" for i in range(8))
    arguments = ["chat", "--max-model-len", "160", "--max-tokens", "12", "--temperature", "0", "--system", "簡短"]
    done = twllm(*arguments, stdin=lines + f"/save {saved}\n")
    ok(done)
    assert "no longer fits 160 tokens" in done.stderr
    assert len(json.loads(saved.read_text())["messages"]) == 1 + 16  # nothing is lost from the file
    done = twllm(*arguments, "--overflow", "refuse", stdin=lines)
    assert done.returncode == LIMIT and "160" in done.stderr
    done = twllm(*arguments, stdin="很長的訊息。" * 200 + "\n")
    assert done.returncode == LIMIT and "was not sent" in done.stderr and done.stdout == ""


def test_bad_conversation_files(twllm, tmp_path):
    path = tmp_path / "bad.json"
    for content in ("", "{}", "[1]", '[{"role":"user"}]', '[{"role":"user","content":3}]', '[{"role":"user","content":"a\\u0000b"}]'):
        path.write_text(content)
        done = twllm("chat", "--load", path, "--once", "x")
        assert done.returncode == FORMAT and "bad.json" in done.stderr, (content, done.stderr)


@pytest.mark.skipif(os.geteuid() == 0 and not pathlib.Path("/proc/self/mem").exists(), reason="no unwritable place")
def test_failed_save_keeps_the_old_file(twllm, tmp_path):
    done = twllm("chat", "--max-tokens", "3", stdin="你好\n/save /proc/nowhere.json\n")
    assert done.returncode in (IO, NOT_FOUND) and "/proc/nowhere.json" in done.stderr


def test_kill_while_saving_keeps_a_whole_file(twllm_path, tmp_path):
    """Many saves, killed at any moment: the file is always one of the whole conversations."""
    saved = tmp_path / "saved.json"
    messages = [{"role": "user" if i % 2 == 0 else "assistant", "content": "臺灣" * 5000} for i in range(100)]
    start = tmp_path / "start.json"
    start.write_text(json.dumps(messages, ensure_ascii=False))
    saved.write_text('{"messages": []}')
    seen = set()
    for delay in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4):
        process = subprocess.Popen([str(twllm_path), "chat", "--load", str(start)], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.stdin.write(f"/save {saved}\n".encode() * 200)
            process.stdin.flush()
        except BrokenPipeError:
            pass
        time.sleep(delay)
        process.kill()
        process.wait()
        seen.add(len(json.loads(saved.read_text())["messages"]))
    assert seen <= {0, 100}
