"""Two runs compared: counts and McNemar's exact p-value against a sum of exact binomials."""
import json
import math
import random
import re


def write(folder, rows, prompts=None):
    folder.mkdir()
    with (folder / "samples_t.jsonl").open("w") as file:
        for i, acc in rows:
            file.write(json.dumps({"task": "t", "subset": "s", "doc_id": i, "acc": acc, "prompt_hash": prompts or "x" * 16}) + "\n")


def exact_p(b, c):
    n = b + c
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(min(b, c) + 1)) / 2**n) if n else 1.0


def test_paired(twllm, tmp_path):
    rng = random.Random(5)
    for trial, bias in enumerate((0.0, 0.02, 0.1, 0.3)):
        n = rng.choice([50, 400, 3000])
        a = [int(rng.random() < 0.5) for _ in range(n)]
        b = [int(x or rng.random() < bias) if rng.random() < 0.9 else 1 - x for x in a]
        order = list(range(n))
        rng.shuffle(order)  # lines stand in the order in which they were answered
        write(tmp_path / f"a{trial}", [(i, a[i]) for i in order])
        write(tmp_path / f"b{trial}", list(enumerate(b)) + [(n, 1)])
        done = twllm("eval", "compare", tmp_path / f"a{trial}", tmp_path / f"b{trial}")
        assert done.returncode == 0, done.stderr
        only_a, only_b = sum(x > y for x, y in zip(a, b)), sum(y > x for x, y in zip(a, b))
        found = re.search(r"t: (\d+) questions, only A right (\d+), only B right (\d+), B - A ([-+.\d]+)% ± ([.\d]+), p = (\S+):", done.stdout)
        assert [int(x) for x in found.groups()[:3]] == [n, only_a, only_b]
        assert float(found[6]) == float(f"{exact_p(only_a, only_b):.4g}") or math.isclose(float(found[6]), exact_p(only_a, only_b), rel_tol=1e-3)
        differences = [y - x for x, y in zip(a, b)]
        mean = sum(differences) / n
        deviation = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1) / n)
        assert math.isclose(float(found[4]), 100 * mean, abs_tol=0.006) and math.isclose(float(found[5]), 196 * deviation, abs_tol=0.006)
        assert "0 questions that only A has, 1 that only B has" in done.stdout


def test_nothing_in_common(twllm, tmp_path):
    write(tmp_path / "a", [(0, 1)])
    (tmp_path / "b").mkdir()
    done = twllm("eval", "compare", tmp_path / "a", tmp_path / "b")
    assert done.returncode == 5 and "no task in common" in done.stderr
