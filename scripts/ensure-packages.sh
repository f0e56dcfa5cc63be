#!/usr/bin/env bash
# Makes sure that the system packages for one purpose are installed: ensure-packages.sh build|test|web|web-test
#
# Looks for the programs and libraries themselves, not for package names, so that a compiler that came from
# elsewhere is good enough. Installs only what is missing, after saying what and why. Needs root (or sudo) only
# then; does nothing, and quickly, when all is there.
set -euo pipefail

purpose=${1:-build}
missing=() # package names
reasons=()

need() { # need PACKAGE REASON TEST...: the package is missing when the test fails
    local package=$1 reason=$2
    shift 2
    if ! "$@" >/dev/null 2>&1; then
        missing+=("$package")
        reasons+=("$reason")
    fi
}
has() { command -v "$1"; }
any_of() {
    local name
    for name in "$@"; do
        if command -v "$name"; then return 0; fi
    done
    return 1
}
compiles() { # compiles COMPILER [FLAGS...] with a program on standard input: does it compile and link?
    local compiler=$1 folder result=0
    shift
    folder=$(mktemp -d)
    cat >"$folder/probe.c"
    "$compiler" "$folder/probe.c" -o "$folder/probe" "$@" || result=1
    rm -rf "$folder"
    return $result
}
c_library() { printf '#include <stdio.h>\n#include <pthread.h>\nint main(void) { return puts("") < 0; }\n' | compiles "${CC:-cc}" -pthread; }
clang_sanitizers() {
    printf 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return d && n > 99; }\n' |
        compiles "$1" -fsanitize=address,undefined,fuzzer
}
pcre2() { printf '#define PCRE2_CODE_UNIT_WIDTH 8\n#include <pcre2.h>\nint main(void) { return 0; }\n' | compiles "${CC:-cc}" -lpcre2-8; }
openssl_headers() { printf '#include <openssl/ssl.h>\nint main(void) { return SSL_new(0) != 0; }\n' | compiles "${CC:-cc}" -lssl -lcrypto; }
curl_header() { printf '#include <curl/curl.h>\nint main(void) { return curl_easy_init() != 0; }\n' | compiles "${CC:-cc}" -lcurl; }
python_with_venv() { has python3 && python3 -c 'import venv, ensurepip, sys; sys.exit(sys.version_info < (3, 11))'; }

need gcc "compiles the program" any_of "${CC:-cc}" gcc
if ! has cc >/dev/null || [ ! -e build/twllm ]; then # the link test costs some milliseconds: not on every demo
    need libc6-dev "headers of the C library" c_library
fi
need cmake "configures the build" has cmake
need make "runs the targets of the Makefile" has make
if ! has ninja >/dev/null && [ ${#missing[@]} -gt 0 ]; then
    missing+=(ninja-build) # welcome, but make alone is enough for the program
    reasons+=("builds faster than make")
fi

if [ "$purpose" = test ]; then
    need ninja-build "builds the test configurations" has ninja
    need clang-14 "second compiler; sanitizers and fuzzing" has clang-14
    need libclang-rt-14-dev "run-time libraries of the sanitizers and of libFuzzer" clang_sanitizers clang-14
    need llvm-14 "readable stack traces from the sanitizers" has llvm-symbolizer-14
    need clang-format-14 "checks the layout of the sources" has clang-format-14
    need clang-tidy-14 "static analysis" has clang-tidy-14
    need libpcre2-dev "runs the published pre-tokeniser pattern, as an oracle" pcre2
    need libssl-dev "serves HTTPS" openssl_headers
    need libcurl4-openssl-dev "downloads, and asks remote models and judges" curl_header
    need openssl "makes certificates for the tests of HTTPS" has openssl
    need python3-venv "runs the oracles (transformers, tiktoken) in a virtual environment" python_with_venv
    if [ "$(uname -m)" = x86_64 ]; then
        need gcc-aarch64-linux-gnu "builds the NEON operations" has aarch64-linux-gnu-gcc
        need libc6-dev-arm64-cross "C library for the NEON operations" test -e /usr/aarch64-linux-gnu/lib/libc.so.6
        need qemu-user "runs the NEON operations" any_of qemu-aarch64 qemu-aarch64-static
    fi
fi

if [ "$purpose" = web ] || [ "$purpose" = web-test ]; then
    need nodejs "builds the chat page" has node
    need npm "installs the packages that the chat page is made of" has npm
fi
if [ "$purpose" = web-test ]; then
    need chromium "runs the chat page for its tests" any_of chromium chromium-browser google-chrome
fi

if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

echo "twllm needs these packages, which are not installed:"
for i in "${!missing[@]}"; do printf '  %-24s %s\n' "${missing[$i]}" "${reasons[$i]}"; done

if ! has apt-get >/dev/null; then
    echo "This script installs with apt-get, which is not here. Install them your system's way, then run again." >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! has sudo >/dev/null; then
        echo "Installing needs root and there is no sudo. As root, run:" >&2
        echo "  apt-get update && apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "Installing: ${as_root[*]:+${as_root[*]} }apt-get install ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A list that cannot be refreshed (one dead mirror among many) matters only if the install then fails.
"${as_root[@]}" apt-get update >"$log" 2>&1 </dev/null || echo "note: apt-get update reported a problem" >&2
if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    "${missing[@]}" >>"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    echo "apt-get could not install: ${missing[*]}" >&2
    exit 1
fi
echo "Installed."
