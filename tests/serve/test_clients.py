"""Clients as people install them, unmodified, against a running server: what they ask for is answered, and what they
parse is what was sent."""
import asyncio
import json

import anthropic
import ollama
import openai
import pydantic
import pytest
from serving import Server

QUESTION = [{"role": "user", "content": "台灣的首都是哪裡?"}]
TOOL = {"type": "object", "properties": {"城市": {"enum": ["臺北", "高雄"]}}, "required": ["城市"],
        "additionalProperties": False}


@pytest.fixture(scope="module")
def server():
    with Server("--api-key", "token", "--served-model-name", "yentinglin/Llama-3-Taiwan-8B-Instruct") as running:
        yield running


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="token", max_retries=0) as opened:
        yield opened


MODEL = "yentinglin/Llama-3-Taiwan-8B-Instruct"

# ---- openai -----------------------------------------------------------------------------------------------------------


def test_the_cards_own_sample(client):
    """The model card's example, with its model name and key."""
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "system", "content": "You are a helpful assistant."},
                  {"role": "user", "content": "你好,請介紹台灣。"}],
    )
    assert answer.choices[0].message.content and answer.model == MODEL


def test_wrong_key(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="other", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            client.models.list()


def test_openai_lists_and_errors(client):
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-4", messages=QUESTION)
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=-1)
    assert caught.value.param == "temperature"


def test_openai_streams(client):
    request = {"model": MODEL, "messages": QUESTION, "seed": 1, "max_tokens": 20}
    whole = client.chat.completions.create(**request).choices[0].message.content
    stream = client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
    parts = list(stream)
    assert "".join(p.choices[0].delta.content or "" for p in parts if p.choices) == whole
    assert parts[-1].usage.completion_tokens > 0
    with client.chat.completions.stream(**request) as events:
        assert events.get_final_completion().choices[0].message.content == whole
    text = client.completions.create(model=MODEL, prompt="今天", max_tokens=5, extra_body={"min_p": 0.1, "top_k": 5})
    assert text.choices[0].text


def test_openai_parse(client):
    class Weather(pydantic.BaseModel):
        city: str = pydantic.Field(pattern="^[a-z]{3,8}$")
        days: int = pydantic.Field(ge=1, le=5)

    for seed in range(3):
        answer = client.chat.completions.parse(model=MODEL, messages=QUESTION, response_format=Weather, seed=seed,
                                               max_tokens=100)
        assert isinstance(answer.choices[0].message.parsed, Weather)


def test_openai_tools(client):
    tools = [{"type": "function", "function": {"name": "查詢天氣", "description": "天氣", "parameters": TOOL}}]
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, tools=tools, tool_choice="required",
                                            max_tokens=100)
    [call] = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments)["城市"] in ("臺北", "高雄")
    more = QUESTION + [answer.choices[0].message.model_dump(),
                       {"role": "tool", "tool_call_id": call.id, "content": "晴"}]
    assert client.chat.completions.create(model=MODEL, messages=more, tools=tools, max_tokens=5)
    with client.chat.completions.stream(model=MODEL, messages=QUESTION, tools=tools, tool_choice="required",
                                        max_tokens=100) as stream:
        final = stream.get_final_completion().choices[0].message.tool_calls[0]
        assert json.loads(final.function.arguments)["城市"] in ("臺北", "高雄")


def test_openai_responses(client):
    request = {"model": MODEL, "input": "台灣的首都是哪裡?", "max_output_tokens": 20, "extra_body": {"seed": 3}}
    whole = client.responses.create(**request)
    assert whole.output_text and whole.status in ("completed", "incomplete") and whole.store is False
    with client.responses.stream(**request) as stream:
        final = [event for event in stream][-1].response
    assert final.output_text == whole.output_text
    assert final.usage.output_tokens == whole.usage.output_tokens
    tools = [{"type": "function", "name": "查詢天氣", "parameters": TOOL, "strict": True}]
    called = client.responses.create(model=MODEL, input="臺北?", tools=tools, tool_choice="required")
    [call] = called.output
    assert call.type == "function_call" and json.loads(call.arguments)["城市"] in ("臺北", "高雄")
    with client.responses.stream(model=MODEL, input="臺北?", tools=tools, tool_choice="required") as stream:
        final = [event for event in stream][-1].response
    assert json.loads(final.output[0].arguments)["城市"] in ("臺北", "高雄")
    more = [{"role": "user", "content": "臺北?"}, call.model_dump(exclude_none=True, exclude={"id", "status"}),
            {"type": "function_call_output", "call_id": call.call_id, "output": "晴"}]
    assert client.responses.create(model=MODEL, input=more, tools=tools, max_output_tokens=5).status
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model=MODEL, input="x", previous_response_id="resp_1")


def test_two_hundred_streams_with_cancels(server):
    """Every stream that is read to its end is the one that its seed gives; those that leave free their place."""

    async def one(client, seed):
        stream = await client.chat.completions.create(model=MODEL, messages=QUESTION, seed=seed % 10, max_tokens=16,
                                                      temperature=1, stream=True, extra_body={"ignore_eos": True})
        text = ""
        async for part in stream:
            text += part.choices[0].delta.content or ""
            if seed % 4 == 3 and len(text) > 4:
                await stream.close()
                return None
        return text

    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="token", max_retries=0, timeout=60) as client:
            return await asyncio.gather(*(one(client, seed) for seed in range(200)))

    texts = asyncio.run(all_of_them())
    for seed in range(10):
        same = {text for i, text in enumerate(texts) if i % 10 == seed and text is not None}
        assert len(same) == 1, same
    assert texts.count(None) == 50
    metrics_key = [("Authorization", "Bearer token")]
    for _ in range(100):
        if server.call("/load", headers=metrics_key)[1]["server_load"] == 0:
            break
        asyncio.run(asyncio.sleep(0.05))
    assert server.call("/load", headers=metrics_key)[1]["server_load"] == 0


# ---- anthropic ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def claude(server):
    with anthropic.Anthropic(base_url=server.url, api_key="token", max_retries=0) as opened:
        yield opened


def test_anthropic_messages(claude):
    request = {"model": MODEL, "max_tokens": 20, "system": "你是助理。", "messages": QUESTION,
               "extra_body": {"seed": 3}}
    whole = claude.messages.create(**request)
    assert whole.content[0].type == "text" and whole.stop_reason in ("end_turn", "max_tokens")
    with claude.messages.stream(**request) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens
    count = claude.messages.count_tokens(model=MODEL, system="你是助理。", messages=QUESTION)
    assert count.input_tokens == whole.usage.input_tokens + whole.usage.cache_read_input_tokens
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(model=MODEL, max_tokens=5, messages=QUESTION, thinking={"type": "enabled",
                                                                                      "budget_tokens": 1024})
    cut = claude.messages.create(model=MODEL, max_tokens=30, messages=QUESTION, stop_sequences=["。"])
    assert cut.stop_reason in ("stop_sequence", "end_turn", "max_tokens")


def test_anthropic_tools(claude):
    tools = [{"name": "get_weather", "description": "天氣", "input_schema": TOOL}]
    request = {"model": MODEL, "max_tokens": 100, "tools": tools, "messages": QUESTION,
               "tool_choice": {"type": "tool", "name": "get_weather"}}
    answer = claude.messages.create(**request)
    [use] = answer.content
    assert use.type == "tool_use" and use.input["城市"] in ("臺北", "高雄") and answer.stop_reason == "tool_use"
    with claude.messages.stream(**request) as stream:
        final = stream.get_final_message()
    assert final.content[0].input["城市"] in ("臺北", "高雄")
    more = QUESTION + [{"role": "assistant", "content": [block.model_dump() for block in answer.content]},
                       {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "晴"}]}]
    assert claude.messages.create(model=MODEL, max_tokens=5, tools=tools, messages=more).content


# ---- ollama ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llama(server):
    return ollama.Client(host=server.url, headers={"Authorization": "Bearer token"})


def test_ollama_chat(llama):
    options = {"seed": 3, "temperature": 0.7, "num_predict": 20}
    whole = llama.chat(model=MODEL, messages=QUESTION, options=options)
    assert whole.done and whole.done_reason in ("stop", "length") and whole.eval_count > 0
    parts = list(llama.chat(model=MODEL, messages=QUESTION, options=options, stream=True))
    assert "".join(p.message.content for p in parts) == whole.message.content
    assert [p.done for p in parts] == [False] * (len(parts) - 1) + [True]
    schema = llama.chat(model=MODEL, messages=QUESTION, format=TOOL, options={"num_predict": 60})
    assert json.loads(schema.message.content)["城市"] in ("臺北", "高雄")
    with pytest.raises(ollama.ResponseError):
        llama.chat(model="missing", messages=QUESTION)
    with pytest.raises(ollama.ResponseError):
        llama.chat(model=MODEL, messages=QUESTION, options={"mirostat": 2})


def test_ollama_others(llama):
    text = llama.generate(model=MODEL, prompt="今天天氣", raw=True, options={"seed": 7, "num_predict": 8})
    assert text.response and text.done
    assert llama.generate(model=MODEL, prompt="你好", system="你是貓。", options={"num_predict": 4}).response
    assert llama.generate(model=MODEL).done_reason == "load"
    assert llama.list().models[0].model == MODEL
    shown = llama.show(MODEL)
    assert "completion" in shown.capabilities and shown.modelinfo["llama.context_length"] == 2048
    assert llama.ps().models[0].model == MODEL


# ---- text-generation-inference ----------------------------------------------------------------------------------------


def test_tgi(server):
    key = [("Authorization", "Bearer token")]
    status, whole = server.call("/generate", {"inputs": "今天天氣", "parameters": {
        "max_new_tokens": 8, "details": True, "decoder_input_details": True, "top_n_tokens": 2}}, headers=key)
    assert status == 200, whole
    details = whole["details"]
    assert details["generated_tokens"] == len(details["tokens"]) <= 8 and len(details["top_tokens"][0]) == 2
    assert details["prefill"][0]["logprob"] is None and details["seed"] is None
    events = [json.loads(data) for _, data in server.events("/generate_stream", {
        "inputs": "今天天氣", "parameters": {"max_new_tokens": 8}}, headers=key)]
    assert [e["token"]["id"] for e in events] == [t["id"] for t in details["tokens"]]
    assert events[-1]["generated_text"] == whole["generated_text"]
    assert all(e["generated_text"] is None for e in events[:-1])
    status, body = server.call("/generate", {"inputs": "x", "parameters": {"top_p": 5}}, headers=key)
    assert status == 422 and body["error_type"] == "validation"
    status, body = server.call("/generate", {"inputs": "x", "parameters": {
        "grammar": {"type": "regex", "value": "[0-9]{3}"}}}, headers=key)
    assert status == 200 and body["generated_text"].isdigit()
    assert server.call("/info", headers=key)[1]["model_id"] == MODEL


# ---- langchain ----------------------------------------------------------------------------------------------------------


def test_langchain(server):
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(base_url=server.url + "/v1", api_key="token", model=MODEL, max_tokens=40, seed=4, max_retries=0)
    whole = model.invoke("台灣的首都是哪裡?").content
    assert whole == "".join(part.content for part in model.stream("台灣的首都是哪裡?"))
    bound = model.bind_tools([{"type": "function", "function": {"name": "查詢天氣", "parameters": TOOL}}],
                             tool_choice="required")
    answer = bound.invoke("臺北天氣如何?")
    assert answer.tool_calls[0]["args"]["城市"] in ("臺北", "高雄")
