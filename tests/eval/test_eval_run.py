"""Runs of `twllm eval` on the embedded model: log-likelihoods against transformers, killing and going on, bad data."""
import json
import os
import random
import signal
import subprocess
import time

import pytest

WORDS = "台灣 玉山 新聞 記者 經濟 法律 the of and school 學生 老師 天氣 今天 電腦 音樂 歷史 民國 選舉 總統 海洋 山脈 河流 森林".split()


def rows_of(seed, count, length=12):
    rng = random.Random(seed)

    def text(n):
        return "".join(rng.choice(WORDS) for _ in range(rng.randint(1, n)))

    return [{"question": text(length), **{k: text(3) for k in "ABCD"}, "answer": rng.choice("ABCD")} for _ in range(count)]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def samples(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def legal(tmp_path):
    rows = rows_of(1, 60)
    write(tmp_path / "data/tw-legal-benchmark-v1/train.jsonl", rows)
    return tmp_path / "data", rows


def test_log_likelihoods_equal_transformers(twllm, legal, tmp_path, root):
    """The whole text and the context tokenised, the rest of the ids scored in float32, ids from tokenizers."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    data, rows = legal
    done = twllm("eval", "tw_legal", "--data", data, "--limit", "6", "--output", tmp_path / "out", "--kv-cache-dtype", "f32")
    assert done.returncode == 0, done.stderr
    prompts = [json.loads(line) for line in twllm("eval", "tw_legal", "--data", data, "--limit", "6", "--print-prompts").stdout.split("\n")[:-1]]
    tokenizer = transformers.AutoTokenizer.from_pretrained(root / "models/default")
    model = transformers.AutoModelForCausalLM.from_pretrained(root / "models/default", dtype=torch.float32).eval()
    found = {s["doc_id"]: s for s in samples(tmp_path / "out/samples_tw_legal.jsonl")}
    assert len(found) == 6
    for prompt in prompts:
        context = tokenizer.encode(prompt["prompt"], add_special_tokens=False)
        want, seen = [], {}
        for letter in "ABCD":
            rest = tokenizer.encode(prompt["prompt"] + " " + letter, add_special_tokens=False)[len(context) :]
            if tuple(rest[:-1]) not in seen:
                with torch.no_grad():
                    seen[tuple(rest[:-1])] = model(torch.tensor([context + rest[:-1]])).logits[0].float().log_softmax(-1)
            want.append(sum(seen[tuple(rest[:-1])][len(context) - 1 + i, token].item() for i, token in enumerate(rest)))
        sample = found[prompt["doc_id"]]
        # float32 on both sides, other order of summation
        assert sample["resps"] == pytest.approx(want, abs=2e-3)
        best = max(range(4), key=lambda i: want[i])
        assert sample["filtered_resps"] == "ABCD"[best] and sample["acc"] == (rows[prompt["doc_id"]]["answer"] == "ABCD"[best])


def test_results_have_the_harness_shape(twllm, legal, tmp_path, root):
    data, rows = legal
    done = twllm("eval", "tw_legal", "--data", data, "--output", tmp_path / "out", "--shots", "0")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out/results.json").read_text())
    lines = samples(tmp_path / "out/samples_tw_legal.jsonl")
    right = sum(line["acc"] for line in lines)
    assert sorted(line["doc_id"] for line in lines) == list(range(60))
    for name in ("tw_legal", "tw_legal_default"):
        assert results["results"][name]["acc,none"] == pytest.approx(right / 60)
        p = right / 60
        assert results["results"][name]["acc_stderr,none"] == pytest.approx((p * (1 - p) / 59) ** 0.5)
    assert results["n-shot"] == {"tw_legal": 0} and results["n-samples"]["tw_legal_default"] == {"effective": 60}
    assert f"{right} of 60 right" in done.stdout
    commit = results["git_hash"].removesuffix("-dirty")  # of the build, which may be older than HEAD
    assert commit == "unknown" or subprocess.run(["git", "cat-file", "-e", commit + "^{commit}"], cwd=root).returncode == 0
    table = (tmp_path / "out/table.md").read_text()
    assert table.count("(published)") == 22 and "| 74.76% | 80.95% | 68.42% | 7.54 |" in table
    assert "<td>74.76%</td>" in (tmp_path / "out/table.html").read_text()


def test_bf16_ties_go_to_the_first_letter(twllm, tmp_path):
    """Four equal options leave the letters alone; rounded to bfloat16 they tie often, and the first one wins."""
    rows = [{"question": q["question"], **dict.fromkeys("ABCD", "同"), "answer": "A"} for q in rows_of(2, 40)]
    write(tmp_path / "data/tw-legal-benchmark-v1/train.jsonl", rows)
    done = twllm("eval", "tw_legal", "--data", tmp_path / "data", "--bf16-logits", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    ties = 0
    for line in samples(tmp_path / "out/samples_tw_legal.jsonl"):
        best = max(line["resps"])
        ties += line["resps"].count(best) > 1
        assert line["filtered_resps"] == "ABCD"[line["resps"].index(best)]
    assert ties > 0


def test_killed_runs_lose_and_repeat_nothing(twllm_path, twllm, tmp_path):
    write(tmp_path / "data/tw-legal-benchmark-v1/train.jsonl", rows_of(3, 100, 20))
    command = ["eval", "tw_legal", "--data", tmp_path / "data", "--output", tmp_path / "out", "--max-num-seqs", "4", "--max-num-batched-tokens", "64"]
    partial = tmp_path / "out/samples_tw_legal.jsonl.partial"
    killed, seen = 0, 0
    for target in (5, 40):
        run = subprocess.Popen([twllm_path, *map(str, command)], stdout=subprocess.DEVNULL, env={**os.environ, "HOME": str(tmp_path)})
        until = time.monotonic() + 60
        while run.poll() is None and time.monotonic() < until:
            if partial.exists() and partial.read_bytes().count(b"\n") >= target:
                run.send_signal(signal.SIGKILL)
            time.sleep(0.005)
        killed += run.wait() == -signal.SIGKILL
        lines = partial.read_bytes() if partial.exists() else b""
        assert lines.count(b"\n") >= seen  # what was there is there
        seen = lines.count(b"\n")
    assert killed >= 1
    with partial.open("ab") as file:
        file.write(b'{"task": "tw_legal", "subset": "def')  # a line cut by a power failure
    done = twllm(*command)
    assert done.returncode == 0, done.stderr
    lines = samples(tmp_path / "out/samples_tw_legal.jsonl")
    assert sorted(line["doc_id"] for line in lines) == list(range(100))
    fresh = twllm(*command[:5], tmp_path / "fresh", *command[6:])
    assert fresh.returncode == 0 and fresh.stdout == done.stdout
    by_id = {line["doc_id"]: line for line in samples(tmp_path / "fresh/samples_tw_legal.jsonl")}
    assert all(by_id[line["doc_id"]] == line for line in lines)  # interruption changes no number
    again = twllm(*command)  # everything is done: nothing runs, the same is said
    assert again.stdout == done.stdout


def test_other_rows_and_settings_are_not_mixed(twllm, legal, tmp_path):
    data, rows = legal
    command = ["eval", "tw_legal", "--data", data, "--output", tmp_path / "out", "--limit", "8"]
    assert twllm(*command).returncode == 0
    done = twllm(*command, "--bf16-logits")
    assert done.returncode == 2 and "other settings" in done.stderr
    rows[3]["question"] += "改"
    write(data / "tw-legal-benchmark-v1/train.jsonl", rows)
    done = twllm(*command)
    assert done.returncode == 2 and "other questions" in done.stderr
    assert twllm(*command, "--overwrite").returncode == 0
    done = twllm("--lang", "zh", *command, "--bf16-logits")
    assert "設定不同" in done.stderr


@pytest.mark.parametrize("change, says", [
    (lambda rows: [r.pop("B") for r in rows], 'column "B" is missing; there are: question, A, C, D, answer'),
    (lambda rows: rows[2].update(answer="Z"), 'row 2: its answer is "Z", not one of ABCD'),
    (lambda rows: rows.clear(), "no rows, an evaluation of nothing"),
])
def test_bad_rows_are_named(twllm, legal, change, says):
    data, rows = legal
    change(rows)
    write(data / "tw-legal-benchmark-v1/train.jsonl", rows)
    done = twllm("eval", "tw_legal", "--data", data)
    assert done.returncode == 3 and says in done.stderr


def test_missing_data_says_where_it_looked(twllm, tmp_path):
    done = twllm("eval", "tmlu", "--data", tmp_path)
    assert done.returncode == 5 and "no file of configuration 'AST_civics', split 'test'" in done.stderr
    done = twllm("eval", "tmlu")
    assert done.returncode == 5 and "hf download --repo-type dataset miulab/tmlu" in done.stderr
    done = twllm("eval", "tmul")
    assert done.returncode == 5 and "there are: tmlu, twllm_eval" in done.stderr


def test_rows_from_the_cache(twllm, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "hub/datasets--lianghsun--tw-legal-benchmark-v1"
    write(repo / f"snapshots/{commit}/data/train-00000-of-00002.jsonl", rows_of(4, 3))
    write(repo / f"snapshots/{commit}/data/train-00001-of-00002.jsonl", rows_of(5, 4))
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text(commit)
    done = twllm("eval", "tw_legal", "--print-prompts", env={"HF_HUB_CACHE": str(tmp_path / "hub")})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 7


def test_generated_answers_are_read(twllm, tmp_path):
    """Free answers: greedy, cut at the stop, read by the task's parser; what names no choice is counted."""
    rows = rows_of(6, 5)
    write(tmp_path / "data/tmmluplus/taxation/test.jsonl", rows)
    task = {"name": "short", "dataset": "tmmluplus", "method": "generate", "text": "{{question}}\n答案：", "stop": ["。"], "max_tokens": 12,
            "parser": "ievals", "answer": "{{answer}}", "subsets": [{"name": "taxation"}]}
    (tmp_path / "short.json").write_text(json.dumps(task))
    done = twllm("eval", tmp_path / "short.json", "--data", tmp_path / "data", "--output", tmp_path / "out", "--add-bos")
    assert done.returncode == 0, done.stderr
    lines = samples(tmp_path / "out/samples_short.jsonl")
    assert len(lines) == 5 and all("。" not in line["resps"][0] for line in lines)
    unreadable = sum(line.get("unreadable", False) for line in lines)
    assert (f"{unreadable} answers name no choice" in done.stdout) == (unreadable > 0)
    one = twllm("generate", "--prompt", rows[0]["question"] + "\n答案：", "--temperature", "0", "--max-tokens", "12", "--stop", "。", "--repetition-penalty", "1",
                "--json", "--special", "parse")
    text = json.loads(one.stdout)["text"]
    assert [line for line in lines if line["doc_id"] == 0][0]["resps"] == [text]
