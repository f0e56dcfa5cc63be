"""More clients as people install them: OpenAI's package for JavaScript, litellm, and lm-evaluation-harness, which must
find the same scores through the server as with its own HF backend on the same weights."""
import asyncio
import gc
import json
import os
import random
import subprocess

import pytest
from serving import ROOT, Server

MODEL = "twllm-default"
QUESTION = [{"role": "user", "content": "台灣的首都是哪裡?"}]
KEY = [("Authorization", "Bearer token")]
PARAMETERS = {"type": "object", "properties": {"城市": {"enum": ["臺北", "高雄"]}}, "required": ["城市"],
              "maxProperties": 1}  # litellm takes additionalProperties out
TOOLS = [{"type": "function", "function": {"name": "查詢天氣", "description": "天氣", "parameters": PARAMETERS}}]


@pytest.fixture(scope="module")
def server():
    with Server("--api-key", "token") as running:
        yield running


def is_idle(server):
    return any(server.call("/load", headers=KEY)[1]["server_load"] == 0 or asyncio.run(asyncio.sleep(0.05))
               for _ in range(100))


# ---- JavaScript ---------------------------------------------------------------------------------------------------------


def test_openai_for_javascript(server):
    """Streams, tools, its tool loop, structured answers, embeddings, errors, and a client that leaves."""
    subprocess.run([ROOT / "scripts/ensure-js-clients.sh"], check=True)
    done = subprocess.run(["node", "openai.mjs", server.url + "/v1", MODEL], cwd=ROOT / "tests/serve/js",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    result = json.loads(done.stdout.splitlines()[-1])
    same = server.call("/v1/chat/completions", {"messages": QUESTION, "seed": 3, "max_tokens": 24}, headers=KEY)[1]
    assert result["whole"] == same["choices"][0]["message"]["content"] and result["city"] in ("臺北", "高雄")
    assert is_idle(server)


# ---- litellm --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def litellm():
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks a web site for prices
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.num_retries = 0
    return litellm


@pytest.fixture
def route(server):
    return {"model": "hosted_vllm/" + MODEL, "api_base": server.url + "/v1", "api_key": "token"}


def streamed(litellm, **request):
    """litellm stops reading at [DONE]; what it leaves is closed here, for httpcore locks itself out when the collector
    does it while another request is being made."""
    parts = list(litellm.completion(**request, stream=True))
    gc.collect()
    return parts


def test_litellm_chat(litellm, route):
    request = {**route, "messages": QUESTION, "seed": 3, "max_tokens": 24}
    whole = litellm.completion(**request)
    assert whole.choices[0].message.content and whole.usage.completion_tokens > 0
    parts = streamed(litellm, **request, stream_options={"include_usage": True})
    assert "".join(p.choices[0].delta.content or "" for p in parts) == whole.choices[0].message.content
    extra = litellm.completion(**request, extra_body={"guided_choice": ["甲", "乙"]})
    assert extra.choices[0].message.content in ("甲", "乙")
    with pytest.raises(litellm.BadRequestError, match="temperature"):
        litellm.completion(**{**request, "temperature": -1})
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(**{**request, "api_key": "other"})


def test_litellm_tools_and_structure(litellm, route):
    request = {**route, "messages": QUESTION, "max_tokens": 100, "seed": 1, "tools": TOOLS, "tool_choice": "required"}
    [call] = litellm.completion(**request).choices[0].message.tool_calls
    assert json.loads(call.function.arguments)["城市"] in ("臺北", "高雄")
    chunks = streamed(litellm, **request)
    built = litellm.stream_chunk_builder(chunks, messages=QUESTION)
    assert built.choices[0].message.tool_calls[0].function.arguments == call.function.arguments
    more = QUESTION + [litellm.completion(**request).choices[0].message.model_dump(),
                       {"role": "tool", "tool_call_id": call.id, "content": "晴"}]
    assert litellm.completion(**route, messages=more, tools=TOOLS, max_tokens=5).choices
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": PARAMETERS, "strict": True}}
    text = litellm.completion(**route, messages=QUESTION, response_format=schema, max_tokens=60).choices[0].message.content
    assert json.loads(text)["城市"] in ("臺北", "高雄")


def test_litellm_others(litellm, server, route):
    vectors = litellm.embedding(**route, input=["一", "二"]).data
    assert len(vectors) == 2 and len(vectors[0]["embedding"]) == 256
    text = litellm.text_completion(**{**route, "model": "text-completion-openai/" + MODEL}, prompt="今天", max_tokens=5)
    assert text.choices[0].text
    claude = litellm.completion(model="anthropic/" + MODEL, api_base=server.url, api_key="token", messages=QUESTION,
                                max_tokens=12)
    assert claude.choices[0].message.content
    local = litellm.completion(model="ollama_chat/" + MODEL, api_base=server.url, messages=QUESTION, max_tokens=12,
                               api_key="token")
    assert local.choices[0].message.content

    async def many():
        answers = await asyncio.gather(*(litellm.acompletion(**route, messages=QUESTION, seed=i % 4, max_tokens=8)
                                         for i in range(24)))
        return [answer.choices[0].message.content for answer in answers]

    texts = asyncio.run(many())
    assert all(len({texts[i] for i in range(seed, 24, 4)}) == 1 for seed in range(4))


# ---- lm-evaluation-harness -------------------------------------------------------------------------------------------------

WORDS = "台灣 玉山 新聞 記者 經濟 法律 the of and school 學生 老師 天氣 今天 電腦 音樂 歷史 民國 選舉 總統 海洋 山脈 河流".split()
CHOICE = """task: server_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}\\nA. {{{{A}}}}\\nB. {{{{B}}}}\\nAnswer:"
doc_to_choice: ["A", "兩者皆非", "the first one"]
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
GENERATE = """task: server_generate
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}，"
doc_to_target: "{{{{A}}}}"
generation_kwargs: {{until: ["。", "\\n"], max_gen_toks: 6, temperature: 0, do_sample: false}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""
ROLLING = """task: server_rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{question}}}}"
metric_list: [{{metric: word_perplexity}}, {{metric: byte_perplexity}}]
"""
BOS = 13296  # what both put before the first token
TASKS = ["server_choice", "server_generate", "server_rolling"]


def test_lm_eval_finds_what_its_own_backend_finds(tmp_path):
    """Log-likelihoods from echo with logprobs of token ids, rolling ones, and greedy text, all with the server's own
    tokenizer. The tolerance is of float32 sums in another order."""
    import lm_eval
    import torch
    from lm_eval.tasks import TaskManager

    torch.set_num_threads(1)
    draw = random.Random(4)
    text = lambda n: "".join(draw.choice(WORDS) for _ in range(draw.randint(2, n)))
    rows = [{"question": text(20), "A": text(3), "B": text(3), "answer": draw.randrange(3)} for _ in range(6)]
    data = tmp_path / "test.jsonl"
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    for name, task in zip(TASKS, (CHOICE, GENERATE, ROLLING)):
        (tmp_path / f"{name}.yaml").write_text(task.format(data=data))
    shared = {"tasks": TASKS, "task_manager": TaskManager(include_path=str(tmp_path), include_defaults=False), "log_samples": True,
              "bootstrap_iters": 0}
    theirs = lm_eval.simple_evaluate(model="hf", batch_size=1, model_args={
        "pretrained": str(ROOT / "models/default"), "dtype": "float32", "device": "cpu", "add_bos_token": False,
        "prefix_token_id": BOS}, **shared)
    with Server("--kv-cache-dtype", "f32") as server:
        ours = lm_eval.simple_evaluate(model="local-completions", batch_size=4, model_args={
            "model": MODEL, "base_url": server.url + "/v1/completions", "tokenizer_backend": "remote",
            "num_concurrent": 2, "max_length": 2048, "custom_prefix_token_id": BOS}, **shared)
    for task in TASKS:
        assert len(ours["samples"][task]) == len(theirs["samples"][task]) == len(rows)
        for mine, other in zip(ours["samples"][task], theirs["samples"][task]):
            assert mine["doc"] == other["doc"]
            if task == "server_generate":
                assert mine["resps"] == other["resps"]
                continue
            for [one], [two] in zip(mine["resps"], other["resps"]):
                assert (one[0] if isinstance(one, (list, tuple)) else one) == pytest.approx(
                    two[0] if isinstance(two, (list, tuple)) else two, abs=2e-3)
        for metric, value in theirs["results"][task].items():
            if isinstance(value, float):
                assert ours["results"][task][metric] == pytest.approx(value, rel=1e-4), (task, metric)
