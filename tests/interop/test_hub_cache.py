"""Models are found in the Hugging Face cache where huggingface_hub itself finds them."""
import subprocess

import pytest
from huggingface_hub import scan_cache_dir, try_to_load_from_cache


def add_model(cache, repo, commits, refs):
    folder = cache / ("models--" + repo.replace("/", "--"))
    for commit in commits:
        snapshot = folder / "snapshots" / commit
        snapshot.mkdir(parents=True)
        blob = folder / "blobs" / f"blob-{commit}"
        blob.parent.mkdir(exist_ok=True)
        blob.write_text("{}")
        (snapshot / "config.json").symlink_to(f"../../blobs/{blob.name}")
    for name, commit in refs.items():
        path = folder / "refs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(commit)


@pytest.fixture
def cache(tmp_path):
    cache = tmp_path / "hub"
    a, b = "a" * 40, "b" * 40
    add_model(cache, "yentinglin/Llama-3-Taiwan-8B-Instruct", [a, b], {"main": a, "v1.0": b, "refs/pr/1": b})
    add_model(cache, "gpt2", [a], {"main": a})
    assert {r.repo_id for r in scan_cache_dir(cache).repos} == {"yentinglin/Llama-3-Taiwan-8B-Instruct", "gpt2"}
    return cache


def resolve(probe, name, cache):
    done = subprocess.run([probe("probe_checkpoint"), name, "resolve", cache], cwd=cache, capture_output=True, text=True)
    return done.returncode, done.stdout.strip() or done.stderr


@pytest.mark.parametrize(
    "repo, revision",
    [
        ("yentinglin/Llama-3-Taiwan-8B-Instruct", None),
        ("yentinglin/Llama-3-Taiwan-8B-Instruct", "main"),
        ("yentinglin/Llama-3-Taiwan-8B-Instruct", "v1.0"),
        ("yentinglin/Llama-3-Taiwan-8B-Instruct", "refs/pr/1"),
        ("yentinglin/Llama-3-Taiwan-8B-Instruct", "b" * 40),
        ("gpt2", None),
    ],
)
def test_found_where_huggingface_hub_finds_it(probe, cache, repo, revision):
    theirs = try_to_load_from_cache(repo, "config.json", cache_dir=cache, revision=revision)
    code, ours = resolve(probe, repo + (f"@{revision}" if revision else ""), cache)
    assert code == 0 and theirs == ours + "/config.json"


@pytest.mark.parametrize("name", ["yentinglin/other", "yentinglin/Llama-3-Taiwan-8B-Instruct@v2", "gpt2@" + "c" * 40])
def test_a_miss_says_where_and_how(probe, cache, name):
    code, message = resolve(probe, name, cache)
    assert code == 5 and str(cache) in message and "twllm pull" in message


@pytest.mark.parametrize(
    "name",
    ["../../etc", "a/b/c", "a/../b", "/nonexistent/x", "a--b/c", "gpt2@../../x", "gpt2@/etc", ".hidden/x", "a/b@", "a b"],
)
def test_names_never_leave_the_cache(probe, cache, name):
    code, message = resolve(probe, name, cache)
    assert code in (2, 5) and message
