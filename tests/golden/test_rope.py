"""Rotary cosines and sines against transformers, up to position 131071.

Both sides form angle = float32(position) * float32(frequency). torch's float32 pow may differ from the correctly rounded
one in the last place, which at position p moves the angle by p * frequency * 2^-23 at most (twice that, for two
roundings, is allowed); everything else is equal.
"""
import subprocess

import numpy
import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

HEAD_DIM = 128
DIVISORS = [1.0 + 0.3 * j for j in range(HEAD_DIM // 2)]
KINDS = {
    "llama2": dict(rope_type="default", rope_theta=10000.0),
    "llama3": dict(rope_type="default", rope_theta=500000.0),
    "128k": dict(rope_type="default", rope_theta=207112184.0),
    "linear": dict(rope_type="linear", rope_theta=10000.0, factor=3.0),
    "llama3.1": dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                     original_max_position_embeddings=8192),
    "llama3.2": dict(rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                     original_max_position_embeddings=8192),
    "dynamic": dict(rope_type="dynamic", rope_theta=10000.0, factor=4.0),
    "yarn": dict(rope_type="yarn", rope_theta=10000.0, factor=16.0, original_max_position_embeddings=4096),
    "yarn, all": dict(rope_type="yarn", rope_theta=1e6, factor=4.0, original_max_position_embeddings=8192, beta_fast=20.0,
                      beta_slow=2.0, mscale=0.7, mscale_all_dim=1.0, truncate=False),
    "yarn, attention": dict(rope_type="yarn", rope_theta=1e6, factor=4.0, original_max_position_embeddings=8192,
                            attention_factor=0.9),
    "longrope": dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.0] * (HEAD_DIM // 2),
                     long_factor=DIVISORS, original_max_position_embeddings=4096),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_angles_equal_transformers(probe, tmp_path, name):
    config = LlamaConfig(hidden_size=4 * HEAD_DIM, num_attention_heads=4, max_position_embeddings=8192,
                         rope_parameters=dict(KINDS[name]), architectures=["LlamaForCausalLM"])  # fmt: skip
    config.save_pretrained(tmp_path)
    rotary = LlamaRotaryEmbedding(config)
    positions = [0, 1, 2, 3, 100, 4095, 4096, 8191, 8192, 20000, 65535, 131071]
    questions = "".join(f"{p} {p + 1}\n" for p in positions)
    done = subprocess.run([probe("probe_rope"), tmp_path], input=questions.encode(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    ours = numpy.frombuffer(done.stdout, numpy.float32).reshape(len(positions), 2, HEAD_DIM // 2)
    equal_frequencies = 0
    for position, (cosines, sines) in zip(positions, ours, strict=True):
        cos, sin = rotary(torch.zeros(1), torch.tensor([[position]]))  # grows with the position, as in generation
        frequency = rotary.inv_freq.numpy()
        allowed = 2e-7 + 2 * position * frequency.astype(float) * 2.0**-23
        scale = rotary.attention_scaling
        assert (numpy.abs(cosines - cos[0, 0, : HEAD_DIM // 2].numpy()) <= scale * allowed).all(), position
        assert (numpy.abs(sines - sin[0, 0, : HEAD_DIM // 2].numpy()) <= scale * allowed).all(), position
        equal_frequencies += (numpy.abs(sines - sin[0, 0, : HEAD_DIM // 2].numpy()) <= 2e-7).mean() / len(positions)
    print(f"{equal_frequencies:.1%} of the angles agree to the last place")
    assert equal_frequencies > 0.98
