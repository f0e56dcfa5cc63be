#!/usr/bin/env bash
# build.sh FOLDER [TARGET...]: the optimised build. Configures once; afterwards only compiles what changed.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1
shift
if [ ! -e "$folder/build.ninja" ] && [ ! -e "$folder/Makefile" ]; then
    generator="Unix Makefiles"
    if command -v ninja >/dev/null; then generator=Ninja; fi
    echo "Configuring an optimised build in $folder/ ($generator)"
    cmake -S . -B "$folder" -G "$generator" -DCMAKE_BUILD_TYPE=Release >/dev/null
fi
targets=()
for target in "$@"; do targets+=(--target "$target"); done
if [ -t 1 ] && [ ! -e "$folder/twllm" ]; then # a person waits for the first build: show how far it is
    exec cmake --build "$folder" -j "$(nproc)" "${targets[@]}"
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cmake --build "$folder" -j "$(nproc)" "${targets[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
