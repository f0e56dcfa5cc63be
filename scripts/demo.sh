#!/usr/bin/env bash
# One exchange in Traditional Mandarin with the embedded model; on a terminal, a conversation.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/ensure-packages.sh build
scripts/build.sh build twllm
exec build/twllm chat --once "${DEMO_PROMPT:-你好，請介紹一下臺灣。}" --stay
