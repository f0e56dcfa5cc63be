"""Small random Llama checkpoints, made by transformers from fixed seeds, for the golden tests.

Weights have the scale of trained ones (normal, with a standard deviation that keeps activations near 1; norms around 1;
biases not zero), so that logits differ clearly and an error anywhere in the model shows in them.
"""
import json
import subprocess

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

SHAPE = dict(
    vocab_size=320, hidden_size=64, intermediate_size=176, num_hidden_layers=3, num_attention_heads=8,
    num_key_value_heads=2, max_position_embeddings=512, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=None,
)  # fmt: skip
SHORT = [1.0, 1.1, 1.2, 1.3]
LONG = [1.0, 2.0, 5.0, 12.0]

# name: (changes of SHAPE, type of the weights, lengths of the sequences)
MODELS = {
    "llama2": (dict(num_key_value_heads=8, vocab_size=321, intermediate_size=172), "float32", [1, 37, 150]),
    "llama3": (dict(num_key_value_heads=2, rope_parameters=dict(rope_type="default", rope_theta=500000.0)),
               "bfloat16", [5, 64, 129]),
    "llama3.1": (dict(rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                                           high_freq_factor=4.0, original_max_position_embeddings=64)),
                 "float32", [20, 63, 300]),
    "llama3.2": (dict(num_key_value_heads=1, tie_word_embeddings=True, hidden_size=128,
                      rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.0,
                                           high_freq_factor=4.0, original_max_position_embeddings=32)),
                 "bfloat16", [16, 17, 200]),
    "biased": (dict(attention_bias=True, mlp_bias=True), "float16", [3, 48, 90]),
    "wide heads, linear": (dict(head_dim=48, rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0)),
                           "float32", [31, 120]),
    "dynamic": (dict(max_position_embeddings=64, rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0,
                                                                     factor=2.0)),
                "float32", [10, 64, 65, 190]),
    "yarn": (dict(head_dim=32, rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=8.0,
                                                    original_max_position_embeddings=64)),
             "float32", [40, 250]),
    "yarn, mscale": (dict(head_dim=32, rope_parameters=dict(rope_type="yarn", rope_theta=50000.0, factor=16.0,
                                                            beta_fast=24.0, beta_slow=2.0, mscale=0.8,
                                                            mscale_all_dim=1.3, truncate=False,
                                                            original_max_position_embeddings=32)),
                     "float16", [33, 280]),
    "longrope": (dict(rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, short_factor=SHORT,
                                           long_factor=LONG, original_max_position_embeddings=64)),
                 "float32", [30, 64, 65, 170]),
    "128k theta": (dict(num_hidden_layers=2, hidden_size=32, num_attention_heads=4, max_position_embeddings=131072,
                        rope_parameters=dict(rope_type="default", rope_theta=207112184.0)),
                   "bfloat16", [1300]),
    "real heads": (dict(hidden_size=512, num_attention_heads=4, num_key_value_heads=1, head_dim=128,
                        intermediate_size=1000, num_hidden_layers=2), "bfloat16", [20, 70]),
    "mistral, sharded, added rows": (dict(sliding_window=None, model="mistral"), "bfloat16", [9, 100]),
}  # fmt: skip


def fill(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if name.endswith("norm.weight"):
                p.copy_(1 + 0.2 * noise)
            elif name.endswith("bias"):
                p.copy_(0.3 * noise)
            elif "embed_tokens" in name:
                p.copy_(0.5 * noise)
            else:
                p.copy_(noise * 1.4 / p.shape[1] ** 0.5)  # 0.04 to 0.2 for these widths


def make(name, folder):
    """Saves the model; returns it as transformers loads it into float32, and sequences of ids for it."""
    changes, dtype, lengths = MODELS[name]
    options = {**SHAPE, **changes}
    seed = sum(name.encode())
    if options.pop("model", "llama") == "mistral":
        model = MistralForCausalLM(MistralConfig(**options))
        model.resize_token_embeddings(options["vocab_size"] + 7)
    else:
        model = LlamaForCausalLM(LlamaConfig(**options))
    fill(model, seed)
    model = model.to(getattr(torch, dtype)).eval()
    model.save_pretrained(folder, max_shard_size="100KB" if "sharded" in name else "50GB")
    generator = torch.Generator().manual_seed(seed + 1)
    ids = [torch.randint(0, model.config.vocab_size, (n,), generator=generator).tolist() for n in lengths]
    return load(folder, torch.float32), ids


def load(folder, dtype):
    """Loading anew, since model.to(dtype) would round the rotary frequencies as well."""
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def write_old_style_config(folder):
    """rope_theta and rope_scaling with "type", as checkpoints before transformers 5 have them."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    config["rope_scaling"] = None if kind == "default" else {"type": kind, **rope}
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config))


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0].float().numpy()


def run_logits(probe, folder, sequences, **options):
    arguments = [f"{key}={value}" for key, value in options.items()]
    text = "".join(" ".join(map(str, s)) + "\n" for s in sequences)
    done = subprocess.run([probe("probe_logits"), folder, *arguments], input=text.encode(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def has_isa(probe, folder, isa):
    """Whether this machine can run that set of operations."""
    done = subprocess.run([probe("probe_logits"), folder, f"isa={isa}"], input=b"1\n", capture_output=True)
    assert done.returncode == 0 or b"is not available" in done.stderr, done.stderr
    return done.returncode == 0


torch.set_num_threads(1)  # these models are too small to gain from more
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
