"""Writes Hugging Face checkpoints as GGUF files with the gguf package, the way llama.cpp's converter does."""
import json

import numpy
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize
from safetensors.torch import load_file

NAMES = {
    "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}  # fmt: skip
LAYER_NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def gguf_name(name):
    if name in NAMES:
        return NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    stem, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{LAYER_NAMES[stem]}.{kind}"


def side_by_side(weight, n_heads):
    """Rows of a head from two halves to pairs."""
    rows = weight.shape[0] // n_heads // 2
    return weight.reshape(n_heads, 2, rows, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def apart(weight, n_heads):
    """The other way."""
    rows = weight.shape[0] // n_heads // 2
    return weight.reshape(n_heads, rows, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def heads_of(name, config):
    if "q_proj" in name:
        return config["num_attention_heads"]
    return config["num_key_value_heads"] if "k_proj" in name else None


def llama3_divisors(config, rope):
    """As llama.cpp's converter computes rope_freqs.weight."""
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    freqs = 1.0 / (rope["rope_theta"] ** (torch.arange(0, width, 2, dtype=torch.float32) / width))
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    length = rope["original_max_position_embeddings"]
    out = []
    for f in freqs:
        wavelength = 2 * numpy.pi / f
        if wavelength < length / high:
            out.append(1)
        elif wavelength > length / low:
            out.append(rope["factor"])
        else:
            smooth = (length / wavelength - low) / (high - low)
            out.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return numpy.array(out, numpy.float32)


def add_metadata(writer, config):
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    rope = config.get("rope_parameters") or {"rope_type": "default", "rope_theta": config["rope_theta"]}
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_divisors(config, rope))
    elif rope["rope_type"] != "default":
        writer.add_string("llama.rope.scaling.type", rope["rope_type"])
        writer.add_rope_scaling_factor(rope["factor"])
        if "original_max_position_embeddings" in rope:
            writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])


def byte_level_tokens(tokenizer_json):
    """tokens, kinds and merges as llama.cpp's converter lists them."""
    tokenizer = json.loads(tokenizer_json)
    by_id = {id: (text, 1) for text, id in tokenizer["model"]["vocab"].items()}
    for added in tokenizer["added_tokens"]:
        by_id[added["id"]] = (added["content"], 3 if added["special"] else 4)
    count = max(by_id) + 1
    tokens = [by_id.get(id, (f"[PAD{id}]", 5)) for id in range(count)]
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    return [t for t, _ in tokens], [k for _, k in tokens], merges


def add_tokenizer(writer, folder, config, pre="llama-bpe"):
    tokens, kinds, merges = byte_level_tokens((folder / "tokenizer.json").read_text())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    for key, add in (("bos_token", writer.add_bos_token_id), ("eos_token", writer.add_eos_token_id),
                     ("pad_token", writer.add_pad_token_id)):
        value = settings.get(key)
        if value:
            add(tokens.index(value["content"] if isinstance(value, dict) else value))
    writer.add_add_bos_token(True)
    if settings.get("chat_template"):
        writer.add_chat_template(settings["chat_template"])


def tensors_of(folder):
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(path))
    return tensors


def encode(tensor, kind):
    """Array and raw type for the writer."""
    if kind == "BF16":
        raw = tensor.to(torch.bfloat16).view(torch.uint8).numpy()
    elif kind in ("F32", "F16"):
        return tensor.to(getattr(torch, {"F32": "float32", "F16": "float16"}[kind])).numpy(), None
    else:
        raw = quantize(tensor.float().numpy(), GGMLQuantizationType[kind])
    return raw, GGMLQuantizationType[kind]


def write(folder, path, kind_of, tokenizer=False):
    """kind_of(gguf name, shape) names the type of a matrix; vectors are F32."""
    config = json.loads((folder / "config.json").read_text())
    writer = GGUFWriter(path, "llama")
    add_metadata(writer, config)
    if tokenizer:
        add_tokenizer(writer, folder, config)
    for name, tensor in tensors_of(folder).items():
        heads = heads_of(name, config)
        if heads:
            tensor = side_by_side(tensor, heads)
        kind = kind_of(gguf_name(name), tensor.shape) if tensor.dim() == 2 else "F32"
        array, raw = encode(tensor.contiguous(), kind)
        writer.add_tensor(gguf_name(name), array, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def random_blocks(rng, kind, shape, scale):
    """Rows of blocks with any quants and scales that make numbers of size `scale`; and their values."""
    block, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    raw = rng.integers(0, 256, (shape[0] * shape[1] // block, size), dtype=numpy.uint8)
    halves = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
              "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}.get(kind, [])  # fmt: skip
    for at in halves:
        raw[:, at : at + 2] = (rng.uniform(0.5, 1, (len(raw), 1)).astype(numpy.float16)).view(numpy.uint8)
    if kind == "MXFP4":
        raw[:, 0] = 120 + rng.integers(0, 3, len(raw))
    values = dequantize(raw, GGMLQuantizationType[kind])
    shrink = scale / values.std()
    if kind == "MXFP4":
        raw[:, 0] = numpy.clip(raw[:, 0] + int(numpy.round(numpy.log2(shrink))), 0, 254)
    for at in halves:
        value = raw[:, at : at + 2].copy().view(numpy.float16).astype(numpy.float32) * shrink
        if at == 2 and kind in ("Q4_1", "Q5_1"):
            value = -value * (7.5 if kind == "Q4_1" else 15.5)  # their middle
        raw[:, at : at + 2] = value.astype(numpy.float16).view(numpy.uint8)
    values = dequantize(raw, GGMLQuantizationType[kind])
    return raw.reshape(shape[0], -1), values.reshape(shape)
