"""twllm eval beside lm-evaluation-harness (HF backend, CPU), on the same model, weights, items and threads, in one run.

    python bench/eval/compare_harness.py build/twllm [--model FOLDER] [--items 400] [--shots 0,5] [--rounds 3]

Needs the packages lm_eval (0.4.13 was used), accelerate, torch and transformers. Four-choice questions of Chinese and
English words, made from a seed, once with no example in front and once with five. The harness is timed from the loaded
model to the scores, at the batch size that was
best for a quarter of the items; twllm is timed as a process, loading and writing included. Both
run at float32, in turn, and must choose the same letter for every item (but where two letters are closer than 1e-3).
"""
import argparse
import json
import os
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("--model", default=str(pathlib.Path(__file__).resolve().parents[2] / "models/default"))
parser.add_argument("--items", type=int, default=400)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--shots", default="0,5")
parser.add_argument("--batch-sizes", default="1,8,32")
args = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(args.threads)
os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"

import lm_eval  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

torch.set_num_threads(args.threads)
transformers.logging.set_verbosity_error()
WORDS = ("台灣 玉山 新聞 記者 經濟 法律 the of and school 學生 老師 天氣 今天 電腦 音樂 歷史 民國 選舉 總統 海洋 山脈 河流 森林 "
         "question answer number 政府 公司 市場 股票 銀行 醫院 病人 藥物 細胞 能量").split()
TASK = """task: bench_{shots}
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}", train: "{train}"}}}}
test_split: test
fewshot_split: train
fewshot_config: {{sampler: first_n}}
num_fewshot: {shots}
output_type: multiple_choice
description: "以下為稅務的單選題，請提供正確答案的選項。\\n"
doc_to_text: "{{{{question.strip()}}}}\\nA. {{{{A}}}}\\nB. {{{{B}}}}\\nC. {{{{C}}}}\\nD. {{{{D}}}}\\nAnswer:"
doc_to_choice: ["A", "B", "C", "D"]
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


def rows_of(seed, count):
    rng = random.Random(seed)

    def text(low, high):
        return "".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))

    return [{"question": text(8, 60), **{k: text(1, 10) for k in "ABCD"}, "answer": rng.choice("ABCD")} for _ in range(count)]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def theirs(folder, shots, batch_size, limit=None):
    model = HFLM(pretrained=args.model, dtype="float32", device="cpu", batch_size=batch_size, add_bos_token=False)
    begin, cpu = time.perf_counter(), time.process_time()
    result = lm_eval.simple_evaluate(model=model, tasks=[f"bench_{shots}"], task_manager=TaskManager(include_path=str(folder / "tasks"), include_defaults=False),
                                     limit=limit, log_samples=True, bootstrap_iters=0, verbosity="ERROR")
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    samples = {s["doc_id"]: [float(r[0]) for r in s["filtered_resps"]] for s in result["samples"][f"bench_{shots}"]}
    return seconds, cpu, samples, result["results"][f"bench_{shots}"]["acc,none"]


def children_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ours(folder, shots):
    out = folder / "out"
    begin, cpu = time.perf_counter(), children_cpu()
    subprocess.run([args.program, "eval", "tmmluplus", "-m", args.model, "--data", folder, "--skip-missing", "--shots", str(shots), "--output", out, "--overwrite",
                    "--kv-cache-dtype", "f32", "--threads", str(args.threads)], check=True, stdout=subprocess.DEVNULL)
    seconds, cpu = time.perf_counter() - begin, children_cpu() - cpu
    samples = {s["doc_id"]: s["resps"] for s in map(json.loads, (out / "samples_tmmluplus.jsonl").read_text().split("\n")[:-1])}
    return seconds, cpu, samples, json.loads((out / "results.json").read_text())["results"]["tmmluplus"]["acc,none"]


def same_choices(a, b):
    equal = close = 0
    for i in a:
        first, second = max(range(4), key=a[i].__getitem__), max(range(4), key=b[i].__getitem__)
        equal += first == second
        close += first != second and abs(a[i][first] - a[i][second]) < 1e-3
    assert len(a) == len(b) == equal + close, f"{len(a) - equal - close} of {len(a)} items were answered differently"
    return close


print(f"lm_eval {lm_eval.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, {args.threads} threads, {args.items} items")
with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    write(folder / "tmmluplus/taxation_test.jsonl", rows_of(1, args.items))
    write(folder / "tmmluplus/taxation_train.jsonl", rows_of(2, 5))
    (folder / "tasks").mkdir()
    all_shots = [int(n) for n in args.shots.split(",")]
    for shots in all_shots:
        (folder / f"tasks/{shots}.yaml").write_text(TASK.format(shots=shots, data=folder / "tmmluplus/taxation_test.jsonl", train=folder / "tmmluplus/taxation_train.jsonl"))
    for shots in all_shots:
        best_size, best = None, None
        for size in map(int, args.batch_sizes.split(",")):
            seconds = theirs(folder, shots, size, max(args.items // 4, 1))[0]
            if best is None or seconds < best:
                best_size, best = size, seconds
        rounds = sorted(((theirs(folder, shots, best_size), ours(folder, shots)) for _ in range(args.rounds)), key=lambda pair: pair[0][0] / pair[1][0])
        them, us = rounds[len(rounds) // 2]
        close = same_choices(them[2], us[2])
        print(f"{shots}-shot: harness {args.items / them[0]:.1f} items/s, {them[1]:.1f} s of CPU (batch {best_size}); twllm {args.items / us[0]:.1f} items/s, {us[1]:.1f} s of CPU; "
              f"ratio {them[0] / us[0]:.1f} ({rounds[0][0][0] / rounds[0][1][0]:.1f} to {rounds[-1][0][0] / rounds[-1][1][0]:.1f} in {args.rounds} rounds), of CPU time {them[1] / us[1]:.1f}; "
              f"accuracy {them[3]:.4f} and {us[3]:.4f}, {close} near ties", flush=True)
sys.exit(0)
