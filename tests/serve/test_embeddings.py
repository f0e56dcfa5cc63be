"""/v1/embeddings against the hidden states that transformers computes of the same model, and with the openai package.

Tolerance: keys and values are kept in 16 bits, which moves a component of a vector of length 1 by less than 2e-3; the
cosine between both is then above 0.9999."""
import base64
import concurrent.futures
import struct

import numpy as np
import openai
import pytest
import torch
import transformers
from serving import ROOT, Server

TEXTS = ["臺灣是位於東亞的島嶼。", "Taipei", "今天天氣很好，我們去爬山。" * 20, "牛肉麵", "一"]
TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def server():
    with Server("--max-num-batched-tokens", 64, "--max-num-seqs", 8) as running:
        yield running


@pytest.fixture(scope="module")
def reference():
    model = transformers.AutoModel.from_pretrained(ROOT / "models/default", dtype=torch.float32)
    model.eval()

    def states(ids):
        with torch.no_grad():
            return model(torch.tensor([ids])).last_hidden_state[0].double().numpy()

    return states


def embed(server, **fields):
    status, body = server.call("/v1/embeddings", fields)
    assert status == 200, body
    openai.types.CreateEmbeddingResponse.model_validate(body)
    assert [one["index"] for one in body["data"]] == list(range(len(body["data"])))
    return np.array([one["embedding"] for one in body["data"]]), body["usage"]


def expected(reference, ids, pooling):
    states = reference(ids)
    vector = {"mean": states.mean(axis=0), "last": states[-1], "cls": states[0]}[pooling]
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
def test_vectors_are_those_of_transformers(server, reference, pooling):
    """Long prompts come in several chunks, several prompts in one step; a second time the prefix is known."""
    ids = [server.call("/tokenize", {"prompt": text})[1]["tokens"] for text in TEXTS]
    assert max(map(len, ids)) > 64
    for _ in range(2):
        vectors, usage = embed(server, input=TEXTS, pooling=pooling)
        assert usage["prompt_tokens"] == usage["total_tokens"] == sum(map(len, ids))
        for vector, one in zip(vectors, ids):
            want = expected(reference, one, pooling)
            assert np.abs(vector - want).max() < TOLERANCE and vector @ want > 0.9999
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    by_ids, _ = embed(server, input=ids, pooling=pooling)
    assert np.array_equal(by_ids, vectors)
    alone = np.vstack([embed(server, input=one, pooling=pooling)[0] for one in ids])
    assert np.array_equal(alone, vectors)


def test_as_they_are(server, reference):
    ids = server.call("/tokenize", {"prompt": TEXTS[0]})[1]["tokens"]
    [vector], _ = embed(server, input=TEXTS[0], pooling="mean", normalize=False)
    want = reference(ids).mean(axis=0)
    assert np.abs(vector - want).max() < TOLERANCE * np.linalg.norm(want)
    [without], usage = embed(server, input=TEXTS[0], pooling="mean", add_special_tokens=False)
    assert usage["prompt_tokens"] == len(ids) - 1
    assert without @ expected(reference, ids[1:], "mean") > 0.9999


def test_encodings_are_the_same_numbers(server):
    floats, _ = embed(server, input=TEXTS[:2])
    status, body = server.call("/v1/embeddings", {"input": TEXTS[:2], "encoding_format": "base64"})
    assert status == 200
    for one, vector in zip(body["data"], floats):
        data = base64.b64decode(one["embedding"], validate=True)
        assert np.array_equal(np.array(struct.unpack(f"<{len(data) // 4}f", data)), vector.astype(np.float32))


def test_the_openai_package(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client:
        answer = client.embeddings.create(model="twllm-default", input=TEXTS)  # asks for base64 by itself
        floats, _ = embed(server, input=TEXTS)
        assert np.allclose([one.embedding for one in answer.data], floats, atol=1e-7)
        with pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(model="twllm-default", input=TEXTS, dimensions=64)
        assert caught.value.param == "dimensions"
        whole = client.embeddings.create(model="twllm-default", input="一", dimensions=len(floats[0]))
        assert len(whole.data[0].embedding) == len(floats[0])


def test_beside_answers(server):
    """Vectors and answers share steps, and neither changes the other."""
    chat = {"messages": [{"role": "user", "content": "你好"}], "seed": 1, "max_tokens": 24}
    alone = server.call("/v1/chat/completions", chat)[1]["choices"][0]["message"]["content"]
    vectors, _ = embed(server, input=TEXTS, pooling="mean")

    def one(i):
        if i % 2:
            return server.call("/v1/chat/completions", chat)[1]["choices"][0]["message"]["content"] == alone
        return np.array_equal(embed(server, input=TEXTS, pooling="mean")[0], vectors)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(24)))
    assert server.idle()


def test_truncation_and_length(server):
    text = "山" * 4000
    status, body = server.call("/v1/embeddings", {"input": text})
    assert status == 400 and body["error"]["code"] == "context_length_exceeded", body
    vectors, usage = embed(server, input=text, truncate_prompt_tokens=100)
    assert usage["prompt_tokens"] == 100
    ids = server.call("/tokenize", {"prompt": text})[1]["tokens"]
    assert np.array_equal(embed(server, input=ids[-100:])[0], vectors)


@pytest.mark.parametrize("body,param", [
    ({}, "input"), ({"input": []}, "input"), ({"input": {}}, "input"), ({"input": [[]]}, "input"),
    ({"input": [1, "a"]}, "input"), ({"input": [10**8]}, "input"), ({"input": ["a", 5]}, "input"),
    ({"input": "a", "encoding_format": "int8"}, "encoding_format"), ({"input": "a", "dimensions": 0}, "dimensions"),
    ({"input": "a", "pooling": "max"}, "pooling"), ({"input": "a", "normalize": 1}, "normalize"),
    ({"input": "a", "embed_dtype": "float16"}, "embed_dtype"), ({"messages": [], "input": "a"}, "messages"),
    ({"input": "a", "colour": 1}, "colour"),
])
def test_what_is_refused(server, body, param):
    status, answer = server.call("/v1/embeddings", body)
    assert status == 400 and answer["error"]["param"] == param, answer


def test_the_servers_pooling():
    with Server("--pooling", "mean") as running:
        assert np.array_equal(embed(running, input="一二三")[0], embed(running, input="一二三", pooling="mean")[0])
