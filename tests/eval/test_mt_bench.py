"""TW MT-Bench: the published figures from the published ratings, judge prompts byte for byte, FastChat's reading.

mt_bench_ratings.json holds the 320 ratings behind the card (question -> [turn 1, turn 2]); the judgments' texts are not
part of this project. With them (TWLLM_TCEVAL: a folder with gpt-4_single.old.jsonl and the two answer files of
github.com/adamlin120/TCEval) all 320 prompts and scores are rebuilt as well.
"""
import hashlib
import json
import os
import pathlib
import random
import re
import statistics

import pytest

RATINGS = json.loads((pathlib.Path(__file__).parent / "mt_bench_ratings.json").read_text())
DIGESTS = {  # of template and system prompt, as published
    "single-v1": ("1abdea4b2c1b77f6", "75357d685f238b6a"), "single-math-v1": ("dff364823a2f2b72", "75357d685f238b6a"),
    "single-v1-multi-turn": ("33067cf18206b4ab", "96572a924c9b87ad"), "single-math-v1-multi-turn": ("6a2b8ad2961c275c", "234412ab521a3600")}


def judgment(question, model, turn, score, text=None):
    text = text if text is not None else ("no rating" if score == -1 else f"說明 [1, 2].\nRating: [[{score}]]")
    return {"question_id": question, "model": model, "judge": ["gpt-4", "single-v1"], "user_prompt": "", "judgment": text, "score": score, "turn": turn, "tstamp": 1.0}


def figures(twllm, tmp_path, lines, *arguments):
    path = tmp_path / "judgments.jsonl"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    done = twllm("eval", "mt-bench", "--judgments", path, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def published():
    return [judgment(int(q), model, t + 1, score) for model, questions in RATINGS.items() for q, scores in questions.items() for t, score in enumerate(scores)]


def test_the_cards_six_figures(twllm, tmp_path):
    big, small = json.loads(figures(twllm, tmp_path, published(), "--json"))
    assert big["all"] == {"mean": 7.5375, "max": 10, "min": 1, "median": 9.0, "std": 3.0349783771882133, "count": 160}
    assert small["all"] == {"mean": 7.20625, "max": 10, "min": -1, "median": 9.0, "std": 3.244412263800641, "count": 160}
    assert small["parsed"]["count"] == 159 and small["parsed"]["mean"] == pytest.approx(7.25786, abs=5e-6)
    assert (big["turn_1"]["mean"], big["turn_2"]["mean"], small["turn_1"]["mean"], small["turn_2"]["mean"]) == (7.45, 7.625, 7.1375, 7.275)
    means = {c: (big["categories"][c]["mean"], small["categories"][c]["mean"]) for c in big["categories"]}
    assert means == {"writing": (7.7, 7.8), "roleplay": (7.9, 7.75), "reasoning": (7.5, 4.95), "math": (5.2, 3.7), "coding": (6.95, 7.3),
                     "extraction": (7.9, 8.5), "stem": (8.9, 9.1), "humanities": (8.25, 8.55)}
    text = figures(twllm, tmp_path, published(), "--radar", tmp_path / "radar.svg")
    assert re.search(r"all, as published +7\.5375 +10 +1 +9 +3\.0349783771882133 +160", text)
    one = [line for line in published() if line["model"] == "Llama-3-Taiwan"]
    figures(twllm, tmp_path, one, "--results", tmp_path / "results.json")
    result = json.loads((tmp_path / "results.json").read_text())
    assert result["results"]["mt-bench"]["score,none"] == 7.5375 and result["config"]["model_args"] == "Llama-3-Taiwan"
    assert result["results"]["mt-bench"]["score_stderr,none"] == pytest.approx(3.0445073751319285 / 160**0.5)  # the sample's deviation
    (tmp_path / "two.jsonl").write_text("".join(json.dumps(line) + "\n" for line in published()))
    both = twllm("eval", "mt-bench", "--judgments", tmp_path / "two.jsonl", "--results", tmp_path / "two.json")
    assert both.returncode == 2 and "2 models: --results takes one" in both.stderr and not (tmp_path / "two.json").exists()
    svg = (tmp_path / "radar.svg").read_text()
    assert svg.count("<polygon") == 5 + 2 and "Llama-3-Taiwan-8B-rc1 7.21" in svg


def fastchat_rating(text):
    match = re.search(r"\[\[(\d+\.?\d*)\]\]", text) or re.search(r"\[(\d+\.?\d*)\]", text)
    return float(match.group(1)) if match else -1


def test_ratings_are_read_as_fastchat_does(twllm, tmp_path):
    rng = random.Random(7)
    pieces = ["[[", "]]", "[", "]", "8", "9.5", "10", ".", "5", " ", "Rating: ", "[[5]]", "[7]", "評分", "[[rating]]", "[[-1]]", "[[9.]]", "\n"]
    texts = ["".join(rng.choice(pieces) for _ in range(rng.randint(0, 10))) for _ in range(4000)]
    lines = [judgment(1000 + i, "m", 1, fastchat_rating(text), text) for i, text in enumerate(texts)]
    got = json.loads(figures(twllm, tmp_path, lines, "--json"))[0]["all"]
    want = [line["score"] for line in lines]
    assert got["count"] == 4000 and got["mean"] == pytest.approx(statistics.fmean(want)) and got["std"] == pytest.approx(statistics.pstdev(want))
    assert len(set(want)) > 5
    out = figures(twllm, tmp_path, lines)
    assert "differ" not in out  # each stored score is what the program reads
    lines[0]["score"] += 1
    assert "1 stored scores differ" in figures(twllm, tmp_path, lines)


def test_bad_judgments_are_named(twllm, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(judgment(81, "m", 1, 5)) + '\n{"question_id": 81}\n')
    done = twllm("eval", "mt-bench", "--judgments", path)
    assert done.returncode == 3 and "line 2: expected question_id, model" in done.stderr
    path.write_text("")
    assert "no judgments" in twllm("eval", "mt-bench", "--judgments", path).stderr


def judge_prompts(twllm, tmp_path, questions, answers, references, *arguments):
    for name, rows in (("q", questions), ("a", answers), ("r", references)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    done = twllm("eval", "mt-bench", "--questions", tmp_path / "q.jsonl", "--answers", tmp_path / "a.jsonl", "--references", tmp_path / "r.jsonl", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def answer(question, turns):
    return {"question_id": question, "answer_id": "x", "model_id": "m", "choices": [{"index": 0, "turns": turns}], "tstamp": 1.0}


def test_judge_prompts_are_the_published_ones(twllm, tmp_path):
    """Filled with their own placeholders, the templates come back, and with the digests they were published with."""
    questions = [{"question_id": 81 + i, "category": "writing", "turns": ["{question_1}", "{question_2}"]} for i in range(2)]
    found = {}
    for row in judge_prompts(twllm, tmp_path, questions, [answer(q["question_id"], ["{answer_1}", "{answer_2}"]) for q in questions],
                             [answer(82, ["{ref_answer_1}", "{ref_answer_2}"])]):
        text = row["user_prompt"]
        if row["turn"] == 1:
            text = text.replace("{question_1}", "{question}").replace("{answer_1}", "{answer}")
        found[row["prompt"]] = (hashlib.sha256(text.encode()).hexdigest()[:16], hashlib.sha256(row["system"].encode()).hexdigest()[:16])
    assert found == DIGESTS


def test_which_questions_are_judged_with_a_reference(twllm, tmp_path, shared):
    data = shared / "data/mt-bench-tw"
    questions = [json.loads(line) for line in (data / "question.jsonl").open()]
    references = [json.loads(line) for line in (data / "reference_answer.jsonl").open()]
    answers = [answer(q["question_id"], ["甲{question}", "乙{ref_answer_1}"]) for q in questions]
    rows = judge_prompts(twllm, tmp_path, questions, answers, references)
    ids = {r["question_id"] for r in references}
    assert len(ids) == 46 and len(rows) == 160
    prompts = {p["name"]: p for p in map(json.loads, (data / "judge_prompts.jsonl").open())}
    by_id = {q["question_id"]: q for q in questions}
    by_ref = {r["question_id"]: r["choices"][0]["turns"] for r in references}
    for row in rows:
        q, with_reference = row["question_id"], row["question_id"] in ids
        want = prompts[("single-math-v1" if with_reference else "single-v1") + ("-multi-turn" if row["turn"] == 2 else "")]
        values = {"question": by_id[q]["turns"][0], "answer": "甲{question}", "question_1": by_id[q]["turns"][0], "question_2": by_id[q]["turns"][1],
                  "answer_1": "甲{question}", "answer_2": "乙{ref_answer_1}"}
        if with_reference:
            values |= {"ref_answer_1": by_ref[q][0], "ref_answer_2": by_ref[q][1]}
        assert row["prompt"] == want["name"] and row["system"] == want["system_prompt"]
        assert row["user_prompt"] == want["prompt_template"].format(**values)
    placeholders = judge_prompts(twllm, tmp_path, questions, answers, references, "--placeholder-references")
    assert sum("math" in row["prompt"] for row in placeholders) == 82


def test_all_320_published_prompts_and_scores(twllm, tmp_path, shared):
    folder = pathlib.Path(os.environ.get("TWLLM_TCEVAL") or shared / "data/mt-bench-tw")
    judgments = folder / "gpt-4_single.old.jsonl"
    if not judgments.exists():
        pytest.skip(f"the published judgments are not at {judgments} (set TWLLM_TCEVAL)")
    data = shared / "data/mt-bench-tw"
    questions, references = ([json.loads(line) for line in (data / name).open()] for name in ("question.jsonl", "reference_answer.jsonl"))
    lines = [json.loads(line) for line in judgments.open()]
    equal = 0
    for model, stem in (("Llama-3-Taiwan", "Llama-3-Taiwan-70B-rc1"), ("Llama-3-Taiwan-8B-rc1", "Llama-3-Taiwan-8B-rc1")):
        answers = [json.loads(line) for line in (folder / f"{stem}.jsonl").open()]
        rows = judge_prompts(twllm, tmp_path, questions, answers, references, "--placeholder-references")
        made = {(row["question_id"], row["turn"]): row for row in rows}
        for line in lines:
            if line["model"] == model:
                row = made[line["question_id"], line["turn"]]
                equal += row["user_prompt"] == line["user_prompt"] and row["prompt"] == line["judge"][1]
    assert equal == 320
    out = twllm("eval", "mt-bench", "--judgments", judgments).stdout
    assert "differ" not in out and len(lines) == 320  # every stored score follows from its judgment
    assert {m: {int(q): s for q, s in v.items()} for m, v in RATINGS.items()} == {
        m: {q: [x["score"] for t in (1, 2) for x in lines if (x["model"], x["question_id"], x["turn"]) == (m, q, t)] for q in range(81, 161)} for m in RATINGS}


def test_answers_are_generated(twllm, tmp_path):
    questions = [{"question_id": 101, "category": "reasoning", "turns": ["一加一是多少？", "為什麼？"]}, {"question_id": 81, "category": "writing", "turns": ["寫一句話。", "再一句。"]}]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions))
    made = []
    for name in ("a", "b"):
        done = twllm("eval", "mt-bench", "--questions", tmp_path / "q.jsonl", "--generate", tmp_path / name, "--max-model-len", "160", timeout=180)
        assert done.returncode == 0, done.stderr
        made.append([json.loads(line)["choices"][0]["turns"] for line in (tmp_path / name).read_text().split("\n")[:-1]])
    assert made[0] == made[1]  # one seed, one answer
    assert len(made[0]) == 2 and all(len(turns) == 2 and turns[0] for turns in made[0])
