#!/usr/bin/env bash
# Builds with CUDA and runs tests/gpu; without a GPU they are skipped and say so. The interpreter needs torch (with CUDA) and
# transformers: $TWLLM_GPU_PYTHON, or the one that `make test` made.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/ensure-packages.sh build
python=${TWLLM_GPU_PYTHON:-}
if [ -z "$python" ]; then python=$(scripts/ensure-python.sh); fi
build=${BUILD:-build-gpu}
scripts/build.sh "$build" twllm
TWLLM_BUILD=$build exec "$python" -m pytest -q -rs -p no:cacheprovider tests/gpu "$@"
