#!/usr/bin/env bash
# Every test, part by part; ends with the line `N passed, N failed, N skipped`, summed over the parts.
#
#   PARTS="unit python"   only these parts (their builds are made as needed); all of them by default:
#     unit     unit tests and house rules, gcc, optimised
#     python   oracle, interop and command-line tests
#     serve    the server's tests, one at a time: they look at the clock
#     format   clang-format has nothing to change
#     tidy     clang-tidy has nothing to say
#     asan     the unit tests again, clang, under AddressSanitizer and UndefinedBehaviorSanitizer
#     fuzz     each fuzz target: its corpus, then FUZZ_SECONDS (default 10) of new inputs
#     tsan     the tests that start threads, and the server under a small load, under ThreadSanitizer
#     arm64    the operations with NEON, cross-compiled, under qemu
#     web      the chat page in a headless Chromium, and its build
#     demo     make demo, twice: the second shows its first token in under a second
#   TWLLM_VENV            a Python environment to use instead of build/venv
set -euo pipefail
cd "$(dirname "$0")/.."
parts=${PARTS:-unit python serve format tidy asan fuzz tsan arm64 web demo}
fuzz_seconds=${FUZZ_SECONDS:-10}
jobs=$(nproc)
logs=$PWD/build/test
passed=0 failed=0 skipped=0
failures=()
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:allocator_may_return_null=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}
if command -v llvm-symbolizer-14 >/dev/null; then
    ASAN_SYMBOLIZER_PATH=$(command -v llvm-symbolizer-14)
    export ASAN_SYMBOLIZER_PATH TSAN_SYMBOLIZER_PATH=$ASAN_SYMBOLIZER_PATH
fi
# The sanitizers of clang 14 need the smaller address-space randomisation that newer kernels left behind.
still=()
if setarch -R true 2>/dev/null; then still=(setarch -R); fi

add() { # add PASSED FAILED SKIPPED
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

# part NAME KIND COMMAND...: runs the command with its output in a log, then counts: `junit` from the report
# $logs/NAME.xml, `line` from the last closing line of the log, `one` as a single check.
part() {
    local name=$1 kind=$2 result=0 counts start=$SECONDS
    shift 2
    printf -- '-- %-8s' "$name"
    rm -f "$logs/$name.xml"
    "$@" >"$logs/$name.log" 2>&1 </dev/null || result=$?
    counts="0 0 0"
    case $kind in
    junit) if [ -s "$logs/$name.xml" ]; then counts=$(python3 scripts/count_results.py "$logs/$name.xml"); fi ;;
    line) counts=$(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p' "$logs/$name.log" | tail -n 1) ;;
    one) if [ $result -eq 0 ]; then counts="1 0 0"; else counts="0 1 0"; fi ;;
    esac
    read -r p f s <<<"${counts:-0 0 0}"
    # A command that failed without a failed test (it did not build, it found no test) is a failure all the same.
    if [ $result -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    add "$p" "$f" "$s"
    printf '%6d passed, %d failed, %d skipped  (%d s)\n' "$p" "$f" "$s" $((SECONDS - start))
    if [ "$f" -ne 0 ]; then
        failures+=("$name")
        echo "   the end of $logs/$name.log, exit code $result:"
        tail -n 80 "$logs/$name.log" | sed 's/^/   | /'
    elif [ "$s" -ne 0 ]; then
        grep -hE '^(SKIPPED|SKIP:|skipped:)' "$logs/$name.log" | sort | uniq -c | sed 's/^/   /' | head -n 40 || true
    fi
}

wants() { [[ " $parts " == *" $1 "* ]]; }
build_preset() { # build_preset NAME FOLDER: configured once, then only what changed
    if [ ! -e "$2/build.ninja" ]; then cmake --preset "$1" >/dev/null || return 1; fi
    cmake --build "$2" -j "$jobs"
}
ctest_in() { # ctest_in FOLDER NAME [ARGUMENTS]
    local folder=$1 name=$2
    shift 2
    (cd "$folder" && "${still[@]}" ctest -j "$jobs" --timeout 600 --output-on-failure --output-junit "$logs/$name.xml" \
        --test-output-size-passed 1000000 --test-output-size-failed 1000000 "$@")
}
run_unit() { ctest_in build unit; }
run_pytest() { # run_pytest NAME ARGUMENTS
    local name=$1 result=0
    shift
    TWLLM_BUILD=$PWD/build timeout 1800 "$python" -m pytest -q --durations=15 --junitxml="$logs/$name.xml" "$@" || result=$?
    if [ $result -eq 5 ]; then result=0; fi # no test there
    return $result
}
run_python() { run_pytest python -n "$jobs" --dist worksteal --ignore=tests/serve tests; }
run_serve() { run_pytest serve tests/serve; }
run_asan() { build_preset fuzz build-fuzz && ctest_in build-fuzz asan -E '^(house_check|headers_alone)$'; }
run_fuzz() { build_preset fuzz build-fuzz && "${still[@]}" scripts/fuzz.sh build-fuzz "$fuzz_seconds"; }
run_tsan() { build_preset tsan build-tsan && ctest_in build-tsan tsan -R 'base|thread|engine|scheduler|sequence|kv_|prefix|llama|forward|op_linear|http_server|masks'; }
run_tsan_serve() {
    build_preset tsan build-tsan && TWLLM_BUILD=$PWD/build-tsan timeout 600 "${still[@]}" "$python" -m pytest -q --junitxml="$logs/tsan-serve.xml" \
        tests/serve/test_load.py -k soak
}
run_arm64() {
    if ! command -v aarch64-linux-gnu-gcc >/dev/null; then
        echo "skipped: no cross compiler for 64-bit ARM"
        echo "0 passed, 0 failed, 1 skipped"
        return 0
    fi
    build_preset arm64 build-arm64 && ctest_in build-arm64 arm64 -R 'base|tensor|op'
}
run_web() { scripts/ensure-web.sh test && (cd web && node test/run.mjs); }
run_demo() { python3 scripts/check_demo.py; }

scripts/ensure-packages.sh test
mkdir -p "$logs"
# A GPU is not needed to compile what runs on one.
if CUDACXX=$(scripts/ensure-cuda.sh); then export CUDACXX; else echo "-- no nvcc to be had: the GPU bodies are not compiled" && unset CUDACXX; fi
python=python3
if wants python || wants serve || wants tsan; then
    python=$(scripts/ensure-python.sh)
    export TWLLM_CHAT_TEMPLATES=${TWLLM_CHAT_TEMPLATES:-$(scripts/ensure-templates.sh "$python")}
fi
echo "-- building"
scripts/build.sh build

if wants serve; then scripts/ensure-js-clients.sh; fi
if wants unit; then part unit junit run_unit; fi
if wants demo; then part demo line run_demo; fi
if wants format; then part format one scripts/check-format.sh; fi
if wants python; then part python junit run_python; fi
if wants serve; then part serve junit run_serve; fi
if wants asan; then part asan junit run_asan; fi
if wants fuzz; then part fuzz line run_fuzz; fi
if wants tidy; then part tidy one scripts/check-tidy.sh build-fuzz; fi
if wants web; then part web line run_web; fi
if wants tsan; then
    part tsan junit run_tsan
    part tsan-serve junit run_tsan_serve
fi
if wants arm64; then part arm64 junit run_arm64; fi

if [ ${#failures[@]} -gt 0 ]; then echo "failed parts: ${failures[*]}"; fi
echo "$passed passed, $failed failed, $skipped skipped"
if [ $failed -ne 0 ] || [ $passed -eq 0 ]; then exit 1; fi
