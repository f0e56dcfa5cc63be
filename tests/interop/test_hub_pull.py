"""twllm pull against a hub on this machine: what huggingface_hub wrote it reads, what it wrote huggingface_hub reads, and
no answer of a server leads out of the cache, loses what is there, or is believed against its digest."""
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest
from hub_server import Fault, Hub, Repo
from huggingface_hub import scan_cache_dir, snapshot_download, try_to_load_from_cache
from huggingface_hub.file_download import _CACHED_NO_EXIST

BIG = 34 << 20  # three parts


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def big():
    return random.Random(5).randbytes(BIG)


def files_of(root):
    folder = root / "models" / "default"
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".json", ".md")}


class Puller:
    def __init__(self, hub, program, home):
        self.hub, self.program, self.home, self.cache = hub, program, home, home / "hub"

    def environment(self, **more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
        return kept | {"HF_HOME": str(self.home), "HF_ENDPOINT": self.hub.url, "LC_ALL": "C"} | more

    def __call__(self, *arguments, **more):
        done = subprocess.run([self.program, "pull", *arguments], capture_output=True, text=True, timeout=120,
                              env=self.environment(**more))
        self.error = done.stderr
        return done.returncode, done.stdout.strip()

    def run(self, *arguments, **more):
        return subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL, env=self.environment(**more))

    def theirs(self, cache, name, **more):
        """huggingface_hub downloads, in a process of its own: it reads the environment when it is imported."""
        code = f"from huggingface_hub import snapshot_download; print(snapshot_download({name!r}, cache_dir={str(cache)!r}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
                              env=self.environment(HF_HUB_OFFLINE="0", HF_HUB_DISABLE_XET="1", **more))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def pull(hub, twllm_path, tmp_path):
    return Puller(hub, twllm_path, tmp_path / "home")


def model(big, **more):
    files = {"config.json": b'{"a": 1}', "tokenizer.json": b"{}" * 900, "model.safetensors": big, "sub/notes.txt": b"notes",
             "README.md": b"", "pytorch_model.bin": b"pickle", "original/consolidated.00.pth": b"x"}
    return Repo(files, lfs=["model.safetensors", "pytorch_model.bin"], **more)


def names_below(folder):
    folder = pathlib.Path(folder)
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def test_huggingface_hub_reads_what_was_pulled(hub, pull, big):
    repo = hub.repos["org/model"] = model(big)
    code, path = pull("org/model")
    assert code == 0, pull.error
    assert path == str(pull.cache / "models--org--model" / "snapshots" / repo.commit)
    assert names_below(path) == ["README.md", "config.json", "model.safetensors", "sub/notes.txt", "tokenizer.json"]
    for name in names_below(path):
        theirs = try_to_load_from_cache("org/model", name, cache_dir=pull.cache)
        assert theirs == f"{path}/{name}" and pathlib.Path(theirs).read_bytes() == repo.files[name]
    assert try_to_load_from_cache("org/model", "adapter_config.json", cache_dir=pull.cache) is _CACHED_NO_EXIST
    assert snapshot_download("org/model", cache_dir=pull.cache, local_files_only=True) == path
    info = scan_cache_dir(pull.cache)
    assert not info.warnings and [r.repo_id for r in info.repos] == ["org/model"]
    assert not [n for n in names_below(pull.cache) if ".twllm" in n]
    # the whole of it lies where huggingface_hub itself would have put it
    theirs = pathlib.Path(pull.theirs(pull.home / "other", "org/model"))
    for name in names_below(path):
        assert os.readlink(theirs / name) == os.readlink(pathlib.Path(path) / name)


def test_what_huggingface_hub_fetched_is_not_fetched_again(hub, pull, big):
    hub.repos["org/model"] = model(big)
    theirs = pull.theirs(pull.cache, "org/model")
    hub.n_sent, hub.seen = 0, []
    code, path = pull("org/model", "--json")
    told = json.loads(path)
    assert code == 0 and told["path"] == theirs and told["fetched"] == 0 and hub.n_sent == 0
    assert all(role == "hub" and "/api/" in path for role, _, path, _ in hub.seen)


def test_no_host_but_the_hub_sees_the_token(hub, pull, big, tmp_path):
    hub.repos["org/model"] = model(big, token="secret-token")
    code, _ = pull("org/model", HF_TOKEN="secret-token")
    assert code == 0, pull.error
    assert {h.get("Authorization") for role, _, _, h in hub.seen if role == "hub"} == {"Bearer secret-token"}
    assert {h.get("Authorization") for role, _, _, h in hub.seen if role == "cdn"} == {None}
    assert any(role == "cdn" for role, *_ in hub.seen)


def test_the_token_of_a_login_is_used(hub, pull):
    hub.repos["org/model"] = Repo({"config.json": b"{}", "model.safetensors": b"w"}, token="of-a-file")
    pull.home.mkdir()
    (pull.home / "token").write_text("  of-a-file\n")
    assert pull("org/model")[0] == 0, pull.error


def test_killed_and_continued(hub, pull, big):
    repo = hub.repos["org/model"] = model(big)
    hub.delay = 0.01
    process = subprocess.Popen([pull.program, "pull", "org/model", "--connections", "1"], env=pull.environment(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.time() + 60
    while hub.n_sent < 22 << 20 and time.time() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (pull.cache / "models--org--model" / "refs" / "main").exists()
    time.sleep(0.2)
    assert "broken download" in pull.run("list").stdout
    hub.n_sent, hub.delay = 0, 0
    code, path = pull("org/model")
    assert code == 0, pull.error
    assert pathlib.Path(path, "model.safetensors").read_bytes() == big
    assert hub.n_sent < BIG - (16 << 20) + (1 << 20)
    assert repo.files["config.json"] == pathlib.Path(path, "config.json").read_bytes()


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("cdn", "", left=3, cut=700_000)],
        [Fault("cdn", "", left=2, code=503), Fault("hub", "/api/", code=500), Fault("hub", "resolve", code=502)],
        [Fault("cdn", "", code=429, Retry_After="1"), Fault("hub", "/api/", code=429, Retry_After="1")],
        [Fault("cdn", "", left=99, ignores_ranges=True)],
        [Fault("cdn", "", left=4, cut=0)],
    ],
    ids=["cut", "5xx", "429", "no ranges", "nothing sent"],
)
def test_a_server_that_stumbles(hub, pull, big, faults):
    hub.repos["org/model"] = model(big)
    hub.faults = faults
    code, path = pull("org/model")
    assert code == 0, pull.error
    assert pathlib.Path(path, "model.safetensors").read_bytes() == big


@pytest.mark.parametrize(
    "name, more, code, words",
    [
        ("org/none", {}, 5, ["no such model", "private", "HF_TOKEN"]),
        ("org/model@v9", {}, 5, ["no revision 'v9'"]),
        ("org/gated", {}, 2, ["gated", "accept its conditions", "/org/gated", "HF_TOKEN"]),
        ("org/closed", {"HF_TOKEN": "t"}, 2, ["gated", "accept its conditions", "authorized list"]),
        ("org/private", {"HF_TOKEN": "wrong"}, 2, ["refuses the token", "Invalid credentials"]),
        ("org/private", {}, 5, ["private", "HF_TOKEN"]),
        ("org/empty", {}, 5, ["no safetensors or GGUF file"]),
        ("org/gguf:Q9", {}, 5, ["no GGUF Q9 file", "m-Q4_K_M.gguf"]),
        ("org/model/x", {}, 2, ["not a hub name"]),
        ("../../etc", {}, 2, ["not a hub name"]),
        ("org/model", {"HF_HUB_OFFLINE": "1"}, 5, ["HF_HUB_OFFLINE", "twllm pull"]),
        ("org/model", {"HF_ENDPOINT": "http://127.0.0.1:9"}, 6, ["127.0.0.1"]),
    ],
)
def test_refusals_are_explained(hub, pull, name, more, code, words):
    hub.repos["org/model"] = Repo({"config.json": b"{}", "model.safetensors": b"w"})
    hub.repos["org/gated"] = Repo({"config.json": b"{}"}, token="t", gated="auto")
    hub.repos["org/closed"] = Repo({"config.json": b"{}"}, gated="closed")
    hub.repos["org/private"] = Repo({"config.json": b"{}"}, token="t")
    hub.repos["org/empty"] = Repo({"config.json": b"{}"})
    hub.repos["org/gguf"] = Repo({"m-Q4_K_M.gguf": b"g"})
    got, _ = pull(name, **more)
    assert got == code, pull.error
    for word in words:
        assert word in pull.error
    if more.get("HF_HUB_OFFLINE"):
        assert not hub.seen


@pytest.mark.parametrize(
    "name",
    ["../escaped", "/etc/escaped", "a/../../escaped", "a//b", ".", "a/..", "a\\..\\b", "a\nb", "", "x" * 600, "a/./b"],
)
def test_file_names_never_leave_the_repository(hub, pull, tmp_path, name):
    repo = hub.repos["org/model"] = Repo({"config.json": b"{}", "model.safetensors": b"w"})
    repo.listing["config.json"] = {"rfilename": name}
    code, _ = pull("org/model")
    assert code == 3 and "would leave" in pull.error
    assert not names_below(tmp_path)


@pytest.mark.parametrize("etag", ["../../../escaped", "/escaped", "..", ".hidden", "a/b", "x" * 300])
def test_blob_names_never_leave_the_cache(hub, pull, tmp_path, etag):
    repo = hub.repos["org/model"] = Repo({"config.json": b"{}", "model.safetensors": b"w"})
    repo.listing["config.json"] = {"blobId": etag}  # unusable: the file itself is asked
    assert pull("org/model")[0] == 0, pull.error
    repo.etag = lambda name: etag
    repo.listing["model.safetensors"] = {"blobId": None}
    pull.run("rm", "org/model", "--yes")
    code, _ = pull("org/model")
    assert code == 3 and "no ETag" in pull.error
    assert not [n for n in names_below(tmp_path) if "escaped" in n or "hidden" in n]


@pytest.mark.parametrize("lfs", [["model.safetensors"], []])
def test_a_wrong_content_is_thrown_away(hub, pull, lfs):
    repo = hub.repos["org/model"] = Repo({"config.json": b"{}", "model.safetensors": b"right" * 100}, lfs=lfs)
    right = repo.entry("model.safetensors")
    repo.listing["model.safetensors"] = right
    repo.files["model.safetensors"] = b"wrong" * 100
    code, _ = pull("org/model")
    assert code == 3 and "digest" in pull.error
    assert not (pull.cache / "models--org--model" / "refs").exists()
    assert not [n for n in names_below(pull.cache) if ".twllm" in n and "model.safetensors" in n]
    repo.files["model.safetensors"] = b"right" * 100
    code, path = pull("org/model")
    assert code == 0 and pathlib.Path(path, "model.safetensors").read_bytes() == b"right" * 100


@pytest.mark.parametrize("size", [499, 501, 5000])
@pytest.mark.parametrize("ignores", [False, True])
def test_a_size_that_is_not_the_one_of_the_list(hub, pull, size, ignores):
    repo = hub.repos["org/model"] = Repo({"config.json": b"{}", "model.safetensors": b"w" * 500})
    repo.listing["model.safetensors"] = {"size": size}
    hub.faults = [Fault("hub", "resolve", left=99, ignores_ranges=ignores)]
    code, _ = pull("org/model")
    assert code == 3 and "model.safetensors" in pull.error
    assert not (pull.cache / "models--org--model" / "refs").exists()


def test_a_disk_that_is_too_small_is_told_first(hub, pull):
    repo = hub.repos["org/model"] = Repo({"config.json": b"{}", "model.safetensors": b"w"})
    repo.listing["model.safetensors"] = {"size": 10**16}
    code, _ = pull("org/model")
    assert code == 9 and "10000000.00 GB" in pull.error
    assert not any("resolve" in path for _, _, path, _ in hub.seen)


def test_the_quantisation_asked_for(hub, pull):
    files = {f"{folder}m-{q}.gguf": q.encode() for folder, q in
             [("", "Q4_K_M"), ("", "Q4_K_S"), ("", "Q8_0"), ("", "IQ4_XS"), ("F16/", "F16-00001-of-00002"), ("F16/", "F16-00002-of-00002")]}
    hub.repos["org/gguf"] = Repo(files | {"README.md": b"r"})
    for asked, path in [("", "m-Q4_K_M.gguf"), (":Q4_K_S", "m-Q4_K_S.gguf"), (":q8_0", "m-Q8_0.gguf"), (":iq4_xs", "m-IQ4_XS.gguf"),
                        (":F16", "F16/m-F16-00001-of-00002.gguf")]:
        for prefix in ("", "hf:"):
            code, got = pull(prefix + "org/gguf" + asked)
            assert code == 0 and got.endswith("/" + path), (got, pull.error)
    snapshot = pathlib.Path(got).parent.parent
    assert names_below(snapshot) == sorted(files)


def test_a_name_in_place_of_a_path(hub, pull, root):
    folder = root / "models" / "default"
    files = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.suffix != ".py"}
    hub.repos["org/toy"] = Repo(files, lfs=[n for n in files if n.endswith(".safetensors")])
    miss = pull.run("tokenize", "--model", "org/toy", "你好")
    assert miss.returncode == 5 and "twllm pull org/toy" in miss.stderr
    assert pull("org/toy")[0] == 0, pull.error
    for name in ("org/toy", "hf:org/toy", "org/toy@main"):
        named = pull.run("tokenize", "--model", name, "你好", HF_HUB_OFFLINE="1")
        assert named.returncode == 0 and named.stdout == pull.run("tokenize", "--model", str(folder), "你好").stdout


def test_list_and_rm(hub, pull):
    old, new = (Repo({"config.json": b"{}", "model.safetensors": w * 1000}) for w in (b"old", b"new"))
    hub.repos["org/model"] = old
    hub.repos["single"] = Repo({"config.json": b"{}", "model.safetensors": b"w" * 50})
    assert pull("org/model")[0] == 0 and pull("single")[0] == 0
    new.refs = {"main": new.commit, "v2": new.commit}
    hub.repos["org/model"] = new
    assert pull("org/model@v2")[0] == 0, pull.error
    listed = json.loads(pull.run("list", "--json").stdout)
    assert [(m["name"], m["revisions"], m["snapshots"], m["bytes"]) for m in listed] == [
        ("org/model", "main, v2", 2, 6002), ("single", "main", 1, 52)]
    assert pull.run("rm", "org/model@v2").returncode == 2  # nobody to ask
    assert pull.run("rm", "org/model@v2", "--yes").returncode == 0
    info = {r.repo_id: r for r in scan_cache_dir(pull.cache).repos}
    assert {f.file_name for f in next(iter(info["org/model"].revisions)).files} == {"config.json", "model.safetensors"}
    assert json.loads(pull.run("list", "--json").stdout)[0]["bytes"] == 3002
    assert not scan_cache_dir(pull.cache).warnings
    assert pull.run("rm", "org/model", "--yes").returncode == 0
    assert pull.run("rm", "org/model", "--yes").returncode == 5
    assert [m["name"] for m in json.loads(pull.run("list", "--json").stdout)] == ["single"]
    assert pull.run("rm", "../..", "--yes").returncode == 2


def test_two_at_once_fetch_once(hub, pull, big):
    hub.repos["org/model"] = model(big)
    hub.delay = 0.002
    two = [subprocess.Popen([pull.program, "pull", "org/model"], env=pull.environment(), stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [p.communicate(timeout=60)[0] for p in two]
    assert [p.returncode for p in two] == [0, 0] and outputs[0] == outputs[1]
    assert hub.n_sent < BIG + (1 << 20)
