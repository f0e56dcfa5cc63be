"""Scores against lm-evaluation-harness itself (its HF backend, from PyPI), on local tasks of the same form.
"""
import json
import random

import lm_eval
import pytest

WORDS = "台灣 玉山 新聞 記者 經濟 法律 the of and school 學生 老師 天氣 今天 電腦 音樂 歷史 民國 選舉 總統 海洋 山脈 河流 森林".split()
CHOICE = """task: local_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}", dev: "{dev}"}}}}
test_split: test
fewshot_split: dev
fewshot_config: {{sampler: first_n}}
num_fewshot: {shots}
output_type: multiple_choice
description: "以下為法律的單選題，請提供正確答案的選項。\\n"
doc_to_text: "{{{{question.strip()}}}}\\nA. {{{{A}}}}\\nB. {{{{B}}}}\\nC. {{{{C}}}}\\nD. {{{{D}}}}\\nAnswer:"
doc_to_choice: ["A", "B", "C", "D"]
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


def rows_of(seed, count):
    rng = random.Random(seed)

    def text(n):
        return "".join(rng.choice(WORDS) for _ in range(rng.randint(1, n)))

    return [{"question": rng.choice(["", "\u3000", " "]) + text(12), **{k: text(3) for k in "ABCD"}, "answer": rng.choice("ABCD")} for _ in range(count)]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def test_same_choices_and_log_likelihoods(twllm, tmp_path, root):
    """This version of the harness keeps both line ends of a description; the one behind the card kept one."""
    from lm_eval.tasks import TaskManager

    data = tmp_path / "tmmluplus/taxation/test.jsonl"
    write(data, rows_of(1, 12))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/choice.yaml").write_text(CHOICE.format(shots=0, data=data, dev=data).replace("法律", "稅務"))
    model = root / "models/default"
    theirs = lm_eval.simple_evaluate(
        model="hf", model_args={"pretrained": str(model), "dtype": "float32", "device": "cpu", "add_bos_token": False}, tasks=["local_choice"],
        task_manager=TaskManager(include_path=str(tmp_path / "tasks")), batch_size=1, log_samples=True, bootstrap_iters=0)
    done = twllm("eval", "tmmluplus", "-m", model, "--data", tmp_path, "--skip-missing", "--output", tmp_path / "out", "--kv-cache-dtype", "f32")
    assert done.returncode == 0, done.stderr
    ours = {s["doc_id"]: s for s in map(json.loads, (tmp_path / "out/samples_tmmluplus.jsonl").read_text().split("\n")[:-1])}
    assert len(ours) == len(theirs["samples"]["local_choice"]) == 12
    for sample in theirs["samples"]["local_choice"]:
        want = [float(response[0]) for response in sample["filtered_resps"]]
        assert ours[sample["doc_id"]]["resps"] == pytest.approx(want, abs=1e-3)  # float32 on both sides, other order of summation
        assert ours[sample["doc_id"]]["acc"] == sample["acc"]
