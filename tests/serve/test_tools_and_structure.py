"""Tool calls and structured answers of the running server: what comes out is checked by jsonschema and by the openai
package's types. The embedded model knows nothing of tools, so what is right here is right by construction."""
import json

import jsonschema
import openai.types.chat
import pytest
from serving import Server

CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": "臺北天氣如何?"}]
SCHEMA = {
    "type": "object",
    "properties": {"城市": {"$ref": "#/$defs/City"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
    "required": ["城市", "days"],
    "additionalProperties": False,
    "$defs": {"City": {"enum": ["臺北", "高雄"]}},
}
TOOLS = [
    {"type": "function", "function": {"name": "查詢天氣", "description": "查詢某城市的天氣", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {},
                                                                       "additionalProperties": False}}},
]


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


def chat(server, **fields):
    status, body = server.call(CHAT, {"messages": QUESTION, "max_tokens": 120, **fields})
    assert status == 200, body
    return openai.types.chat.ChatCompletion.model_validate(body, strict=True).choices[0]


def check_call(call):
    tool = next(t["function"] for t in TOOLS if t["function"]["name"] == call.function.name)
    jsonschema.validate(json.loads(call.function.arguments), tool["parameters"])


@pytest.mark.parametrize("seed", range(4))
def test_required_and_named(server, seed):
    choice = chat(server, tools=TOOLS, tool_choice="required", seed=seed, temperature=1.2)
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    check_call(choice.message.tool_calls[0])
    named = {"type": "function", "function": {"name": "查詢天氣"}}
    choice = chat(server, tools=TOOLS, tool_choice=named, seed=seed, temperature=1.2)
    assert [call.function.name for call in choice.message.tool_calls] == ["查詢天氣"]
    check_call(choice.message.tool_calls[0])
    assert "\\u" not in choice.message.tool_calls[0].function.arguments


def test_streamed_calls_concatenate_to_the_whole(server):
    request = {"messages": QUESTION, "tools": TOOLS, "tool_choice": "required", "seed": 5, "max_tokens": 120}
    whole = server.call(CHAT, request)[1]["choices"][0]["message"]
    calls, content = {}, ""
    for _, data in server.events(CHAT, {**request, "stream": True})[:-1]:
        chunk = openai.types.chat.ChatCompletionChunk.model_validate(json.loads(data), strict=True)
        delta = chunk.choices[0].delta
        content += delta.content or ""
        for call in delta.tool_calls or []:
            mine = calls.setdefault(call.index, {"name": call.function.name, "arguments": "", "id": call.id})
            mine["arguments"] += call.function.arguments
            assert mine["id"].startswith("call_") and len(mine["id"]) == 29
    assert content == (whole["content"] or "")
    assert [{"name": c["name"], "arguments": c["arguments"]} for c in calls.values()] == [
        c["function"] for c in whole["tool_calls"]
    ]


def test_none_and_plain_text_is_never_removed(server):
    choice = chat(server, tools=TOOLS, tool_choice="none", seed=1,
                  structured_outputs={"choice": ['{"name": "get_time", "parameters": {}}']})
    assert choice.message.content == '{"name": "get_time", "parameters": {}}' and not choice.message.tool_calls
    choice = chat(server, structured_outputs={"choice": ['{"name": "bob"}']})
    assert choice.message.content == '{"name": "bob"}'


def test_results_come_back(server):
    messages = QUESTION + [
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function",
             "function": {"name": "查詢天氣", "arguments": '{"城市": "臺北", "days": 1}'}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "晴,攝氏二十五度"},
    ]
    status, body = server.call(CHAT, {"messages": messages, "tools": TOOLS, "max_tokens": 4, "return_token_ids": True})
    assert status == 200, body
    text = server.call("/detokenize", {"tokens": body["prompt_token_ids"]})[1]["prompt"]
    assert '{"name": "查詢天氣", "parameters": {"城市": "臺北", "days": 1}}' in text
    assert "<|start_header_id|>ipython<|end_header_id|>\n\n晴,攝氏二十五度" in text
    assert text.count("查詢某城市的天氣") == 1


@pytest.mark.parametrize("tools,param", [
    ([{"type": "retrieval"}], "tools[0].type"),
    ([{"type": "function"}], "tools[0].function"),
    ([{"type": "function", "function": {"name": "a b"}}], "tools[0].function.name"),
    ([TOOLS[0], TOOLS[0]], "tools[1].function.name"),
    ([{"type": "function", "function": {"name": "a", "parameters": 5}}], "tools[0].function.parameters"),
    ([{"type": "function", "function": {"name": "a", "parameters": {"unevaluatedItems": False}}}], "tools[0]"),
    ([TOOLS[0]] * 2000, "tools"),
])
def test_bad_tools(server, tools, param):
    status, body = server.call(CHAT, {"messages": QUESTION, "tools": tools, "max_tokens": 2})
    assert status == 400 and body["error"]["param"] == param, body


def test_bad_choices(server):
    for choice in ("all", {"type": "function", "function": {"name": "nobody"}}, {}, 5):
        status, body = server.call(CHAT, {"messages": QUESTION, "tools": TOOLS, "tool_choice": choice})
        assert status == 400 and body["error"]["param"] == "tool_choice", body
    status, body = server.call(CHAT, {"messages": QUESTION, "tool_choice": "required"})
    assert status == 400 and body["error"]["param"] == "tool_choice"


# ---- structured answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_schemas(server, seed):
    given = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}
    for fields in ({"response_format": given}, {"guided_json": SCHEMA}, {"guided_json": json.dumps(SCHEMA)},
                   {"structured_outputs": {"json": SCHEMA, "disable_any_whitespace": True}}):
        choice = chat(server, seed=seed, temperature=1.2, **fields)
        assert choice.finish_reason == "stop"
        jsonschema.validate(json.loads(choice.message.content), SCHEMA)


@pytest.mark.parametrize("parallel", [True, False])
def test_forced_calls_are_one(server, parallel):
    """Required is one call, hot or not; several come with auto only (every way of writing them: test_tool_parser.c)."""
    for seed in range(4):
        choice = chat(server, tools=TOOLS, tool_choice="required", parallel_tool_calls=parallel, seed=seed,
                      temperature=2.5, max_tokens=400)
        [call] = choice.message.tool_calls
        assert choice.finish_reason == "tool_calls"
        check_call(call)


SAMPLED = [
    {"type": "array", "items": {"enum": ["臺北", "高雄", 5, None]}, "minItems": 2, "maxItems": 4, "uniqueItems": False},
    {"type": "object", "properties": {"姓名": {"type": "string", "minLength": 2, "maxLength": 6},
                                      "年齡": {"type": "integer", "minimum": 0, "maximum": 120},
                                      "電話": {"type": "string", "pattern": "^09[0-9]{8}$"}},
     "required": ["姓名", "電話"], "additionalProperties": False},
    {"anyOf": [{"type": "number", "exclusiveMinimum": -3, "maximum": 7.5}, {"type": "string", "format": "date"}]},
    {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {
        "v": {"type": "boolean"}, "c": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 2}},
        "required": ["v"], "additionalProperties": False}}},
    {"type": "object", "propertyNames": {"pattern": "^[a-z]{1,3}$"}, "additionalProperties": {"type": "integer"},
     "minProperties": 1, "maxProperties": 3},
    {"if": {"type": "string"}, "then": {"maxLength": 3}, "else": {"type": "integer", "multipleOf": 7, "maximum": 999,
                                                                  "minimum": 0}, "type": ["string", "integer"]},
    {"type": "object", "properties": {"a": {"const": {"深": ["層", 1.5]}}, "b": {"not": {"type": "string"}}},
     "required": ["a"], "additionalProperties": False},
]


@pytest.mark.parametrize("schema", SAMPLED, ids=range(len(SAMPLED)))
def test_what_ends_by_itself_is_valid(server, schema):
    """Hot random sampling of many answers at once, judged by an independent validator."""
    body = {"messages": QUESTION, "n": 16, "temperature": 2, "seed": 11, "max_tokens": 160, "guided_json": schema}
    status, answer = server.call(CHAT, body)
    assert status == 200, answer
    ended = [c["message"]["content"] for c in answer["choices"] if c["finish_reason"] == "stop"]
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    for text in ended:
        validator.validate(json.loads(text))
    assert len(ended) >= 4 and len(set(ended)) > 1


def test_other_forms(server):
    assert chat(server, structured_outputs={"regex": "[a-c]{3}-[0-9]{2}"}).message.content[3] == "-"
    assert chat(server, guided_choice=["好", "不好"]).message.content in ("好", "不好")
    answer = chat(server, response_format={"type": "json_object"}, max_tokens=400, temperature=0.2, seed=3)
    if answer.finish_reason == "stop":
        assert isinstance(json.loads(answer.message.content), dict)
    assert chat(server, guided_grammar='root ::= "甲" [0-9] [0-9]').message.content[0] == "甲"
    tag = {"type": "structural_tag", "structures": [{"begin": "<a>", "schema": {"type": "integer"}, "end": "</a>"}],
           "triggers": ["<a>"]}
    assert chat(server, response_format=tag, max_tokens=8).message.content is not None
    several = server.call(CHAT, {"messages": QUESTION, "n": 4, "temperature": 1.5, "guided_regex": "[0-9]{4}"})[1]
    assert all(c["message"]["content"].isdigit() and len(c["message"]["content"]) == 4 for c in several["choices"])


@pytest.mark.parametrize("fields,param", [
    ({"response_format": {"type": "yaml"}}, "response_format"),
    ({"response_format": {"type": "json_schema"}}, "response_format"),
    ({"guided_json": {"unevaluatedProperties": False}}, "guided_json"),
    ({"guided_json": 5}, "guided_json"),
    ({"guided_json": "{"}, "guided_json"),
    ({"guided_regex": "(?=a)"}, "guided_regex"),
    ({"guided_regex": "("}, "guided_regex"),
    ({"guided_grammar": "root ::= nothing"}, "guided_grammar"),
    ({"guided_choice": []}, "guided_choice"),
    ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_choice"),
    ({"structured_outputs": {"colour": "red"}}, "structured_outputs"),
    ({"response_format": {"type": "json_object"}, "tools": TOOLS}, "response_format"),
])
def test_what_cannot_be_enforced_is_refused(server, fields, param):
    status, body = server.call(CHAT, {"messages": QUESTION, "max_tokens": 4, **fields})
    assert status == 400 and body["error"]["param"] == param, body
