"""A server to test (probe_http_server), and a client that does what no library would."""
import contextlib
import json
import os
import queue
import re
import signal
import socket
import subprocess
import threading
import time


class Server:
    def __init__(self, path, *options, env=None, count=None):
        self.process = subprocess.Popen([str(path), "port=0", *options], stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})},
                                        preexec_fn=count)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        line = self.wait_for("listening|failed")
        assert line.startswith("listening"), line
        self.url = line.split()[1]
        self.port = int(re.search(r"port (\d+)", line)[1])
        self.has_tls = line.endswith("tls 1")

    def _read(self):
        for line in self.process.stdout:
            self.lines.put((time.time(), line.rstrip("\n")))
        self.lines.put((time.time(), "end of output"))

    def wait_for(self, pattern, timeout=10):
        """The first line from now on that matches; what comes before is dropped."""
        ends = time.time() + timeout
        seen = []
        while True:
            try:
                self.time, line = self.lines.get(timeout=max(ends - time.time(), 0.01))
            except queue.Empty:
                raise AssertionError(f"no line like {pattern!r} in {timeout} s; came: {seen}") from None
            seen.append(line)
            if re.search(pattern, line):
                return line
            if line == "end of output" and time.time() > ends - timeout + 0.1:
                raise AssertionError(f"the server ended without a line like {pattern!r}: {seen}")

    def connect(self, timeout=5):
        client = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def exchange(self, data, timeout=5):
        """Sends bytes, reads until the server closes."""
        with self.connect(timeout) as client:
            client.sendall(data)
            return read_all(client)

    def get(self, path, headers=""):
        return Response(self.exchange(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n".encode()))

    def counts(self):
        return json.loads(self.get("/counts").body)

    def memory(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def processor_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Ends it properly; what it counts at the end must be nothing."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        line = self.wait_for("^ended", 10)
        assert self.process.wait(10) == 0
        assert line == "ended OK active 0 body_bytes 0", line


@contextlib.contextmanager
def serving(path, *options, **more):
    server = Server(path, *options, **more)
    try:
        yield server
        server.stop()
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()


def read_all(client):
    data = b""
    while True:
        try:
            piece = client.recv(65536)
        except ConnectionResetError:
            return data + b"<reset>"
        if not piece:
            return data
        data += piece


def read_until(client, end):
    data = b""
    while end not in data:
        piece = client.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    return data


class Response:
    """The first response in `data`, taken apart by hand; `rest` is what follows."""

    def __init__(self, data):
        head, found, rest = data.partition(b"\r\n\r\n")
        assert found, f"no whole head in {data[:300]!r}"
        lines = head.decode("latin-1").split("\r\n")
        version, code, self.reason = lines[0].split(" ", 2)
        assert version == "HTTP/1.1"
        self.code = int(code)
        self.headers = {}
        for line in lines[1:]:
            name, value = line.split(": ", 1)
            assert name.lower() not in self.headers, f"{name} twice"
            self.headers[name.lower()] = value
        if self.headers.get("transfer-encoding") == "chunked":
            self.body, self.rest = self._chunks(rest)
        else:
            length = int(self.headers.get("content-length", 0))
            self.body, self.rest = rest[:length], rest[length:]

    @staticmethod
    def _chunks(data):
        body = b""
        while True:
            line, found, data = data.partition(b"\r\n")
            if not found:
                raise AssertionError("the stream is incomplete")
            size = int(line, 16)
            body += data[:size]
            assert data[size:size + 2] == b"\r\n"
            data = data[size + 2:]
            if size == 0:
                return body, data

    @property
    def error(self):
        assert self.headers["content-type"] == "application/json"
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error
