"""TW MT-Bench from questions to figures: answers over an API, a judge that is good and a judge that is not."""
import hashlib
import json
import os
import re
import signal
import statistics
import subprocess
import time

import pytest
from test_eval_remote import Fake, chat, run
from test_mt_bench import answer, fastchat_rating

TEMPERATURES = {"writing": 0.7, "roleplay": 0.7, "reasoning": 0.0, "math": 0.0, "coding": 0.0, "extraction": 0.0, "stem": 0.1, "humanities": 0.1}


def lines(path):
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


@pytest.fixture
def files(tmp_path):
    categories = list(TEMPERATURES)
    questions = [{"question_id": 81 + 5 * i, "category": categories[i // 2], "turns": [f"問題 {i}「A」", f"再問 {i}"]} for i in range(16)]
    references = [answer(q["question_id"], ["參考甲", ""]) for q in questions[4:8]]
    for name, rows in (("q", questions), ("r", references)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return ["mt-bench", "--questions", tmp_path / "q.jsonl", "--references", tmp_path / "r.jsonl"], questions


def model_reply(body, number):
    messages = body["messages"]
    return chat(f"答 {messages[-1]['content']}（第 {len(messages)} 則）")


def rating_of(text):
    return hashlib.sha256(text.encode()).digest()[0] % 10 + 1


def judge_reply(body, number):
    return chat(f"說明 [1]。Rating: [[{rating_of(body['messages'][1]['content'])}]]")


def test_answers_judgments_figures(twllm, tmp_path, files):
    command, questions = files
    with Fake(model_reply) as model, Fake(judge_reply) as judge:
        done = run(twllm, *command, "--generate", tmp_path / "a.jsonl", "-m", "some-model", "--url", model.url, "--judge-url", judge.url,
                   "--judge-model", "gpt-4", "--judgments", tmp_path / "j.jsonl", "--radar", tmp_path / "radar.svg")
        assert done.returncode == 0, done.stderr
        assert len(model.requests) == 32 and len(judge.requests) == 32
        for _, _, _, body in model.requests:
            turn = [q for q in questions if q["turns"][0] == body["messages"][0]["content"]][0]
            assert body["temperature"] == pytest.approx(TEMPERATURES[turn["category"]]) and body["max_tokens"] == 1024
            if len(body["messages"]) > 1:
                assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
                assert body["messages"][1]["content"] == f"答 {turn['turns'][0]}（第 1 則）"
        for _, _, _, body in judge.requests:
            assert [m["role"] for m in body["messages"]] == ["system", "user"]
            assert (body["model"], body["temperature"], body["max_tokens"]) == ("gpt-4", 0, 2048)
    answers = lines(tmp_path / "a.jsonl")
    assert [a["question_id"] for a in answers] == [q["question_id"] for q in questions] and answers[0]["model_id"] == "some-model"
    # What the judge read is what --answers prints: the prompts that are tested byte for byte elsewhere.
    prompts = {(p["question_id"], p["turn"]): p for p in map(json.loads, run(twllm, *command, "--answers", tmp_path / "a.jsonl").stdout.split("\n")[:-1])}
    sent = {(b["messages"][0]["content"], b["messages"][1]["content"]) for _, _, _, b in judge.requests}
    assert sent == {(p["system"], p["user_prompt"]) for p in prompts.values()}
    judgments = lines(tmp_path / "j.jsonl")
    assert len(judgments) == 32
    for row in judgments:
        p = prompts[row["question_id"], row["turn"]]
        assert list(row) == ["question_id", "model", "judge", "user_prompt", "judgment", "score", "turn", "tstamp"]
        assert row["judge"] == ["gpt-4", p["prompt"]] and row["user_prompt"] == p["user_prompt"] and row["score"] == rating_of(p["user_prompt"])
    keys = [f"{r['question_id']}_{r['model']}_{'_'.join(r['judge'])}" for r in judgments]
    assert keys == sorted(keys) and len(set(keys)) == 32
    assert sum("math" in r["judge"][1] for r in judgments) == 8
    scores = [r["score"] for r in judgments]
    assert re.search(rf"all, as published +{statistics.fmean(scores):.4f} +{max(scores)} +{min(scores)} .*{statistics.pstdev(scores):.17g} +32", done.stdout)
    assert "some-model" in (tmp_path / "radar.svg").read_text()
    # Again: nothing is asked.
    with Fake(judge_reply) as judge:
        again = run(twllm, *command, "--answers", tmp_path / "a.jsonl", "--judge-url", judge.url, "--judge-model", "gpt-4", "--judgments", tmp_path / "j.jsonl")
        assert again.returncode == 0 and again.stdout == done.stdout and not judge.requests
        other = run(twllm, *command, "--answers", tmp_path / "a.jsonl", "--judge-url", judge.url, "--judge-model", "gpt-5", "--judgments", tmp_path / "j.jsonl")
        assert other.returncode == 2 and "judgments by gpt-4, not by gpt-5" in other.stderr
        changed = lines(tmp_path / "a.jsonl")
        changed[3]["choices"][0]["turns"][0] = "改了"
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in changed))
        other = run(twllm, *command, "--answers", tmp_path / "a.jsonl", "--judge-url", judge.url, "--judge-model", "gpt-4", "--judgments", tmp_path / "j.jsonl")
        assert other.returncode == 2 and "question 96, turn 1 was judged with other texts" in other.stderr


def test_a_judge_that_answers_nonsense_or_500s(twllm, tmp_path, files):
    command, questions = files
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(answer(q["question_id"], ["甲", "乙"])) + "\n" for q in questions))
    nonsense = ["", "我給十分", "[[rating]]", "Rating: [[9.5]]", "見 [3]，[[7]]", None]
    broken = True

    def reply(body, number):
        text = body["messages"][1]["content"]
        if broken and "再問 3" in text:
            return 500, b"<html>overloaded</html>"
        return chat(nonsense[rating_of(text) % len(nonsense)])

    with Fake(reply) as judge:
        arguments = [*command, "--answers", tmp_path / "a.jsonl", "--judge-url", judge.url, "--judge-model", "j", "--judgments", tmp_path / "j.jsonl", "--tries", "2"]
        done = run(twllm, *arguments)
        assert done.returncode == 6 and "1 of 32 questions were not answered" in done.stderr and "HTTP 500: <html>overloaded" in done.stderr
        assert not (tmp_path / "j.jsonl").exists()
        before, broken = len(judge.requests), False
        done = run(twllm, *arguments)
        assert done.returncode == 0, done.stderr
        assert len(judge.requests) == before + 1
    rows = lines(tmp_path / "j.jsonl")
    assert [r["score"] for r in rows] == [fastchat_rating(r["judgment"]) for r in rows]
    unrated = [r for r in rows if r["score"] == -1]
    assert f"{len(unrated)} judgments have no rating and count as -1:" in done.stdout and len(unrated) > 3
    assert f"{unrated[0]['question_id']}/{unrated[0]['turn']}" in done.stdout


def test_killed_while_judging(twllm, twllm_path, tmp_path, files):
    command, questions = files
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(answer(q["question_id"], ["甲", "乙"])) + "\n" for q in questions))

    def slow(body, number):
        time.sleep(0.03)
        return judge_reply(body, number)

    with Fake(slow) as judge:
        arguments = [*map(str, command), "--answers", tmp_path / "a.jsonl", "--judge-url", judge.url, "--judge-model", "j", "--judgments", tmp_path / "j.jsonl", "--concurrency", "2"]
        process = subprocess.Popen([str(twllm_path), "eval", *map(str, arguments)], env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"})
        partial = tmp_path / "j.jsonl.partial"
        while process.poll() is None and (not partial.exists() or partial.read_bytes().count(b"\n") < 8):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with partial.open("a") as file:
            file.write('{"question_id": 81, "mod')  # a line that was cut by the power
        done = run(twllm, *arguments)
        assert done.returncode == 0, done.stderr
        assert 32 <= len(judge.requests) <= 32 + 3
    assert len(lines(tmp_path / "j.jsonl")) == 32 and not partial.exists()


def test_killed_while_answering(twllm, twllm_path, tmp_path, files):
    command, questions = files

    def slow(body, number):
        time.sleep(0.03)
        return model_reply(body, number)

    with Fake(slow) as model:
        arguments = [*map(str, command), "--generate", tmp_path / "a.jsonl", "-m", "far", "--url", model.url, "--concurrency", "2"]
        partial = tmp_path / "a.jsonl.partial"
        for target in (5, 20):
            process = subprocess.Popen([str(twllm_path), "eval", *map(str, arguments)], env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
                                       stderr=subprocess.DEVNULL)
            while process.poll() is None and (not partial.exists() or partial.read_bytes().count(b"\n") < target):
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
        other = run(twllm, *[*arguments[:-1], "2", "-m", "near"])
        assert other.returncode == 2 and "model far, not near" in other.stderr
        done = run(twllm, *arguments)
        assert done.returncode == 0, done.stderr
        assert 32 <= len(model.requests) <= 32 + 2 * 3
    rows = lines(tmp_path / "a.jsonl")
    assert [r["question_id"] for r in rows] == [q["question_id"] for q in questions]
    assert all(r["choices"][0]["turns"] == [f"答 {q['turns'][0]}（第 1 則）", f"答 {q['turns'][1]}（第 3 則）"] for r, q in zip(rows, questions))


def test_served_by_twllm(twllm, tmp_path, root):
    """The answers over `twllm serve` are those of the engine where nothing is drawn."""
    from serving import Server
    questions = [{"question_id": 111, "category": "math", "turns": ["一加一是多少？", "為什麼？"]}]
    (tmp_path / "q.jsonl").write_text(json.dumps(questions[0]) + "\n")
    here = twllm("eval", "mt-bench", "--questions", tmp_path / "q.jsonl", "--generate", tmp_path / "here.jsonl", "--kv-cache-dtype", "f32")
    assert here.returncode == 0, here.stderr
    with Server("--kv-cache-dtype", "f32") as server:
        done = run(twllm, "mt-bench", "--questions", tmp_path / "q.jsonl", "--generate", tmp_path / "there.jsonl", "-m", "twllm-default", "--url", server.url + "/v1")
        assert done.returncode == 0, done.stderr
    assert lines(tmp_path / "here.jsonl")[0]["choices"] == lines(tmp_path / "there.jsonl")[0]["choices"]
