#!/usr/bin/env bash
# fuzz.sh FOLDER SECONDS: each fuzz target of a build: first its corpus, then SECONDS of new inputs; a third of that
# for the parsers that only one command reads with, so that all of them take a few minutes.
#
# Two checks a target. What is found lies in FOLDER/fuzz/<target>/: the input that failed, the log, the new corpus
# (never written back to tests/fuzz/corpus by itself).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1
seconds=$2
mkdir -p "$folder/fuzz"

one() { # one FOLDER SECONDS NAME, for xargs
    local folder=$1 seconds=$2 name=$3 replay=PASS search=PASS
    local target=$folder/fuzz_$name work=$folder/fuzz/$name corpus=tests/fuzz/corpus/$name
    case $name in
    safetensors | json | tokenizer_json | chat_template | pretokenizer | request) ;;
    *) seconds=$(((seconds + 2) / 3)) ;;
    esac
    local options=(-timeout=20 -rss_limit_mb=3072 -max_len=65536 "-artifact_prefix=$work/" -print_final_stats=1)
    mkdir -p "$work/corpus"
    if [ -e "tests/fuzz/$name.dict" ]; then options+=("-dict=tests/fuzz/$name.dict"); fi
    if [ ! -d "$corpus" ]; then
        echo "FAIL fuzz_$name: no seed corpus $corpus"
        replay=FAIL
    else
        "$target" "${options[@]}" -runs=0 "$corpus" >"$work/replay.log" 2>&1 || replay=FAIL
        echo "$replay fuzz_$name: $(find "$corpus" -type f | wc -l) inputs of the corpus"
        if [ $replay = FAIL ]; then tail -n 30 "$work/replay.log"; fi
        "$target" "${options[@]}" "-max_total_time=$seconds" "$work/corpus" "$corpus" >"$work/search.log" 2>&1 || search=FAIL
        echo "$search fuzz_$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/search.log" | tail -n 1) runs in $seconds s"
        if [ $search = FAIL ]; then grep -vE '^#[0-9]+' "$work/search.log" | tail -n 40; fi
    fi
}
export -f one

targets=()
for source in tests/fuzz/fuzz_*.c; do
    if [ -e "$source" ]; then
        name=${source##*/fuzz_}
        targets+=("${name%.c}")
    fi
done
report=$(mktemp)
trap 'rm -f "$report"' EXIT
if [ ${#targets[@]} -gt 0 ]; then
    printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'one "$@"' one "$folder" "$seconds" {} | tee "$report"
fi
passed=$(grep -c '^PASS ' "$report" || true)
failed=$(grep -c '^FAIL ' "$report" || true)
echo "$passed passed, $failed failed, 0 skipped"
if [ "$failed" -ne 0 ]; then exit 1; fi
