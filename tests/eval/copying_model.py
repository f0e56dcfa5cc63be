"""A checkpoint that was made by hand to copy, for the needle test: two layers of attention and nothing else.

Layer 1 looks at the token before (a constant query and key whose angles differ by one step of rope) and notes its code.
Layer 2 looks for the place whose token before is the current token, and says what stands there. It is the induction head
of C. Olsson et al. (2022), with weights that were written down instead of learned. A byte-level BPE is trained so that
every run of letters of the essay, and every group of three digits, is one token.
"""
import json

import numpy
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, trainers

HIDDEN, HEAD, HEADS, CODE = 256, 64, 1, 64
THETA = 1e12
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>"]


def make_tokenizer(folder, root, text):
    source = json.loads((root / "models/default/tokenizer.json").read_text())
    source["added_tokens"], source["model"]["vocab"], source["model"]["merges"] = [], {}, []
    source["post_processor"] = None
    tokenizer = Tokenizer.from_str(json.dumps(source))
    alphabet = sorted(models_alphabet())
    trainer = trainers.BpeTrainer(vocab_size=20000, min_frequency=1, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    text = text.replace("？通行碼是", "")  # so that the end of the prompt is the token that stands before the key
    words = [text, "\n".join(str(n).zfill(k) for k in (1, 2, 3) for n in range(10**k))]
    tokenizer.train_from_iterator(words, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": SPECIAL[0], "eos_token": SPECIAL[1], "tokenizer_class": "PreTrainedTokenizerFast"}))
    return tokenizer


def models_alphabet():
    from tokenizers.pre_tokenizers import ByteLevel

    return ByteLevel.alphabet()


def frequencies():
    return THETA ** (-numpy.arange(HEAD // 2) / (HEAD // 2))


def weights(n_vocab, longest):
    """Pairs of a head: the fast ones tell places apart, those too slow to turn within `longest` tokens tell contents."""
    rng = numpy.random.default_rng(3)
    omega = frequencies()
    slow = numpy.nonzero(omega * longest < 0.05)[0]
    fast = numpy.setdiff1d(numpy.arange(HEAD // 2), slow)
    steps = numpy.arange(longest)
    lost = (1 - numpy.cos(numpy.outer(steps[numpy.arange(longest) != 1] - 1, omega[fast]))).sum(1)
    assert lost.min() > 0.3  # no other distance looks like one step back
    codes = rng.choice([-1.0, 1.0], (n_vocab, CODE))
    dims = numpy.concatenate([slow, slow + HEAD // 2])  # of a head, in the layout that halves are rotated
    overlap = codes[:, : len(dims)] @ codes[:, : len(dims)].T
    numpy.fill_diagonal(overlap, -len(dims))
    margin = len(dims) - overlap.max()
    assert margin >= 4

    embedding = numpy.zeros((n_vocab, HIDDEN))
    embedding[:, :CODE], embedding[:, 3 * CODE] = codes, 8.0
    tensors = {"model.embed_tokens.weight": embedding, "model.norm.weight": numpy.ones(HIDDEN)}
    rms = [numpy.sqrt(128 / HIDDEN), numpy.sqrt(192 / HIDDEN), numpy.sqrt(256 / HIDDEN)]
    for layer in range(2):
        q, k, v = (numpy.zeros((HEADS * HEAD, HIDDEN)) for _ in range(3))
        o = numpy.zeros((HIDDEN, HEADS * HEAD))
        if layer == 0:
            size = numpy.sqrt(30 * 8 / lost.min()) / (8 / rms[0])  # thirty nats for every other place
            for i in fast:
                q[i, 3 * CODE], q[i + HEAD // 2, 3 * CODE] = size * numpy.cos(omega[i]), -size * numpy.sin(omega[i])
                k[i, 3 * CODE] = size
            v[:CODE, :CODE] = numpy.eye(CODE) * rms[0]
            o[CODE : 2 * CODE, :CODE] = numpy.eye(CODE)
        else:
            size = numpy.sqrt(30 * 8 / margin) * rms[1]
            for n, i in enumerate(dims):
                q[i, n], k[i, CODE + n] = size, size
            v[:CODE, :CODE] = numpy.eye(CODE) * rms[1]
            o[2 * CODE : 3 * CODE, :CODE] = numpy.eye(CODE)
        name = f"model.layers.{layer}."
        tensors |= {name + "self_attn.q_proj.weight": q, name + "self_attn.k_proj.weight": k, name + "self_attn.v_proj.weight": v, name + "self_attn.o_proj.weight": o,
                    name + "mlp.gate_proj.weight": numpy.zeros((64, HIDDEN)), name + "mlp.up_proj.weight": numpy.zeros((64, HIDDEN)),
                    name + "mlp.down_proj.weight": numpy.zeros((HIDDEN, 64)), name + "input_layernorm.weight": numpy.ones(HIDDEN),
                    name + "post_attention_layernorm.weight": numpy.ones(HIDDEN)}
    head = numpy.zeros((n_vocab, HIDDEN))
    head[:, 2 * CODE : 3 * CODE] = codes * rms[2]
    return tensors | {"lm_head.weight": head}


def write_checkpoint(folder, root, text, longest=32768, shuffled=False):
    """`shuffled`: the same numbers in each tensor at random places, a model that knows nothing and takes the same time."""
    folder.mkdir()
    tokenizer = make_tokenizer(folder, root, text)
    n_vocab = tokenizer.get_vocab_size()
    tensors = weights(n_vocab, longest)
    if shuffled:
        rng = numpy.random.default_rng(4)
        tensors = {name: rng.normal(0, 0.05, value.shape) if value.ndim == 2 else value for name, value in tensors.items()}
    save_file({name: numpy.ascontiguousarray(value, dtype=numpy.float32) for name, value in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": n_vocab, "hidden_size": HIDDEN, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "head_dim": HEAD, "hidden_act": "silu", "max_position_embeddings": longest, "rms_norm_eps": 1e-12,
        "rope_theta": THETA, "tie_word_embeddings": False, "torch_dtype": "float32", "bos_token_id": 0, "eos_token_id": 1}))
    return tokenizer
