"""Fixtures of the Python tests.

The tests drive the built program (`twllm`) or a probe (`tests/golden/probe_*.c`) and compare with somebody else's
implementation. Where things are:
  TWLLM_BUILD   the build folder; build/ of the repository by default
  TWLLM_SHARED  reference data (real tokenizer, corpus); ../shared beside the repository by default. Tests that need it
                are skipped, with a line that says so, where it is absent.
"""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("TWLLM_BUILD") or ROOT / "build").resolve()
SHARED = pathlib.Path(os.environ.get("TWLLM_SHARED") or ROOT.parent / "shared").resolve()

os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is fetched: models are made by the tests
os.environ["TRANSFORMERS_OFFLINE"] = "1"


def program_path(name):
    path = BUILD / name
    if not path.exists():
        pytest.fail(f"{path} is not built (run make, or set TWLLM_BUILD)", pytrace=False)
    return path


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def build():
    return BUILD


@pytest.fixture(scope="session")
def shared():
    """The folder of reference data; skips the test where there is none."""
    if not SHARED.is_dir():
        pytest.skip(f"no reference data at {SHARED} (set TWLLM_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def probe():
    """probe("probe_tokenizer") -> its path."""
    return program_path


@pytest.fixture(scope="session")
def twllm_path():
    return program_path("twllm")


@pytest.fixture
def twllm(twllm_path, tmp_path):
    """twllm("tokenize", "--json", stdin="text", env={...}) -> CompletedProcess with text output.

    The environment is small and fixed: the C.UTF-8 locale, a HOME of the test's own.
    """

    def run(*arguments, stdin="", env=None, timeout=60, binary=False, cwd=None):
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(tmp_path),
            "LC_ALL": "C.UTF-8",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        environment.update(env or {})
        if not binary:
            stdin = stdin.encode()
        done = subprocess.run(
            [str(twllm_path), *map(str, arguments)],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            timeout=timeout,
            cwd=cwd,
            check=False,
        )
        if not binary:
            done.stdout = done.stdout.decode("utf-8")
            done.stderr = done.stderr.decode("utf-8", "replace")
        return done

    return run
