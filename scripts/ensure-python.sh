#!/usr/bin/env bash
# Prints the Python of a virtual environment that holds what tests/requirements.txt pins.
#
# The environment is $TWLLM_VENV, or build/venv. It is made when absent and filled when a pin is not met; when all
# are met nothing is fetched, so that the tests run offline.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${TWLLM_VENV:-$PWD/build/venv}
requirements=tests/requirements.txt
python=$venv/bin/python

met() { # every pin of the requirements is what the environment has
    [ -x "$python" ] && "$python" - "$requirements" <<'PYTHON'
import importlib.metadata, re, sys
for line in open(sys.argv[1], encoding="utf-8"):
    pin = re.match(r"([A-Za-z0-9_.-]+)==(\S+)", line)
    if pin:
        try:
            have = importlib.metadata.version(pin[1])
        except importlib.metadata.PackageNotFoundError:
            sys.exit(1)
        if have.split("+")[0] != pin[2]:
            sys.exit(1)
PYTHON
}

if ! met; then
    echo "Installing the Python packages of $requirements into $venv" >&2
    if [ ! -x "$python" ]; then python3 -m venv "$venv" >&2; fi
    "$python" -m pip install -qq --disable-pip-version-check "$(grep '^torch==' "$requirements")" >&2
    "$python" -m pip install -qq --disable-pip-version-check -r "$requirements" >&2
    if ! met; then
        echo "$venv does not hold what $requirements pins, although pip reported success" >&2
        exit 1
    fi
fi
echo "$python"
