#!/usr/bin/env bash
# Fails when clang-format would change a source file; with --fix it changes them. Version 14 on every system: each
# version of clang-format lays some lines out in its own way.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(git ls-files '*.c' '*.h')
if [ "${1:-}" = --fix ]; then
    exec clang-format-14 -i "${files[@]}"
fi
clang-format-14 --dry-run --Werror "${files[@]}" || {
    echo "run: make format"
    exit 1
}
echo "${#files[@]} files are laid out as .clang-format says"
