"""The endpoints of OpenAI's dialect, against the openai package's own types (validated strictly) and against the
tokens that `twllm generate` makes with the same seed."""
import json

import openai.types
import openai.types.chat
import pytest
from serving import Server

CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": "台灣的首都是哪裡?"}]


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


def chat(server, **fields):
    status, body = server.call(CHAT, {"messages": QUESTION, "seed": 7, "max_tokens": 24, **fields})
    assert status == 200, body
    return body


def complete(server, **fields):
    status, body = server.call("/v1/completions", {"prompt": "今天天氣", "seed": 7, **fields})
    assert status == 200, body
    return body


def chunks(server, path, body):
    events = server.events(path, {**body, "stream": True})
    assert events[-1] == (None, "[DONE]")
    return [json.loads(data) for _, data in events[:-1]]


# ---- shapes ----------------------------------------------------------------------------------------------------


def test_chat_is_what_the_package_expects(server):
    body = chat(server, n=2, logprobs=True, top_logprobs=3, service_tier="auto", user="me", metadata={"a": "b"})
    answer = openai.types.chat.ChatCompletion.model_validate(body, strict=True)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    for choice in answer.choices:
        assert choice.message.role == "assistant"
        shown = b"".join(bytes(token.bytes) for token in choice.logprobs.content)
        assert shown.decode() == choice.message.content
        for token in choice.logprobs.content:
            assert len(token.top_logprobs) == 3
            assert token.logprob <= 0 and token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob


def test_stream_equals_the_whole(server):
    request = {"messages": QUESTION, "seed": 3, "max_tokens": 24, "n": 3, "logprobs": True, "top_logprobs": 1}
    whole = server.call(CHAT, request)[1]
    parts = chunks(server, CHAT, {**request, "stream_options": {"include_usage": True}})
    for part in parts:
        openai.types.chat.ChatCompletionChunk.model_validate(part, strict=True)
    assert parts[-1]["choices"] == [] and parts[-1]["usage"] == whole["usage"] | {
        "prompt_tokens_details": parts[-1]["usage"]["prompt_tokens_details"]
    }
    assert all(part["usage"] is None for part in parts[:-1])
    for choice in whole["choices"]:
        mine = [c for part in parts for c in part["choices"] if c["index"] == choice["index"]]
        assert mine[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(c["delta"].get("content") or "" for c in mine) == choice["message"]["content"]
        assert [c["finish_reason"] for c in mine if c["finish_reason"]] == [choice["finish_reason"]]
        tokens = [t for c in mine if c["logprobs"] for t in c["logprobs"]["content"]]
        assert tokens == choice["logprobs"]["content"]


def test_continuous_usage(server):
    parts = chunks(server, CHAT, {"messages": QUESTION, "max_tokens": 6, "ignore_eos": True, "stream_options":
                                  {"include_usage": True, "continuous_usage_stats": True}})
    counts = [part["usage"]["completion_tokens"] for part in parts]
    assert counts == sorted(counts) and counts[0] <= 1 and counts[-1] == 6


def test_completions_is_what_the_package_expects(server):
    body = complete(server, logprobs=2, n=2, max_tokens=5)
    answer = openai.types.Completion.model_validate(body, strict=True)
    for choice in answer.choices:
        logprobs = choice.logprobs
        assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.text_offset)
        text = logprobs.tokens[:-1] if logprobs.tokens[-1].startswith("<|") else logprobs.tokens  # what ended it is no text
        assert "".join(text) == choice.text and (choice.finish_reason == "stop") == (text != logprobs.tokens)
        assert logprobs.text_offset[0] == 0
        assert [choice.text[a:][: len(t)] for a, t in zip(logprobs.text_offset, text)] == text
    for part in chunks(server, "/v1/completions", {"prompt": "今天", "max_tokens": 4}):
        openai.types.Completion.model_validate({**part}, strict=True) if part["choices"][0]["finish_reason"] else None


def test_models(server):
    status, body = server.call("/v1/models")
    assert status == 200
    [model] = body["data"]
    openai.types.Model.model_validate(model, strict=True)
    assert model["max_model_len"] == 2048
    assert server.call("/v1/models/" + model["id"])[1]["id"] == model["id"]
    assert server.call("/v1/models/nothing")[0] == 404


# ---- the same tokens as the program ---------------------------------------------------------------------------


def test_tokens_are_those_of_generate(server, twllm):
    for seed, temperature in ((1, 0.8), (2, 1.3), (3, 0)):
        done = twllm("generate", "--prompt", "今天天氣", "--seed", seed, "--temperature", temperature, "--top-p", 0.95,
                     "--max-tokens", 20, "--json")
        assert done.returncode == 0, done.stderr
        expected = json.loads(done.stdout)
        got = complete(server, seed=seed, temperature=temperature, top_p=0.95, max_tokens=20, return_token_ids=True)
        text = expected["completions"][0]["text"] if "completions" in expected else expected["text"]
        assert got["choices"][0]["text"] == text


def test_prompts_of_every_form(server):
    ids = server.call("/tokenize", {"prompt": "今天天氣"})[1]["tokens"]
    one = complete(server, prompt="今天天氣", max_tokens=8)["choices"][0]["text"]
    assert complete(server, prompt=ids, max_tokens=8)["choices"][0]["text"] == one
    batch = complete(server, prompt=[ids, ids[:2], ids], max_tokens=8, n=2)
    assert [c["index"] for c in batch["choices"]] == list(range(6))
    assert batch["choices"][0]["text"] == batch["choices"][4]["text"] == one
    texts = complete(server, prompt=["今天天氣", "台灣"], max_tokens=8)
    assert texts["choices"][0]["text"] == one
    assert texts["usage"]["prompt_tokens"] == len(ids) + server.call("/tokenize", {"prompt": "台灣"})[1]["count"]


def test_echo_with_logprobs_as_harnesses_send_it(server):
    ids = server.call("/tokenize", {"prompt": "台灣是一個美麗的島嶼"})[1]["tokens"]
    body = complete(server, prompt=[ids], max_tokens=1, logprobs=1, temperature=0, echo=True, seed=1234)
    logprobs = body["choices"][0]["logprobs"]
    assert logprobs["token_logprobs"][0] is None and logprobs["top_logprobs"][0] is None
    assert len(logprobs["tokens"]) == len(ids) + 1  # harnesses leave out the last, whatever it is
    ends = complete(server, prompt=[ids], max_tokens=1, logprobs=1, temperature=0, echo=True,
                    logit_bias={str(i): 100 for i in range(13296, 13312)})
    assert len(ends["choices"][0]["logprobs"]["tokens"]) == len(ids) + 1
    for value, top in zip(logprobs["token_logprobs"][1:], logprobs["top_logprobs"][1:]):
        assert value <= 0 and max(top.values()) >= value
        assert value in top.values()
    none = complete(server, prompt=[ids], max_tokens=0, logprobs=1, echo=True)
    assert len(none["choices"][0]["logprobs"]["tokens"]) == len(ids)
    assert none["usage"]["completion_tokens"] == 0
    assert none["choices"][0]["text"].endswith("台灣是一個美麗的島嶼")
    first = logprobs["token_logprobs"][1 : len(ids)]
    assert none["choices"][0]["logprobs"]["token_logprobs"][1:] == pytest.approx(first, abs=1e-5)


# ---- fields that change the answer --------------------------------------------------------------------------------


def test_stops(server):
    story = {"prompt": "從前從前,", "ignore_eos": True}
    whole = complete(server, max_tokens=30, temperature=0, **story)["choices"][0]["text"]
    word = whole[4:6]
    assert len(word) == 2
    cut = complete(server, max_tokens=30, temperature=0, **story, stop=[word])["choices"][0]
    assert cut["text"] == whole[: whole.index(word)]
    assert cut["finish_reason"] == "stop" and cut["stop_reason"] == word
    kept = complete(server, max_tokens=30, temperature=0, **story, stop=word, include_stop_str_in_output=True)["choices"][0]
    assert kept["text"] == whole[: whole.index(word) + len(word)]
    ids = complete(server, max_tokens=30, temperature=0, **story, return_token_ids=True)["choices"][0]["token_ids"]
    stopped = complete(server, max_tokens=30, temperature=0, **story, stop_token_ids=[ids[3]], return_token_ids=True)["choices"][0]
    assert stopped["token_ids"] == ids[: ids.index(ids[3]) + 1]
    assert stopped["stop_reason"] == ids[3]


def test_bans_and_biases(server):
    free = complete(server, temperature=0, max_tokens=6, return_token_ids=True)["choices"][0]
    first = free["token_ids"][0]
    biased = complete(server, temperature=0, max_tokens=6, return_token_ids=True, logit_bias={str(first): -100})
    assert biased["choices"][0]["token_ids"][0] != first
    only = complete(server, max_tokens=6, return_token_ids=True, allowed_token_ids=[500, 501], ignore_eos=True)
    assert set(only["choices"][0]["token_ids"]) <= {500, 501}
    word = free["text"][:2]
    banned = complete(server, temperature=0, max_tokens=30, bad_words=[word])["choices"][0]["text"]
    assert not banned.startswith(word)
    assert complete(server, max_tokens=9, min_tokens=9, stop=["。"])["usage"]["completion_tokens"] == 9
    beams = complete(server, n=3, use_beam_search=True, max_tokens=6)
    assert len({c["text"] for c in beams["choices"]}) == 3


def test_conversations(server):
    first = chat(server, temperature=0)["choices"][0]["message"]["content"]
    start = first[:4]
    more = chat(server, messages=QUESTION + [{"role": "assistant", "content": start}], continue_final_message=True,
                add_generation_prompt=False, temperature=0, echo=True)
    assert more["choices"][0]["message"]["content"].startswith(start)
    parts = chat(server, messages=[{"role": "user", "content": [{"type": "text", "text": "台灣的首都是哪裡?"}]}],
                 temperature=0)
    assert parts["choices"][0]["message"]["content"] == first
    rendered = server.call("/tokenize", {"messages": QUESTION, "return_token_strs": True})[1]
    assert "".join(rendered["token_strs"]).count("台灣的首都是哪裡?") == 1
    assert chat(server, return_token_ids=True)["prompt_token_ids"] == rendered["tokens"]
    assert server.call("/detokenize", {"tokens": rendered["tokens"]})[1]["prompt"] == "".join(rendered["token_strs"])


def test_prefix_is_reported(server):
    messages = [{"role": "user", "content": "請記住這段話。" * 30}]
    first = chat(server, messages=messages, max_tokens=2, cache_salt="one")
    again = chat(server, messages=messages, max_tokens=2, cache_salt="one")
    other = chat(server, messages=messages, max_tokens=2, cache_salt="two")
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] > 100
    assert other["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


def test_overflow_and_truncation(server):
    long = [{"role": "user", "content": "很長的問題。" * 900}]
    status, body = server.call(CHAT, {"messages": long})
    assert status == 400 and body["error"]["code"] == "context_length_exceeded"
    assert "2048" in body["error"]["message"] and body["error"]["param"] == "messages"
    status, body = server.call(CHAT, {"messages": QUESTION, "max_tokens": 2048})
    assert status == 400 and "completion" in body["error"]["message"]
    kept = complete(server, prompt="很長的問題。" * 900, truncate_prompt_tokens=100, max_tokens=4)
    assert kept["usage"]["prompt_tokens"] == 100
    assert kept["usage"]["prompt_tokens_details"]["truncated_tokens"] > 1000
    turns = [{"role": "system", "content": "你是助理。"}]
    for _ in range(40):
        turns += [{"role": "user", "content": "舊的問題。" * 20}, {"role": "assistant", "content": "舊的回答。" * 20}]
    turns += QUESTION
    assert server.call(CHAT, {"messages": turns})[0] == 400
    auto = chat(server, messages=turns, truncation="auto", return_token_ids=True)
    assert auto["dropped_messages"] > 0 and auto["dropped_messages"] % 2 == 0
    text = server.call("/detokenize", {"tokens": auto["prompt_token_ids"]})[1]["prompt"]
    assert "你是助理。" in text and "台灣的首都是哪裡?" in text


# ---- refusals --------------------------------------------------------------------------------------------------------

REFUSED = [
    ({"temperature": 9e9}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_p": 1.5}, "top_p"),
    ({"n": 0}, "n"),
    ({"n": 100000}, "n"),
    ({"seed": -1}, "seed"),
    ({"seed": 1.5}, "seed"),
    ({"stop": ["a"] * 1000}, "stop"),
    ({"stop": [""]}, "stop"),
    ({"stop": {}}, "stop"),
    ({"logit_bias": {"x": 1}}, "logit_bias"),
    ({"logit_bias": {"99999999": 1}}, "logit_bias"),
    ({"logit_bias": []}, "logit_bias"),
    ({"max_tokens": -5}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 2.5}, "max_tokens"),
    ({"stream": "true"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"nothing": True}}, "stream_options"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"logprobs": 3}, "logprobs"),
    ({"store": True}, "store"),
    ({"service_tier": "flex"}, "service_tier"),
    ({"modalities": ["audio"]}, "modalities"),
    ({"audio": {"voice": "x"}}, "audio"),
    ({"prediction": {}}, "prediction"),
    ({"no_such_field": 1}, "no_such_field"),
    ({"chat_template": "{{ 1 }}"}, "chat_template"),
    ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs"),
    ({"allowed_token_ids": [99999999]}, "allowed_token_ids"),
    ({"bad_words": [""]}, "bad_words"),
    ({"model": 3}, "model"),
    ({"messages": []}, "messages"),
    ({"messages": "hello"}, "messages"),
    ({"messages": [{"role": "wizard", "content": ""}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": "", "colour": 1}]}, "messages[0].colour"),
    ({"messages": QUESTION + [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[1].content[0].type"),
    ({"truncation": "some"}, "truncation"),
    ({"prompt_logprobs": 1, "stream": True}, "prompt_logprobs"),
]


@pytest.mark.parametrize("fields,param", REFUSED, ids=[json.dumps(f)[:50] for f, _ in REFUSED])
def test_refused_with_its_name(server, fields, param):
    status, body = server.call(CHAT, {"messages": QUESTION, "max_tokens": 4, **fields})
    assert status == 400, body
    assert body["error"]["param"] == param, body
    assert body["error"]["type"] == "invalid_request_error" and body["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b'{"messages":[],"messages":[]}', b"\xff",
                                  b'{"messages":' + b"[" * 100 + b"]" * 100 + b"}", b'{"messages": "\\ud800"}'])
def test_bodies_that_are_no_request(server, body):
    status, answer = server.call(CHAT, body, method="POST")
    assert status == 400 and answer["error"]["message"]


def test_other_refusals(server):
    status, body = server.call("/v1/completions", {"prompt": "x", "suffix": "y"})
    assert status == 400 and body["error"]["param"] == "suffix" and "middle" in body["error"]["message"]
    status, body = server.call(CHAT, {"messages": QUESTION, "model": "gpt-4"})
    assert status == 404 and body["error"]["code"] == "model_not_found"
    for prompt in ([], {}, 5, [[]], ["a", 5], [[1], "a", {}], [99999999]):
        status, body = server.call("/v1/completions", {"prompt": prompt})
        assert status == 400 and body["error"]["param"] == "prompt", (prompt, body)
    assert server.call("/v1/completions", {"prompt": ["x"] * 5000})[0] == 400


def test_about_the_server(server):
    assert server.call("/health")[0] == server.call("/ping")[0] == 200
    assert server.call("/version")[1]["version"]
    assert server.call("/load")[1]["server_load"] >= 0
    props = server.call("/props")[1]
    assert props["max_model_len"] == 2048 and props["default_system_message"] is None
    assert props["default_generation_settings"]["temperature"] == 0.5  # of generation_config.json
    info = server.call("/tokenizer_info")[1]
    assert info["eos_token"] and info["chat_template"]


def test_default_system_message():
    with Server("--default-system-message", "你是一隻貓。") as server:
        assert server.call("/props")[1]["default_system_message"] == "你是一隻貓。"
        text = "".join(server.call("/tokenize", {"messages": QUESTION, "return_token_strs": True})[1]["token_strs"])
        assert text.count("你是一隻貓。") == 1
        own = [{"role": "system", "content": "你是狗。"}] + QUESTION
        text = "".join(server.call("/tokenize", {"messages": own, "return_token_strs": True})[1]["token_strs"])
        assert "你是一隻貓。" not in text and "你是狗。" in text
