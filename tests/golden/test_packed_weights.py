"""AWQ, GPTQ, FP8 and compressed-tensors checkpoints give the logits of their dequantised weights."""
import json
import subprocess

import llama_models
import numpy
import packed_models
import pytest
import torch
from safetensors.torch import load_file, save_file

IDS = [[(11 * i + 3) % 320 for i in range(n)] for n in (40, 1, 7)]


@pytest.mark.parametrize("name", packed_models.CHECKPOINTS)
def test_logits_are_those_of_the_dequantised_weights(probe, tmp_path, name):
    """The reference bodies multiply the values: f32 roundings only. So do the vector bodies, but for matrices that are
    Q4_0 or Q8_0 exactly, which go with activations rounded to eight bits (bounds of test_gguf_models)."""
    model = packed_models.make(tmp_path, name)
    expected = numpy.concatenate([llama_models.logits_of(model, s) for s in IDS])
    rounded = packed_models.CHECKPOINTS[name][2]
    for isa, largest, mean in (("ref", 3e-4, 3e-5), ("auto", 0.6, 0.06) if rounded else ("auto", 3e-4, 3e-5)):
        got = numpy.frombuffer(llama_models.run_logits(probe, tmp_path, IDS, isa=isa), numpy.float32)
        error = numpy.abs(got.reshape(expected.shape) - expected) / expected.std()
        assert error.max() < largest and error.mean() < mean, (isa, error.max(), error.mean())
    whole = llama_models.run_logits(probe, tmp_path, IDS)
    assert llama_models.run_logits(probe, tmp_path, IDS, chunk=3, mixed=1) == whole  # in any company


def change(folder, edit):
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    edit(config["quantization_config"], tensors)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


Q = "model.layers.1.mlp.down_proj."


def group_out_of_range(_, tensors):
    tensors[Q + "g_idx"][17] = 99


def infinite_scale(_, tensors):
    tensors[Q + "scales"][0, 5] = float("inf")


def cut(suffix):
    def edit(_, tensors):
        tensors[Q + suffix] = tensors[Q + suffix][1:].contiguous()

    return edit


def without(suffix):
    def edit(_, tensors):
        del tensors[Q + suffix]

    return edit


def other_type(suffix, dtype):
    def edit(_, tensors):
        tensors[Q + suffix] = tensors[Q + suffix].to(dtype)

    return edit


def setting(**values):
    def edit(config, _):
        config.update(values)

    return edit


def one_column_elsewhere(_, tensors):
    tensors[Q + "g_idx"][0] = 1


BAD = {
    "group out of range": ("gptq 4 g128", group_out_of_range, "group 99"),
    "uneven groups": ("gptq 4 g128", one_column_elsewhere, "multiple of 32"),
    "infinite scale": ("gptq 4 g128", infinite_scale, "not finite"),
    "short qweight": ("gptq 4 g128", cut("qweight"), "down_proj.qweight"),
    "short scales": ("awq g128", cut("scales"), "down_proj.scales"),
    "no zeros": ("awq g128", without("qzeros"), "down_proj.qzeros"),
    "i64 levels": ("gptq 4 g128", other_type("qweight", torch.int64), "I32"),
    "no scale": ("fp8 static", without("weight_scale"), "down_proj.weight_scale"),
    "short packed": ("w4a16 asym", cut("weight_packed"), "weight_packed"),
    "three bits": ("gptq 4 g128", setting(bits=3), "bits is 3"),
    "odd group": ("gptq 4 g128", setting(group_size=48), "group_size is 48"),
    "zero group": ("awq g128", setting(group_size=0), "group_size is 0"),
    "marlin": ("gptq 4 g128", setting(checkpoint_format="marlin"), "marlin"),
    "gemv": ("awq g128", setting(version="gemv"), "gemv"),
    "unknown method": ("awq g128", setting(quant_method="spqr"), "spqr"),
    "fp4": ("modelopt", setting(quant_algo="NVFP4"), "NVFP4"),
    "sparse": ("w4a16 bf16", setting(format="marlin-24"), "marlin-24"),
    "no groups": ("w4a16 bf16", setting(config_groups={}), "config_groups"),
    "block of nothing": ("fp8 blocks", setting(weight_block_size=[0, 128]), "weight_block_size"),
    "huge block": ("fp8 blocks", setting(weight_block_size=[1, 2**40]), "weight_block_size"),
    "other group": ("awq g128", setting(group_size=64), "scales"),
    "text for a number": ("gptq 4 g128", setting(bits="4"), "bits"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused(probe, tmp_path, case):
    name, edit, words = BAD[case]
    packed_models.make(tmp_path, name)
    change(tmp_path, edit)
    done = subprocess.run([probe("probe_logits"), tmp_path], input=b"1 2 3\n", capture_output=True)
    assert done.returncode == 1 and words in done.stderr.decode(), (done.returncode, done.stderr)
