"""Numbers to blocks: no worse than the quantisers of the gguf package and, where it can be found, of llama.cpp itself."""
import ctypes
import os
import pathlib
import subprocess

import numpy
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize

WIDTH = 1024
TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"]
IN_PACKAGE = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"]


def inputs():
    rng = numpy.random.default_rng(3)
    rows = 64
    normal = rng.standard_normal((rows, WIDTH)) * 0.02
    heavy = rng.standard_t(3, (rows, WIDTH)) * 0.01
    shifted = rng.uniform(0.1, 0.3, (rows, WIDTH))
    return {name: x.astype(numpy.float32) for name, x in
            {"normal": normal, "heavy tails": heavy, "one sign": shifted}.items()}  # fmt: skip


def ours(probe, name, x, weights=None):
    mode, data = ("from", x) if weights is None else ("weighed", numpy.vstack([weights[None], x]))
    run = subprocess.run([probe("probe_quant"), name, mode, str(WIDTH)], input=data.tobytes(), capture_output=True, check=True)
    return numpy.frombuffer(run.stdout, numpy.uint8).reshape(len(x), -1)


def error(x, raw, name, weights=1.0):
    with numpy.errstate(all="ignore"):
        y = dequantize(raw, GGMLQuantizationType[name]).reshape(x.shape)
    return float(numpy.sqrt((weights * (x.astype(numpy.float64) - y) ** 2).mean()))


@pytest.mark.parametrize("name", IN_PACKAGE)
def test_no_worse_than_the_gguf_package(probe, name):
    for kind, x in inputs().items():
        raw, theirs = ours(probe, name, x), quantize(x, GGMLQuantizationType[name])
        if name == "Q8_0":
            assert (raw == theirs).all(), kind  # one rule for everybody: the same bits
        assert error(x, raw, name) <= error(x, theirs, name) * 1.0001, kind


@pytest.mark.parametrize("name", TYPES)
def test_extreme_blocks(probe, name):
    """Zeros stay zeros; blocks of one value, tiny and huge numbers come back near, or as the largest there is."""
    x = numpy.zeros((6, WIDTH), numpy.float32)
    x[1], x[2], x[3], x[4] = 0.25, -0.25, 1e-30, 3e4
    x[5, 7] = 1.0
    raw = ours(probe, name, x)
    with numpy.errstate(all="ignore"):
        y = dequantize(raw, GGMLQuantizationType[name]).reshape(x.shape)
    assert numpy.isfinite(y).all()
    assert (y[0] == 0).all() and numpy.abs(y[3]).max() < 1e-6
    for row in (1, 2, 4):
        assert numpy.abs(y[row] / x[row] - 1).max() < 0.14, row  # MXFP4 has only powers of two times 1 to 6
    assert abs(y[5, 7] - 1) < 0.14 and numpy.abs(numpy.delete(y[5], 7)).max() < 0.01  # IQ4 has no 0: 1 / 127


@pytest.mark.parametrize("name", [n for n in TYPES if n != "Q8_0"])
def test_importance_counts(probe, name):
    """Where some columns matter a hundred times as much, their error falls and the weighed one, too."""
    x = inputs()["normal"]
    weights = numpy.where(numpy.random.default_rng(4).random(WIDTH) < 0.2, 100, 1).astype(numpy.float32)
    plain, weighed = ours(probe, name, x), ours(probe, name, x, weights)
    assert error(x, weighed, name, weights) < 0.97 * error(x, plain, name, weights) or name == "MXFP4"
    assert error(x, weighed, name, weights) <= error(x, plain, name, weights) * 1.0001


@pytest.fixture(scope="module")
def ggml():
    """libggml-base of llama.cpp: in the folder that TWLLM_LLAMA_CPP names, or in llama-cpp-python."""
    folders = [pathlib.Path(os.environ["TWLLM_LLAMA_CPP"])] if os.environ.get("TWLLM_LLAMA_CPP") else []
    try:
        import importlib.util

        spec = importlib.util.find_spec("llama_cpp")
        folders += [pathlib.Path(spec.origin).parent / "lib"] if spec else []
    except ImportError:
        pass
    for folder in folders:
        if (folder / "libggml-base.so").exists():
            library = ctypes.CDLL(str(folder / "libggml-base.so"))
            library.ggml_quantize_chunk.restype = ctypes.c_size_t
            library.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
                                                    ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]  # fmt: skip
            return library
    pytest.skip("llama.cpp is not here (TWLLM_LLAMA_CPP, or llama-cpp-python)")


@pytest.mark.parametrize("name", TYPES)
def test_no_worse_than_llama_cpp(probe, ggml, name):
    kind = GGMLQuantizationType[name]
    weights = numpy.exp(numpy.random.default_rng(5).standard_normal(WIDTH)).astype(numpy.float32)
    for what, x in inputs().items():
        for w in (None, weights):
            block, size = GGML_QUANT_SIZES[kind]
            theirs = numpy.zeros((len(x), WIDTH // block * size), numpy.uint8)
            ggml.ggml_quantize_chunk(int(kind), x.ctypes.data, theirs.ctypes.data, 0, len(x), WIDTH,
                                     None if w is None else w.ctypes.data)  # fmt: skip
            # both weigh importances by sizes of elements, not in the same way: each may win a little by importances alone
            scale, most = (1.0, 1.0001) if w is None else (w, 1.01)
            assert error(x, ours(probe, name, x, w), name, scale) <= error(x, theirs, name, scale) * most, (what, w is None)
