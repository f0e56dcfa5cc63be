"""64 greedy tokens equal those of transformers' generate, and a model that was really trained tells its story."""
import struct

import llama_models
import numpy
import pytest
import torch
import transformers
from llama_models import has_isa, run_logits


@pytest.mark.parametrize("name", llama_models.MODELS)
def test_greedy_continuations_equal_generate(probe, tmp_path, name):
    model, sequences = llama_models.make(name, tmp_path)
    prompts = [s[:50] for s in sequences[::2]]  # the continuation crosses the original length of most rope kinds
    expected = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=64)
        expected.append(out[0, len(prompt) :].tolist())
        assert len(expected[-1]) == 64
    sets = [dict(isa=isa) for isa in ("avx2", "avx512") if has_isa(probe, tmp_path, isa)]
    for options in [dict(), dict(mixed=1), *sets]:
        lines = run_logits(probe, tmp_path, prompts, greedy=64, **options).decode().splitlines()
        assert [[int(i) for i in line.split()] for line in lines] == expected, options


def convert_llama2c(path, folder):
    """llama2.c's format v0 (seven int32, then float32 tensors, layers stacked) as a Hugging Face checkpoint. Its rotary
    pairs are neighbours; Hugging Face's are half a head apart, so rows of q and k are reordered."""
    raw = path.read_bytes()
    D, F, L, H, KH, V, length = struct.unpack("<7i", raw[:28])
    tied, V = V > 0, abs(V)
    weights = numpy.frombuffer(raw, numpy.float32, offset=28)
    HD = D // H
    at = 0

    def take(*shape):
        nonlocal at
        n = int(numpy.prod(shape))
        at += n
        return torch.from_numpy(weights[at - n : at].reshape(shape).copy())

    def halves(w, heads):
        return w.reshape(heads, HD // 2, 2, D).transpose(1, 2).reshape(heads * HD, D)

    config = transformers.LlamaConfig(
        vocab_size=V, hidden_size=D, intermediate_size=F, num_hidden_layers=L, num_attention_heads=H,
        num_key_value_heads=KH, max_position_embeddings=length, rms_norm_eps=1e-5, tie_word_embeddings=tied,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    state = {"model.embed_tokens.weight": take(V, D)}
    stacks = [
        ("input_layernorm", (D,), None), ("self_attn.q_proj", (D, D), H), ("self_attn.k_proj", (KH * HD, D), KH),
        ("self_attn.v_proj", (KH * HD, D), None), ("self_attn.o_proj", (D, D), None),
        ("post_attention_layernorm", (D,), None), ("mlp.gate_proj", (F, D), None), ("mlp.down_proj", (D, F), None),
        ("mlp.up_proj", (F, D), None),
    ]  # fmt: skip
    for name, shape, heads in stacks:
        for layer, w in enumerate(take(L, *shape)):
            state[f"model.layers.{layer}.{name}.weight"] = halves(w, heads) if heads else w
    state["model.norm.weight"] = take(D)
    assert tied
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    model.save_pretrained(folder)


def llama2c_pieces(path):
    raw = path.read_bytes()[4:]
    pieces = []
    while raw:
        _, size = struct.unpack("<fi", raw[:8])
        pieces.append(raw[8 : 8 + size])
        raw = raw[8 + size :]
    return pieces


@pytest.mark.parametrize("isa", ["ref", "avx2", "avx512", "auto"])
def test_trained_model_tells_the_published_story(probe, shared, tmp_path, isa):
    source = shared / "data" / "tiny-llama"
    convert_llama2c(source / "stories260K.bin", tmp_path)
    if not has_isa(probe, tmp_path, isa):
        pytest.skip(f"this machine has no {isa}")
    out = run_logits(probe, tmp_path, [[1]], greedy=200, isa=isa)
    pieces = llama2c_pieces(source / "tok512.bin")
    text = b"".join(pieces[int(i)] for i in out.split()).removeprefix(b" ").replace(b"<0x0A>", b"\n").decode()
    expected = (source / "stories260K_greedy200_expected.txt").read_text().rstrip("\n")
    assert len(expected) > 400 and text.startswith(expected)
