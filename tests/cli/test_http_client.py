"""The HTTP client against servers that behave and servers that do not."""
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time

import pytest


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, code, body=b"", fields=()):
        self.send_response(code)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        server, path = self.server, self.path
        length = int(self.headers.get("Content-Length") or 0)
        sent = self.rfile.read(length)
        server.seen.append((self.command, path, dict(self.headers.items()), sent, self.client_address[1]))
        count = server.count[path] = server.count.get(path, 0) + 1
        if path.startswith("/echo"):
            self.answer(200, json.dumps({"method": self.command, "body": sent.decode(),
                                         "headers": dict(self.headers.items())}).encode(), [("X-Seen", " yes ")])
        elif path == "/range":
            data = bytes(range(256))
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            part = data[int(first):int(last) + 1 if last else None]
            self.answer(206, part.hex().encode())
        elif path.startswith("/hop/"):
            left = int(path.rsplit("/", 1)[1])
            if left:
                self.answer(302, b"go away", [("Location", f"/hop/{left - 1}"), ("X-Seen", "hop")])
            else:
                self.answer(200, b"landed")
        elif path == "/away":
            self.answer(307, b"", [("Location", server.other + "/echo")])
        elif path == "/file":
            self.answer(302, b"", [("Location", "file:///etc/passwd")])
        elif path == "/later":
            if count < 4:
                self.answer([429, 503, 529][count - 1], b"busy")
            else:
                self.answer(200, b"at last")
        elif path == "/retry-after":
            self.answer(*((429, b"", [("Retry-After", "1")]) if count == 1 else (200, b"ok")))
        elif path == "/patience":
            self.answer(429, b"", [("Retry-After", "86400")])
        elif path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif path == "/slow":
            time.sleep(3)
            self.answer(200, b"slow")
        elif path == "/stall":
            self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"12345")
            self.wfile.flush()
            time.sleep(4)
            self.close_connection = True
        elif path == "/garbage":
            self.connection.sendall(b"\x00\x01 not http\r\n\r\n")
            self.close_connection = True
        elif path == "/chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in (b"one ", b"two ", b"three"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        elif path == "/head-flood":
            self.send_response(200)
            for i in range(90):
                self.send_header(f"X-{i}", "a" * 4000)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.answer(404, b"no such page")

    do_POST = do_HEAD = do_PUT = do_GET


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen, self.count, self.other = [], {}, ""
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of the tests


@pytest.fixture
def server():
    one = Server()
    yield one
    one.shutdown()


@pytest.fixture
def send(probe):
    path = probe("probe_http_client")

    def run(*arguments, env=None):
        environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        environment.update(env or {})
        done = subprocess.run([str(path), *arguments], capture_output=True, timeout=60, env=environment)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        if answer["status"] == "UNSUPPORTED" and answer["error"].startswith("HTTP client: "):
            pytest.skip(answer["error"])
        return answer

    return run


def test_get_and_head_fields(server, send):
    answer = send(f"url={server.url}/echo", "Accept=a/b", "X-Empty=")
    assert (answer["status"], answer["code"], answer["seen"], answer["attempts"]) == ("OK", 200, "yes", 1)
    echo = json.loads(answer["body"])
    assert echo["method"] == "GET" and echo["headers"]["Accept"] == "a/b" and echo["headers"]["X-Empty"] == ""
    assert echo["headers"]["User-Agent"] == "twllm"
    answer = send(f"url={server.url}/echo", "method=HEAD")
    assert (answer["status"], answer["code"], answer["body"]) == ("OK", 200, "")


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_body_is_sent_at_once(server, send, method):
    body = "臺" * 20000
    began = time.monotonic()
    answer = send(f"url={server.url}/echo", f"method={method}", f"body={body}", "Content-Type=application/json")
    assert time.monotonic() - began < 0.9  # no wait for "100 Continue"
    echo = json.loads(answer["body"])
    assert (echo["method"], echo["body"]) == (method, body)
    assert echo["headers"]["Content-Type"] == "application/json" and "Expect" not in echo["headers"]


def test_chunks_ranges_and_the_sink(server, send):
    assert send(f"url={server.url}/chunks")["body"] == "one two three"
    answer = send(f"url={server.url}/chunks", "sink=1")
    assert (answer["sunk"], answer["body"], answer["n_body_bytes"]) == ("one two three", "", 13)
    answer = send(f"url={server.url}/missing", "sink=1")  # an error page is not the file that was asked for
    assert (answer["code"], answer["sunk"], answer["body"]) == (404, "", "no such page")
    answer = send(f"url={server.url}/range", "range=250-")
    assert (answer["code"], answer["body"]) == (206, bytes(range(250, 256)).hex())
    assert send(f"url={server.url}/range", "range=1-2")["body"] == "0102"


def test_redirects(server, send):
    answer = send(f"url={server.url}/hop/3")
    assert (answer["code"], answer["body"], answer["seen"]) == (302, "go away", "hop")
    answer = send(f"url={server.url}/hop/3", "redirects=3")
    assert (answer["code"], answer["body"], answer["seen"]) == (200, "landed", "")  # the last head only
    answer = send(f"url={server.url}/hop/3", "redirects=2")
    assert answer["status"] == "LIMIT" and "redirects" in answer["error"]
    answer = send(f"url={server.url}/file", "redirects=5")
    assert answer["status"] == "UNSUPPORTED" and "root:" not in json.dumps(answer)


def test_a_key_stays_with_its_host(server, send):
    other = Server()
    server.other = other.url.replace("127.0.0.1", "localhost")
    answer = send(f"url={server.url}/away", "redirects=2", "Authorization=Bearer secret", "method=POST", "body=x")
    echo = json.loads(answer["body"])
    assert echo["method"] == "POST" and echo["body"] == "x" and "Authorization" not in echo["headers"]
    assert server.seen[0][2]["Authorization"] == "Bearer secret"
    other.shutdown()


def test_connections_are_kept(server, send):
    send(f"url={server.url}/echo", "repeat=5")
    assert len(server.seen) == 5 and len({one[4] for one in server.seen}) == 1


def test_trying_again(server, send):
    answer = send(f"url={server.url}/later", "tries=5")
    assert (answer["code"], answer["body"], answer["attempts"]) == (200, "at last", 4)
    waits = [one.split(":") for one in answer["waits"].split("|")]
    assert [one[2] for one in waits] == ["HTTP 429", "HTTP 503", "HTTP 529"]
    for (_, ms, _), longest in zip(waits, (20, 40, 80)):
        assert longest / 2 - 1 <= int(ms) <= longest
    answer = send(f"url={server.url}/later2", "tries=5")
    assert (answer["code"], answer["attempts"]) == (404, 1)  # asking again would not help


def test_retry_after(server, send):
    began = time.monotonic()
    answer = send(f"url={server.url}/retry-after", "tries=2")
    assert answer["body"] == "ok" and 1 <= time.monotonic() - began < 3
    began = time.monotonic()
    answer = send(f"url={server.url}/patience", "tries=2", "longest=1")  # a day is too long
    assert (answer["code"], answer["attempts"]) == (429, 2) and time.monotonic() - began < 3


@pytest.mark.parametrize("path, options, status", [
    ("/cut", [], "IO"), ("/garbage", [], "IO"), ("/slow", ["timeout=1"], "LIMIT"), ("/stall", ["stall=1"], "LIMIT"),
    ("/echo", ["max=10"], "LIMIT"), ("/head-flood", [], "LIMIT"), ("/echo", ["cancel=1"], "CANCELLED"),
])
def test_failures_have_a_name(server, send, path, options, status):
    answer = send(f"url={server.url}{path}", *options)
    assert answer["status"] == status and answer["error"].startswith(server.url), answer


def test_what_is_tried_again(server, send):
    assert send(f"url={server.url}/cut", "tries=3")["attempts"] == 3
    assert send(f"url={server.url}/slow", "timeout=1", "tries=2")["attempts"] == 2
    assert send(f"url={server.url}/echo", "max=10", "tries=3")["attempts"] == 1  # it would be too long again


def test_no_server(send):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answer = send(f"url=http://127.0.0.1:{port}/", "tries=2")
    assert (answer["status"], answer["attempts"], answer["code"]) == ("IO", 2, 0)


@pytest.mark.parametrize("url, status", [("http://", "INVALID"), ("gopher://a/", "UNSUPPORTED"),
                                         ("file:///etc/passwd", "UNSUPPORTED"), ("http://a:b:c/", "INVALID")])
def test_other_urls(send, url, status):
    assert send(f"url={url}")["status"] == status


@pytest.mark.parametrize("field", ["X=a\r\nY: b", "X=a\nb", "X Y=a", "X\r\nY=a"])
def test_nothing_is_slipped_into_a_head(server, send, field):
    answer = send(f"url={server.url}/echo", field)
    assert answer["status"] == "INVALID" and not server.seen


def test_proxy(server, send):
    for options, env in ((["proxy=" + server.url], {}), ([], {"http_proxy": server.url})):
        answer = send("url=http://nowhere.invalid/x", *options, env=env)
        assert answer["code"] == 404 and server.seen[-1][1] == "http://nowhere.invalid/x"
    answer = send("url=http://nowhere.invalid/x", env={"http_proxy": server.url, "no_proxy": ".invalid"})
    assert answer["status"] == "IO"
    answer = send("url=http://nowhere.invalid/x", "proxy=", env={"http_proxy": server.url})
    assert answer["status"] == "IO"


def test_tls_is_verified(send, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem", "-subj", "/CN=test",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server = Server(context)
    answer = send(f"url={server.url}/echo")
    assert answer["status"] == "IO" and "certificate" in answer["error"].lower() and not server.seen
    answer = send(f"url={server.url}/echo", f"ca={tmp_path / 'cert.pem'}")
    assert answer["code"] == 200
    answer = send(f"url={server.url.replace('127.0.0.1', 'localhost')}/echo", f"ca={tmp_path / 'cert.pem'}")
    assert answer["status"] == "IO" and not any(one[1] == "/hop" for one in server.seen)  # another name
    server.shutdown()
