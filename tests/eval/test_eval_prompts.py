"""Prompts against Jinja2: the templates as the harness writes them in its task files, rendered by Jinja2 with the
harness's own settings on random rows, must equal what the program makes of its task files."""
import json
import random

import jinja2

ENV = jinja2.Environment(undefined=jinja2.StrictUndefined)
# As in the harness's YAML: ordinary block tags, no trimming.
FOUR = "{{question.strip()}}\nA. {{A}}\nB. {{B}}\nC. {{C}}\nD. {{D}}\nAnswer:"
TMLU = "{{question.strip()}}\nA. {{A}}\nB. {{B}}\nC. {{C}}\nD. {{D}}{% if E %}\nE. {{E}}{% endif %}{% if F %}\nF. {{F}}{% endif %}\nAnswer:"
BELEBELE = "P: {{flores_passage}}\nQ: {{question.strip()}}\nA: {{mc_answer1}}\nB: {{mc_answer2}}\nC: {{mc_answer3}}\nD: {{mc_answer4}}\nAnswer："
EDGES = ["", " ", "\u3000", "\n", "\r\n", "\t", "\u200b", "\ufeff", "\u00a0", "\x1c", "\x1f", "\x85", "\u2028", "\n\n"]
MIDDLE = ["台灣", "{{A}}", "{% raw %}", "a < b & c", '"', "'", "\\n", "\n", "\n\n", "\r\n", "😀", "Answer:", "None", " ", "\u3000", "1", "é"]


def text(rng):
    return rng.choice(EDGES) + "".join(rng.choice(MIDDLE) for _ in range(rng.randint(0, 6))) + rng.choice(EDGES)


def description(label):
    return ENV.from_string(f"以下為{label}的單選題，請提供正確答案的選項。\n\n").render()


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def prompts(twllm, data, *arguments):
    done = twllm("eval", *arguments, "--data", data, "--print-prompts")
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["prompt"] for line in done.stdout.split("\n")[:-1]]


def rows_of(rng, count, letters="ABCD"):
    return [{"question": text(rng), **{k: text(rng) for k in letters}, "answer": rng.choice("ABCD")} for _ in range(count)]


def test_the_fork(twllm, tmp_path):
    rng = random.Random(1)
    rows, shots = rows_of(rng, 300), rows_of(rng, 5)
    write(tmp_path / "lianghsun/tw-legal-benchmark-v1/train.jsonl", rows)
    write(tmp_path / "ZoneTwelve/tmmluplus/taxation/test.jsonl", rows)
    write(tmp_path / "ZoneTwelve/tmmluplus/taxation/train.jsonl", shots)
    template = ENV.from_string(FOUR)
    assert prompts(twllm, tmp_path, "tw_legal") == [description("法律") + template.render(**row) for row in rows]
    for n in (0, 3):
        head = description("稅務") + "".join(template.render(**s) + " " + s["answer"] + "\n\n" for s in shots[:n])
        got = prompts(twllm, tmp_path, "tmmluplus", "--skip-missing", "--shots", n)
        assert got == [head + template.render(**row) for row in rows]


def test_five_and_six_options(twllm, tmp_path):
    rng = random.Random(2)
    rows = rows_of(rng, 200)
    for row in rows:
        row["E"] = rng.choice([None, "", text(rng)])
        row["F"] = rng.choice([None, "", text(rng)]) if row["E"] else None
    write(tmp_path / "tmlu/AST_chemistry_test.jsonl", rows)
    want = [description("分科測驗化學") + ENV.from_string(TMLU).render(**row) for row in rows]
    assert prompts(twllm, tmp_path, "tmlu", "--skip-missing") == want


def test_belebele(twllm, tmp_path):
    rng = random.Random(3)
    names = ["flores_passage", "question", "mc_answer1", "mc_answer2", "mc_answer3", "mc_answer4"]
    rows = [{**{k: text(rng) for k in names}, "correct_answer_num": rng.choice("1234")} for _ in range(100)]
    write(tmp_path / "facebook/belebele/data/zho_Hant.jsonl", rows)
    assert prompts(twllm, tmp_path, "belebele_zho_Hant") == [ENV.from_string(BELEBELE).render(**row) for row in rows]


def miulab_item(row):
    options = ""
    for letter in "ABCDEF":
        if row[letter] is None:
            break
        options += f"({letter}) {row[letter]}\n"
    return "問題：" + row["question"].replace("\n\n", "\n").strip() + "\n" + options.strip()


def test_miulab(twllm, tmp_path):
    rng = random.Random(4)

    def make(count):
        rows = rows_of(rng, count, "ABCDEF")
        for row in rows:
            for letter in "ABCDEF"[rng.randint(1, 6) :]:
                row[letter] = rng.choice([None, None, text(rng)])
            row["explanation"] = text(rng)
        return rows

    rows, shots = make(200), make(5)
    write(tmp_path / "tmlu/GSAT_physics_test.jsonl", rows)
    write(tmp_path / "tmlu/GSAT_physics_dev.jsonl", shots)
    head = "以下選擇題為出自臺灣的考題，答案為其中一個選項。\n\n"
    plain = head + "".join(miulab_item(s) + "\n正確答案：(" + s["answer"].strip() + ")\n\n" for s in shots)
    assert prompts(twllm, tmp_path, "tmlu-miulab", "--skip-missing") == [plain + miulab_item(r) + "\n正確答案：(" for r in rows]
    cot = head + "".join(
        miulab_item(s) + "\n讓我們一步一步思考。\n" + s["explanation"].strip() + "\n正確答案：(" + s["answer"].strip() + ")\n\n" for s in shots[:2])
    got = prompts(twllm, tmp_path, "tmlu-miulab-cot", "--skip-missing", "--shots", 2)
    assert got == [cot + miulab_item(r) + "\n讓我們一步一步思考。\n" for r in rows]


def test_ievals(twllm, tmp_path):
    rng = random.Random(5)
    rows, shots = rows_of(rng, 50), rows_of(rng, 3)
    (tmp_path / "tmmluplus/data").mkdir(parents=True)
    write(tmp_path / "tmmluplus/data/taxation_test.jsonl", rows)
    write(tmp_path / "tmmluplus/data/taxation_dev.jsonl", shots)

    def body(row):
        return "{question}\nA. {A}\nB. {B}\nC. {C}\nD. {D}\n答案：".format(**row)

    header = "以下是關於稅務考試單選題，請選出正確的答案。\n\n"
    system = {"role": "system", "content": "你是一位專業的中文AI助理，以下是關於稅務考試單選題，請選出正確的答案。"}
    for n in (0, 2):
        turns = []
        for shot in shots[:n]:
            turns += [{"role": "user", "content": body(shot)}, {"role": "assistant", "content": shot["answer"]}]
        want = []
        for row in rows:
            messages = [system, *map(dict, turns), {"role": "user", "content": body(row)}]
            messages[1]["content"] = header + messages[1]["content"]
            want.append(messages)
        assert prompts(twllm, tmp_path, "tmmluplus-ievals", "--skip-missing", "--shots", n) == want


def test_drcd_keeps_both_line_ends(twllm, tmp_path):
    row = {"paragraph": "段落", "question": "誰？", "references": ["甲", "乙"]}
    write(tmp_path / "TCEval-v2/drcd/test.jsonl", [row])
    write(tmp_path / "TCEval-v2/drcd/dev.jsonl", [row] * 3)
    one = '"""\n段落\n"""\nQuestion: 誰？\nAnswer:'
    (got,) = prompts(twllm, tmp_path, "tceval-drcd")
    assert got.endswith("substrings of the content.\n\n" + (one + " 甲\n\n") * 3 + one)


def test_user_task_needs_no_c(twllm, tmp_path):
    task = {"name": "mine", "dataset": "me/mine", "split": "test", "columns": ["q"], "text": "{{q}}?", "letters": "AB",
            "answer": "{{answer}}", "subsets": [{"name": "default"}]}
    (tmp_path / "mine.json").write_text(json.dumps(task))
    write(tmp_path / "me/mine/test.jsonl", [{"q": "1+1", "answer": "A"}])
    assert prompts(twllm, tmp_path, tmp_path / "mine.json") == ["1+1?"]
    (tmp_path / "mine.json").write_text(json.dumps({**task, "lettres": "AB"}))
    done = twllm("eval", tmp_path / "mine.json", "--data", tmp_path)
    assert done.returncode == 3 and '"lettres" is no field of a task' in done.stderr
