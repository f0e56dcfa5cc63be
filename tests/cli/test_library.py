"""libtwllm as its users meet it: installed, found by pkg-config, linked by a program that knows twllm.h alone."""
import os
import shutil
import subprocess

import pytest


@pytest.fixture(scope="module")
def installed(build, tmp_path_factory):
    """A fresh prefix with what `cmake --install` puts there."""
    if not shutil.which("pkg-config"):
        pytest.skip("pkg-config is not installed")
    prefix = tmp_path_factory.mktemp("prefix")
    subprocess.run(["cmake", "--install", str(build), "--prefix", str(prefix)], check=True, stdout=subprocess.DEVNULL)
    (pc,) = prefix.rglob("twllm.pc")
    return prefix, pc.parent


def flags(folder, *arguments):
    environment = dict(os.environ, PKG_CONFIG_PATH=str(folder))
    return subprocess.run(
        ["pkg-config", *arguments, "twllm"], env=environment, check=True, capture_output=True, text=True
    ).stdout.split()


def sanitized(build):
    return "fsanitize" in (build / "CMakeCache.txt").read_text().split("TWLLM_SANITIZE:STRING=")[0] or any(
        line.startswith("TWLLM_SANITIZE:STRING=") and not line.endswith("=")
        for line in (build / "CMakeCache.txt").read_text().splitlines()
    )


def run(program, *arguments, env=None):
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=60, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("how", ["shared", "static"])
def test_the_example_streams_a_chat(installed, root, build, tmp_path, how, twllm):
    if sanitized(build):
        pytest.skip("a sanitized library needs a sanitized program")
    prefix, folder = installed
    source = root / "examples" / "chat.c"
    assert len(source.read_text().splitlines()) <= 40
    words = flags(folder, "--cflags", "--libs") if how == "shared" else flags(folder, "--cflags")
    if how == "static":
        words += [str(next(prefix.rglob("libtwllm.a"))), "-lm", "-pthread"]
    program = tmp_path / "chat"
    subprocess.run(
        ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(program), *words], check=True
    )
    environment = dict(os.environ, LD_LIBRARY_PATH=str(next(prefix.rglob("libtwllm.so")).parent))
    answer = run(program, "你好", env=environment)
    # The program says the same: greedy, no system message.
    told = twllm("chat", "--once", "你好", "--temperature", "0", "--max-tokens", "64", "--no-statistics")
    assert told.returncode == 0, told.stderr
    assert answer == told.stdout and len(answer) > 2


def test_errors_reach_the_caller(installed, root, build, tmp_path):
    if sanitized(build):
        pytest.skip("a sanitized library needs a sanitized program")
    prefix, folder = installed
    program = tmp_path / "chat"
    subprocess.run(["cc", str(root / "examples" / "chat.c"), "-o", str(program), *flags(folder, "--cflags", "--libs")], check=True)
    environment = dict(os.environ, LD_LIBRARY_PATH=str(next(prefix.rglob("libtwllm.so")).parent))
    done = subprocess.run([str(program), "x", "/nonexistent"], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 5
    assert "/nonexistent" in done.stderr


def test_only_public_names_are_exported(installed):
    prefix, _ = installed
    header = next(prefix.rglob("twllm.h")).read_text()
    for library, options in (("libtwllm.so", ["-D"]), ("libtwllm.a", ["--extern-only"])):
        listing = subprocess.run(
            ["nm", "--defined-only", *options, str(next(prefix.rglob(library)))],
            check=True, capture_output=True, text=True,
        ).stdout
        names = {words[2] for words in map(str.split, listing.splitlines()) if len(words) == 3}
        assert names, library
        foreign = {name for name in names if not name.startswith("twllm_")}
        assert not foreign, (library, sorted(foreign)[:20])
        for name in names:
            assert name + "(" in header, f"{library} exports {name}, which twllm.h does not declare"


def test_soname_and_header_in_cxx(installed, tmp_path):
    prefix, folder = installed
    shared = next(prefix.rglob("libtwllm.so"))
    listing = subprocess.run(["readelf", "-d", str(shared)], check=True, capture_output=True, text=True).stdout
    assert "libtwllm.so.0" in listing
    if shutil.which("c++"):
        source = tmp_path / "header.cc"
        source.write_text("#include <twllm.h>\nint main() { return twllm_version() == nullptr; }\n")
        subprocess.run(["c++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *flags(folder, "--cflags"), str(source)], check=True)
