"""`twllm serve` as a program: options from three places, ready, signals, keys by file, HTTPS, metrics, the log."""
import http.client
import json
import os
import queue
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families


class Program:
    def __init__(self, path, *arguments, env=None, cwd=None):
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **(env or {})}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        self.process = subprocess.Popen([str(path), "serve", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=environment, cwd=cwd)
        self.log, self.out = queue.Queue(), queue.Queue()
        for stream, lines in ((self.process.stderr, self.log), (self.process.stdout, self.out)):
            threading.Thread(target=self._read, args=(stream, lines), daemon=True).start()

    @staticmethod
    def _read(stream, lines):
        for line in stream:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    def ready(self):
        line = self.out.get(timeout=30)
        assert line is not None, self.all_log()
        self.url = re.search(r"(https?|unix):\S+", line)[0]
        self.port = int(self.url.rsplit(":", 1)[1]) if self.url.startswith("http") else 0
        return line

    def all_log(self):
        lines = []
        while (line := self.log.get(timeout=10)) is not None:
            lines.append(line)
        return "\n".join(lines)

    def wait_for_log(self, pattern, timeout=10):
        ends, seen = time.time() + timeout, []
        while time.time() < ends:
            try:
                line = self.log.get(timeout=max(0.01, ends - time.time()))
            except queue.Empty:
                break
            if line is None:
                break
            seen.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError(f"no line like {pattern!r}; came: {seen}")

    def ask(self, method, path, body=None, key=None, tls=None):
        make = http.client.HTTPConnection if tls is None else lambda *a, **k: http.client.HTTPSConnection(*a, **k, context=tls)
        connection = make("localhost" if tls else "127.0.0.1", self.port, timeout=30)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key:
            headers["Authorization"] = "Bearer " + key
        connection.request(method, path, body=json.dumps(body) if body is not None else None, headers=headers)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, data

    def chat(self, key=None, **more):
        return self.ask("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "你好"}], "max_tokens": 4, **more}, key)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(15) == 0


def metric_values(text):
    """{name: {labels: value}}, read by Prometheus' own Python parser."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            key = tuple(sorted(sample.labels.items()))
            assert key not in found.setdefault(sample.name, {}), (sample.name, key)
            found[sample.name][key] = sample.value
    return found


def test_one_command_serves_the_embedded_model(twllm_path):
    with Program(twllm_path, "--port", 0) as program:
        line = program.ready()
        assert re.fullmatch(r"ready: http://127\.0\.0\.1:\d+  model twllm-default, after \d+\.\d s", line)
        status, data = program.chat()
        assert status == 200 and json.loads(data)["choices"][0]["message"]["content"]
        program.wait_for_log(r'INFO 127\.0\.0\.1:\d+ "POST /v1/chat/completions" 200 \d+ bytes \d+\.\d{3} s [0-9a-f]{24}$')
        # A running answer is finished after SIGTERM, new connections are not taken.
        connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=30)
        connection.request("POST", "/v1/completions", json.dumps({"prompt": "臺灣", "max_tokens": 300, "ignore_eos": True, "stream": True}),
                           {"Content-Type": "application/json"})
        response = connection.getresponse()
        first = response.read(20)
        program.process.send_signal(signal.SIGTERM)
        text = first + response.read()
        assert text.endswith(b"data: [DONE]\n\n")
        assert program.process.wait(10) == 0
        assert "stopped" in program.all_log()


def test_metrics_under_the_names_of_vllm(twllm_path):
    with Program(twllm_path, "--port", 0) as program:
        program.ready()
        before = metric_values(program.ask("GET", "/metrics")[1].decode())
        assert program.chat(max_tokens=5, ignore_eos=True)[0] == 200
        assert program.chat(max_tokens=7, ignore_eos=True)[0] == 200
        assert program.ask("GET", "/nothing")[0] == 404
        deadline = time.time() + 5
        while True:  # a request is counted when its answer has left
            after = metric_values(program.ask("GET", "/metrics")[1].decode())
            if sum(after["vllm:request_success_total"].values()) == 2 or time.time() > deadline:
                break
        label = (("engine", "0"), ("model_name", "twllm-default"))

        def value(name):
            return after[name][label]

        assert value("vllm:generation_tokens_total") - before["vllm:generation_tokens_total"][label] == 12
        assert value("vllm:request_generation_tokens_sum") == 12 and value("vllm:request_generation_tokens_count") == 2
        assert after["vllm:request_success_total"][tuple(sorted((*label, ("finished_reason", "length"))))] == 2
        assert value("vllm:num_requests_running") == 0 and value("vllm:kv_cache_usage_perc") >= 0
        assert after["http_requests_total"][(("handler", "/v1/chat/completions"), ("method", "POST"), ("status", "2xx"))] == 2
        assert after["http_requests_total"][(("handler", "none"), ("method", "GET"), ("status", "4xx"))] == 1
        for name in ["vllm:time_to_first_token_seconds", "vllm:inter_token_latency_seconds", "vllm:e2e_request_latency_seconds",
                     "vllm:request_queue_time_seconds", "vllm:request_inference_time_seconds", "vllm:request_prefill_time_seconds",
                     "vllm:request_decode_time_seconds", "vllm:request_time_per_output_token_seconds", "vllm:request_prompt_tokens",
                     "vllm:request_params_n", "vllm:request_params_max_tokens", "vllm:request_max_num_generation_tokens",
                     "vllm:request_prefill_kv_computed_tokens", "vllm:iteration_tokens_total"]:
            buckets = sorted((float(dict(labels)["le"]), count) for labels, count in after[name + "_bucket"].items())
            counts = [count for _, count in buckets]
            assert counts == sorted(counts) and counts[-1] == value(name + "_count") > 0, name
            assert value(name + "_sum") >= 0
        for name in ["vllm:num_requests_waiting", "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total", "vllm:num_preemptions_total",
                     "vllm:prompt_tokens_total"]:
            assert label in after[name], name
        assert value("vllm:inter_token_latency_seconds_count") >= 12
        assert after["process_resident_memory_bytes"][()] > 1 << 20 and "vllm:cache_config_info" in after
        program.stop()


def test_the_dashboard_asks_for_metrics_that_exist(twllm_path, root):
    dashboard = json.loads((root / "packaging" / "grafana-dashboard.json").read_text())
    asked = set()

    def walk(node):
        if isinstance(node, dict):
            if isinstance(node.get("expr"), str):
                asked.update(re.findall(r"(?:vllm:|twllm:|http_|process_)[a-z0-9_]+", node["expr"]))
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(dashboard)
    with Program(twllm_path, "--port", 0) as program:
        program.ready()
        program.chat()
        there = set(metric_values(program.ask("GET", "/metrics")[1].decode()))
        program.stop()
    assert len(asked) > 10 and asked <= there, asked - there


def test_options_from_environment_file_and_command_line(twllm_path, tmp_path):
    config = tmp_path / "serve.yaml"
    config.write_text("# comment\nport: 0\nserved-model-name: [from-file, 'it''s']  # two\nmax_model_len: 300\napi-key:\n  - key-1\n  - \"key # 2\"\n"
                      "enable-prefix-caching: true\nmodel: null\n")
    with Program(twllm_path, "--config", config, "--max-num-seqs", 3,
                 env={"TWLLM_MAX_MODEL_LEN": "200", "TWLLM_SERVED_MODEL_NAME": "from-environment", "TWLLM_DISABLE_ACCESS_LOG": "1"}) as program:
        assert "model from-file" in program.ready()
        models = json.loads(program.ask("GET", "/v1/models", key="key # 2")[1])["data"]
        assert [(model["id"], model["max_model_len"]) for model in models] == [("from-file", 300), ("it's", 300)]
        assert program.ask("GET", "/v1/models", key="key-3")[0] == 401
        program.stop()
        assert '"GET /v1/models"' not in program.all_log()
    config.write_text(json.dumps({"port": 0, "served-model-name": "a", "max-model-len": 300}))
    with Program(twllm_path, "--served-model-name", "b", "--served-model-name", "c", env={"TWLLM_CONFIG": str(config)}) as program:
        assert "model b," in program.ready()  # the list of the command line replaces that of the file
        program.stop()
    for text, said in [("port 0\n", ":1: not \"name: value\""), ("\nfoo: 1\n", ":2: no such option: foo"), ("port: [1\n", "not closed"),
                       ("any-model: maybe\n", "true or false"), ("a:\n  b: 1\n", "only \"name: value\""), ("- x\n", "an item of no list"),
                       ("port: &a 1\n", "only plain values"), ('{"port": {}}', "neither text"), ("{", "serve.yaml")]:
        config.write_text(text)
        done = subprocess.run([twllm_path, "serve", "--config", config], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode != 0 and said in done.stderr, (text, done.stderr)


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["-tp", "4"], 4, "--tensor-parallel-size 4"),
        (["--pipeline-parallel-size=2"], 4, "only 1 is possible"),
        (["--quantization", "awq"], 2, "none|fp8"),
        (["--enable-lora"], 4, "LoRA"),
        (["--speculative-config", "{}"], 2, "speculative_config: method"),
        (["--device", "cuda:9"], 4, "cuda: "),
        (["--dtype", "float16"], 4, "the weights are"),
        (["--port", "70000"], 2, "0 to 65535"),
        (["--max-model-length", "5"], 2, "did you mean --max-model-len?"),
        (["--ssl-keyfile", "x"], 2, "needs --ssl-certfile"),
        (["--host", "no.such.host.invalid"], 2, "no.such.host.invalid"),
        (["--api-key", ""], 2, "API key 1 is empty"),
        (["--api-key-file", "/nonexistent"], 2, "/nonexistent"),
        (["--chat-template", "/nonexistent"], 2, "/nonexistent"),
        (["/nonexistent"], 5, "/nonexistent"),
    ],
)
def test_what_cannot_be_done_is_said(twllm_path, arguments, code, said):
    done = subprocess.run([twllm_path, "serve", "--port", "0", *arguments], capture_output=True, text=True, timeout=30, check=False,
                          env={"HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}})
    assert said in done.stderr and done.returncode == code, (done.returncode, done.stderr)


def test_a_port_in_use_is_told_at_once(twllm_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = subprocess.run([twllm_path, "serve", "--port", str(port)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 6 and f"port {port}" in done.stderr and "in use" in done.stderr


def test_vllm_command_lines_work(twllm_path):
    with Program(twllm_path, "--port", 0, "--dtype", "auto", "-tp", 1, "--gpu-memory-utilization", "0.9", "--enable-auto-tool-choice", "--tool-call-parser",
                 "llama3_json", "--trust-remote-code", "--enforce-eager", "--disable-log-requests", "--uvicorn-log-level", "warning", "--max-num-seqs", 8,
                 "--seed", 7, "--no-enable-prefix-caching") as program:
        program.ready()
        assert program.chat()[0] == 200
        program.stop()


def test_key_file_and_sighup(twllm_path, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# ours\nsk-old  \n\nsk-also\r\n")
    with Program(twllm_path, "--port", 0, "--api-key-file", keys, env={"TWLLM_API_KEY": "sk-env"}) as program:
        program.ready()
        for key, code in [("sk-old", 200), ("sk-also", 200), ("sk-env", 200), ("# ours", 401), (None, 401)]:
            assert program.ask("GET", "/v1/models", key=key)[0] == code, key
        # Everything but health and the page is guarded.
        for path, code in [("/health", 200), ("/ping", 200), ("/", 200), ("/metrics", 401), ("/version", 401), ("/tokenize", 401), ("/openapi.json", 401)]:
            assert program.ask("GET", path)[0] == code, path
        keys.write_text("sk-new\n")
        program.process.send_signal(signal.SIGHUP)
        program.wait_for_log("read again")
        assert program.ask("GET", "/v1/models", key="sk-old")[0] == 401 and program.ask("GET", "/v1/models", key="sk-new")[0] == 200
        keys.write_text("")  # an emptied file must not open the server
        program.process.send_signal(signal.SIGHUP)
        program.wait_for_log("the old ones stay")
        assert program.ask("GET", "/v1/models")[0] == 401 and program.ask("GET", "/v1/models", key="sk-new")[0] == 200
        program.stop()


def test_https(twllm_path, tmp_path):
    from test_http_server import make_certificate

    certificate, key = make_certificate(tmp_path, "own")
    with Program(twllm_path, "--port", 0, "--ssl-certfile", certificate, "--ssl-keyfile", key) as program:
        try:
            assert "https://127.0.0.1:" in program.ready()
        except AssertionError as error:
            if "without TLS" in str(error):
                pytest.skip("this program was built without OpenSSL")
            raise
        context = ssl.create_default_context(cafile=certificate)
        assert program.ask("GET", "/health", tls=context)[0] == 200
        program.stop()


def test_mandarin(twllm_path):
    with Program(twllm_path, "--port", 0, env={"LC_ALL": "zh_TW.UTF-8"}) as program:
        assert "就緒：http://127.0.0.1:" in program.ready()
        program.stop()


def test_a_log_that_nobody_reads_holds_up_nobody(twllm_path):
    reading, writing = os.pipe()
    process = subprocess.Popen([twllm_path, "serve", "--port", "0"], stdout=subprocess.PIPE, stderr=writing, text=True)
    os.close(writing)
    try:
        port = int(re.search(r":(\d+) ", process.stdout.readline())[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for _ in range(4000):  # far more log than a pipe and the buffer hold together
            connection.request("GET", "/v1/models?" + "x" * 200)
            assert connection.getresponse().read()
        os.set_blocking(reading, False)
        assert len(os.read(reading, 1 << 20)) > 10000
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reading)
