"""A running `twllm serve`, for the tests of this folder.

    with Server("--api-key", "token") as server: requests.get(server.url + "/health")
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("TWLLM_BUILD") or ROOT / "build").resolve()


class Server:
    def __init__(self, *arguments, model=None):
        self.arguments = [*map(str, ([model] if model else [])), *map(str, arguments)]
        self.log = tempfile.TemporaryFile("w+")
        self.process = None
        self.url = None

    def __enter__(self):
        program = [str(BUILD / "twllm"), "serve", "--port", "0", "--kv-cache-memory", str(256 << 20)]
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        self.process = subprocess.Popen(
            program + self.arguments, stdout=self.log, stderr=subprocess.STDOUT, env=environment
        )
        for _ in range(600):
            match = re.search(r"https?://[\w.\[\]:]*:\d+", self.output())
            if match:
                self.url = match.group(0)
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"twllm serve did not start: {self.output()}")

    def output(self):
        self.log.seek(0)
        return self.log.read()

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert code == 0, f"twllm serve ended with {code}: {self.output()}"

    def call(self, path, body=None, method=None, headers=()):
        """(status, parsed JSON or text)"""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=dict(headers))
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                status, text = response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def events(self, path, body, headers=()):
        """The events of a stream: (name or None, data as text)."""
        request = urllib.request.Request(self.url + path, data=json.dumps(body).encode(), headers=dict(headers))
        request.add_header("Content-Type", "application/json")
        events = []
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.headers["Content-Type"].startswith("text/event-stream")
            for block in response.read().decode().split("\n\n"):
                name, data = None, []
                for line in block.split("\n"):
                    if line.startswith("event: "):
                        name = line[7:]
                    if line.startswith("data: "):
                        data.append(line[6:])
                if data:
                    events.append((name, "\n".join(data)))
        return events

    def idle(self, seconds=5):
        """Waits until no request is being answered."""
        for _ in range(int(seconds * 50)):
            if self.call("/load")[1]["server_load"] == 0:
                return True
            time.sleep(0.02)
        return False
