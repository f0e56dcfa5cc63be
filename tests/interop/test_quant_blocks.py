"""Blocks of every quantised type become the numbers that the gguf package gives, bit for bit."""
import subprocess

import numpy
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
         "IQ4_NL", "IQ4_XS", "MXFP4"]  # fmt: skip


@pytest.mark.parametrize("name", TYPES)
def test_random_blocks(probe, name):
    kind = GGMLQuantizationType[name]
    size = GGML_QUANT_SIZES[kind][1]
    rng = numpy.random.default_rng(sum(map(ord, name)))
    raw = rng.integers(0, 256, (4096, size), dtype=numpy.uint8)  # any bytes are a block: scales of NaN too
    raw[0], raw[1] = 0, 255
    run = subprocess.run([probe("probe_quant"), name], input=raw.tobytes(), capture_output=True, check=True)
    ours = numpy.frombuffer(run.stdout, numpy.uint32)
    with numpy.errstate(all="ignore"):
        theirs = dequantize(raw, kind).astype(numpy.float32).ravel().view(numpy.uint32)
    assert ours.size == theirs.size
    nan = numpy.isnan(theirs.view(numpy.float32))
    assert (numpy.isnan(ours.view(numpy.float32)) == nan).all()
    assert (ours[~nan] == theirs[~nan]).all()
    assert nan.mean() < 0.1 or name in ("F16", "BF16", "F32")
