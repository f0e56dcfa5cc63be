"""The classes of attacks that were found in other servers (docs/security.md), on `twllm serve` itself: each request is refused
or answered within its limits, and a well-behaved stream goes on beside them."""
import http.client
import json
import pathlib
import pickle
import re
import socket
import subprocess
import threading
import time

import pytest

from serving import BUILD, Server

CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": "你好"}]
KEY, MARK = "sk-geheim-7f3a", "prompt-that-nobody-may-read-52c1"


@pytest.fixture(scope="module")
def server():
    with Server("--max-num-seqs", 16) as running:
        yield running


def port_of(server):
    return int(server.url.rsplit(":", 1)[1])


def raw(server, data, seconds=10):
    """What one connection answers to these bytes."""
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=seconds) as client:
        client.sendall(data)
        got = b""
        while piece := client.recv(65536):
            got += piece
        return got


def memory(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"^RssAnon:\s+(\d+)", status, re.M)[1]) * 1024


class Neighbour:
    """A well-behaved stream that runs while something else is done; its answer must be whole."""

    def __init__(self, server, tokens=64):
        self.connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=60)
        body = {"messages": QUESTION, "stream": True, "max_tokens": tokens, "ignore_eos": True, "return_token_ids": True, "temperature": 0}
        self.connection.request("POST", CHAT, json.dumps(body), {"Content-Type": "application/json"})
        self.tokens = tokens

    def __enter__(self):
        self.response = self.connection.getresponse()
        assert self.response.status == 200
        return self

    def __exit__(self, kind, *_):
        text = self.response.read().decode()
        self.connection.close()
        if kind is None:
            assert text.endswith("data: [DONE]\n\n")
            assert sum(len(ids.split(",")) for ids in re.findall(r'"token_ids":\[([\d,]+)\]', text)) == self.tokens


# ---- numbers ---------------------------------------------------------------------------------------------------------

NUMBERS = [-1, 0, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, -(2**63) - 1, 10**400, 0.5, 1e308, -1e308, "1", True, [1], {}, None]


def number_fields(server):
    """Every numeric field of every request, as /openapi.json has them."""
    document = server.call("/openapi.json")[1]
    for path, methods in document["paths"].items():
        if "requestBody" not in methods.get("post", {}):
            continue
        schema = methods["post"]["requestBody"]["content"]["application/json"]["schema"]
        for name, field in schema["properties"].items():
            text = json.dumps(field)
            if '"integer"' in text or '"number"' in text:
                yield path, name


def small_request(path):
    if path == "/v1/completions":
        return {"prompt": "a", "max_tokens": 1}
    if path in ("/generate", "/generate_stream"):
        return {"inputs": "a", "parameters": {"max_new_tokens": 1}}
    if path == "/v1/responses":
        return {"input": "a", "max_output_tokens": 1}
    if path.startswith("/api/"):
        return {"model": "twllm-default", "prompt": "a", "options": {"num_predict": 1}, "stream": False} if path != "/api/chat" else {
            "model": "twllm-default", "messages": QUESTION, "options": {"num_predict": 1}, "stream": False}
    if path == "/detokenize":
        return {"tokens": [100]}
    if path == "/tokenize":
        return {"prompt": "a"}
    return {"messages": QUESTION, "max_tokens": 1, **({"model": "twllm-default"} if "/messages" in path else {})}


def test_odd_numbers_in_every_numeric_field(server):
    fields = list(number_fields(server))
    assert len(fields) > 60
    with Neighbour(server):
        for path, name in fields:
            for value in NUMBERS:
                body = {**small_request(path), name: value}
                if name in ("max_tokens", "max_completion_tokens", "max_output_tokens") or (name == "n" and value in (16, 0)):
                    pass
                elif name.startswith("min_tokens") and value is not None:
                    body["max_tokens"] = 1
                status, answer = server.call(path, json.dumps(body).replace("1e+308", "1e308").encode())
                assert status in (200, 400, 404, 422, 429), (path, name, value, status, answer)
                if value in (-1, 2**63, 10**400) and status == 200:
                    # Accepted only where the number has a meaning.
                    assert (name, value) != ("n", value) and name not in ("max_tokens", "stop"), (path, name, value)


@pytest.mark.parametrize("tokens", [[-1], [2**31], [2**63], [10**30], [1.5], ["1"], [[1]], [None], [True], [99999999], list(range(100)) + [-7]])
def test_token_ids_that_are_none(server, tokens):
    for path, field in (("/v1/completions", "prompt"), ("/detokenize", "tokens")):
        status, answer = server.call(path, {field: tokens, **({"max_tokens": 1} if path == "/v1/completions" else {})})
        if tokens == ["1"] and path == "/v1/completions":
            assert status == 200  # a list of texts
        elif tokens == [[1]] and path == "/v1/completions":
            assert status == 200  # a list of prompts
        else:
            assert status == 400 and answer["error"]["message"], (path, answer)
    status, answer = server.call(CHAT, {"messages": QUESTION, "logit_bias": {str(2**40): 1}})
    assert status == 400 and answer["error"]["param"] == "logit_bias"


# ---- what multiplies -------------------------------------------------------------------------------------------------

MULTIPLIED = [
    (CHAT, {"messages": QUESTION, "n": 10**6}, 400),
    (CHAT, {"messages": QUESTION, "n": 2**31 - 1, "max_tokens": 2**31 - 1}, 400),
    ("/v1/completions", {"prompt": "a", "best_of": 10**6}, 400),
    ("/v1/completions", {"prompt": ["a"] * 2048, "n": 64, "max_tokens": 1}, 429),  # more than the queue holds
    ("/v1/completions", {"prompt": ["a"] * 100000, "max_tokens": 1}, 400),
    ("/v1/completions", {"prompt": "a", "logprobs": 10**6}, 400),
    ("/v1/completions", {"prompt": "a", "prompt_logprobs": 10**6}, 400),
    ("/v1/completions", {"prompt": "a", "use_beam_search": True, "n": 10**5}, 400),
    (CHAT, {"messages": QUESTION * 100000}, 400),
    (CHAT, {"messages": QUESTION, "tools": [{"type": "function", "function": {"name": f"f{i}"}} for i in range(5000)]}, 400),
    (CHAT, {"messages": QUESTION, "stop": ["x" * 10] * 100000}, 400),
    (CHAT, {"messages": QUESTION, "stop": "x" * 1000000}, 400),
    (CHAT, {"messages": QUESTION, "stop_token_ids": [5] * 1000000}, 400),
    (CHAT, {"messages": QUESTION, "logit_bias": {str(i % 13000) + " " * (i // 13000): 1 for i in range(60000)}}, 400),
    (CHAT, {"messages": QUESTION, "bad_words": ["字" * 200] * 5000}, 400),
    (CHAT, {"messages": QUESTION, "allowed_token_ids": [7] * 2000000}, 400),
]


@pytest.mark.parametrize("path,body,code", MULTIPLIED, ids=[json.dumps(b)[-60:] for _, b, _ in MULTIPLIED])
def test_counts_that_multiply(server, path, body, code):
    before = memory(server)
    with Neighbour(server, 16):
        began = time.time()
        status, answer = server.call(path, body)
        assert status == code, (status, str(answer)[:300])
        assert time.time() - began < 10
    assert memory(server) - before < 256 << 20
    assert server.idle()


# ---- structure -------------------------------------------------------------------------------------------------------

DEEP = {"type": "object"}
for _ in range(30):
    DEEP = {"type": "object", "properties": {"a": DEEP}, "required": ["a"]}
HUGE_ENUM = {"enum": [f"{i:06d}" * 20 for i in range(20000)]}
GRAMMARS = [
    ({"guided_regex": "(" * 50000 + "a" + ")" * 50000}, "parentheses"),
    ({"guided_regex": "((a{0,1000}){0,1000}){0,1000}"}, "repetitions of repetitions"),
    ({"guided_regex": "(a|aa)*(a|aa)*(a|aa)*(a|aa)*b"}, "ambiguity"),
    ({"guided_regex": "^(([a-z])+.)+[A-Z]([a-z])+$"}, "ReDoS"),
    ({"guided_regex": "(.*a){64}b"}, "states"),
    ({"guided_regex": "[\U00010000-\U0010ffff]{100000}"}, "long classes"),
    ({"guided_regex": "a{99999999999}"}, "a huge count"),
    ({"guided_grammar": "root ::= " + "(" * 20000 + '"a"' + ")" * 20000}, "nested groups"),
    ({"guided_grammar": "root ::= root root | root root root"}, "no end"),
    ({"guided_grammar": "\n".join(["root ::= r0"] + [f"r{i} ::= r{i + 1} r{i + 1}" for i in range(64)] + ['r64 ::= "a"'])}, "2^64 letters"),
    ({"guided_json": DEEP}, "deep schema"),
    ({"guided_json": {"$ref": "#"}}, "a reference to itself"),
    ({"guided_json": {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}}, "a circle"),
    ({"guided_json": {"$ref": "http://127.0.0.1:1/schema.json"}}, "a reference elsewhere"),
    ({"guided_json": {"$ref": "file:///etc/passwd"}}, "a reference to a file"),
    ({"guided_json": HUGE_ENUM}, "a huge enum"),
    ({"guided_json": {"type": "string", "pattern": "(a+)+$", "minLength": 10**12}}, "a huge length"),
    ({"guided_json": {"type": "array", "items": {"type": "integer"}, "minItems": 10**9}}, "a huge array"),
    ({"guided_json": {"type": "string", "pattern": "((((a|b)*c)*d)*e){1,5000}"}}, "a costly pattern"),
    ({"guided_json": {"anyOf": [{"properties": {f"p{i}": {"const": i}}} for i in range(500)]}}, "many branches"),
    ({"guided_choice": ["x" * 1000] * 5000}, "many choices"),
]


@pytest.mark.parametrize("fields", [f for f, _ in GRAMMARS], ids=[name for _, name in GRAMMARS])
def test_hostile_grammars_meet_budgets(server, fields):
    before = memory(server)
    with Neighbour(server, 24):
        began = time.time()
        status, answer = server.call(CHAT, {"messages": QUESTION, "max_tokens": 12, **fields})
        took = time.time() - began
        assert status in (200, 400, 413), (status, answer)
        if status == 400:
            assert answer["error"]["message"] and answer["error"]["param"] in fields, answer
        assert took < 20, took
    assert server.call(CHAT, {"messages": QUESTION, "max_tokens": 2})[0] == 200
    assert memory(server) - before < 512 << 20


def test_many_different_grammars_do_not_pile_up(server):
    def ask(i):
        body = {"messages": QUESTION, "max_tokens": 1, "guided_json": {"type": "object", "properties": {f"k{i}": {"enum": [f"v{i}" * 50] * 3}}}}
        body["guided_json"]["properties"][f"k{i}"]["enum"] = [f"v{i}-{j}" * 50 for j in range(20)]
        assert server.call(CHAT, body)[0] == 200

    for i in range(300):  # fills the cache, which keeps the last 256
        ask(i)
    before = memory(server)
    for i in range(300, 600):
        ask(i)
    grown = memory(server) - before
    print(f"{grown / 1e6:.1f} MB more after 300 other schemas")
    assert grown < 32 << 20  # without a bound 300 more are as many as the first: some 80 MB


# ---- names and places ------------------------------------------------------------------------------------------------


def test_nothing_is_fetched_for_a_request(server):
    """URLs of images, schemas, files in requests of every dialect: refused, and nobody calls the place they name."""
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.3)
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/x.png"
        image = {"type": "image_url", "image_url": {"url": url}}
        asked = [
            (CHAT, {"messages": [{"role": "user", "content": [image]}]}),
            (CHAT, {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": url}}]}]}),
            (CHAT, {"messages": QUESTION, "guided_json": {"$ref": url}}),
            (CHAT, {"messages": QUESTION, "web_search_options": {}}),
            (CHAT, {"messages": QUESTION, "kv_transfer_params": {"remote_host": url}}),
            ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]}),
            ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": url}]}]}),
            ("/v1/responses", {"input": "a", "tools": [{"type": "mcp", "server_url": url, "server_label": "x"}]}),
            ("/v1/messages", {"model": "twllm-default", "max_tokens": 2, "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": url}}]}]}),
            ("/api/chat", {"model": "twllm-default", "messages": [{"role": "user", "content": "a", "images": [url]}]}),
            ("/api/generate", {"model": url, "prompt": "a"}),
            ("/generate", {"inputs": f"![]({url})", "parameters": {"max_new_tokens": 1}}),
        ]
        for path, body in asked:
            status, answer = server.call(path, body)
            assert status in (400, 404, 422) or (path == "/generate" and status == 200), (path, body, status, answer)
        head = f"GET {url} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-Id: {url}\r\nReferer: {url}\r\nForwarded: for={url}\r\nConnection: close\r\n\r\n"
        assert re.match(rb"HTTP/1.1 (400|404) ", raw(server, head.encode()))
        with pytest.raises(TimeoutError):
            canary.accept()


TRAVERSALS = ["/../../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v1/models/../../../etc/passwd", "/v1/models/..%2f..%2fetc%2fpasswd",
              "//etc/passwd", "/assets/../../../etc/passwd", "/.git/config", "/v1/models/%00", "/index.html%00.js", "/\\..\\..\\etc\\passwd", "/v1//models",
              "/V1/MODELS", "/v1/models/"]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_paths_lead_nowhere_else(server, path):
    answer = raw(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert re.match(rb"HTTP/1.1 (400|404) ", answer) and b"root:" not in answer


def test_model_names_are_names(server):
    for name in ("../../../etc/passwd", "/etc/passwd", "..\\..", "a\u0000b", "\r\nX: y", "http://127.0.0.1/", "x" * 100000, "${HOME}", "`id`", "%s%n"):
        for path in (CHAT, "/v1/completions", "/api/show", "/v1/messages"):
            status, answer = server.call(path, {**small_request(path), "model": name})
            assert status in (400, 404), (path, name, status, answer)


def test_fields_with_a_meaning_elsewhere_are_unknown(server):
    for name in ("__proto__", "constructor", "prototype", "__class__", "__init__", "$where", "toString", "trust_remote_code", "vhead_file"):
        for path in (CHAT, "/v1/completions", "/v1/responses", "/v1/messages", "/tokenize"):
            status, answer = server.call(path, {**small_request(path), name: {"polluted": True}})
            assert status == 400 and name in json.dumps(answer), (path, name, answer)
    # A tool may have such a name and such arguments: they are data.
    tool = {"type": "function", "function": {"name": "constructor", "parameters": {
        "type": "object", "properties": {"__proto__": {"const": 1}}, "required": ["__proto__"], "additionalProperties": False}}}
    status, answer = server.call(CHAT, {"messages": QUESTION, "tools": [tool], "tool_choice": "required", "max_tokens": 60})
    assert status == 200
    call = answer["choices"][0]["message"]["tool_calls"][0]["function"]
    assert call["name"] == "constructor" and json.loads(call["arguments"]) == {"__proto__": 1}


def test_templates_in_messages_are_text(server):
    for text in ("{{ 7 * 7 }}", "{% for i in range(10**9) %}x{% endfor %}", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ cycler.__init__.__globals__ }}"):
        status, answer = server.call("/tokenize", {"messages": [{"role": "user", "content": text}]})
        assert status == 200
        shown = server.call("/detokenize", {"tokens": answer["tokens"]})[1]["prompt"]
        assert text in shown
        for field in ({"chat_template": text}, {"chat_template_kwargs": {"messages": text}}, {"chat_template_kwargs": {"tools": text}}):
            assert server.call(CHAT, {"messages": QUESTION, **field})[0] == 400
        status, answer = server.call("/tokenize", {"messages": QUESTION, "chat_template_kwargs": {"chat_template": text}})
        assert status == 400 or answer["tokens"] == server.call("/tokenize", {"messages": QUESTION})[1]["tokens"]


def test_a_pickle_is_no_model(tmp_path):
    class Trap:
        def __reduce__(self):
            return pathlib.Path.touch, (tmp_path / "ran",)

    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "trust_remote_code": True,
                                                      "auto_map": {"AutoModel": "code.Model"}}))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    for name in ("pytorch_model.bin", "model.pt", "consolidated.00.pth"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    done = subprocess.run([BUILD / "twllm", "serve", tmp_path, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                          check=False)
    assert done.returncode not in (0, 1) and not (tmp_path / "ran").exists(), done.stdout
    assert "safetensors" in done.stdout or "config.json" in done.stdout, done.stdout


# ---- bytes -----------------------------------------------------------------------------------------------------------


def test_compressed_bodies_are_not_unpacked(server):
    import gzip

    bomb = gzip.compress(b"0" * 50_000_000)
    for coding in ("gzip", "deflate", "br", "zstd", "gzip, gzip"):
        head = (f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\n"
                f"Content-Length: {len(bomb)}\r\nConnection: close\r\n\r\n").encode()
        assert re.match(rb"HTTP/1.1 (400|415) ", raw(server, head + bomb))


def test_floods_of_headers(server):
    for headers, code in (("X-A: b\r\n" * 200, b"431"), ("X-A: " + "b" * 60000 + "\r\n", b"431"), (("X" * 300 + ": b\r\n") * 120, b"431")):
        assert raw(server, f"GET /health HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()).startswith(b"HTTP/1.1 " + code)
    assert raw(server, b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 414")
    assert raw(server, b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n").startswith(
        b"HTTP/1.1 413")


@pytest.mark.parametrize("body", [b"[" * 200000, b'{"a":' * 100000, b'{"messages":[' + b"[]," * 2000000 + b"1]}", b'{"prompt":"' + b"\\u0000" * 100000 + b'"}',
                                  b'{"prompt":"' + b"a" * 8000000 + b'"}', b'{"prompt":' + b"9" * 5000000 + b"}", b'"' + b"\xf0\x9f" * 1000 + b'"'],
                         ids=["deep arrays", "deep objects", "many values", "many NULs", "long text", "long number", "half characters"])
def test_hostile_json(server, body):
    before = memory(server)
    with Neighbour(server, 16):
        began = time.time()
        status, answer = server.call("/v1/completions", body, method="POST")
        assert status in (400, 413) and answer["error"]["message"], (status, answer)
        assert len(json.dumps(answer)) < 2000  # it does not repeat what it was sent
        assert time.time() - began < 10
    assert memory(server) - before < 300 << 20


# ---- keys, logs ------------------------------------------------------------------------------------------------------


def test_a_key_guards_every_route_and_no_log_tells_it():
    with Server("--api-key", KEY, "--log-level", "debug") as server:
        paths = server.call("/openapi.json", headers=[("X-Api-Key", KEY)])[1]["paths"]
        asked = {(path.replace("{model}", "x"), method.upper()) for path, methods in paths.items() for method in methods}
        asked |= {("/metrics", "GET"), ("/openapi.json", "GET"), ("/nothing", "GET"), ("/v1/embeddings", "POST"), ("/api/pull", "POST"), ("/docs", "GET")}
        open_to_all = {(path, method) for path, method in asked if server.call(path, b"{}" if method == "POST" else None, method=method)[0] != 401}
        assert open_to_all == {("/health", "GET"), ("/ping", "GET"), ("/ping", "POST")}
        for header, value in (("Authorization", f"Bearer {KEY[:-1]}"), ("Authorization", f"Basic {KEY}"), ("Authorization", f"bearer  {KEY}x"),
                              ("X-Api-Key", KEY + "\0"), ("X-Api-Key", KEY.upper()), ("X-Api-Key", ""), ("Cookie", f"api_key={KEY}")):
            with pytest.raises((OSError, ValueError, AssertionError)) if "\0" in value else threading.Lock():
                assert server.call("/v1/models", headers=[(header, value)])[0] == 401
                assert "\0" not in value
        assert server.call(f"/v1/models?api_key={KEY}x")[0] == 401
        # Nothing of prompts, answers or keys is written down; control characters cannot forge a line.
        body = {"messages": [{"role": "user", "content": MARK}], "max_tokens": 4, "user": MARK}
        assert server.call(CHAT, body, headers=[("Authorization", f"Bearer {KEY}")])[0] == 200
        assert server.call(CHAT, {**body, "temperature": MARK}, headers=[("Authorization", f"Bearer {KEY}")])[0] == 400
        assert server.call(CHAT, body, headers=[("Authorization", f"Bearer {KEY}wrong")])[0] == 401
        raw(server, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\x1b[31m\r\nX-Api-Key: %s\r\nConnection: close\r\n\r\n" % KEY.encode())
        raw(server, b"GET /%0d%0aERROR%20forged HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        raw(server, b"GET /\x01\x1b[2J HTTP/1.1\r\nHost: localhost\r\n\r\n")
        told = server.output() + server.call("/metrics", headers=[("X-Api-Key", KEY)])[1]
        assert KEY not in told and MARK not in told and KEY[:-1] not in told
        log = server.output()
        assert "\x1b" not in log and "\x01" not in log and not re.search(r"^ERROR", log, re.M)
        assert re.search(r'"GET /v1/models" 401', log)


def test_one_door(server):
    """It listens in one place, on this machine alone."""
    inodes = set()
    for entry in pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir():
        match = re.match(r"socket:\[(\d+)\]", str(entry.readlink()))
        if match:
            inodes.add(match[1])
    doors = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[9] in inodes and (table.startswith("udp") or words[3] == "0A"):
                doors.append(words[1])
    assert doors == [f"0100007F:{port_of(server):04X}"]
