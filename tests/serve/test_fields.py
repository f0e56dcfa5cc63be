"""Every documented field of every endpoint is honoured, or refused with its name: none is silently ignored.

For each endpoint the table names the fields that its inventor documents (vLLM's protocol for OpenAI's endpoints, with
OpenAI's own; Anthropic's; Ollama's; TGI's), and what becomes of each:
    Effect    the answer to `value` differs from the answer without it in the way that `seen` looks for
    Checked   a value outside its range is refused; what it does is tested elsewhere (samplers: tests/golden)
    Refused   `value` is refused, and the refusal names the field
    Label     says nothing about the answer by its nature: the answer is the same
The tables must also hold every field that the server's own OpenAPI document lists."""
import json

import pytest
from serving import Server

QUESTION = [{"role": "user", "content": "請說一個很長的故事給我聽"}]
PROMPT = "從前從前，有一個"


class Row:
    def __init__(self, value=None, seen=None, bad=None, **others):
        self.value, self.seen, self.bad, self.others = value, seen, bad, others


class Effect(Row):
    pass


class Checked(Row):
    pass


class Refused(Row):
    pass


class Label(Row):
    pass


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


def shown(body):
    """What an answer says, without names and times."""
    if "choices" in body:
        return [c.get("text") or c["message"]["content"] for c in body["choices"]]
    if "output" in body:
        return [p["text"] for item in body["output"] for p in item.get("content", [])]
    if isinstance(body.get("content"), list):
        return [block.get("text") for block in body["content"]]
    if "message" in body:
        return [body["message"]["content"]]
    return [body.get(k) for k in ("response", "generated_text", "prompt", "tokens", "input_tokens", "data") if k in body]


differs = lambda base, body: shown(base) != shown(body)
text_of = lambda body: shown(body)[0]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["a"],
          "additionalProperties": False}


def is_schema(base, body):
    return 1 <= json.loads(text_of(body))["a"] <= 9


SAMPLING = {
    "temperature": Effect(0, differs, -1),
    "top_p": Effect(0.001, differs, 2),
    "top_k": Effect(1, differs, "x"),
    "min_p": Effect(1.0, differs, 2),
    "typical_p": Checked(bad=0),
    "seed": Effect(8, differs, "x"),
    "stop": Effect(["。", "，", "的", "是"], lambda base, body: body["choices"][0]["stop_reason"] in "。，的是", 5),
    "n": Effect(3, lambda base, body: len(body["choices"]) == 3, 0),
    "logit_bias": Effect({"300": 100}, differs, {"a": 1}),
    "presence_penalty": Effect(2.0, differs, 3),
    "frequency_penalty": Effect(2.0, differs, 3),
    "repetition_penalty": Effect(2.0, differs, 0),
    "no_repeat_ngram_size": Checked(bad=-1),
    "dry_multiplier": Checked(bad=-1), "dry_base": Checked(bad=0), "dry_allowed_length": Checked(bad=0),
    "dry_penalty_last_n": Checked(bad=-2), "dry_sequence_breakers": Checked(bad=5),
    "xtc_probability": Checked(bad=2), "xtc_threshold": Checked(bad=2),
    "min_tokens": Effect(30, lambda base, body: body["usage"]["completion_tokens"] == 30, -1, max_tokens=30),
    "ignore_eos": Effect(True, lambda base, body: body["usage"]["completion_tokens"] == 60, 5, max_tokens=60),
    "stop_token_ids": Effect(list(range(260, 900)), lambda b, body: body["choices"][0]["stop_reason"] in range(260, 900), 5),
    "stop_token_sequences": Effect([[i] for i in range(260, 320)], lambda base, body: True, [1]),
    "include_stop_str_in_output": Effect(True, lambda base, body: text_of(body)[-1:] in "。，的是", 5,
                                         stop=["。", "，", "的", "是"]),
    "skip_special_tokens": Effect(False, lambda base, body: "<|" in text_of(body), 5, max_tokens=300, temperature=0.2,
                                  ignore_eos=True),
    "script": Effect("hant", lambda base, body: body["choices"][0]["script"]["simplified_only"] == 0, "hans"),
    "use_beam_search": Effect(True, lambda base, body: len(set(shown(body))) == 3, 5, n=3),
    "length_penalty": Checked(bad="x"), "early_stopping": Checked(bad="x"),
    "allowed_token_ids": Effect([300, 301], lambda base, body: set(body["choices"][0]["token_ids"]) <= {300, 301}, [],
                                return_token_ids=True, ignore_eos=True),
    "bad_words": Effect(["的", "是", "，", "。", "一"], differs, 5),
    "return_token_ids": Effect(True, lambda base, body: body["choices"][0]["token_ids"], 5),
    "truncate_prompt_tokens": Effect(5, lambda base, body: body["usage"]["prompt_tokens"] == 5, -2),
    "prompt_logprobs": Effect(1, lambda base, body: "prompt_logprobs" in json.dumps(body), 10**6),
    "priority": Checked(bad="x"),
    "cache_salt": Checked(bad=5),
    "spaces_between_special_tokens": Label(False),
    "stream": Checked(bad=5),
    "stream_options": Refused({"include_usage": True}), # without stream; with it: test_openai_api.py
}
LABELS = {name: Label("x") for name in ("user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
                                        "request_id")}
LABELS |= {"metadata": Label({"a": "b"}), "store": Refused(True), "service_tier": Effect(
    "auto", lambda base, body: body["service_tier"] == "default", "flex")}
STRUCTURE = {
    "response_format": Effect({"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}, is_schema, 5),
    "structured_outputs": Effect({"regex": "[0-9]{3}"}, lambda base, body: text_of(body).isdigit(), {"x": 1}),
    "guided_json": Effect(SCHEMA, is_schema, 5),
    "guided_regex": Effect("[0-9]{3}", lambda base, body: text_of(body).isdigit(), "("),
    "guided_choice": Effect(["甲乙"], lambda base, body: text_of(body) == "甲乙", []),
    "guided_grammar": Effect('root ::= "甲乙"', lambda base, body: text_of(body) == "甲乙", "root ::= none"),
    "guided_whitespace_pattern": Effect("", lambda base, body: " " not in text_of(body), 5, guided_json=SCHEMA),
    "guided_decoding_backend": Label("xgrammar"),
}
# vLLM documents these, and this server has nothing they could act upon.
NOT_HERE = {name: Refused(value) for name, value in {
    "logits_processors": ["x"], "vllm_xargs": {"a": 1}, "kv_transfer_params": {"a": 1}, "repetition_detection": {},
    "media_io_kwargs": {"a": 1}, "thinking_token_budget": 5, "truncation_side": "right", "ec_transfer_params": {},
    "logprob_token_ids": [1], "guided_json_object": True}.items()}

CHAT = {**SAMPLING, **LABELS, **STRUCTURE, **NOT_HERE,
    "messages": Effect([{"role": "user", "content": "你好"}], differs, []),
    "model": Refused("gpt-4"),
    "max_tokens": Effect(3, lambda base, body: body["usage"]["completion_tokens"] <= 3, 0),
    "max_completion_tokens": Effect(3, lambda base, body: body["usage"]["completion_tokens"] <= 3, 0),
    "logprobs": Effect(True, lambda base, body: body["choices"][0]["logprobs"]["content"], 5),
    "top_logprobs": Effect(2, lambda b, body: len(body["choices"][0]["logprobs"]["content"][0]["top_logprobs"]) == 2, -1,
                           logprobs=True),
    "return_tokens_as_token_ids": Effect(True, lambda base, body: body["choices"][0]["logprobs"]["content"][0][
        "token"].startswith("token_id:"), 5, logprobs=True),
    "echo": Effect(True, lambda base, body: text_of(body).startswith("台"), 5, messages=QUESTION + [
        {"role": "assistant", "content": "台"}], continue_final_message=True, add_generation_prompt=False),
    "add_generation_prompt": Effect(False, lambda base, body: body["usage"]["prompt_tokens"] <
                                    base["usage"]["prompt_tokens"], 5),
    "continue_final_message": Effect(True, lambda base, body: body["usage"]["prompt_tokens"] > 0, 5,
                                     messages=QUESTION + [{"role": "assistant", "content": "台"}],
                                     add_generation_prompt=False),
    "add_special_tokens": Effect(True, lambda base, body: body["usage"]["prompt_tokens"] >=
                                 base["usage"]["prompt_tokens"], 5),
    "documents": Checked(bad=5),
    "chat_template": Refused("{{ messages }}"),
    "chat_template_kwargs": Refused({"messages": []}),
    "mm_processor_kwargs": Refused({"a": 1}),
    "tools": Effect([TOOL], lambda base, body: body["usage"]["prompt_tokens"] > base["usage"]["prompt_tokens"], 5),
    "tool_choice": Effect("required", lambda base, body: body["choices"][0]["message"]["tool_calls"], "x", tools=[TOOL]),
    "parallel_tool_calls": Checked(bad=5),
    "truncation": Effect("auto", lambda base, body: body["dropped_messages"] > 0, "x", messages=[
        {"role": "user", "content": "山" * 3000}, {"role": "assistant", "content": "好"}, *QUESTION]),
    "modalities": Refused(["audio"]), "audio": Refused({"voice": "alloy"}), "prediction": Refused({"type": "content"}),
    "web_search_options": Refused({}), "reasoning_effort": Refused("high"), "include_reasoning": Label(True),
    "verbosity": Refused("high"), "functions": Refused([{"name": "f"}]), "function_call": Refused("auto"),
}
COMPLETIONS = {**SAMPLING, **LABELS, **STRUCTURE, **NOT_HERE,
    "prompt": Effect("昨天", differs, 5), "model": Refused("gpt-4"),
    "max_tokens": Effect(3, lambda base, body: body["usage"]["completion_tokens"] <= 3, -1),
    "logprobs": Effect(2, lambda base, body: body["choices"][0]["logprobs"]["token_logprobs"], -2),
    "return_tokens_as_token_ids": Effect(True, lambda base, body: body["choices"][0]["logprobs"]["tokens"][0]
                                         .startswith("token_id:"), 5, logprobs=1),
    "echo": Effect(True, lambda base, body: text_of(body).startswith(PROMPT), 5),
    "best_of": Refused(3), "suffix": Refused("後面"),
    "add_special_tokens": Effect(False, lambda base, body: body["usage"]["prompt_tokens"] <
                                 base["usage"]["prompt_tokens"], 5),
}
RESPONSES = {**LABELS,
    "service_tier": Checked(bad="flex"),
    "input": Effect("你好", differs, 5), "model": Refused("gpt-4"),
    "instructions": Effect("你是一隻貓。", lambda b, body: body["usage"]["input_tokens"] > b["usage"]["input_tokens"], 5),
    "stream": Checked(bad=5), "max_output_tokens": Effect(3, lambda base, body: body["usage"]["output_tokens"] <= 3, 0),
    "temperature": Effect(0, differs, -1), "top_p": Effect(0.001, differs, 2), "top_k": Effect(1, differs, "x"),
    "min_p": Effect(1.0, differs, 2), "seed": Effect(8, differs, "x"), "repetition_penalty": Effect(2.0, differs, 0),
    "script": Effect("hant", lambda base, body: body["script"]["simplified_only"] == 0, "hans"),
    "text": Effect({"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}, is_schema, {"format": {"type": "x"}}),
    "tools": Checked(bad=5), "tool_choice": Refused("required"), "parallel_tool_calls": Checked(bad=5),
    "truncation": Checked(bad="x"), "priority": Checked(bad="x"), "cache_salt": Checked(bad=5),
    "background": Refused(True), "previous_response_id": Refused("resp_1"), "conversation": Refused("c"),
    "prompt": Refused({"id": "x"}), "include": Refused(["reasoning.encrypted_content"]),
    "reasoning": Refused({"effort": "high"}), "max_tool_calls": Refused(3), "top_logprobs": Refused(3),
    "stream_options": Refused({"include_obfuscation": True}), "logit_bias": Refused({"1": 1}), "stop": Refused(["x"]),
    "enable_response_messages": Refused(True), "previous_input_messages": Refused([]), "mm_processor_kwargs": Refused({}),
    "skip_special_tokens": Refused(False), "include_stop_str_in_output": Refused(True),
}
MESSAGES = {
    "model": Refused("gpt-4"), "messages": Effect([{"role": "user", "content": "你好"}], differs, []),
    "max_tokens": Effect(3, lambda base, body: body["usage"]["output_tokens"] <= 3, 0),
    "system": Effect("你是一隻貓。", lambda b, body: body["usage"]["input_tokens"] + body["usage"][
        "cache_read_input_tokens"] > b["usage"]["input_tokens"] + b["usage"]["cache_read_input_tokens"], 5),
    "stream": Checked(bad=5), "temperature": Effect(0, differs, -1), "top_p": Effect(0.001, differs, 2),
    "top_k": Effect(1, differs, "x"), "seed": Effect(8, differs, "x"),
    "script": Effect("hant", lambda base, body: body["script"]["simplified_only"] == 0, "hans"),
    "stop_sequences": Effect(["。", "，", "的", "是"], lambda base, body: body["stop_sequence"] in "。，的是", 5),
    "tools": Checked(bad=5), "tool_choice": Refused({"type": "any"}), "metadata": Label({"user_id": "x"}),
    "service_tier": Checked(bad="x"), "thinking": Refused({"type": "enabled", "budget_tokens": 1024}),
    "container": Refused("x"), "context_management": Refused({"edits": []}), "mcp_servers": Refused([{"name": "x"}]),
    "output_config": Refused({"effort": "high"}), "output_format": Refused({"type": "json_schema"}),
    "cache_control": Label({"type": "ephemeral"}), "inference_geo": Label("us"),
}
OLLAMA_OPTIONS = {
    "temperature": Effect(0, differs, -1), "top_p": Effect(0.001, differs, 2), "top_k": Effect(1, differs, "x"),
    "min_p": Effect(1.0, differs, 2), "typical_p": Checked(bad=0), "seed": Effect(8, differs, "x"),
    "stop": Effect(["。", "，", "的", "是"], lambda base, body: len(text_of(body)) < len(text_of(base)), 5),
    "presence_penalty": Checked(bad=3), "frequency_penalty": Checked(bad=3), "repeat_penalty": Effect(2.0, differs, 0),
    "num_predict": Effect(3, lambda base, body: body["eval_count"] <= 3, -3), "num_ctx": Refused(10**6),
    "script": Effect("hant", lambda base, body: body["script"]["simplified_only"] == 0, "hans"),
    "repeat_last_n": Refused(64), "mirostat": Refused(1), "tfs_z": Refused(0.5), "penalize_newline": Refused(False),
    **{name: Label(1) for name in ("num_keep", "num_batch", "num_gpu", "main_gpu", "num_thread")},
    **{name: Label(True) for name in ("use_mmap", "use_mlock", "numa", "low_vram")},
    "mirostat_tau": Refused(5.0), "mirostat_eta": Refused(0.1), "vocab_only": Refused(True),
}
OLLAMA = {"model": Refused("gpt-4"), "stream": Checked(bad=5), "keep_alive": Label("5m"), "think": Refused(True),
          "format": Effect(SCHEMA, is_schema, "yaml"), "options": Checked(bad=5), "logprobs": Refused(True),
          "top_logprobs": Refused(3)}
OLLAMA_CHAT = {**OLLAMA, "messages": Effect([{"role": "user", "content": "你好"}], differs, []), "tools": Checked(bad=5)}
OLLAMA_GENERATE = {**OLLAMA, "prompt": Effect("你好", differs, 5), "suffix": Refused("x"), "images": Refused(["x"]),
                   "system": Effect("你是一隻貓。", lambda b, body: body["prompt_eval_count"] > b["prompt_eval_count"], 5),
                   "template": Refused("x"), "context": Refused([1]),
                   "raw": Effect(True, lambda base, body: body["prompt_eval_count"] < base["prompt_eval_count"], 5)}
TGI_PARAMETERS = {
    "temperature": Effect(5.0, differs, -1), "top_p": Effect(0.001, differs, 2), "top_k": Effect(1, differs, "x"),
    "typical_p": Checked(bad=0), "repetition_penalty": Effect(2.0, differs, 0), "frequency_penalty": Checked(bad=3),
    "seed": Effect(8, differs, "x"), "stop": Effect(["。", "，", "的", "是"], differs, 5),
    "script": Effect("hant", lambda base, body: body["script"]["simplified_only"] == 0, "hans"),
    "max_new_tokens": Effect(3, lambda base, body: body["details"]["generated_tokens"] <= 3, 0, details=True),
    "truncate": Effect(5, lambda base, body: body["details"]["input_length"] == 5, 0, details=True),
    "do_sample": Effect(True, differs, 5, temperature=None), "details": Effect(True, lambda b, body: body["details"], 5),
    "return_full_text": Effect(True, lambda base, body: body["generated_text"].startswith(PROMPT), 5),
    "decoder_input_details": Effect(True, lambda base, body: body["details"]["prefill"], 5),
    "top_n_tokens": Effect(2, lambda base, body: len(body["details"]["top_tokens"][0]) == 2, 21, details=True),
    "grammar": Effect({"type": "regex", "value": "[0-9]{3}"}, lambda b, body: body["generated_text"].isdigit(), {"type": "x"}),
    "best_of": Refused(2), "watermark": Refused(True), "adapter_id": Refused("x"),
}
TGI = {"inputs": Effect("昨天", differs, 5), "parameters": Checked(bad=5), "stream": Checked(bad=5)}
EMBEDDINGS = {
    "model": Refused("gpt-4"), "input": Effect("昨天", differs, {}), "encoding_format": Effect("base64", differs, "int8"),
    "dimensions": Refused(64), "pooling": Effect("mean", differs, "max"), "normalize": Effect(False, differs, 5),
    "add_special_tokens": Effect(False, differs, 5), "truncate_prompt_tokens": Effect(2, differs, -2),
    "priority": Checked(bad="x"), "cache_salt": Checked(bad=5), "embed_dtype": Refused("float16"),
    "endianness": Refused("big"), "messages": Refused(QUESTION), "user": Label("me"), "request_id": Label("x"),
    "mm_processor_kwargs": Refused({}), "chat_template": Refused("x"),
}

# path: base of a request, its table, and where the fields stand
TABLES = {
    "/v1/chat/completions": ({"messages": QUESTION, "seed": 7, "temperature": 2, "max_tokens": 24}, CHAT, None),
    "/v1/completions": ({"prompt": PROMPT, "seed": 7, "temperature": 2, "max_tokens": 24}, COMPLETIONS, None),
    "/v1/responses": ({"input": "請說一個很長的故事給我聽", "seed": 7, "temperature": 2, "max_output_tokens": 24}, RESPONSES, None),
    "/v1/messages": ({"model": "", "messages": QUESTION, "seed": 7, "temperature": 2, "max_tokens": 24}, MESSAGES, None),
    "/v1/embeddings": ({"input": PROMPT}, EMBEDDINGS, None),
    "/api/chat": ({"model": "twllm-default", "messages": QUESTION, "stream": False,
                   "options": {"seed": 7, "temperature": 2, "num_predict": 24}}, OLLAMA_CHAT, None),
    "/api/generate": ({"model": "twllm-default", "prompt": PROMPT, "stream": False,
                       "options": {"seed": 7, "temperature": 2, "num_predict": 24}}, OLLAMA_GENERATE, None),
    "/api/chat ": ({"model": "twllm-default", "messages": QUESTION, "stream": False,
                    "options": {"seed": 7, "temperature": 2, "num_predict": 24}}, OLLAMA_OPTIONS, "options"),
    "/generate": ({"inputs": PROMPT, "parameters": {"max_new_tokens": 24, "seed": 7, "temperature": 2.0}}, TGI, None),
    "/generate ": ({"inputs": PROMPT, "parameters": {"max_new_tokens": 24, "seed": 7, "temperature": 2.0}},
                   TGI_PARAMETERS, "parameters"),
}
ROWS = [(path, name) for path, (_, table, _) in TABLES.items() for name in table]


def send(server, path, name, value, others=None):
    base, _, inner = TABLES[path]
    fields = {k: v for k, v in {**(base[inner] if inner else base), **(others or {}), name: value}.items()}
    body = {**base, inner: fields} if inner else fields
    body = {k: v for k, v in body.items() if v is not None} if not inner else body
    return server.call(path.strip(), body)


def names(body, name):
    """Does the refusal name the field?"""
    if isinstance(body.get("error"), dict) and body["error"].get("param"):
        return body["error"]["param"].replace("[", ".").split(".")[0] == name
    return name in json.dumps(body)


@pytest.fixture(scope="module")
def bases(server):
    kept = {}

    def base(path, others):
        key = path + json.dumps(others, sort_keys=True)
        if key not in kept:
            kept[key] = send(server, path, "seed" if path != "/v1/embeddings" else "priority",
                             7 if not path.startswith(("/api", "/gen")) or path.endswith(" ") else None, others)
        status, body = kept[key]
        assert status == 200, body
        return body

    return base


@pytest.mark.parametrize("path,name", ROWS, ids=lambda value: value.strip())
def test_field(server, bases, path, name):
    row = TABLES[path][1][name]
    if isinstance(row, Refused):
        status, body = send(server, path, name, row.value, row.others)
        assert status in (400, 404, 422) and names(body, name), (status, body)
        return
    if row.bad is not None:
        status, body = send(server, path, name, row.bad, row.others)
        assert status in (400, 422) and names(body, name), (status, body)
    if isinstance(row, Checked):
        assert row.bad is not None
        return
    status, body = send(server, path, name, row.value, row.others)
    assert status == 200, body
    if isinstance(row, Label):
        assert shown(body) == shown(bases(path, row.others))
    else:
        assert row.seen(bases(path, {k: v for k, v in row.others.items() if k not in (
            "messages", "continue_final_message", "add_generation_prompt", "tools")}), body), body


def test_the_tables_hold_what_the_server_documents(server):
    document = server.call("/openapi.json")[1]
    for path, (_, table, inner) in TABLES.items():
        if inner:
            continue
        schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert set(schema["properties"]) <= set(table), (path, set(schema["properties"]) - set(table))


NESTED = [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a", "colour": 1}]}, "messages"),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "x": 1}]}]},
     "messages"),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a", "name": 5}]}, "messages"),
    ("/v1/chat/completions", {"tools": [{**TOOL, "x": 1}]}, "tools"),
    ("/v1/chat/completions", {"tools": [{"type": "function", "function": {"name": "f", "x": 1}}]}, "tools"),
    ("/v1/chat/completions", {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f", "x": 1}}},
     "tool_choice"),
    ("/v1/chat/completions", {"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "x": 1}}},
     "response_format"),
    ("/v1/chat/completions", {"stream": True, "stream_options": {"x": True}}, "stream_options"),
    ("/v1/chat/completions", {"guided_json": {"type": "object", "x-unknown": {}, "contentSchema": 5, "$dynamicRef": "#a"}},
     "guided_json"),
    ("/v1/messages", {"messages": [{"role": "user", "content": "a", "colour": 1}]}, "messages"),
    ("/v1/messages", {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "x": 1}]}]}, "messages"),
    ("/v1/messages", {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "x": 1}]}]},
     "messages"),
    ("/v1/messages", {"tools": [{"name": "f", "input_schema": {}, "x": 1}]}, "tools"),
    ("/v1/responses", {"input": [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}", "x": 1}]},
     "input"),
    ("/v1/responses", {"input": [{"role": "user", "content": "a", "x": 1}]}, "messages"),
    ("/api/chat", {"messages": [{"role": "user", "content": "a", "images": ["x"]}]}, "messages"),
    ("/api/chat", {"options": {"colour": 1}}, "options"),
    ("/generate", {"parameters": {"colour": 1}}, "colour"),
]


@pytest.mark.parametrize("path,fields,name", NESTED, ids=range(len(NESTED)))
def test_members_of_nested_objects(server, path, fields, name):
    status, body = server.call(path, {**TABLES[path][0], **fields})
    assert status in (400, 422) and names(body, name), (status, body)


def test_a_tools_error_is_told(server):
    def count(**more):
        content = [{"type": "tool_result", "tool_use_id": "a", "content": "晴", **more}]
        messages = QUESTION + [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
                               {"role": "user", "content": content}]
        return server.call("/v1/messages/count_tokens", {"model": "", "messages": messages})[1]["input_tokens"]

    assert count(is_error=True) > count(is_error=False) == count()
