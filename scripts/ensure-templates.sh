#!/usr/bin/env bash
# Prints a folder of chat templates as their publishers wrote them, for tests/golden/test_chat_template.py.
#
#   scripts/ensure-templates.sh PYTHON      the interpreter that scripts/ensure-python.sh printed
#
# The source package of llama-cpp-python carries about seventy (vendor/llama.cpp/models/templates), and as constants of
# its Python those of Llama-3, ChatML and Mistral-7B. They are not ours to copy, so they are taken from the package
# once, kept beside the environment, and never committed. Where the
# package cannot be had the folder stays absent, and the test says that it is skipped.
set -euo pipefail
python=$1
package=llama-cpp-python==0.3.36
folder=$(dirname "$(dirname "$python")")/chat-templates
complete=$folder/Llama3-Instruct.jinja
if [ ! -e "$complete" ]; then
    echo "Taking published chat templates from the source package $package" >&2
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    if "$python" -m pip download -qq --disable-pip-version-check --no-deps --no-binary :all: -d "$work" "$package" >&2; then
        mkdir "$work/templates"
        tar -xzf "$work"/*.tar.gz -C "$work/templates" --strip-components=5 --wildcards \
            '*/vendor/llama.cpp/models/templates/*.jinja'
        tar -xzf "$work"/*.tar.gz -C "$work" --strip-components=2 --wildcards '*/llama_cpp/llama_chat_format.py'
        "$python" - "$work/llama_chat_format.py" "$work/templates" <<'PYTHON'
import ast, pathlib, sys
names = {"LLAMA3_INSTRUCT": "Llama3-Instruct", "CHATML": "ChatML", "MISTRAL_INSTRUCT": "Mistral-7B-Instruct", "MIXTRAL_INSTRUCT": "Mixtral-Instruct"}
for node in ast.parse(pathlib.Path(sys.argv[1]).read_text("utf-8")).body:
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.targets[0], ast.Name):
        name = names.get(node.targets[0].id.removesuffix("_CHAT_TEMPLATE"))
        if name:
            pathlib.Path(sys.argv[2], name + ".jinja").write_text(node.value.value, "utf-8")
PYTHON
        rm -rf "$folder"
        mv "$work/templates" "$folder"
    else
        echo "$package could not be fetched: the published templates are not compared" >&2
    fi
fi
echo "$folder"
