#!/usr/bin/env bash
# Prints a folder of chat templates as their publishers wrote them, for tests/golden/test_chat_template.py.
#
#   scripts/ensure-templates.sh PYTHON      the interpreter that scripts/ensure-python.sh printed
#
# The source package of llama-cpp-python carries about seventy (vendor/llama.cpp/models/templates). They are not ours
# to copy, so they are taken from the package once, kept beside the environment, and never committed. Where the
# package cannot be had the folder stays absent, and the test says that it is skipped.
set -euo pipefail
python=$1
package=llama-cpp-python==0.3.36
folder=$(dirname "$(dirname "$python")")/chat-templates
if [ ! -d "$folder" ]; then
    echo "Taking published chat templates from the source package $package" >&2
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    if "$python" -m pip download -qq --disable-pip-version-check --no-deps --no-binary :all: -d "$work" "$package" >&2; then
        mkdir "$work/templates"
        tar -xzf "$work"/*.tar.gz -C "$work/templates" --strip-components=5 --wildcards \
            '*/vendor/llama.cpp/models/templates/*.jinja'
        mv "$work/templates" "$folder"
    else
        echo "$package could not be fetched: the published templates are not compared" >&2
    fi
fi
echo "$folder"
