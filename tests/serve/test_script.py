"""script: "hant": no answer of any dialect has a Simplified-only character, whatever the model would rather say.

What is Simplified-only is judged by Python's codecs, which know nothing of the program's table: the common characters
(level 1) of GB 2312 that Big5 does not have, but for the six that Traditional texts use as well."""
import json

import pytest
from serving import Server

CHAT = "/v1/chat/completions"
SIMPLIFIED = "我们学习汉语。" * 20
QUESTION = [{"role": "user", "content": SIMPLIFIED}]
HOT = {"temperature": 1, "max_tokens": 120, "ignore_eos": True}


def encoded(character, codec):
    try:
        return character.encode(codec)
    except UnicodeEncodeError:
        return b""


SIMPLIFIED_ONLY = {c for c in map(chr, range(0x4E00, 0xA000))
                   if b"\xb0" <= encoded(c, "gb2312")[:1] <= b"\xd7" and not encoded(c, "big5")} - set("傈叶墒广着酞酶")


def simplified(text):
    return [c for c in text if c in SIMPLIFIED_ONLY]


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


PROMPTS = ["国家发展经济," * 20, "我们学习汉语。" * 20, "这个时间" * 30] # the model goes on in the same way


def answers(server, **fields):
    body = {"prompt": PROMPTS, "n": 4, "seed": 5, "temperature": 0.7, "max_tokens": 80, "ignore_eos": True}
    status, body = server.call("/v1/completions", {**body, **fields})
    assert status == 200, body
    return body["choices"]


def test_what_the_model_would_write_in_simplified_it_does_not_with_hant(server):
    free = answers(server, script="any")
    assert sum(len(simplified(choice["text"])) for choice in free) > 200
    for choice in free:
        report = choice["script"]
        assert report["simplified_only"] >= len(simplified(choice["text"]))
        assert report["purity"] == pytest.approx(1 - report["simplified_only"] / report["han"])
    for temperature in (0, 0.7, 1.5, 2.5):
        kept = answers(server, script="hant", temperature=temperature)
        assert sum(choice["script"]["han"] for choice in kept) > 100
        for choice in kept:
            assert not simplified(choice["text"]) and "\ufffd" not in choice["text"][:-1]
            assert choice["script"]["simplified_only"] == 0 and choice["script"]["purity"] == 1


def test_nothing_is_said_of_a_script_that_nobody_asked_about(server):
    assert "script" not in answers(server)[0]


def test_beams(server):
    for choice in answers(server, script="hant", use_beam_search=True, temperature=1, max_tokens=20):
        assert not simplified(choice["text"])


def test_half_a_character_in_the_prompt(server):
    """The prompt ends within U+56FD: what completes it is not what only Simplified Chinese writes."""
    ids = server.call("/tokenize", {"prompt": "国", "add_special_tokens": False})[1]["tokens"]
    prompt = server.call("/tokenize", {"prompt": "中", "add_special_tokens": False})[1]["tokens"]
    if len(ids) < 2:
        pytest.skip("this vocabulary has the character as one token")
    status, body = server.call("/v1/completions", {
        "prompt": prompt + ids[:-1], "max_tokens": 1, "temperature": 0, "logit_bias": {str(ids[-1]): 50},
        "script": "hant", "return_token_ids": True})
    assert status == 200 and body["choices"][0]["token_ids"] != [ids[-1]]


# ---- every dialect -----------------------------------------------------------------------------------------------------


def test_chat_and_its_stream(server):
    request = {"messages": QUESTION, "seed": 1, "script": "hant", **HOT}
    status, whole = server.call(CHAT, request)
    assert status == 200, whole
    choice = whole["choices"][0]
    assert not simplified(choice["message"]["content"]) and choice["script"]["purity"] == 1
    events = [json.loads(data) for _, data in server.events(CHAT, {**request, "stream": True})[:-1]]
    assert "".join(e["choices"][0]["delta"].get("content") or "" for e in events) == choice["message"]["content"]
    assert [e["choices"][0]["script"] for e in events if "script" in e["choices"][0]] == [choice["script"]]


def test_responses_messages_ollama_tgi(server):
    status, body = server.call("/v1/responses", {"input": SIMPLIFIED, "script": "hant", "max_output_tokens": 60})
    assert status == 200 and body["script"]["simplified_only"] == 0
    final = json.loads(server.events("/v1/responses", {"input": SIMPLIFIED, "script": "hant", "stream": True,
                                                       "max_output_tokens": 20})[-1][1])
    assert final["response"]["script"]["simplified_only"] == 0
    request = {"model": "twllm-default", "max_tokens": 60, "messages": QUESTION, "script": "hant"}
    status, body = server.call("/v1/messages", request)
    assert status == 200 and body["script"]["simplified_only"] == 0
    name, data = server.events("/v1/messages", {**request, "stream": True})[-2]
    assert name == "message_delta" and json.loads(data)["script"]["simplified_only"] == 0
    status, body = server.call("/api/chat", {"model": "twllm-default", "messages": QUESTION, "stream": False,
                                             "options": {"script": "hant", "num_predict": 60, "temperature": 2}})
    assert status == 200 and body["script"]["simplified_only"] == 0
    status, body = server.call("/generate", {"inputs": SIMPLIFIED, "parameters": {"script": "hant", "do_sample": True,
                                                                                  "max_new_tokens": 60}})
    assert status == 200 and body["script"]["simplified_only"] == 0 and not simplified(body["generated_text"])


def test_other_values_are_refused(server):
    for path, body, code in ((CHAT, {"messages": QUESTION, "script": "hans"}, 400),
                             ("/v1/responses", {"input": "x", "script": 5}, 400),
                             ("/v1/messages", {"model": "", "max_tokens": 5, "messages": QUESTION, "script": "zh"}, 400),
                             ("/generate", {"inputs": "x", "parameters": {"script": "hans"}}, 422)):
        status, answer = server.call(path, body)
        assert status == code and "script" in json.dumps(answer), answer


# ---- with structure ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_json_with_free_strings(server, seed):
    schema = {"type": "object", "properties": {"國家": {"type": "string", "minLength": 5, "maxLength": 30},
                                               "城市": {"enum": ["台湾", "臺灣", "国", "高雄"]}},
              "required": ["國家", "城市"], "additionalProperties": False}
    status, body = server.call(CHAT, {"messages": QUESTION, "seed": seed, "script": "hant",
                                      "temperature": 2.5, "max_tokens": 200, "guided_json": schema})
    assert status == 200, body
    text = body["choices"][0]["message"]["content"]
    value = json.loads(text)
    assert not simplified(text) and value["城市"] in ("臺灣", "高雄") and 5 <= len(value["國家"]) <= 30
    assert "\\u" not in text


def test_a_choice_that_leads_nowhere_is_not_begun(server):
    """The first characters are shared: only the grammar knows that one of the two ends in Simplified."""
    for seed in range(8):
        status, body = server.call(CHAT, {"messages": QUESTION, "seed": seed, "script": "hant", "temperature": 2,
                                          "guided_choice": ["中中国", "中中華"]})
        assert status == 200 and body["choices"][0]["message"]["content"] == "中中華"
    status, body = server.call(CHAT, {"messages": QUESTION, "script": "hant", "guided_regex": "(国|话|[a-c]){6}"})
    assert status == 200 and set(body["choices"][0]["message"]["content"]) <= set("abc")


def test_what_the_request_itself_demands_has_the_last_word(server):
    schema = {"type": "object", "properties": {"国": {"type": "string", "minLength": 4, "maxLength": 12}},
              "required": ["国"], "additionalProperties": False}
    status, body = server.call(CHAT, {"messages": QUESTION, "script": "hant", "guided_json": schema, "temperature": 2,
                                      "max_tokens": 100})
    assert status == 200, body
    choice = body["choices"][0]
    value = json.loads(choice["message"]["content"])
    assert not simplified(value["国"]) and choice["script"]["simplified_only"] == 1


def test_tools(server):
    parameters = {"type": "object", "properties": {"text": {"type": "string", "minLength": 4, "maxLength": 12}},
                  "required": ["text"], "additionalProperties": False}
    tools = [{"type": "function", "function": {"name": "寫", "parameters": parameters}}]
    for seed in range(3):
        status, body = server.call(CHAT, {"messages": QUESTION, "script": "hant", "tools": tools, "seed": seed,
                                          "tool_choice": "required", "temperature": 2,
                                          "max_tokens": 120})
        assert status == 200, body
        choice = body["choices"][0]
        for call in choice["message"]["tool_calls"]:
            assert not simplified(json.loads(call["function"]["arguments"])["text"])
        assert choice["script"]["simplified_only"] == 0 and choice["script"]["han"] > 0


# ---- the server's and the program's option -----------------------------------------------------------------------------


def test_options(twllm):
    with Server("--script", "hant") as running:
        assert running.call("/v1/completions", {"prompt": SIMPLIFIED})[1]["choices"][0]["script"]["simplified_only"] == 0
        free = running.call("/v1/completions", {"prompt": SIMPLIFIED, "script": "any"})[1]["choices"][0]
        assert free["script"]["han"] >= 0
    for seed in range(3):
        done = twllm("generate", SIMPLIFIED, "--script", "hant", "--seed", seed, "--temperature", 2.5, "--max-tokens", 100)
        assert done.returncode == 0 and not simplified(done.stdout), done.stderr
    done = twllm("chat", "--once", SIMPLIFIED, "--script", "hant", "--temperature", 2.5, "--max-tokens", 60)
    assert done.returncode == 0 and not simplified(done.stdout)
    assert twllm("generate", "x", "--script", "hans").returncode == 2
