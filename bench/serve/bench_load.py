#!/usr/bin/env python3
"""`twllm serve` under load (build/bench_load): what it costs over the engine, and whether it stands.

  bench_load.py compare [BUILD] [STREAMS] [REQUESTS] [ROUNDS]   beside `twllm bench --requests`, the same load, in turn
  bench_load.py soak [BUILD] [STREAMS] [SECONDS]                with clients that leave, stall and send nonsense

Options of the server behind "--". `compare` accounts the server's processor time by thread: the engine's own threads
compute, the others are what serving costs.
"""
import atexit
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

COMPUTING = ("twllm-engine", "twllm-compute")


class Server:
    """A running `twllm serve` with the embedded model."""

    def __init__(self, build, options):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([build / "twllm", "serve", "--port", "0", "--disable-access-log", *options], stdout=self.log, stderr=self.log)
        atexit.register(self.process.kill)
        for _ in range(600):
            self.log.seek(0)
            match = re.search(r"http://127.0.0.1:(\d+)", self.log.read())
            if match:
                self.port = match[1]
                return
            time.sleep(0.05)
        raise SystemExit("twllm serve did not start")

    def get(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def metrics(self):
        """Values without histograms' buckets; of several labels the sum."""
        values = {}
        for name, value in re.findall(r"^([\w:]+)(?:\{[^\n]*\})? ([^ \n]+)$", self.get("/metrics"), re.M):
            values[name] = values.get(name, 0) + float(value)
        return values

    def threads(self):
        """Processor seconds by name of thread, to the nanosecond."""
        seconds = {}
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            seconds[name] = seconds.get(name, 0) + int((task / "schedstat").read_text().split()[0]) / 1e9
        return seconds

    def memory(self):
        """Resident MiB without file pages (the program and its model)."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^RssAnon:\s+(\d+)", status, re.M)[1]) / 1024

    def settle(self, seconds=30):
        """Waits until nothing runs and the connections are gone; returns the metrics then."""
        for _ in range(seconds * 10):
            values = self.metrics()
            if values["vllm:num_requests_running"] + values["vllm:num_requests_waiting"] == 0 and values["twllm:http_connections"] == 1:
                break
            time.sleep(0.1)
        return values

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=60)


def load(build, port, **settings):
    done = subprocess.run([build / "bench_load", port, *(f"{name}={value}" for name, value in settings.items())], stdout=subprocess.PIPE, check=False)
    return json.loads(done.stdout), done.returncode


def compare(build, streams, requests, rounds, options):
    """The same questions, lengths and concurrency: through the server, and handed to the engine as token ids."""
    questions, tokens = 256, 64
    lines = subprocess.run([build / "bench_load", "questions", f"questions={questions}", f"tokens={tokens}"], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.splitlines()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "load.jsonl"
        server = Server(build, options)
        asked = []
        for line in lines:
            most, text = line.split("\t")
            ids = json.loads(server.get("/tokenize", {"messages": [{"role": "user", "content": text}]}))["tokens"]
            asked.append(json.dumps({"prompt": ids, "max_tokens": int(most)}))
        path.write_text("\n".join(asked[i % questions] for i in range(requests)) + "\n")
        settings = {"streams": streams, "requests": requests, "questions": questions, "tokens": tokens, "seconds": 3600}
        load(build, server.port, **settings | {"requests": streams})  # warms both
        print("| round | through | tokens | tokens/s | processor s of the engine | of serving | serving per token, us | between tokens, ms: p50 | p99 |")
        print("|---|---|---|---|---|---|---|---|---|")
        shares = []
        for turn in range(rounds):
            done = subprocess.run([build / "twllm", "bench", "--requests", path, "--concurrency", str(streams), "--json", *options],
                                  stdout=subprocess.PIPE, check=True)
            alone = json.loads(done.stdout)
            print(f"| {turn + 1} | engine | {alone['tokens']} | {alone['tokens_per_second']:.0f} | {alone['processor_s']:.2f} | | | "
                  f"{alone['gap_ms']['p50']:.1f} | {alone['gap_ms']['p99']:.1f} |")
            for ids in (0, 1):
                before = server.threads()
                served, code = load(build, server.port, ids=ids, **settings)
                assert code == 0 and served["tokens"] == alone["tokens"], (served, alone)
                used = {name: value - before.get(name, 0) for name, value in server.threads().items()}
                engine = sum(used.get(name, 0) for name in COMPUTING)
                serving = sum(used.values()) - engine
                if ids == 0:
                    shares.append(serving / engine)
                print(f"| {turn + 1} | server{' (with token ids)' if ids else ''} | {served['tokens']} | {served['tokens_per_second']:.0f} | {engine:.2f} | "
                      f"{serving:.2f} | {serving / served['tokens'] * 1e6:.1f} | {served['gap_ms']['p50']:.1f} | {served['gap_ms']['p99']:.1f} |")
                print("  ", {name: round(value, 3) for name, value in sorted(used.items())}, "client:", served["client_cpu_s"], file=sys.stderr)
        print(f"\nserving's processor time beside the engine's: {', '.join(f'{share * 100:.2f} %' for share in shares)}")
        assert server.stop() == 0


def soak(build, streams, seconds, options):
    server = Server(build, options)
    memory = []
    ended = threading.Event()

    def watch():
        while not ended.wait(1):
            memory.append(server.memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    few = max(streams // 20, 2)
    result, code = load(build, server.port, streams=streams, seconds=seconds, cancels=2 * few, slow=few, abandons=few, half_open=few, malformed=few,
                        grace=300)
    ended.set()
    watcher.join()
    after = server.settle()
    print(json.dumps(result))
    quarter = max(len(memory) // 4, 1)
    print(f"anonymous memory, MiB: at the start {memory[0]:.1f}, median of each quarter "
          f"{', '.join(f'{sorted(memory[i * quarter:(i + 1) * quarter])[quarter // 2]:.1f}' for i in range(4) if memory[i * quarter:])}, "
          f"idle again {server.memory():.1f}")
    for name in ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "vllm:engine_healthy", "twllm:http_connections",
                 "process_open_fds", "twllm:http_disconnects_total", "vllm:num_preemptions_total"):
        print(f"{name} {after[name]:g}")
    stopped = server.stop()
    leaked = after["vllm:num_requests_running"] + after["vllm:num_requests_waiting"] + after["vllm:kv_cache_usage_perc"]
    sys.exit(code or stopped or (1 if leaked else 0))


def main():
    arguments, options = sys.argv[1:], []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, options = arguments[:at], arguments[at + 1:]
    if not arguments or arguments[0] not in ("compare", "soak"):
        sys.exit(__doc__)
    build = pathlib.Path(arguments[1] if len(arguments) > 1 else "build").resolve()
    numbers = [int(a) for a in arguments[2:]]
    if arguments[0] == "soak":
        soak(build, *(numbers + [1000, 60][len(numbers):]), options)
    else:
        compare(build, *(numbers + [256, 1024, 3][len(numbers):]), options)


if __name__ == "__main__":
    main()
