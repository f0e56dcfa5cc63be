"""The HTTP server with raw sockets: what well-behaved, slow, broken and hostile clients see, and what they cost."""
import http.client
import os
import re
import resource
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import h11
import pytest

from http_probe import Response, Server, read_all, read_until, serving

HOST = b"Host: localhost\r\n"
GET = b"GET /empty HTTP/1.1\r\n" + HOST + b"\r\n"
CLOSING = b"GET /empty HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"


@pytest.fixture(scope="module")
def path(probe):
    return probe("probe_http_server")


@pytest.fixture(scope="module")
def server(path):
    with serving(path) as server:
        yield server


def post(path, body, headers=b"", close=True):
    return (b"POST " + path + b" HTTP/1.1\r\n" + HOST + (b"Connection: close\r\n" if close else b"") + b"Content-Length: %d\r\n" % len(body) + headers +
            b"\r\n" + body)


# ---- the ordinary ---------------------------------------------------------------------------------


def test_a_response_has_what_rfc_9110_asks_for(server):
    response = server.get("/empty")
    assert (response.code, response.body, response.headers["content-type"]) == (200, b"ok\n", "text/plain")
    assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} 20\d\d \d\d:\d\d:\d\d GMT", response.headers["date"])
    assert response.headers["connection"] == "close"


def test_two_libraries_understand_it(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    for _ in range(3):  # one connection
        connection.request("POST", "/echo?x=1", body="臺灣".encode(), headers={"X-Request-Id": "my-id.1"})
        response = connection.getresponse()
        text = response.read().decode()
        assert response.status == 200 and response.headers["X-Request-Id"] == "my-id.1"
        assert "method=POST\npath=/echo\nquery=x=1" in text and text.endswith("bytes=6\n\n臺灣")
    connection.close()
    with server.connect() as client:
        peer = h11.Connection(h11.CLIENT)
        client.sendall(peer.send(h11.Request(method="GET", target="/stream?count=3", headers=[("host", "localhost")])) + peer.send(h11.EndOfMessage()))
        body, event = b"", None
        while not isinstance(event, h11.EndOfMessage):
            event = peer.next_event()
            if event is h11.NEED_DATA:
                peer.receive_data(client.recv(65536))
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
        assert body == b'data: {"n":0}\n\ndata: {"n":1}\n\ndata: {"n":2}\n\n'


def test_pipelined_requests_are_answered_in_order(server):
    n = 200
    data = b"".join(b"GET /echo?n=%d HTTP/1.1\r\n" % i + HOST + (b"Connection: close\r\n" if i == n - 1 else b"") + b"\r\n" for i in range(n))
    rest = server.exchange(data)
    for i in range(n):
        response = Response(rest)
        rest = response.rest
        assert f"query=n={i}\n".encode() in response.body
    assert rest == b""


def test_refused_requests_between_others(server):
    kinds = [(b"GET /nothing", 404), (b"DELETE /echo", 405), (b"GET /empty", 200), (b"OPTIONS /echo", 204), (b"BREW /", 501)] * 10
    rest = server.exchange(b"".join(line + b" HTTP/1.1\r\n" + HOST + b"\r\n" for line, _ in kinds) + CLOSING)
    for _, code in kinds:
        response = Response(rest)
        assert response.code == code
        rest = response.rest
    assert Response(rest).body == b"ok\n"


def test_a_pipelined_stream_and_what_follows(server):
    rest = server.exchange(b"GET /stream?count=20&interval_us=5000 HTTP/1.1\r\n" + HOST + b"\r\n" + post(b"/echo", b"after"))
    stream = Response(rest)
    assert stream.body.count(b"data: ") == 20
    assert Response(stream.rest).body.endswith(b"after")


def test_head_options_and_asset(server):
    data = server.exchange(b"HEAD /echo HTTP/1.1\r\n" + HOST + b"\r\n" + b"HEAD /stream?count=2 HTTP/1.1\r\n" + HOST + b"\r\n" + CLOSING)
    head, found, rest = data.partition(b"\r\n\r\n")
    assert b"Content-Length: " in head and found
    stream, _, rest = rest.partition(b"\r\n\r\n")
    assert b"text/event-stream" in stream and rest.startswith(b"HTTP/1.1 200")  # no body in between
    options = Response(server.exchange(b"OPTIONS /echo HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"))
    assert options.code == 204 and options.headers["allow"] == "GET, HEAD, POST, OPTIONS" and "access-control-allow-origin" not in options.headers
    assert Response(server.exchange(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")).code == 204
    page = server.get("/")
    assert page.code == 200 and "臺灣" in page.body.decode() and page.headers["content-security-policy"] == "default-src 'self'"
    again = server.get("/", f"If-None-Match: W/\"x\", {page.headers['etag']}\r\n")
    assert again.code == 304 and again.body == b"" and "content-length" not in again.headers


def test_http_1_0(server):
    assert server.exchange(b"GET /empty HTTP/1.0\r\n\r\n").endswith(b"ok\n")
    data = server.exchange(b"GET /empty HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /empty HTTP/1.0\r\n\r\n")
    assert data.count(b"ok\n") == 2 and data.count(b"Connection: keep-alive") == 1
    stream = server.exchange(b"GET /stream?count=2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")  # its end is the connection's
    assert b"chunked" not in stream and b"Connection: close" in stream and stream.count(b"data:") == 2


def test_expect_100_continue(server):
    with server.connect() as client:
        client.sendall(b"POST /echo HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        assert Response(read_all(client)).body.endswith(b"hello")
    with server.connect() as client:  # refused before the body is sent
        client.sendall(b"POST /small HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n")
        assert Response(read_all(client)).code == 413


def test_request_ids_that_are_not_safe_are_replaced(server):
    for bad in ['a"b', "a b", "a<b>", "x" * 129, "臺"]:
        shown = server.get("/echo", f"X-Request-Id: {bad}\r\n".encode().decode("latin-1") if bad != "臺" else "X-Request-Id: \xe8\x87\xba\r\n")
        assert re.fullmatch(r"[0-9a-f]{24}", shown.headers["x-request-id"])
    ids = {server.get("/empty").headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


# ---- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_bytes, code, field",
    [
        (b"GET /nothing HTTP/1.1\r\n" + HOST + b"\r\n", 404, None),
        (b"DELETE /echo HTTP/1.1\r\n" + HOST + b"\r\n", 405, ("allow", "GET, HEAD, POST, OPTIONS")),
        (b"BREW /echo HTTP/1.1\r\n" + HOST + b"\r\n", 501, None),
        (b"get /echo HTTP/1.1\r\n" + HOST + b"\r\n", 501, None),
        (b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n", 501, None),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505, ("connection", "close")),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, ("connection", "close")),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 101 + b"\r\n", 431, ("connection", "close")),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 40000 + b"\r\n\r\n", 431, ("connection", "close")),
        (b"POST /small HTTP/1.1\r\n" + HOST + b"Content-Length: 1001\r\n\r\n", 413, ("connection", "close")),
        (post(b"/small", b"x" * 1001), 413, None),
        (b"POST /small HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n", 413, ("connection", "close")),
        (post(b"/json", b"{}"), 200, None),
        (post(b"/json", b"{}", b"Origin: http://127.0.0.1\r\n"), 415, None),
        (post(b"/json", b"{}", b"Content-Type: text/plain\r\n"), 415, None),
        (post(b"/json", b"{}", b"Content-Type: Application/JSON; charset=utf-8\r\n"), 200, None),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Expect: x\r\n\r\n", 417, None),
        (b"GET / HTTP/1.1\r\n\r\n", 400, ("connection", "close")),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, ("connection", "close")),  # TLS on a plain port
        (b"GET /busy HTTP/1.1\r\n" + HOST + b"\r\n", 429, ("retry-after", "3")),
        (b"GET /forgotten HTTP/1.1\r\n" + HOST + b"\r\n", 500, None),
        (b"GET /inject HTTP/1.1\r\n" + HOST + b"\r\n", 200, None),
        (b"GET /%2e%2e/counts HTTP/1.1\r\n" + HOST + b"\r\n", 404, None),
        (b"GET /models/ HTTP/1.1\r\n" + HOST + b"\r\n", 404, None),
        (b"GET /models/a/b%20c HTTP/1.1\r\n" + HOST + b"\r\n", 200, None),
    ],
)
def test_codes(server, request_bytes, code, field):
    with server.connect() as client:
        client.sendall(request_bytes)
        response = Response(read_until_response(client))
    assert response.code == code
    if field:
        assert response.headers[field[0]] == field[1]
    if code >= 400:
        assert response.error["message"] and response.error["type"]
    else:
        assert "x-injected" not in response.headers


def read_until_response(client):
    data = read_until(client, b"\r\n\r\n")
    length = int(re.search(rb"Content-Length: (\d+)", data)[1])
    while len(data.partition(b"\r\n\r\n")[2]) < length:
        data += client.recv(65536)
    return data


def test_a_large_refused_body_does_not_cost_the_answer(path):
    """What is sent behind the refusal is read for a while: a reset would take the answer from the client (the complaint
    about evhttp)."""
    with serving(path) as server:
        for _ in range(20):
            with server.connect() as client:
                client.sendall(b"POST /small HTTP/1.1\r\n" + HOST + b"Content-Length: 500000\r\n\r\n")
                client.sendall(b"x" * 500000)
                response = Response(read_all(client))
                assert response.code == 413 and response.rest == b""


def test_bodies_of_all_requests_together_are_bounded(path):
    with serving(path, "max_total_body_bytes=100000", "max_body_bytes=90000") as server:
        first = server.connect()
        first.sendall(post(b"/echo", b"x" * 90000)[:-10])
        time.sleep(0.2)
        assert server.counts()["body_bytes"] > 60000
        answer = Response(server.exchange(post(b"/echo", b"x" * 60000)))
        assert answer.code == 503
        first.close()
        time.sleep(0.2)
        assert Response(server.exchange(post(b"/echo", b"x" * 60000))).code == 200
        assert server.counts()["body_bytes"] == 0


# ---- who may ask ----------------------------------------------------------------------------------


def test_keys(path):
    with serving(path, "key=sk-one", "key=sk-two") as server:
        for headers, index in [("Authorization: Bearer sk-one\r\n", 0), ("Authorization: bearer sk-two\r\n", 1), ("X-Api-Key: sk-two\r\n", 1)]:
            assert f"key={index}\n".encode() in server.get("/echo", headers).body
        for headers in ["", "Authorization: Bearer sk-on\r\n", "Authorization: Bearer sk-onee\r\n", "Authorization: sk-one\r\n", "Authorization: Basic sk-one\r\n",
                        "Authorization: Bearer \r\n", "X-Api-Key:\r\n"]:
            response = server.get("/echo", headers)
            assert response.code == 401 and response.error["code"] == "invalid_api_key" and response.headers["www-authenticate"] == "Bearer"
        # Everything but health and the page is guarded, what does not exist included, and however the path is written.
        for target in ["/nothing", "/echo/", "//echo", "/%65cho", "/health/../echo", "/health?x", "/health%2f..%2fecho", "/echo?/health", "/./echo"]:
            assert server.get(target).code == (200 if target == "/health?x" else 401), target
        assert server.get("/health").code == server.get("/").code == 200
        assert Response(server.exchange(b"GET http://localhost/echo HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")).code == 401
        # The body of a stranger is not read.
        assert Response(server.exchange(b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n")).code == 401


def test_names_that_resolve_to_this_machine(path):
    """DNS rebinding: a page's own name may resolve to 127.0.0.1, but the browser still sends it as Host."""
    def code(server, host):
        return Response(server.exchange(f"GET /empty HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())).code

    with serving(path) as server:
        for host in ["localhost", "localhost:8000", "127.0.0.1", "127.0.0.1:99", "[::1]:1", "LOCALHOST", "127.1.2.3"]:
            assert code(server, host) == 200, host
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.0.1", "localhost.", "[::2]"]:
            assert code(server, host) == 403, host
    with serving(path, "allow_host=chat.example") as server:
        assert code(server, "chat.example") == 200 and code(server, "evil.example") == 403
    with serving(path, "host=0.0.0.0") as server:
        assert code(server, "any.example") == 200


def test_pages_of_other_sites(path):
    with serving(path) as server:  # CORS is off
        assert "access-control-allow-origin" not in server.get("/empty", "Origin: http://a.example\r\n").headers
        preflight = b"OPTIONS /echo HTTP/1.1\r\n" + HOST + b"Connection: close\r\nOrigin: http://a.example\r\nAccess-Control-Request-Method: POST\r\n\r\n"
        assert Response(server.exchange(preflight)).code == 403
        assert Response(server.exchange(post(b"/echo", b"", b"Sec-Fetch-Site: cross-site\r\n"))).code == 403
        assert Response(server.exchange(post(b"/echo", b"", b"Sec-Fetch-Site: same-origin\r\n"))).code == 200
    with serving(path, "origin=http://a.example", "key=k") as server:
        allowed = Response(server.exchange(preflight))
        assert allowed.code == 204 and allowed.headers["access-control-allow-origin"] == "http://a.example" and allowed.headers["vary"] == "Origin"
        assert allowed.headers["access-control-allow-methods"] == "*"
        other = server.get("/echo", "Origin: http://b.example\r\nAuthorization: Bearer k\r\n")
        assert other.code == 200 and "access-control-allow-origin" not in other.headers
        assert server.get("/echo", "Origin: http://a.example\r\n").headers["access-control-allow-origin"] == "http://a.example"  # 401 can be read
    with serving(path, "origin=*") as server:
        assert server.get("/empty", "Origin: http://b.example\r\n").headers["access-control-allow-origin"] == "*"


# ---- clients that are slow, or gone ------------------------------------------------------------------


def test_slow_loris(path):
    """One byte at a time keeps nothing open longer than the limit, which counts from the first byte."""
    with serving(path, "head_ms=400", "body_ms=400", "first_byte_ms=400", "idle_ms=400") as server:
        for data, answer in [(b"", b""), (GET[:10], b"HTTP/1.1 408"), (post(b"/echo", b"x" * 100)[:-50], b"HTTP/1.1 408"), (GET, b"HTTP/1.1 200")]:
            with server.connect() as client:
                began = time.time()
                client.sendall(data)
                got, client_ends = b"", False
                client.settimeout(0.05)
                while time.time() < began + 3 and not client_ends:
                    try:
                        piece = client.recv(4096)
                        got += piece
                        client_ends = not piece
                    except TimeoutError:
                        if data and data != GET:
                            client.send(b"x")  # goes on dripping
                    except ConnectionResetError:
                        client_ends = True
                assert client_ends and got.startswith(answer), (data, got)
                assert time.time() - began < 1.5
        assert server.counts()["connections"] == 1


@pytest.mark.parametrize("way", ["close", "reset", "half", "server-kill"])
def test_a_client_that_leaves_a_stream_is_noticed_at_once(path, way):
    with serving(path) as server:
        delays = []
        for _ in range(10 if way != "server-kill" else 1):
            client = server.connect()
            # Nothing is being written when it leaves: the next event is 10 s away.
            client.sendall(b"GET /stream?count=5&interval_us=10000000 HTTP/1.1\r\n" + HOST + b"\r\n")
            read_until(client, b"{\"n\":0}")
            left = time.time()
            if way == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if way == "half":
                client.shutdown(socket.SHUT_WR)
            elif way == "server-kill":
                server.signal(signal.SIGTERM)
                server.wait_for(r"^gone \d+ at ", timeout=8)  # the drain ran out of patience
                client.close()
                return
            else:
                client.close()
            line = server.wait_for(r"^gone \d+ at ")
            delays.append(float(line.split()[3]) - left)
            if way == "half":
                client.close()
        print(f"{way}: noticed after {sorted(delays)[len(delays) // 2] * 1000:.2f} ms (median), {max(delays) * 1000:.2f} ms (worst)")
        assert max(delays) < 0.1


def test_a_client_that_leaves_while_it_waits(path):
    with serving(path) as server:
        clients = []
        for _ in range(50):
            client = server.connect()
            client.sendall(post(b"/hold", b"x" * 1000, close=False))
            server.wait_for("^held")
            clients.append(client)
        for client in clients:
            client.close()
        for _ in range(50):
            server.wait_for("^gone")
        assert server.counts()["connections"] == 1


def test_a_slow_reader_holds_up_nobody_and_is_bounded(path):
    with serving(path, "max_pending_bytes=300000") as server:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", server.port))
        slow.sendall(b"GET /stream?count=100000&interval_us=0&bytes=4096 HTTP/1.1\r\n" + HOST + b"\r\n")
        line = server.wait_for("^limit")
        assert int(line.split()[3]) <= 300000
        assert server.get("/empty").code == 200
        slow.close()


def test_a_stalled_reader_is_given_up(path):
    with serving(path, "write_stall_ms=500") as server:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", server.port))
        slow.sendall(b"GET /stream?count=100000&interval_us=1000&bytes=4096 HTTP/1.1\r\n" + HOST + b"\r\n")
        server.wait_for("^begun")
        began = time.time()
        server.wait_for("^gone", timeout=8)
        assert 0.3 < time.time() - began < 5
        slow.close()


def test_a_response_that_breaks_off_can_be_told_from_one_that_ends(server):
    data = server.exchange(b"GET /half HTTP/1.1\r\n" + HOST + b"\r\n")
    assert b"half" in data
    with pytest.raises(AssertionError, match="incomplete"):
        Response(data)


def test_many_idle_connections_cost_nothing(path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n = min(2000, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, n + 200)), hard))
    try:
        with serving(path, "idle_ms=60000") as server:
            clients = [server.connect() for _ in range(50)]  # what the first ones allocate is not counted
            before = server.memory()
            clients += [server.connect() for _ in range(n - 50)]
            for client in clients:
                client.sendall(GET)
            for client in clients:
                assert Response(read_until_response(client)).code == 200
            each = (server.memory() - before) / n
            used = server.processor_seconds()
            time.sleep(1)
            used = server.processor_seconds() - used
            counts = server.counts()
            assert counts["idle"] == n and counts["connections"] == n + 1
            print(f"{n} idle connections: {each:.0f} bytes each, {used:.3f} s of processor in a second")
            assert each < 4096 and used <= 0.1  # the clock ticks in hundredths; the machine is shared
            for client in clients:
                client.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_many_connections(path):
    with serving(path, "max_connections=10") as server:
        idle = [server.connect() for _ in range(10)]
        time.sleep(0.1)
        assert server.get("/empty").code == 200  # the longest idle one went
        assert idle[0].recv(1) == b""
        for client in idle:
            client.close()
        time.sleep(0.1)
        busy = [server.connect() for _ in range(10)]
        for client in busy:
            client.sendall(b"GET /hold HTTP/1.1\r\n" + HOST + b"\r\n")
            server.wait_for("^held")
        full = Response(server.exchange(b""))
        assert full.code == 503 and full.headers["retry-after"] == "1" and full.error["type"] == "server_error"
        for client in busy:
            client.close()
        for _ in busy:
            server.wait_for("^gone")
        assert server.get("/empty").code == 200


def test_out_of_file_descriptors(path):
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

    with serving(path, count=few) as server:
        clients = []
        for _ in range(80):
            clients.append(server.connect())
        time.sleep(0.3)
        used = server.processor_seconds()
        time.sleep(0.5)
        assert server.processor_seconds() - used < 0.2  # it does not spin
        assert server.get("/empty").code == 200  # idle connections made room
        for client in clients:
            client.close()
        time.sleep(0.2)
        busy = []
        for _ in range(60):  # none is idle now
            client = server.connect()
            client.settimeout(1)
            try:
                client.sendall(b"GET /hold HTTP/1.1\r\n" + HOST + b"\r\n")
            except OSError:
                pass
            busy.append(client)
        time.sleep(0.3)
        for client in busy:
            client.close()
        time.sleep(0.3)
        assert server.get("/empty").code == 200


def test_malformed_requests_one_after_another(server):
    """The smuggling tricks over the wire: each is answered or hung up on, and none answers the request hidden in it."""
    from test_http_parser import smuggling_tricks

    before = server.counts()
    tricks = list(smuggling_tricks())[::3]
    for data in tricks:
        with server.connect() as client:
            client.sendall(data.replace(b"Host: h\r\n", HOST))
            client.shutdown(socket.SHUT_WR)
            read_all(client)
    time.sleep(0.1)
    after = server.counts()
    assert after["active"] == before["active"] and after["connections"] == 1 and after["body_bytes"] == 0


# ---- stopping and reloading ---------------------------------------------------------------------------


def test_sigterm_drains(path):
    with serving(path, "drain_ms=5000") as server:
        idle, stream = server.connect(), server.connect()
        stream.sendall(b"GET /stream?count=20&interval_us=30000 HTTP/1.1\r\n" + HOST + b"\r\n")
        server.wait_for("^begun")
        server.signal(signal.SIGTERM)
        time.sleep(0.1)
        assert idle.recv(1) == b""  # closed at once
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        assert Response(read_all(stream)).body.count(b"data:") == 20  # the running answer is whole
        server.wait_for("^ended OK active 0")
        assert server.process.wait(2) == 0
        server.lines.put((0, "ended OK active 0 body_bytes 0"))  # for stop()


def test_a_drain_has_an_end(path):
    with serving(path, "drain_ms=300") as server:
        stream = server.connect()
        stream.sendall(b"GET /stream?count=1000&interval_us=100000 HTTP/1.1\r\n" + HOST + b"\r\n")
        server.wait_for("^begun")
        began = time.time()
        server.signal(signal.SIGTERM)
        server.wait_for("^gone")
        assert 0.2 < time.time() - began < 1.5
        with pytest.raises(AssertionError, match="incomplete"):
            Response(read_all(stream))


def test_unix_socket(path, tmp_path):
    place = str(tmp_path / "s")
    with serving(path, f"uds={place}") as server:
        assert server.url == f"unix:{place}" and os.stat(place).st_mode & 0o777 == 0o660
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(place)
                client.sendall(CLOSING)
                assert read_all(client).endswith(b"ok\n")
        client = socket.socket(socket.AF_UNIX)
        client.connect(place)
        client.sendall(b"GET /stream?count=5&interval_us=10000000 HTTP/1.1\r\n" + HOST + b"\r\n")
        server.wait_for("^begun")
        client.close()
        server.wait_for("^gone")
        other = subprocess.run([str(path), f"uds={place}"], stdout=subprocess.PIPE, text=True, timeout=5, check=False)
        assert "another server listens" in other.stdout
    assert not os.path.exists(place)
    with socket.socket(socket.AF_UNIX) as stale:  # left behind by a crash
        stale.bind(place)
    with serving(path, f"uds={place}"):
        pass
    (tmp_path / "file").write_text("mine")
    other = subprocess.run([str(path), f"uds={tmp_path}/file"], stdout=subprocess.PIPE, text=True, timeout=5, check=False)
    assert "not a socket" in other.stdout and (tmp_path / "file").read_text() == "mine"


# ---- TLS ------------------------------------------------------------------------------------------


def make_certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"],
                   check=True, stderr=subprocess.DEVNULL)
    return f"{folder}/{name}.pem", f"{folder}/{name}.key"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory, server):
    if not server.has_tls:
        pytest.skip("this program was built without OpenSSL")
    folder = tmp_path_factory.mktemp("tls")
    return [make_certificate(folder, name) for name in ("one", "two")]


def tls_client(server, certificate, **more):
    context = ssl.create_default_context(cafile=certificate)
    for name, value in more.items():
        setattr(context, name, value)
    return context.wrap_socket(server.connect(), server_hostname="localhost")


def test_tls(path, certificates):
    (certificate, key), _ = certificates
    with serving(path, f"cert={certificate}", f"tlskey={key}", "first_byte_ms=1000") as server:
        assert server.url.startswith("https://")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with tls_client(server, certificate, minimum_version=version, maximum_version=version) as client:
                client.sendall(post(b"/echo", b"x" * 300000))
                response = Response(read_all(client))
                assert response.code == 200 and response.body.endswith(b"x" * 300000)
        with tls_client(server, certificate) as client:
            client.sendall(b"GET /stream?count=50&interval_us=1000 HTTP/1.1\r\n" + HOST + b"\r\n" + CLOSING)
            stream = Response(read_all(client))
            assert stream.body.count(b"data:") == 50 and Response(stream.rest).body == b"ok\n"
        client = tls_client(server, certificate)
        client.sendall(b"GET /stream?count=5&interval_us=10000000 HTTP/1.1\r\n" + HOST + b"\r\n")
        read_until(client, b'{"n":0}')
        left = time.time()
        client.close()
        assert float(server.wait_for(r"^gone").split()[3]) - left < 0.1
        assert b"ok" not in server.exchange(GET)  # plain text on a TLS port
        with server.connect() as silent:  # a handshake that never comes
            assert silent.recv(1) == b""
        with pytest.raises(ssl.SSLError):
            tls_client(server, certificate, maximum_version=ssl.TLSVersion.TLSv1_1).close()


def test_sighup_reads_certificate_and_key_file_again(path, certificates, tmp_path):
    (one, one_key), (two, two_key) = certificates
    for number, (name, source) in enumerate([("c.pem", one), ("c.key", one_key)]):
        (tmp_path / name).write_bytes(open(source, "rb").read())
    (tmp_path / "keys").write_text("old")
    with serving(path, f"cert={tmp_path}/c.pem", f"tlskey={tmp_path}/c.key", f"keyfile={tmp_path}/keys", "key=old") as server:
        running = tls_client(server, one)
        running.sendall(b"GET /stream?count=40&interval_us=20000 HTTP/1.1\r\n" + HOST + b"Authorization: Bearer old\r\n\r\n")
        server.wait_for("^begun")
        (tmp_path / "c.pem").write_bytes(open(two, "rb").read())
        server.signal(signal.SIGHUP)
        server.wait_for("^reloaded INVALID")  # the key is still the old one's: nothing changes
        with tls_client(server, one) as client:
            client.sendall(CLOSING.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer old\r\n\r\n"))
            assert Response(read_all(client)).code == 200
        (tmp_path / "c.key").write_bytes(open(two_key, "rb").read())
        (tmp_path / "keys").write_text("new")
        server.signal(signal.SIGHUP)
        server.wait_for("^reloaded OK")
        with tls_client(server, two) as client:
            client.sendall(CLOSING.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer old\r\n\r\n"))
            assert Response(read_all(client)).code == 401
        with tls_client(server, two) as client:
            client.sendall(CLOSING.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer new\r\n\r\n"))
            assert Response(read_all(client)).code == 200
        data = b""
        while b"0\r\n\r\n" not in data:
            data += running.recv(65536)
        assert Response(data).body.count(b"data:") == 40  # what ran goes on under the old ones
        running.close()


def test_client_certificates(path, certificates):
    (certificate, key), (other, other_key) = certificates
    with serving(path, f"cert={certificate}", f"tlskey={key}", f"ca={other}") as server:
        context = ssl.create_default_context(cafile=certificate)
        context.load_cert_chain(other, other_key)
        with context.wrap_socket(server.connect(), server_hostname="localhost") as client:
            client.sendall(CLOSING)
            assert Response(read_all(client)).code == 200
        with pytest.raises(OSError):
            with tls_client(server, certificate) as client:  # TLS 1.3 tells at the first read
                client.sendall(CLOSING)
                assert client.recv(1), "hung up"
                raise AssertionError("served a client without certificate")


# ---- all at once ------------------------------------------------------------------------------------


def test_soak(path):
    """Streams, plain requests, clients that leave, malformed and slow ones, together for some seconds: the well-behaved see
    no error, nothing is left at the end, and memory does not grow with rounds."""
    with serving(path, "head_ms=500", "body_ms=500", "max_pending_bytes=200000") as server:
        errors, done, ends = [], [0], time.time() + 4

        def behave(kind):
            while time.time() < ends:
                try:
                    if kind == "stream":
                        with server.connect() as client:
                            client.sendall(b"GET /stream?count=30&interval_us=2000 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
                            assert Response(read_all(client)).body.count(b"data:") == 30
                    else:
                        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
                        for _ in range(20):
                            connection.request("POST", "/echo", body=b"x" * 2000)
                            assert connection.getresponse().read().endswith(b"x" * 2000)
                        connection.close()
                    done[0] += 1
                except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
                    errors.append(repr(error))
                    return

        def misbehave(kind):
            while time.time() < ends:
                client = server.connect()
                try:
                    if kind == "leave":
                        client.sendall(b"GET /stream?count=1000&interval_us=1000 HTTP/1.1\r\n" + HOST + b"\r\n")
                        client.recv(100)
                    elif kind == "malformed":
                        client.sendall(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n" + b"x" * 5000)
                        client.recv(100)
                    elif kind == "slow":
                        client.sendall(b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n")
                        time.sleep(0.05)
                    else:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                        client.sendall(b"GET /stream?count=1000&interval_us=0&bytes=4096 HTTP/1.1\r\n" + HOST + b"\r\n")
                        time.sleep(0.1)
                except OSError:
                    pass
                finally:
                    client.close()

        kinds = [(behave, "stream")] * 8 + [(behave, "plain")] * 4 + [(misbehave, kind) for kind in ("leave", "malformed", "slow", "unread") * 2]
        threads = [threading.Thread(target=target, args=(kind,)) for target, kind in kinds]
        for thread in threads:
            thread.start()
        time.sleep(2)
        early = server.memory()
        for thread in threads:
            thread.join()
        late = server.memory()
        assert not errors and done[0] > 50, (errors[:3], done)
        time.sleep(0.5)
        counts = server.counts()
        print(f"{done[0]} good rounds, {counts['requests']} requests, {counts['disconnects']} clients left; memory {early >> 10} -> {late >> 10} KiB")
        assert counts["active"] == 1 and counts["connections"] == 1 and counts["body_bytes"] == 0
        with open(f"/proc/{server.process.pid}/maps", encoding="ascii") as maps:
            if "asan" not in maps.read():  # which keeps what was freed for a while
                assert late < early + (4 << 20)
