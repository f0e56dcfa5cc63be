"""The GPU against transformers on the same machine, and against itself in other company.

Numbers are log-probabilities of given tokens. What bf16 costs is measured, not assumed: transformers' own bf16 against its
float32 is the scale for ours. `make test-gpu` runs this; without an NVIDIA GPU every test says so and is skipped.
"""
import ctypes
import json
import os
import shutil
import subprocess

import numpy
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

DEVICE = os.environ.get("TWLLM_TEST_DEVICE", "cuda")  # cpu: to try the tests themselves


def has_gpu():
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


pytestmark = pytest.mark.skipif(DEVICE == "cuda" and not has_gpu(), reason="no NVIDIA GPU on this machine")


def generate(build, model, requests, *options):
    """Answers of one run, all requests in one batch, in their order."""
    lines = "".join(json.dumps(r) + "\n" for r in requests)
    command = [build / "twllm", "generate", "--device", DEVICE, "--input", "-", *options]
    if model:
        command[2:2] = ["--model", model]
    done = subprocess.run([str(c) for c in command], input=lines.encode(), capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert len(answers) == len(requests)
    for answer in answers:
        assert "error" not in answer, answer
    return answers


def make_checkpoint(folder, root, **shape):
    """Random weights of a real shape, few layers, with the embedded model's tokenizer."""
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=13312, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False,
        max_position_embeddings=8192, rope_theta=500000.0, **shape)
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    for p in model.parameters():  # norms and sizes as a trained model has them, so that attention is not flat
        if p.dim() == 1:
            p.data.uniform_(0.5, 1.5)
        else:
            p.data.normal_(0, 1.0 / p.shape[1] ** 0.5)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(root / "models" / "default" / name, folder)
    return folder


SHAPES = {
    "embedded": None,
    "8b-2-layers": dict(hidden_size=4096, intermediate_size=14336, num_hidden_layers=2, num_attention_heads=32,
                        num_key_value_heads=8, head_dim=128),
    "70b-1-layer": dict(hidden_size=8192, intermediate_size=28672, num_hidden_layers=1, num_attention_heads=64,
                        num_key_value_heads=8, head_dim=128),
    "biased-heads-of-32": dict(hidden_size=256, intermediate_size=688, num_hidden_layers=3, num_attention_heads=8,
                               num_key_value_heads=2, head_dim=32, attention_bias=True, mlp_bias=True),
}


@pytest.fixture(scope="module", params=SHAPES)
def model(request, root, tmp_path_factory):
    if SHAPES[request.param] is None:
        return root / "models" / "default"
    return make_checkpoint(tmp_path_factory.mktemp("gpu"), root, **SHAPES[request.param])


def logprobs_of(model, sequences, dtype):
    """Log-probabilities of each token after the first, by transformers."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=dtype, attn_implementation="eager").to(device)
    result = []
    with torch.no_grad():
        for ids in sequences:
            logits = net(torch.tensor([ids], device=device)).logits[0, :-1].double()
            chosen = torch.log_softmax(logits, -1).gather(1, torch.tensor(ids[1:], device=device)[:, None])
            result.append(chosen[:, 0].cpu().numpy())
    del net
    return result


def sequences_of(lengths, seed):
    random = numpy.random.default_rng(seed)
    return [random.integers(16, 13000, n).tolist() for n in lengths]


def compare(ours, theirs_bf16, theirs_f32):
    """Mean absolute errors of ours and of transformers' bf16, against float32."""
    reference = numpy.concatenate(theirs_f32)
    mine = numpy.abs(numpy.concatenate(ours) - reference).mean()
    its = numpy.abs(numpy.concatenate(theirs_bf16) - reference).mean()
    print(f"mean |error| of log-probabilities: ours {mine:.2e}, transformers bf16 {its:.2e}, of {len(reference)}")
    return mine, its


def test_prompts_of_all_lengths_in_one_batch(build, model):
    sequences = sequences_of([2, 3, 5, 17, 63, 64, 65, 66, 130, 257, 700], seed=1)
    requests = [{"prompt": ids, "max_tokens": 1, "prompt_logprobs": 0, "temperature": 0} for ids in sequences]
    answers = generate(build, model, requests)
    ours = [numpy.array([p["logprob"] for p in a["prompt_logprobs"][1:]]) for a in answers]
    mine, its = compare(ours, logprobs_of(model, sequences, torch.bfloat16), logprobs_of(model, sequences, torch.float32))
    assert mine <= 1.1 * its + 1e-5


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 9, 33])
def test_generated_tokens(build, model, batch):
    """What single steps compute: the program's kernel up to four tokens, graphs of products above."""
    prompts = sequences_of([(7 * i) % 300 + 2 for i in range(1, batch + 1)], seed=2)
    requests = [{"prompt": ids, "max_tokens": 40, "min_tokens": 40, "ignore_eos": True, "logprobs": 0,
                 "temperature": 0} for ids in prompts]
    answers = generate(build, model, requests)
    whole = [p + a["tokens"] for p, a in zip(prompts, answers)]
    ours = [numpy.array([t["logprob"] for t in a["logprobs"]]) for a in answers]
    cut = [len(p) - 1 for p in prompts]
    f32 = [r[c:] for r, c in zip(logprobs_of(model, whole, torch.float32), cut)]
    bf16 = [r[c:] for r, c in zip(logprobs_of(model, whole, torch.bfloat16), cut)]
    mine, its = compare(ours, bf16, f32)
    assert mine <= 1.25 * its + 1e-4  # of 40 tokens a sequence: a smaller sample than above


def test_long_context(build, root, tmp_path):
    """Attention over many splits."""
    folder = make_checkpoint(tmp_path, root, **SHAPES["8b-2-layers"])
    prompt = sequences_of([6000], seed=4)[0]
    request = {"prompt": prompt, "max_tokens": 24, "min_tokens": 24, "ignore_eos": True, "logprobs": 0, "temperature": 0}
    answer = generate(build, folder, [request])[0]
    whole = [prompt + answer["tokens"]]
    ours = [numpy.array([t["logprob"] for t in answer["logprobs"]])]
    f32 = [logprobs_of(folder, whole, torch.float32)[0][len(prompt) - 1 :]]
    bf16 = [logprobs_of(folder, whole, torch.bfloat16)[0][len(prompt) - 1 :]]
    mine, its = compare(ours, bf16, f32)
    assert mine <= 1.5 * its + 1e-4


def test_eight_bit_weights_keep_the_perplexity(build, root):
    text = (root / "README.zh-TW.md").read_text("utf-8") + (root / "models" / "default" / "README.md").read_text("utf-8")
    ids = json.loads(subprocess.run([build / "twllm", "tokenize", "--json", "-"], input=text.encode(), capture_output=True,
                                    check=True).stdout)
    ids = ids["ids"] if isinstance(ids, dict) else ids
    requests = [{"prompt": ids[i : i + 1024], "max_tokens": 1, "prompt_logprobs": 0, "temperature": 0}
                for i in range(0, len(ids) - 1024, 1024)]
    assert len(requests) >= 2
    perplexity = {}
    for quantization in ("none", "fp8"):
        options = () if DEVICE == "cpu" else ("--quantization", quantization)
        answers = generate(build, None, requests, *options)
        perplexity[quantization] = numpy.exp(-numpy.mean([p["logprob"] for a in answers for p in a["prompt_logprobs"][1:]]))
    print(perplexity)
    assert perplexity["fp8"] <= 1.01 * perplexity["none"]


def test_deterministic_in_any_company(build, root):
    """With --deterministic a request's tokens and log-probabilities are the same bits alone, in a batch, with its prompt cut
    in chunks, and with a cached prefix."""
    prompt = sequences_of([150], seed=5)[0]
    request = {"prompt": prompt, "max_tokens": 30, "ignore_eos": True, "logprobs": 1, "temperature": 0}
    others = [dict(request, prompt=p) for p in sequences_of([(31 * i) % 400 + 1 for i in range(1, 40)], seed=6)]
    strict = ("--deterministic",) if DEVICE == "cuda" else ()
    alone = generate(build, None, [request], *strict)[0]
    for company, options in ((others + [request], ()), ([request] * 3, ()), ([request], ("--max-num-batched-tokens", 64, "--max-num-seqs", 4))):
        for answer in (a for r, a in zip(company, generate(build, None, company, *strict, *options)) if r is request):
            assert answer["tokens"] == alone["tokens"]
            assert answer["logprobs"] == alone["logprobs"]


def test_draws_have_the_distribution(build, root):
    """One token drawn many times on the GPU against the processor's exact probabilities: chi-square over the likeliest."""
    prompt = sequences_of([12], seed=7)[0]
    n = 4000
    request = {"prompt": prompt, "max_tokens": 1, "temperature": 0.8}
    drawn = [a["tokens"][0] for a in generate(build, None, [dict(request, seed=i) for i in range(n)])]
    command = [build / "twllm", "generate", "--device", "cpu", "--input", "-"]
    exact = subprocess.run([str(c) for c in command], capture_output=True, check=True,
                           input=json.dumps(dict(request, temperature=0, logprobs=128)).encode() + b"\n").stdout
    top = json.loads(exact)["logprobs"][0]["top"]
    weights = numpy.array([t["logprob"] for t in top]) / 0.8
    counts = numpy.array([drawn.count(t["id"]) for t in top], float)
    share = numpy.exp(weights - weights.max())
    kept = slice(0, 20)  # enough draws each; given that a draw is among these, its distribution is known exactly
    share, counts = share[kept] / share[kept].sum(), counts[kept]
    expected = share * counts.sum()
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert counts.sum() > 200 and chi_square < 60, (chi_square, counts, expected)  # 19 degrees: 1e-6 above 63


def test_no_bad_memory_access(build):
    sanitizer = shutil.which("compute-sanitizer") or shutil.which("/usr/local/cuda/bin/compute-sanitizer")
    if DEVICE != "cuda" or not sanitizer:
        pytest.skip("no compute-sanitizer")
    requests = [{"prompt": p, "max_tokens": 4, "ignore_eos": True} for p in sequences_of([5, 70, 300, 2, 9, 33], seed=8)]
    lines = "".join(json.dumps(r) + "\n" for r in requests)
    for options in ((), ("--quantization", "fp8"), ("--max-num-seqs", "1")):
        command = [sanitizer, "--tool", "memcheck", "--error-exitcode", "9", build / "twllm", "generate", "--device", "cuda",
                   "--input", "-", "--max-model-len", "1024", "--kv-cache-memory", "64M", *options]
        done = subprocess.run([str(c) for c in command], input=lines.encode(), capture_output=True, timeout=600)
        assert done.returncode == 0, (done.stdout.decode()[-3000:], done.stderr.decode()[-3000:])
