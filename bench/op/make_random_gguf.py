"""A GGUF file of Llama-3-8B's shapes with random quantised weights, to time programs on one file:

python bench/op/make_random_gguf.py OUT.gguf [--type Q4_0|Q8_0|Q4_K_M|BF16] [--layers 32]

The vocabulary has the right size and no meaning. Scales are such that numbers stay of usual size.
"""
import argparse

import gguf
import numpy as np

V, D, F, H, KH, HD = 128256, 4096, 14336, 32, 8, 128
# bytes of a block, elements of a block, places of its f16 scales and their sizes
BLOCKS = {
    "Q4_0": (18, 32, {0: 0.003}),
    "Q8_0": (34, 32, {0: 0.0002}),
    "Q4_K": (144, 256, {0: 0.0001, 2: 0.0007}),
    "Q6_K": (210, 256, {208: 0.00002}),
}


def random_matrix(rng, name, rows, columns):
    if name == "BF16":
        values = rng.standard_normal(1 << 20, dtype=np.float32) * 0.02
        bits = (values.view(np.uint32) >> 16).astype(np.uint16)
        n = rows * columns
        return np.resize(bits, n).view(np.uint8).reshape(rows, columns * 2)
    size, elements, scales = BLOCKS[name]
    blocks = np.frombuffer(rng.bytes(rows * columns // elements * size), dtype=np.uint8)
    blocks = blocks.copy().reshape(-1, size)
    for at, scale in scales.items():
        blocks[:, at:at + 2] = np.frombuffer(np.float16(scale).tobytes(), dtype=np.uint8)
    return blocks.reshape(rows, columns // elements * size)


def type_of(mix, tensor, layer, layers):
    """Q4_K_M as llama.cpp mixes it: six bits for the output, and for values and down in half of the layers."""
    if mix != "Q4_K_M":
        return mix
    if tensor == "output":
        return "Q6_K"
    more = layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
    return "Q6_K" if tensor in ("attn_v", "ffn_down") and more else "Q4_K"


def vocabulary(writer):
    tokens = [f"t{i}" for i in range(V - 256)]
    visible = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    codes = {byte: byte for byte in visible}
    for i, byte in enumerate(b for b in range(256) if b not in codes):
        codes[byte] = 256 + i
    tokens = [chr(codes[byte]) for byte in range(256)] + tokens
    tokens[256] = tokens[0] + tokens[1]  # of the only merge
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * V)
    writer.add_token_merges([f"{tokens[0]} {tokens[1]}"])
    writer.add_bos_token_id(V - 2)
    writer.add_eos_token_id(V - 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--type", default="Q4_0", choices=["Q4_0", "Q8_0", "Q4_K_M", "BF16"])
    parser.add_argument("--layers", type=int, default=32)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(options.out, "llama")
    writer.add_context_length(131072)
    writer.add_embedding_length(D)
    writer.add_block_count(options.layers)
    writer.add_feed_forward_length(F)
    writer.add_head_count(H)
    writer.add_head_count_kv(KH)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500000.0)
    writer.add_rope_dimension_count(HD)
    writer.add_vocab_size(V)
    vocabulary(writer)

    shapes = []
    for i in range(options.layers):
        for name, rows, columns in (("attn_q", H * HD, D), ("attn_k", KH * HD, D), ("attn_v", KH * HD, D),
                                    ("attn_output", D, H * HD), ("ffn_gate", F, D), ("ffn_up", F, D),
                                    ("ffn_down", D, F)):
            shapes.append((f"blk.{i}.{name}.weight", type_of(options.type, name, i, options.layers), rows, columns))
        for name in ("attn_norm", "ffn_norm"):
            shapes.append((f"blk.{i}.{name}.weight", None, D, 0))
    shapes += [("token_embd.weight", type_of(options.type, "token_embd", 0, 1), V, D),
               ("output.weight", type_of(options.type, "output", 0, 1), V, D), ("output_norm.weight", None, D, 0)]
    for name, kind, rows, columns in shapes:
        if kind is None:
            writer.add_tensor_info(name, (rows,), np.dtype(np.float32), rows * 4)
            continue
        row_bytes = columns * 2 if kind == "BF16" else columns // BLOCKS[kind][1] * BLOCKS[kind][0]
        writer.add_tensor_info(name, (rows, row_bytes), np.dtype(np.uint8), rows * row_bytes,
                               raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, kind, rows, columns in shapes:
        writer.write_tensor_data(np.ones(rows, dtype=np.float32) if kind is None
                                 else random_matrix(rng, kind, rows, columns))
    writer.close()


if __name__ == "__main__":
    main()
