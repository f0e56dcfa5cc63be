#!/usr/bin/env bash
# Makes sure that the JavaScript clients which the tests of the server run are there: node, npm and the packages that
# tests/serve/js/package-lock.json pins. Installs only what is missing; does nothing, and quickly, when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/ensure-packages.sh web >&2
folder=tests/serve/js
# npm writes what it installed beside it: the same lock file means the same packages.
stamp=$folder/node_modules/.twllm-lock
if ! cmp -s $folder/package-lock.json "$stamp"; then
    echo "Installing the packages of $folder/package-lock.json into $folder/node_modules" >&2
    (cd $folder && npm ci --no-progress >/dev/null)
    cp $folder/package-lock.json "$stamp"
fi
