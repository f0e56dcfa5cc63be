"""The needle run on the embedded model: keys against numpy, lines as the original writes them, going on, the map."""
import json
import os
import subprocess

import numpy
from copying_model import write_checkpoint


def test_keys_equal_numpys(probe):
    keys = subprocess.run([probe("probe_needle")], capture_output=True, text=True, check=True).stdout.split()
    want = []
    for seed in range(1000):
        state = numpy.random.RandomState(seed)
        want.append(str(state.randint(50000, 500000)))
    assert keys == want


def test_run_goes_on_and_draws(twllm, tmp_path):
    out = tmp_path / "needle.jsonl"
    command = ["eval", "needle", "--max-length", "2k", "--num-tests", "2", "--output", out, "--max-num-batched-tokens", "256"]
    done = twllm(*command, "--svg", tmp_path / "map.svg", timeout=240)
    assert done.returncode == 0, done.stderr
    lines = out.read_text().splitlines()
    assert [json.loads(line)["depth_percent"] for line in lines] == [0.1 * i * 100 for i in range(1, 11)]
    assert lines[2].startswith('{"context_length": "1k", "depth_percent": 30.000000000000004, "score": ')
    assert "of 20 passed (0 too long for the model), 1 beams" in done.stdout
    svg = (tmp_path / "map.svg").read_text()
    assert svg.count("<rect") == 1 + 10 + 50 and "embedded" in svg and ">30.0%<" in svg
    out.write_text("\n".join(lines[:9]) + "\n")
    (tmp_path / "needle.jsonl.partial").unlink(missing_ok=True)
    again = twllm(*command, timeout=240)
    assert out.read_text().splitlines() == lines  # nine cells stay, the tenth is measured
    assert "of 2 passed" in again.stdout
    drawn = twllm("--lang", "zh", "eval", "needle", "--draw", out, "--svg", tmp_path / "again.svg", "--title", "標題")
    assert drawn.returncode == 0 and "大海撈針" in (tmp_path / "again.svg").read_text() and "標題" in (tmp_path / "again.svg").read_text()


def test_too_long_is_a_fail_not_a_cut(twllm, tmp_path):
    done = twllm("eval", "needle", "--max-length", "2k", "--num-tests", "1", "--max-model-len", "256", "--output", tmp_path / "n.jsonl")
    assert done.returncode == 0, done.stderr
    assert "0 of 10 passed (10 too long for the model)" in done.stdout
    assert all(json.loads(line)["score"] == 0 for line in (tmp_path / "n.jsonl").read_text().splitlines())


def essay_of(probe):
    """The words that prompts are made of, from the prompts themselves."""
    return subprocess.run([probe("probe_needle"), "2500", "0.5"], capture_output=True, text=True, check=True).stdout


FEW = [] if os.environ.get("TWLLM_LONG") else ["--num-tests", "1"]  # keys a cell; ten take minutes of processor time


def test_a_model_that_copies_passes_the_whole_grid(twllm, probe, root, tmp_path):
    """1k to 25k characters, ten depths, four beams as on the card; a shorter grid greedily, as by default."""
    tokenizer = write_checkpoint(tmp_path / "copies", root, essay_of(probe))
    assert len(tokenizer.encode(essay_of(probe)).ids) < 500  # a clause is a token: what makes the grid affordable here
    for beams, lengths in (("4", (1, 9, 17, 25)), ("1", (1, 9))):
        out = tmp_path / f"beams{beams}.jsonl"
        done = twllm("eval", "needle", "-m", tmp_path / "copies", "--max-length", f"{lengths[-1] + 8}k", "--beams", beams, *FEW, "--output", out, "--results", tmp_path / "results.json", "--png", tmp_path / "map.png", timeout=500)
        assert done.returncode == 0, done.stderr
        n = len(lengths) * 10 * (1 if FEW else 10)
        assert f"{n} of {n} passed (0 too long for the model), {beams} beams" in done.stdout
        assert json.loads((tmp_path / "results.json").read_text())["results"]["needle"] == {"alias": "needle", "acc,none": 1.0, "acc_stderr,none": 0.0, "sample_len": n}
        cells = [json.loads(line) for line in out.read_text().splitlines()]
        assert [cell["context_length"] for cell in cells] == [f"{n}k" for n in lengths for _ in range(10)] and all(cell["score"] == 1 for cell in cells)


def test_a_model_of_random_weights_fails_the_whole_grid(twllm, probe, root, tmp_path):
    write_checkpoint(tmp_path / "random", root, essay_of(probe), shuffled=True)
    done = twllm("eval", "needle", "-m", tmp_path / "random", "--max-length", "33k", *FEW, "--output", tmp_path / "out.jsonl", timeout=500)
    assert done.returncode == 0, done.stderr
    assert f"0 of {40 if FEW else 400} passed (0 too long for the model), 1 beams" in done.stdout
