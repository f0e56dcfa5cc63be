"""Tasks on models behind an API: `twllm serve` itself, and servers that misbehave on purpose."""
import hashlib
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "serve"))
from serving import Server  # noqa: E402
from test_eval_run import rows_of, samples, write  # noqa: E402


class Fake:
    """An API that answers with what `reply(body, number)` returns: (code, object or bytes) or None to hang up."""

    def __init__(self, reply):
        fake = self
        self.requests, self.lock, self.busy, self.most_busy = [], threading.Lock(), 0, 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with fake.lock:
                    fake.requests.append((time.monotonic(), self.path, dict(self.headers.items()), body))
                    number = len(fake.requests)
                    fake.busy += 1
                    fake.most_busy = max(fake.most_busy, fake.busy)
                answer = reply(body, number)
                with fake.lock:
                    fake.busy -= 1
                if answer is None:
                    self.close_connection = True
                    return
                code, what, *fields = answer
                data = what if isinstance(what, bytes) else json.dumps(what, ensure_ascii=False).encode()
                self.send_response(code)
                for name, value in fields:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 128

            def handle_error(self, request, client_address):
                pass  # clients that were killed

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def chat(text, **more):
    return 200, {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": {"prompt_tokens": 10, "completion_tokens": 2}, **more}


def run(twllm, *arguments, **more):
    done = twllm("eval", *arguments, **more)
    if "HTTP client: " in done.stderr:
        pytest.skip(done.stderr)
    return done


@pytest.fixture(scope="module")
def served():
    with Server("--kv-cache-dtype", "f32") as server:
        yield server.url + "/v1"


@pytest.fixture
def legal(tmp_path):
    rows = rows_of(5, 10)
    write(tmp_path / "data/tw-legal-benchmark-v1/train.jsonl", rows)
    return tmp_path / "data", rows


@pytest.mark.parametrize("how", ["echo", "prompt", "top"])
def test_three_ways_to_log_likelihoods(twllm, legal, served, tmp_path, root, how):
    data, rows = legal
    here = twllm("eval", "tw_legal", "--data", data, "-o", tmp_path / "here", "--kv-cache-dtype", "f32")
    assert here.returncode == 0, here.stderr
    model = root / "models/default"
    done = run(twllm, "tw_legal", "--data", data, "--url", served, "-m", "twllm-default", "--tokenizer", model, "--logprobs-by", how, "-o", tmp_path / "there")
    assert done.returncode == 0, done.stderr
    want, got = ({s["doc_id"]: s for s in samples(tmp_path / where / "samples_tw_legal.jsonl")} for where in ("here", "there"))
    assert len(got) == len(want) == 10
    missing = 0
    for i, sample in want.items():
        assert got[i]["filtered_resps"] == sample["filtered_resps"] and got[i]["prompt_hash"] == sample["prompt_hash"]
        assert got[i]["prompt_tokens"] == sample["prompt_tokens"]
        for ours, theirs in zip(sample["resps"], got[i]["resps"]):
            if theirs is None:  # not among the likeliest: only the order is known
                missing += 1
                assert how == "top" and ours < max(sample["resps"])
            else:
                assert theirs == pytest.approx(ours, abs=2e-4)  # JSON of floats, another batch
    assert missing < 30
    results = json.loads((tmp_path / "there/results.json").read_text())
    assert results["config"]["url"] == served and results["config"]["model_args"] == "twllm-default"
    assert results["results"]["tw_legal"]["correct"] == json.loads((tmp_path / "here/results.json").read_text())["results"]["tw_legal"]["correct"]
    assert f"{40 if how != 'top' else 10} requests" in done.stderr


def test_answers_equal_the_engines(twllm, served, tmp_path, root):
    rows = [{**row, "id": str(i), "E": None, "F": None, "explanation": "因為"} for i, row in enumerate(rows_of(6, 4))]
    write(tmp_path / "data/miulab/tmlu/AST_civics/test.jsonl", rows)
    write(tmp_path / "data/miulab/tmlu/AST_civics/dev.jsonl", rows)
    task = ["tmlu-miulab-generate", "--data", tmp_path / "data", "--skip-missing", "--shots", "1"]
    here = twllm("eval", *task, "-o", tmp_path / "here", "--kv-cache-dtype", "f32")
    assert here.returncode == 0, here.stderr
    done = run(twllm, *task, "--url", served, "-m", "twllm-default", "--tokenizer", root / "models/default", "-o", tmp_path / "there")
    assert done.returncode == 0, done.stderr
    want, got = ({s["doc_id"]: s["resps"] for s in samples(tmp_path / where / "samples_tmlu-miulab-generate.jsonl")} for where in ("here", "there"))
    assert want == got


def chat_task(tmp_path, count=12):
    """TMMLU+ by its authors' tool: conversations, answers read by their patterns."""
    rows = rows_of(9, count)
    write(tmp_path / "data/ikala/tmmluplus/taxation_test.jsonl", rows)
    return ["tmmluplus-ievals", "--data", tmp_path / "data", "--skip-missing", "-m", "far", "-o", tmp_path / "out"], rows


def test_conversations_and_keys(twllm, tmp_path):
    task, rows = chat_task(tmp_path)
    with Fake(lambda body, number: time.sleep(0.05) or chat("答案：C")) as fake:
        done = run(twllm, *task, "--url", fake.url, "--concurrency", "4", env={"OPENAI_API_KEY": "s3cret"})
        assert done.returncode == 0, done.stderr
        assert f"{sum(r['answer'] == 'C' for r in rows)} of 12 right" in done.stdout
        assert len(fake.requests) == 12 and 1 < fake.most_busy <= 4
        for _, path, fields, body in fake.requests:
            assert path == "/v1/chat/completions" and fields["Authorization"] == "Bearer s3cret"
            assert set(body) == {"model", "messages", "temperature", "max_tokens"} and body["model"] == "far" and body["temperature"] == 0
            assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert "120 prompt tokens and 24 generated tokens in 12 requests" in done.stderr
    for file in (tmp_path / "out").iterdir():
        assert "s3cret" not in file.read_text()  # what is published holds no key


def test_anthropic(twllm, tmp_path):
    task, rows = chat_task(tmp_path)
    with Fake(lambda body, number: (200, {"content": [{"type": "thinking", "thinking": "A"}, {"type": "text", "text": "B"}], "usage": {"input_tokens": 3, "output_tokens": 1}})) as fake:
        done = run(twllm, *task, "--url", fake.url, "--api", "anthropic", env={"ANTHROPIC_API_KEY": "k"})
        assert done.returncode == 0, done.stderr
        assert f"{sum(r['answer'] == 'B' for r in rows)} of 12 right" in done.stdout
        _, path, fields, body = fake.requests[0]
        assert path == "/v1/messages" and fields["x-api-key"] == "k" and fields["anthropic-version"]
        assert [m["role"] for m in body["messages"]] == ["user"] and "考試單選題" in body["system"]
        # The prefill of a task is the beginning of the answer.
        write(tmp_path / "data/miulab/tmlu/AST_civics/test.jsonl", [{**r, "id": "1", "E": None, "F": None, "explanation": ""} for r in rows[:1]])
        done = run(twllm, "tmlu-miulab-generate", "--data", tmp_path / "data", "--skip-missing", "--shots", "0", "--apply-chat-template", "-m", "far",
                   "--url", fake.url, "--api", "anthropic")
        assert done.returncode == 0, done.stderr
        assert fake.requests[-1][3]["messages"][-1] == {"role": "assistant", "content": "正確答案：("}
        done = run(twllm, "tmlu", "--data", tmp_path / "data", "--skip-missing", "-m", "far", "--url", fake.url, "--api", "anthropic")
        assert done.returncode == 4 and "log-likelihoods" in done.stderr


def test_a_server_that_stumbles(twllm, tmp_path):
    """Every kind of stumble once; each question is answered in the end."""
    task, rows = chat_task(tmp_path)
    stumbles = {1: (429, {"error": {"message": "slow down"}}, ("Retry-After", "1")), 3: (500, b"oops"), 4: None, 6: (200, b"<html>"),
                7: (200, {"choices": []}), 9: (503, b""), 10: (200, {"choices": [{"message": {}}]})}
    with Fake(lambda body, number: stumbles.get(number, chat("D"))) as fake:
        done = run(twllm, *task, "--url", fake.url, "--concurrency", "3")
        assert done.returncode == 0, done.stderr
        assert f"{sum(r['answer'] == 'D' for r in rows)} of 12 right" in done.stdout
        assert len(fake.requests) == 12 + len(stumbles)


def test_what_fails_is_named_kept_out_and_asked_again(twllm, tmp_path):
    task, rows = chat_task(tmp_path)
    poison = rows[5]["question"]
    broken = True

    def reply(body, number):
        return (500, {"error": {"message": "model fell over"}}) if broken and poison in body["messages"][-1]["content"] else chat("A")

    with Fake(reply) as fake:
        done = run(twllm, *task, "--url", fake.url, "--tries", "2")
        assert done.returncode == 6, done.stderr
        assert "1 of 12 questions were not answered" in done.stderr and "HTTP 500: model fell over" in done.stderr and "after 2 attempts" in done.stderr
        assert not (tmp_path / "out/results.json").exists()
        kept = (tmp_path / "out/samples_tmmluplus-ievals.jsonl.partial").read_text().splitlines()
        assert len(kept) == 11
        broken, before = False, len(fake.requests)
        done = run(twllm, *task, "--url", fake.url, "--tries", "2")
        assert done.returncode == 0, done.stderr
        assert len(fake.requests) == before + 1  # only the one that is missing
    assert (tmp_path / "out/samples_tmmluplus-ievals.jsonl").read_text().splitlines()[:11] == kept


def test_nonsense_is_counted(twllm, tmp_path):
    task, rows = chat_task(tmp_path)
    with Fake(lambda body, number: chat(["不知道", "", None][number % 3])) as fake:
        done = run(twllm, *task, "--url", fake.url)
    assert done.returncode == 0 and "0 of 12 right" in done.stdout and "12 answers name no choice" in done.stdout


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_refusal_ends_the_run(twllm, tmp_path, code):
    task, rows = chat_task(tmp_path)
    with Fake(lambda body, number: (code, {"error": {"message": "no such model"}})) as fake:
        done = run(twllm, *task, "--url", fake.url, "--concurrency", "1")
        assert done.returncode == 6 and f"HTTP {code}: no such model" in done.stderr and len(fake.requests) == 1


def test_a_dead_server_ends_the_run(twllm, tmp_path):
    task, rows = chat_task(tmp_path, 40)
    with Fake(lambda body, number: (500, b"dead")) as fake:
        done = run(twllm, *task, "--url", fake.url, "--tries", "1", "--concurrency", "2")
        assert done.returncode == 6 and "8 questions in a row" in done.stderr and len(fake.requests) <= 10


def test_servers_that_want_it_otherwise(twllm, legal, tmp_path, root):
    task, rows = chat_task(tmp_path)

    def newer(body, number):
        if "max_tokens" in body:
            return 400, {"error": {"message": "Unsupported parameter: use 'max_completion_tokens' instead."}}
        if "temperature" in body:
            return 400, {"error": {"message": "Unsupported value: 'temperature'"}}
        return chat("A")

    with Fake(newer) as fake:
        done = run(twllm, *task, "--url", fake.url, "--concurrency", "4")
        assert done.returncode == 0, done.stderr
        assert 14 <= len(fake.requests) <= 12 + 2 * 4  # learned at once, by those under way

    def no_zero(body, number):
        if body["max_tokens"] == 0:
            return 400, {"error": {"message": "max_tokens must be at least 1"}}
        n = len(body["prompt"])
        return 200, {"choices": [{"text": "", "logprobs": {"token_logprobs": [None] + [-0.5 * (i + number % 4) for i in range(n)]}}]}

    with Fake(no_zero) as fake:
        done = run(twllm, "tw_legal", "--data", legal[0], "-m", "far", "--url", fake.url, "--tokenizer", root / "models/default", "--concurrency", "1", "--limit", "2")
        assert done.returncode == 0, done.stderr
        assert len(fake.requests) == 9 and all(r[3]["max_tokens"] == 1 for r in fake.requests[1:])

    with Fake(lambda body, number: (200, {"choices": [{"text": "A", "logprobs": {"token_logprobs": [-1.0]}}]})) as fake:  # ignores echo
        done = run(twllm, "tw_legal", "--data", legal[0], "-m", "far", "--url", fake.url, "--tokenizer", root / "models/default", "--tries", "1", "--limit", "1")
        assert done.returncode == 6 and "the prompt was not echoed" in done.stderr


def test_top_without_a_tokenizer(twllm, legal, tmp_path):
    with Fake(lambda body, number: (200, {"choices": [{"text": " A", "logprobs": {"top_logprobs": [{" C": -0.1, " A": -2.0, "x": -3.0}]}}]})) as fake:
        done = run(twllm, "tw_legal", "--data", legal[0], "-m", "far", "--url", fake.url, "--logprobs-by", "top", "-o", tmp_path / "out")
        assert done.returncode == 0, done.stderr
        assert isinstance(fake.requests[0][3]["prompt"], str) and "return_tokens_as_token_ids" not in fake.requests[0][3]
    first = samples(tmp_path / "out/samples_tw_legal.jsonl")[0]
    assert first["filtered_resps"] == "C" and first["resps"] == [-2.0, None, -0.1, None]
    with Fake(lambda body, number: (200, {"choices": [{"logprobs": {"top_logprobs": [{"x": -3.0}]}}]})) as fake:
        done = run(twllm, "tw_legal", "--data", legal[0], "-m", "far", "--url", fake.url, "--logprobs-by", "top", "--tries", "1", "--limit", "1")
        assert done.returncode == 6 and "no choice is among the 1 likeliest tokens" in done.stderr
    done = run(twllm, "tw_legal", "--data", legal[0], "-m", "far", "--url", "http://127.0.0.1:1/v1")
    assert done.returncode == 4 and "need the model's tokenizer" in done.stderr


def test_the_estimate_comes_first(twllm, tmp_path):
    task, rows = chat_task(tmp_path)
    with Fake(lambda body, number: chat("A")) as fake:
        done = run(twllm, *task, "--url", fake.url, "--estimate", "--price-in", "2.5", "--price-out", "10")
        assert done.returncode == 0 and "12 requests, about " in done.stderr and "at most 9600 generated tokens: at most 0.09" in done.stderr
        assert not fake.requests and not (tmp_path / "out/results.json").exists()
        done = run(twllm, *task, "--url", fake.url, "--price-out", "10", "--max-cost", "0.05")
        assert done.returncode == 8 and "more than --max-cost 0.05" in done.stderr and not fake.requests


def test_rates_are_kept(twllm, tmp_path):
    task, rows = chat_task(tmp_path)
    with Fake(lambda body, number: chat("A")) as fake:
        done = run(twllm, *task, "--url", fake.url, "--requests-per-minute", "600")
        assert done.returncode == 0, done.stderr
        starts = sorted(r[0] for r in fake.requests)
    assert starts[-1] - starts[0] >= 11 * 0.1 - 0.05  # twelve, a tenth of a second apart


def test_addresses(twllm, tmp_path):
    task, rows = chat_task(tmp_path)
    for url, code, text in (("ftp://a/v1", 2, "takes http:// or https://"), ("http://a/v1/", 2, "takes"), ("http://api.example/v1", 2, "not sent over http://")):
        done = run(twllm, *task, "--url", url, env={"OPENAI_API_KEY": "k"})
        assert done.returncode == code and text in done.stderr, done.stderr
    done = run(twllm, *[a for a in task if a not in ("-m", "far")], "--url", "http://127.0.0.1:1/v1")
    assert done.returncode == 2 and "needs the model's name" in done.stderr


def test_killed_and_gone_on(twllm, twllm_path, tmp_path):
    task, rows = chat_task(tmp_path, 60)

    def reply(body, number):
        time.sleep(0.02)
        text = body["messages"][-1]["content"]
        return chat("ABCD"[hashlib.sha256(text.encode()).digest()[0] % 4])

    with Fake(reply) as fake:
        command = [str(twllm_path), "eval", *map(str, task), "--url", fake.url, "--concurrency", "4"]
        kept = tmp_path / "out/samples_tmmluplus-ievals.jsonl.partial"
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
        for target in (10, 30):
            process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None and (not kept.exists() or kept.read_bytes().count(b"\n") < target):
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
        done = run(twllm, *task, "--url", fake.url, "--concurrency", "4")
        assert done.returncode == 0, done.stderr
        assert 60 <= len(fake.requests) <= 60 + 2 * 5  # at most what was under way when it died is asked again
    lines = samples(tmp_path / "out/samples_tmmluplus-ievals.jsonl")
    assert sorted(line["doc_id"] for line in lines) == list(range(60))
    for line in lines:
        assert line["resps"] and line["doc"] == rows[line["doc_id"]]
