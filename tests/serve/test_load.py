"""`twllm serve` under load, at a small scale (bench/serve/bench_load.py does it at the real one): well-behaved streams see no
error while other clients leave, stall, read slowly and send nonsense; nothing is leaked; what is too much is refused."""
import http.client
import json
import re
import signal
import subprocess
import time

import pytest

from serving import BUILD, Server

CHAT = "/v1/chat/completions"


def metrics(server):
    values = {}
    for name, value in re.findall(r"^([\w:]+)(?:\{[^\n]*\})? ([^ \n]+)$", server.call("/metrics")[1], re.M):
        values[name] = values.get(name, 0) + float(value)
    return values


def at_rest(server, seconds=20):
    """The metrics once nothing runs and no other connection waits for anything."""
    for _ in range(seconds * 20):
        values = metrics(server)
        if values["vllm:num_requests_running"] + values["vllm:num_requests_waiting"] == 0 and values["twllm:http_connections"] - values["twllm:http_idle_connections"] == 1:
            return values
        time.sleep(0.05)
    raise AssertionError(f"still busy: {values}")


def run_load(server, **settings):
    done = subprocess.run([BUILD / "bench_load", server.url.rsplit(":", 1)[1], *(f"{name}={value}" for name, value in settings.items())],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_soak_at_a_small_scale():
    with Server("--max-num-seqs", 32, "--kv-cache-memory", 16 << 20) as server:
        # Every block of so small a cache has been used, and its memory counted, before the first round.
        prompts = [[100 + i] + list(range(200 + i, 295 + i)) for i in range(40)]
        assert server.call("/v1/completions", {"prompt": prompts, "max_tokens": 1, "cache_salt": "warm"})[0] == 200
        others = {"cancels": 10, "slow": 5, "abandons": 5, "half_open": 5, "malformed": 5}
        run_load(server, streams=100, seconds=2, tokens=16, **others)
        before = at_rest(server)
        result = run_load(server, streams=100, seconds=6, tokens=16, seed=2, **others)
        after = at_rest(server)
        print(result)
        assert result["failed"] == 0 and result["chats"] >= 100
        assert all(result[name] > 0 for name in others)
        assert after["vllm:kv_cache_usage_perc"] == 0 and after["vllm:engine_healthy"] == 1
        assert after["process_open_fds"] <= before["process_open_fds"]
        grown = after["process_resident_memory_bytes"] - before["process_resident_memory_bytes"]
        assert grown < 8 << 20, f"{grown / 1e6:.1f} MB more after the second round"
        log = server.output()
        assert not re.search(r" (ERROR|WARNING) ", log), log[-2000:]


def start_chat(server, tokens, **fields):
    """A connection whose answer has begun, and the response."""
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rsplit(":", 1)[1]), timeout=60)
    body = {"messages": [{"role": "user", "content": "說一個很長的故事。"}], "stream": True, "max_tokens": tokens, "ignore_eos": True, **fields}
    connection.request("POST", CHAT, json.dumps(body), {"Content-Type": "application/json"})
    return connection, connection.getresponse()


def test_clients_that_leave_free_their_sequences_at_once():
    """tests/sim/test_engine_service.c counts the steps; here, that what 40 clients left behind was not generated."""
    with Server() as server:
        chats = [start_chat(server, 1900) for _ in range(40)]
        for _, response in chats:
            assert response.status == 200 and response.readline().startswith(b"data: ")
        before = metrics(server)
        assert before["vllm:num_requests_running"] == 40
        for connection, response in chats:
            response.close()
            connection.close()
        after = at_rest(server, 10)
        wasted = after["vllm:generation_tokens_total"] - before["vllm:generation_tokens_total"]
        print(f"{wasted:.0f} tokens after 40 clients left, of {40 * 1900}")
        assert wasted < 40 * 200 and after["vllm:kv_cache_usage_perc"] == 0


def test_a_full_queue_is_429_with_retry_after():
    with Server("--max-num-seqs", 2, "--max-queued", 4) as server:
        chats = [start_chat(server, 1500) for _ in range(4)]
        assert all(response.status == 200 for _, response in chats)  # two run, two wait
        _, response = start_chat(server, 4)
        error = json.loads(response.read())["error"]
        assert response.status == 429 and 1 <= int(response.headers["Retry-After"]) <= 60
        assert error["type"] == "rate_limit_error" and "4" in error["message"]
        # More completions than there is room for, at once.
        assert server.call("/v1/completions", {"prompt": ["a"] * 5, "max_tokens": 1})[0] == 429
        assert server.call("/health")[0] == 200
        for connection, response in chats[:2]:
            response.close()
            connection.close()
        for connection, response in chats[2:]:  # those that waited run now
            assert b'"content":' in response.readline() and response.readline() == b"\n"
            assert b'"content":' in response.readline()
            response.close()
            connection.close()
        assert at_rest(server)["twllm:requests_refused_total"] == 6  # completions


@pytest.mark.parametrize("patience,whole", [(30, True), (1, False)])
def test_sigterm_lets_running_chats_end(patience, whole):
    server = Server("--timeout-graceful-shutdown", patience)
    with server:
        tokens = 60 if whole else 2000
        connection, response = start_chat(server, tokens)
        response.readline()
        server.process.send_signal(signal.SIGTERM)
        try:
            rest = response.read()
        except http.client.IncompleteRead as broken:
            rest = broken.partial
        assert rest.endswith(b"data: [DONE]\n\n") == whole
        if whole:
            assert rest.count(b"finish_reason\":\"length\"") == 1
        assert server.process.wait(20) == 0
        with pytest.raises(OSError):
            start_chat(server, 1)
