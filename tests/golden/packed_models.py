"""Quantised safetensors checkpoints with random weights, in the layouts of the tools that write them, and the values that
their formulas give. Written from the formats' descriptions, apart from the program under test."""
import json

import llama_models
import numpy
import torch
from safetensors.torch import save_file

SHAPE = dict(hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2,
             vocab_size=320)  # fmt: skip
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def pack_columns(levels, bits):
    """(R, C) unsigned levels -> i32 (R, C * bits / 32), lowest bits first."""
    per = 32 // bits
    words = levels.astype(numpy.uint64).reshape(levels.shape[0], -1, per)
    packed = numpy.zeros(words.shape[:2], numpy.uint64)
    for i in range(per):
        packed |= words[:, :, i] << numpy.uint64(bits * i)
    return packed.astype(numpy.uint32).view(numpy.int32)


def pack_rows(levels, bits):
    return numpy.ascontiguousarray(pack_columns(numpy.ascontiguousarray(levels.T), bits).T)


def pack_awq(levels):
    """(R, C): nibble i of a word is column AWQ_ORDER[i] of its eight."""
    shuffled = levels.reshape(levels.shape[0], -1, 8)[:, :, AWQ_ORDER].reshape(levels.shape)
    return pack_columns(shuffled, 4)


def e4m3(rng, shape):
    """Random finite bytes and their values by torch."""
    raw = rng.integers(0, 256, shape, dtype=numpy.uint8)
    raw[(raw & 0x7F) == 0x7F] = 0x38
    tensor = torch.from_numpy(raw).view(torch.float8_e4m3fn)
    return tensor, tensor.float().numpy()


def scales_of(rng, shape, levels, width, dtype):
    """Such that weights have the size of trained ones."""
    scale = rng.uniform(0.5, 1.5, shape) * 1.4 / width**0.5 / levels
    return torch.from_numpy(numpy.asarray(scale, numpy.float32)).to(dtype)


def gptq(rng, n, k, bits=4, group=128, sym=True, act_order=False, v2=False):
    size = k if group == -1 else group
    groups, most = k // size, 1 << bits
    q = rng.integers(0, most, (k, n))
    z = numpy.full((groups, n), most // 2) if sym else rng.integers(1, most, (groups, n))
    scales = scales_of(rng, (groups, n), most / 4, k, torch.float16)
    g_idx = numpy.arange(k) // size
    if act_order:
        g_idx = rng.permutation(g_idx)
    w = scales.float().numpy()[g_idx] * (q - z[g_idx]).astype(numpy.float32)
    tensors = {"qweight": torch.from_numpy(pack_rows(q, bits)), "scales": scales,
               "qzeros": torch.from_numpy(pack_columns(z - (0 if v2 else 1), bits)),
               "g_idx": torch.from_numpy(g_idx.astype(numpy.int32))}  # fmt: skip
    return tensors, numpy.ascontiguousarray(w.T)


def awq(rng, n, k, group=128):
    groups = k // group
    q, z = rng.integers(0, 16, (k, n)), rng.integers(0, 16, (groups, n))
    scales = scales_of(rng, (groups, n), 4, k, torch.float16)
    g = numpy.arange(k) // group
    w = scales.float().numpy()[g] * (q - z[g]).astype(numpy.float32)
    tensors = {"qweight": torch.from_numpy(pack_awq(q)), "qzeros": torch.from_numpy(pack_awq(z)), "scales": scales}
    return tensors, numpy.ascontiguousarray(w.T)


def pack_quantized(rng, n, k, bits=4, group=128, sym=True, act_order=False, dtype=torch.bfloat16):
    size = k if group == -1 else group
    groups, half = k // size, 1 << (bits - 1)
    q = rng.integers(-half, half, (n, k))
    z = numpy.zeros((n, groups), int) if sym else rng.integers(-half, half, (n, groups))
    scales = scales_of(rng, (n, groups), half / 2, k, dtype)
    g_idx = numpy.arange(k) // size
    if act_order:
        g_idx = rng.permutation(g_idx)
    w = scales.float().numpy()[:, g_idx] * (q - z[:, g_idx]).astype(numpy.float32)
    tensors = {"weight_packed": torch.from_numpy(pack_columns(q + half, bits)), "weight_scale": scales,
               "weight_shape": torch.tensor([n, k])}  # fmt: skip
    if not sym:
        tensors["weight_zero_point"] = torch.from_numpy(pack_rows(z + half, bits))
    if act_order:
        tensors["weight_g_idx"] = torch.from_numpy(g_idx.astype(numpy.int32))
    return tensors, w


def int_quantized(rng, n, k, per_tensor=False, sym=True):
    q = rng.integers(-128, 128, (n, k))
    z = numpy.zeros((n, 1), int) if sym else rng.integers(-100, 100, (n, 1))
    scales = scales_of(rng, (1,) if per_tensor else (n, 1), 64, k, torch.bfloat16)
    w = scales.float().numpy().reshape(-1, 1) * (q - z).astype(numpy.float32)
    tensors = {"weight": torch.from_numpy(q.astype(numpy.int8)), "weight_scale": scales}
    if not sym:
        tensors["weight_zero_point"] = torch.from_numpy(z.astype(numpy.int8))
    return tensors, w


def fp8(rng, n, k, scale="tensor", name="weight_scale", dtype=torch.float32, static=False):
    tensor, values = e4m3(rng, (n, k))
    if scale == "block":
        shape = ((n + 127) // 128, (k + 127) // 128)
    else:
        shape = {"tensor": (1,), "scalar": (), "channel": (n, 1)}[scale]
    scales = scales_of(rng, shape, 100, k, dtype)
    s = scales.float().numpy()
    if scale == "block":
        s = numpy.repeat(numpy.repeat(s, 128, 0), 128, 1)[:n, :k]
    tensors = {"weight": tensor, name: scales}
    if static:
        tensors["input_scale"] = torch.tensor(0.02)
    return tensors, values * s.astype(numpy.float32)


def group_config(bits, kind="int", strategy="group", group=128, sym=True, order=None, **more):
    weights = dict(num_bits=bits, type=kind, strategy=strategy, group_size=group, symmetric=sym, actorder=order, dynamic=False,
                   observer="minmax", **more)  # fmt: skip
    return {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}}


def compressed(format, groups):
    return {"quant_method": "compressed-tensors", "format": format, "quantization_status": "compressed", "config_groups": groups,
            "ignore": ["lm_head"], "kv_cache_scheme": None}  # fmt: skip


# name: (how a matrix is made, quantization_config, whether its integers go the rounded way)
CHECKPOINTS = {
    "gptq 4 g128": (lambda r, n, k: gptq(r, n, k), dict(quant_method="gptq", bits=4, group_size=128, sym=True, desc_act=False), True),
    "gptq 4 g32 asym": (lambda r, n, k: gptq(r, n, k, group=32, sym=False),
                        dict(quant_method="gptq", bits=4, group_size=32, sym=False, desc_act=False), False),
    "gptq 4 order": (lambda r, n, k: gptq(r, n, k, group=64, sym=False, act_order=True),
                     dict(quant_method="gptq", bits=4, group_size=64, sym=False, desc_act=True, checkpoint_format="gptq"), False),
    "gptq 4 sym order": (lambda r, n, k: gptq(r, n, k, act_order=True),
                         dict(quant_method="gptq", bits=4, group_size=128, sym=True, desc_act=True), True),
    "gptq 8 row": (lambda r, n, k: gptq(r, n, k, bits=8, group=-1, sym=False),
                   dict(quant_method="gptq", bits=8, group_size=-1, sym=False, desc_act=False), False),
    "gptq 8 v2": (lambda r, n, k: gptq(r, n, k, bits=8, group=64, sym=True, v2=True),
                  dict(quant_method="gptq", bits=8, group_size=64, sym=True, checkpoint_format="gptq_v2"), True),
    "awq g128": (lambda r, n, k: awq(r, n, k), dict(quant_method="awq", bits=4, group_size=128, zero_point=True, version="gemm",
                                                    modules_to_not_convert=None), False),
    "awq g64": (lambda r, n, k: awq(r, n, k, group=64),
                dict(quant_method="awq", bits=4, group_size=64, zero_point=True, version="gemm"), False),
    "w4a16 bf16": (lambda r, n, k: pack_quantized(r, n, k), compressed("pack-quantized", group_config(4)), True),
    "w4a16 asym": (lambda r, n, k: pack_quantized(r, n, k, group=32, sym=False, dtype=torch.float16),
                   compressed("pack-quantized", group_config(4, group=32, sym=False)), False),
    "w4a16 order": (lambda r, n, k: pack_quantized(r, n, k, sym=False, act_order=True),
                    compressed("pack-quantized", group_config(4, sym=False, order="group")), False),
    "w8a16 channel": (lambda r, n, k: pack_quantized(r, n, k, bits=8, group=-1),
                      compressed("pack-quantized", group_config(8, strategy="channel", group=None)), True),
    "w8a8": (lambda r, n, k: int_quantized(r, n, k), compressed("int-quantized", group_config(8, strategy="channel", group=None)), True),
    "w8a8 tensor asym": (lambda r, n, k: int_quantized(r, n, k, sym=False),
                         compressed("int-quantized", group_config(8, strategy="channel", group=None, sym=False)), False),
    "fp8 channel": (lambda r, n, k: fp8(r, n, k, "channel", dtype=torch.bfloat16),
                    compressed("float-quantized", group_config(8, "float", "channel", None)), False),
    "fp8 static": (lambda r, n, k: fp8(r, n, k, "tensor", static=True),
                   dict(quant_method="fp8", activation_scheme="static", ignored_layers=["lm_head"]), False),
    "fp8 blocks": (lambda r, n, k: fp8(r, n, k, "block", "weight_scale_inv"),
                   dict(quant_method="fp8", activation_scheme="dynamic", fmt="e4m3", weight_block_size=[128, 128]), False),
    "modelopt": (lambda r, n, k: fp8(r, n, k, "scalar", static=True),
                 dict(quant_method="modelopt", quant_algo="FP8", kv_cache_quant_algo=None), False),
}  # fmt: skip


def make(folder, name, seed=3):
    """Writes the checkpoint; returns transformers' model of its values in f32."""
    matrix, quantization, _ = CHECKPOINTS[name]
    rng = numpy.random.default_rng(seed)
    config = llama_models.LlamaConfig(**{**llama_models.SHAPE, **SHAPE})
    model = llama_models.LlamaForCausalLM(config)
    llama_models.fill(model, 11)
    model.save_pretrained(folder)
    tensors = {}
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.dim() == 1 or "embed" in key or "lm_head" in key:
                tensors[key] = p.detach().clone()
                continue
            parts, values = matrix(rng, *p.shape)
            stem = key.removesuffix("weight")
            tensors.update({stem + suffix: t.contiguous() for suffix, t in parts.items()})
            p.copy_(torch.from_numpy(values))
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    text = json.loads((folder / "config.json").read_text())
    text["quantization_config"] = quantization
    (folder / "config.json").write_text(json.dumps(text))
    return model.eval()
