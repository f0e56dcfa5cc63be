"""The server's OpenAPI document against its behaviour: schemathesis makes requests that the document allows and that it
forbids, and judges the answers (see openapi_hooks.py). The number of examples is small and the same in every run."""
import os
import pathlib
import subprocess
import sys

import pytest
from serving import Server

HOOKS = pathlib.Path(__file__).with_name("openapi_hooks.py")
# Methods of the document are tried, and these on paths that do not have them; others are 501, as RFC 9110 says.
CONFIG = """
hooks = "{hooks}"
[phases.coverage]
unexpected-methods = ["DELETE", "PUT", "PATCH"]
[checks]
positive_data_acceptance.enabled = false  # the hooks' own check is stricter about what is refused
[checks.negative_data_rejection]
expected-statuses = [400, 404, 405, 413, 415, 422]
"""


@pytest.mark.parametrize("path", ["^/v1", "^/(?!v1)"], ids=["openai", "others"])
def test_behaves_as_documented(tmp_path, path):
    (tmp_path / "schemathesis.toml").write_text(CONFIG.format(hooks=HOOKS))
    program = pathlib.Path(sys.executable).with_name("schemathesis")
    with Server("--max-model-len", 256) as server:
        done = subprocess.run(
            [program, "--config-file", tmp_path / "schemathesis.toml", "run", server.url + "/openapi.json",
             "--include-path-regex", path, "--phases", "coverage,fuzzing", "--max-examples", "5", "--seed", "1",
             "--generation-deterministic", "--request-timeout", "20", "--continue-on-failure", "--no-color"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(HOOKS.parent)}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
        assert done.returncode == 0 and "Test cases:" in done.stdout, done.stdout[-6000:]
        assert server.idle() and server.call("/health")[0] == 200
