"""A disk without room and a process without memory: a message, an exit status, and nothing half-written.

The full disk is a small tmpfs in a mount namespace of the test's own where the system allows one, and everywhere a
limit on the size of files, which fails the same writes with another message.
"""
import json
import os
import shutil
import subprocess

import pytest

pytest.importorskip("pyte", reason="the pyte terminal emulator is not installed")
from terminal import Terminal  # noqa: E402

IO, NO_MEMORY = 6, 7


def namespace_allowed():
    try:
        return subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "x", "/mnt"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture(params=["tmpfs", "file size limit"])
def small_disk(request, tmp_path):
    """run(command, files, room) -> CompletedProcess or Terminal: in a folder where no file can grow beyond `room` KB.
    `files` are there before; HOME is this folder as well.
    """
    tmpfs = request.param == "tmpfs"
    if tmpfs and not namespace_allowed():
        pytest.skip("this system allows no mount namespace to an ordinary user")
    disk = tmp_path / "disk"
    out = tmp_path / "out" if tmpfs else disk  # the mount is gone with its namespace

    def run(command, files, room, terminal=False):
        for name, text in files.items():
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        disk.mkdir(exist_ok=True)
        steps = [
            'mount -t tmpfs -o size=40k x "$DISK"' if tmpfs else "true",
            'cp -a "$IN/." "$DISK/"',
            f'head -c {room}k /dev/zero >"$DISK/.room"; cat /dev/zero >"$DISK/.filler" 2>/dev/null; rm "$DISK/.room"' if tmpfs else f"ulimit -f {room}",
            'cd "$DISK"',
            '"$@"',
            "status=$?",
            'rm -f .filler; cp -a "$DISK/." "$OUT/"; exit $status' if tmpfs else "exit $status",
        ]
        shell = ["bash", "-c", "\n".join(steps), "bash", *map(str, command)]
        shell = ["unshare", "-rm", *shell] if tmpfs else shell
        out.mkdir(exist_ok=True)
        environment = dict(os.environ, DISK=str(disk), IN=str(tmp_path / "in"), OUT=str(out), HOME=str(disk), LC_ALL="C.UTF-8")
        if terminal:
            return Terminal([shutil.which(shell[0]), *shell[1:]], columns=120, rows=30, env=environment)
        return subprocess.run(shell, input=b"", capture_output=True, timeout=120, check=False, env=environment)

    run.folder = out
    run.kept = lambda: {str(p.relative_to(out)): p.read_text() for p in out.rglob("*") if p.is_file()}
    return run


def says_no_room(text):
    return "No space left on device" in text or "File too large" in text


def test_batch_on_a_full_disk(small_disk, twllm_path):
    """Whole answers stay in the partial file, and --resume goes on from them once there is room."""
    requests = "".join(json.dumps({"prompt": f"{i}", "max_tokens": 6, "seed": i, "logprobs": 3}) + "\n" for i in range(60))
    done = small_disk([twllm_path, "generate", "--input", "in.jsonl", "--output", "out.jsonl"], {"in.jsonl": requests, "out.jsonl": "old\n"}, 8)
    message = done.stderr.decode()
    assert done.returncode == IO and "out.jsonl" in message and says_no_room(message), message
    kept = small_disk.kept()
    assert set(kept) == {"in.jsonl", "out.jsonl", "out.jsonl.partial"} and kept["out.jsonl"] == "old\n"
    lines = kept["out.jsonl.partial"].splitlines(keepends=True)
    assert 0 < len(lines) < 60 and all(json.loads(line)["id"] == i for i, line in enumerate(lines)) and lines[-1].endswith("\n")
    arguments = [str(twllm_path), "generate", "--input", "in.jsonl", "--output"]
    for more in (["out.jsonl", "--resume"], ["whole.jsonl"]):
        subprocess.run([*arguments, *more], cwd=small_disk.folder, capture_output=True, timeout=60, check=True)
    assert (small_disk.folder / "out.jsonl").read_text() == (small_disk.folder / "whole.jsonl").read_text()
    assert not (small_disk.folder / "out.jsonl.partial").exists()


def test_chat_on_a_full_disk(small_disk, twllm_path):
    """/save says that there is no room and leaves the older file; the history stays as it was; the chat goes on."""
    history = "".join(f"問題 {i} " + "很長" * 100 + "\n" for i in range(11))
    command = [twllm_path, "chat", "--max-tokens", "4", "--temperature", "0"]
    with small_disk(command, {"talk.json": "old\n", ".local/state/twllm/history": history}, 4, terminal=True) as t:
        t.wait_for("\n>")
        t.type("很長" * 700 + "\r").wait_for(" s]")
        t.wait_for("\n>")
        t.type("/save talk.json\r").wait_for("talk.json: cannot write")
        assert says_no_room(t.text())
        t.type("/stats\r").wait_for("messages: 2;")
        t.type("\x04")
        assert t.wait() == 0
    kept = small_disk.kept()
    assert kept == {"talk.json": "old\n", ".local/state/twllm/history": history}


@pytest.mark.parametrize(
    "arguments",
    [["generate", "x", "--max-tokens", "2", "--temperature", "0"], ["generate", "--input", "in.jsonl"],
     ["chat", "--once", "x", "--max-tokens", "2"], ["bench", "--random", "tiny", "--repeat", "1", "--prompt-sizes", "8",
      "--batch-sizes", "1", "--generate-size", "2"]],
)  # fmt: skip
def test_little_memory(twllm_path, tmp_path, arguments):
    """Whatever the address space holds: an answer, or no answer and a message, never a crash."""
    if "ASAN_OPTIONS" in os.environ or "TSAN_OPTIONS" in os.environ:
        pytest.skip("a sanitizer takes terabytes of address space")
    (tmp_path / "in.jsonl").write_text('{"prompt": "x", "max_tokens": 2}\n' * 3)

    def run(megabytes, arguments):
        limited = ["bash", "-c", f'ulimit -v {megabytes * 1024}; exec "$@"', "bash", str(twllm_path)]
        return subprocess.run([*limited, *arguments], cwd=tmp_path, capture_output=True, timeout=60, check=False, env=dict(os.environ, LC_ALL="C.UTF-8"))

    outcomes = []
    least = next(m for m in range(24, 100, 2) if run(m, ["--version"]).returncode == 0)  # less, and the system does not start it
    for more in (0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 72, 128, 370, 970):
        megabytes = least + more
        done = run(megabytes, arguments)
        message = done.stderr.decode()
        if done.returncode == 0:
            assert done.stdout
        else:
            assert done.returncode == NO_MEMORY and message.startswith("twllm: ") and not done.stdout, (megabytes, done)
        outcomes.append(done.returncode == 0)
    assert not outcomes[0] and outcomes[-4:] == [True] * 4
