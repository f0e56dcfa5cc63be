"""The needle run on the embedded model: keys against numpy, lines as the original writes them, going on, the map."""
import json
import subprocess

import numpy


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
