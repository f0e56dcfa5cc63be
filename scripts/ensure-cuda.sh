#!/usr/bin/env bash
# Prints the nvcc that the GPU bodies are compiled with: the one that is there (CUDACXX, /usr/local/cuda, the path), or
# NVIDIA's packages from PyPI, put into $TWLLM_CUDA (build/cuda) once. For the tests, which compile everything on any machine;
# the program itself takes CUDA only where it is found. Prints nothing and fails where none can be had.
set -euo pipefail
cd "$(dirname "$0")/.."
for nvcc in "${CUDACXX:-}" /usr/local/cuda/bin/nvcc "$(command -v nvcc || true)"; do
    if [ -n "$nvcc" ] && [ -x "$nvcc" ]; then
        readlink -f "$nvcc"
        exit 0
    fi
done
if [ "$(uname -m)" != x86_64 ]; then exit 1; fi
folder=${TWLLM_CUDA:-$PWD/build/cuda}
complete=$folder/complete
if [ ! -e "$complete" ]; then
    echo "Installing NVIDIA's compiler from PyPI into $folder" >&2
    if [ ! -x "$folder/bin/python" ]; then python3 -m venv "$folder" >&2; fi
    "$folder/bin/python" -m pip install -qq --disable-pip-version-check nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 \
        nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 >&2
    root=$(dirname "$(dirname "$(find "$folder" -path '*/bin/nvcc' | head -n 1)")")
    ln -sfn lib "$root/lib64" # where nvcc looks
    echo "$root/bin/nvcc" >"$complete"
fi
cat "$complete"
