#!/usr/bin/env bash
# Makes sure that what builds the chat page is there: node, npm and the packages that web/package-lock.json pins.
#
#   scripts/ensure-web.sh build     to build web/dist
#   scripts/ensure-web.sh test      to test it as well, in a headless Chromium
#
# Installs only what is missing; does nothing, and quickly, when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-build}
if [ "$purpose" = test ]; then scripts/ensure-packages.sh web-test; else scripts/ensure-packages.sh web; fi
# npm writes what it installed beside it: the same lock file means the same packages.
stamp=web/node_modules/.twllm-lock
if ! cmp -s web/package-lock.json "$stamp"; then
    echo "Installing the packages of web/package-lock.json into web/node_modules"
    (cd web && npm ci --no-progress >/dev/null)
    cp web/package-lock.json "$stamp"
fi
