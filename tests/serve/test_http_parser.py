"""The request parser beside two others: h11 (what uvicorn uses) and llhttp (what Node uses, by httptools).

On every input, of a list of known smuggling tricks and of thousands of mutations of valid requests (printed seed):
  * what h11 or llhttp refuses, we refuse, but for the cases of EXCEPTIONS, each with its reason;
  * what we accept, and they too, means the same: methods, targets, headers and bodies are equal.
"""
import json
import random
import struct
import subprocess

import h11
import httptools
import pytest

H = b"Host: h\r\n"
POST = b"POST / HTTP/1.1\r\n" + H
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\n" + H + b"\r\n"


def smuggling_tricks():
    """What has been used against proxies and servers: each ends in a request that must not appear from nowhere."""
    coding_values = [
        b"chunked", b" chunked", b"chunked ", b"\tchunked", b"CHUNKED", b"chunke", b"chunkedd", b"xchunked", b"chunked, chunked",
        b"identity", b"identity, chunked", b"chunked, identity", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked;a=b", b"\"chunked\"",
        b"'chunked'", b"\x0bchunked", b"\x0cchunked", b"chunked\x0b", b"\x00chunked", b"chunked\x00", b"chun\x00ked", b",chunked", b"chunked,",
        b"", b" ", b"\xa0chunked", b"chunked\xa0", b"\x85chunked", b"chun\rked", b"chun\nked", b"chunked\r\n ", b"\r\n chunked",
        b"\n chunked", b"\xef\xbd\x83hunked", b"ch\xc5\xabnked", b"chunked\x7f", b"\x01chunked",
    ]
    names = [
        b"Transfer-Encoding", b"transfer-encoding", b"TRANSFER-ENCODING", b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding",
        b"\tTransfer-Encoding", b"Transfer_Encoding", b"Transfer Encoding", b"Transfer-Encoding\x00", b"\x00Transfer-Encoding", b"Transfer-Encoding\x0b",
        b"X: y\rTransfer-Encoding", b"X: y\nTransfer-Encoding", b"Transfer-Encoding\r\n ", b"Foo\r\nTransfer-Encoding", b"Transfer\xadEncoding",
        b"Transfer-Encoding\xff", b"'Transfer-Encoding", b"Transfer-Encoding\r", b"\xef\xbb\xbfTransfer-Encoding",
    ]
    for value in coding_values:
        yield POST + b"Transfer-Encoding:" + value + b"\r\n\r\n0\r\n\r\n" + NEXT
        yield POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding:" + value + b"\r\n\r\n0\r\n\r\n" + NEXT
        yield POST + b"Transfer-Encoding:" + value + b"\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + NEXT
        yield POST + b"Content-Length: 5\r\nTransfer-Encoding:" + value + b"\r\n\r\n0\r\n\r\n" + NEXT
        yield b"POST / HTTP/1.0\r\nTransfer-Encoding:" + value + b"\r\n\r\n0\r\n\r\n" + NEXT
    for name in names:
        yield POST + name + b": chunked\r\n\r\n0\r\n\r\n" + NEXT
        yield POST + name + b": chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + NEXT
    lengths = [
        b"5", b"05", b"005", b" 5", b"5 ", b"+5", b"-5", b"5.0", b"5e0", b"0x5", b"5 5", b"5,5", b"5, 5", b"5,6", b"5;", b"", b" ", b"a", b"5a",
        b"\x005", b"5\x00", b"\x0b5", b"5\x0b", b"\xef\xbc\x95", b"\xb2", b"1_0", b"18446744073709551621", b"4294967301", b"9" * 40, b"5\r\n ",
        b"\r\n 5", b"5\n", b"'5'", b'"5"', b"5\xa0", b"5\x85", b"00000000000000000000000005", b"--5", b"5-", b"\t5\t",
    ]
    for length in lengths:
        yield POST + b"Content-Length:" + length + b"\r\n\r\nhello" + NEXT
        yield POST + b"Content-Length: 5\r\nContent-Length:" + length + b"\r\n\r\nhello" + NEXT
        yield POST + b"Content-Length :" + length + b"\r\n\r\nhello" + NEXT
        yield POST + b"Content-Length" + length + b": 5\r\n\r\nhello" + NEXT
    sizes = [
        b"5", b"05", b"5 ", b" 5", b"5\t", b"+5", b"-5", b"0x5", b"5h", b"5_", b"", b"g", b"5;", b"5;a", b"5;a=", b"5;a=b", b"5;a=\"b\"", b"5;a=\"b",
        b"5;\x00", b"5; a", b"5 ;a", b"5;a;b=c", b"5;a b", b"5;\xff", b"5;a=\xff", b"5,", b"5\x00", b"\x005", b"5\r", b"5\n", b"5;a\nb", b"5;a\rb",
        b"00000000000000000000005", b"10000000000000005", b"FFFFFFFFFFFFFFFF", b"100000005", b"5;" + b"a" * 300, b"5\x0b", b"\xef\xbc\x95", b"5.",
    ]
    for size in sizes:
        yield CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n" + NEXT
        yield CHUNKED + b"1\r\na\r\n" + size + b"\r\nhello\r\n0\r\n\r\n" + NEXT
        yield CHUNKED + size + b"\nhello\r\n0\r\n\r\n" + NEXT
    for end in [b"\r\n", b"\n", b"\r", b"", b"\n\r", b"\r\r\n", b"\n\n", b"\r\n\r\n", b"XX", b" \r\n", b"\x00\r\n", b"\x0b\n", b"a\r\n"]:
        yield CHUNKED + b"5\r\nhello" + end + b"0\r\n\r\n" + NEXT
        yield CHUNKED + b"5\r\nhello\r\n0" + end + b"\r\n" + NEXT
        yield CHUNKED + b"5\r\nhello\r\n0\r\n" + end + NEXT
        yield POST + b"X: y" + end + b"Content-Length: 5\r\n\r\nhello" + NEXT
        yield POST + b"Content-Length: 5\r\n" + end + b"hello" + NEXT
        yield b"GET / HTTP/1.1" + end + H + b"\r\n" + NEXT
        yield end + NEXT
    for trailer in [b"A: b\r\n", b"A : b\r\n", b" A: b\r\n", b"A\r\n", b"Content-Length: 50\r\n", b"Transfer-Encoding: chunked\r\n", b"A: b\n",
                    b"A: \x00\r\n", b"A: b\r\n c\r\n", b"Host: other\r\n", b"\x00\r\n", b": b\r\n"]:
        yield CHUNKED + b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n" + NEXT
    for line in [b"GET / HTTP/1.1", b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"GET\t/\tHTTP/1.1", b"GET / HTTP/1.2",
                 b"GET / HTTP/2.0", b"GET / HTTP/0.9", b"GET /", b"GET", b"", b"GET / HTTP/1.1 HTTP/1.0", b"GET / HTTP/1.", b"GET / HTTP/.1", b"GET / HTTP/1.01",
                 b"GET / HTTP/11", b"GET / http/1.1", b"GET / HTTPS/1.1", b"GET / ICE/1.0", b"GET / RTSP/1.0", b"G\x00T / HTTP/1.1", b"GET /\x00 HTTP/1.1",
                 b"GET /\x7f HTTP/1.1", b"GET /\xff HTTP/1.1", b"GET /a\x0bb HTTP/1.1", b"GET / HTTP/1.1\x00", b"GE(T / HTTP/1.1", b"GET /a#b HTTP/1.1",
                 b"GET http://h/ HTTP/1.1", b"GET http://other/ HTTP/1.1", b"GET http://u@h/ HTTP/1.1", b"GET * HTTP/1.1", b"OPTIONS * HTTP/1.1",
                 b"CONNECT h:1 HTTP/1.1", b"GET h HTTP/1.1", b"PRI * HTTP/2.0", b"GET /%00 HTTP/1.1", b"GET /%2e%2e/ HTTP/1.1", b"GET //x HTTP/1.1"]:
        yield line + b"\r\n" + H + b"\r\n" + NEXT
        yield line + b"\r\n" + H + b"Content-Length: " + str(len(NEXT)).encode() + b"\r\n\r\n" + NEXT
    for host in [b"", b"Host: h\r\nHost: h\r\n", b"Host: a\r\nHost: b\r\n", b"Host: a b\r\n", b"Host: a/b\r\n", b"Host: a@b\r\n", b"Host : h\r\n", b" Host: h\r\n",
                 b"Host: \x00\r\n", b"Host: a\\b\r\n", b"Host: [::1]\r\n", b"Host: [::1\r\n", b"Host: h:80:80\r\n", b"Host: h:\r\n", b"Host:\r\n", b"Host: a?b\r\n"]:
        yield b"GET / HTTP/1.1\r\n" + host + b"\r\n" + NEXT
    for expect in [b"100-continue", b"100-Continue", b"100", b"200-ok", b"", b"100-continue, x"]:
        yield POST + b"Expect: " + expect + b"\r\nContent-Length: 5\r\n\r\nhello" + NEXT


VALID = [
    NEXT,
    b"GET /a/b?c=d&e=%20 HTTP/1.1\r\nHost: example.com:8000\r\nUser-Agent: x/1 (y; z)\r\nAccept: */*\r\n\r\n",
    POST + b"Content-Length: 5\r\n\r\nhello" + NEXT,
    CHUNKED + b"5\r\nhello\r\nA;a=b\r\n 123456789\r\n0\r\n\r\n" + NEXT,
    CHUNKED + b"0\r\nT: x\r\n\r\n" + NEXT + NEXT,
    b"PUT /x HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab",
    b"DELETE /x HTTP/1.1\r\nConnection: close\r\nHost: h\r\nX-Y: \xe8\x87\xba\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:8000\r\nOrigin: http://a\r\n\r\n" + NEXT,
]
PIECES = [b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b"\x0b", b":", b",", b";", b"0", b"5", b"a", b"\xff", b"%", b"Content-Length: 5\r\n",
          b"Transfer-Encoding: chunked\r\n", b"Host: h\r\n", b"Connection: close\r\n", b"HTTP/1.1", b"GET ", b"0\r\n\r\n", b"chunked", b"\"", b"=", b"#", b"\\"]


def mutations(count, seed):
    rng = random.Random(seed)
    for _ in range(count):
        data = bytearray(rng.choice(VALID))
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            at = rng.randrange(len(data) + 1)
            kind = rng.randrange(5)
            if kind == 0:
                data[at:at] = rng.choice(PIECES)
            elif kind == 1:
                del data[at:at + rng.choice([1, 1, 2, 5])]
            elif kind == 2 and at < len(data):
                data[at] = rng.randrange(256)
            elif kind == 3:
                other = rng.randrange(len(data) + 1)
                data[at:at] = data[min(at, other):max(at, other)][:40]
            else:
                data[at:at + 1] = rng.choice(PIECES)
        yield bytes(data)


def ours(probe, inputs):
    stdin = b"".join(struct.pack("<I", len(data)) + data for data in inputs)
    done = subprocess.run([str(probe("probe_http_parser"))], input=stdin, stdout=subprocess.PIPE, timeout=60, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(inputs)
    for answer in answers:
        for request in answer["requests"]:
            request["method"] = bytes.fromhex(request["method"])
            request["target"] = bytes.fromhex(request["target"])
            request["body"] = bytes.fromhex(request["body"])
            request["headers"] = [(bytes.fromhex(n).lower(), bytes.fromhex(v)) for n, v in request["headers"]]
    return answers


def h11_requests(data):
    """[(method, target, headers, body, complete)], and whether it was refused. HTTP/1.0 and "close" end the connection
    for h11: what follows is not looked at, so the third value says how many requests it could tell about."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    requests = []
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                return requests, False, False
            if event is h11.PAUSED:
                if connection.our_state is h11.MIGHT_SWITCH_PROTOCOL or connection.their_state is h11.MIGHT_SWITCH_PROTOCOL:
                    return requests, False, True  # CONNECT
                if connection.our_state is h11.SEND_RESPONSE or connection.our_state is h11.IDLE:
                    connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                    connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE or connection.their_state is not h11.DONE:
                    return requests, False, True
                connection.start_next_cycle()
            elif isinstance(event, h11.Request):
                requests.append({"method": event.method, "target": event.target, "headers": [(bytes(n), bytes(v)) for n, v in event.headers],
                                 "body": b"", "complete": False, "version": event.http_version})
            elif isinstance(event, h11.Data):
                requests[-1]["body"] += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                requests[-1]["complete"] = True
            else:
                return requests, False, True
    except h11.RemoteProtocolError:
        return requests, True, False


class Collector:
    def __init__(self):
        self.requests = []

    def on_message_begin(self):
        self.requests.append({"method": b"", "target": b"", "headers": [], "body": b"", "complete": False, "in_body": False})

    def on_url(self, url):
        self.requests[-1]["target"] += url

    def on_header(self, name, value):
        if not self.requests[-1]["in_body"]:  # else a trailer, which we forget
            self.requests[-1]["headers"].append((name.lower(), value))

    def on_headers_complete(self):
        self.requests[-1]["in_body"] = True

    def on_body(self, body):
        self.requests[-1]["body"] += body

    def on_message_complete(self):
        self.requests[-1]["complete"] = True


def llhttp_requests(data):
    collector = Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return collector.requests, False
    except httptools.HttpParserError:
        return collector.requests, True
    return collector.requests, False


def without_blank_lines(data):
    """One empty line less in front of each request."""
    data = data[2:] if data.startswith(b"\r\n") else data
    return data.replace(b"\r\n\r\n\r\n", b"\r\n\r\n").replace(b"hello\r\nGET", b"helloGET")


def excepted(data, answer, who):
    """Why we may accept what the other refuses; None: we may not."""
    if who == "h11" and without_blank_lines(data) != data and not h11_requests(without_blank_lines(data))[1]:
        return "one empty line before a request is skipped, as RFC 9112 section 2.2 asks; h11 does not"
    if who == "llhttp" and _methods(data) - KNOWN_METHODS:
        return "llhttp has a list of methods; we answer 501 to a token that is none of ours"
    if who == "llhttp" and answer["requests"] and not answer["requests"][0]["keep_alive"]:
        return "llhttp refuses bytes behind a request that closes the connection; we never read them"
    return None


KNOWN_METHODS = {b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"HEAD", b"PATCH", b"TRACE", b"CONNECT"}


def _methods(data):
    return {line.split(b" ")[0] for line in data.split(b"\r\n") if b" HTTP/1." in line}


def first_closing(requests):
    """How many requests count: up to the first that ends the connection."""
    for i, request in enumerate(requests):
        if not request["keep_alive"]:
            return i + 1
    return len(requests)


def headers(request):
    """In the order of sending; the coding's name in lower case, as h11 gives it; the length without leading zeros."""
    found = []
    for name, value in request["headers"]:
        value = value.strip(b" \t")
        if name == b"transfer-encoding":
            value = value.lower()
        found.append((name, value))
    return found


def compare(data, answer, other, who):
    accepted = answer["requests"][:first_closing(answer["requests"])]
    for i, (mine, theirs) in enumerate(zip(accepted, other)):
        if not mine["complete"] or not theirs["complete"]:
            break
        target = theirs["target"]
        for scheme in (b"http://", b"https://"):  # ours lost scheme and authority
            if target.lower().startswith(scheme):
                rest = target[len(scheme):]
                target = rest[rest.find(b"/"):] if b"/" in rest else b"/"
        assert mine["target"] == target, (who, i, data)
        if who == "h11":
            assert mine["method"] == theirs["method"], (who, i, data)
        assert headers(mine) == headers(theirs), (who, i, data)
        assert mine["body"] == theirs["body"], (who, i, data)


def check(probe, inputs):
    answers = ours(probe, inputs)
    refused = accepted = 0
    unfinished = []
    for data, answer in zip(inputs, answers):
        h_requests, h_refused, _ = h11_requests(data)
        l_requests, l_refused = llhttp_requests(data)
        ends = any(not request["keep_alive"] for request in answer["requests"])
        if answer["error"]:
            refused += 1
        else:
            accepted += 1
            for is_refused, who in ((h_refused, "h11"), (l_refused, "llhttp")):
                if not is_refused or ends or excepted(data, answer, who):
                    continue
                assert answer["inside"], (who + " refuses, we do not", data, answer)
                unfinished.append(data)
        if not excepted(data, answer, "h11"):
            compare(data, answer, h_requests, "h11")
        if not excepted(data, answer, "llhttp"):
            compare(data, answer, l_requests, "llhttp")
    # They refused earlier than we; when the line or the head ends, we do too.
    for data, answer in zip(unfinished, ours(probe, [data + b"\r\n\r\n" for data in unfinished])):
        assert answer["error"], ("refused by another, not by us", data, answer)
    return refused, accepted


def test_smuggling_tricks(probe):
    inputs = list(smuggling_tricks())
    refused, accepted = check(probe, inputs)
    print(f"{len(inputs)} tricks: {refused} refused, {accepted} accepted by all alike")
    assert len(inputs) > 700 and refused > 500


@pytest.mark.parametrize("seed", [20261124, 1, 2])
def test_mutated_requests(probe, seed):
    inputs = list(mutations(2500, seed))
    refused, accepted = check(probe, inputs)
    print(f"seed {seed}: {refused} refused, {accepted} accepted")
    assert refused > 800 and accepted > 150  # both sides of the fence were visited


def test_valid_requests_are_accepted(probe):
    for data, answer in zip(VALID, ours(probe, VALID)):
        assert answer["error"] == 0 and all(request["complete"] for request in answer["requests"]), (data, answer)
