"""The house check finds what it is there to find: each broken rule, in a small tree of its own, is named."""
import subprocess

import pytest

BROKEN = {
    "upward include": ("src/base/a.c", '#include "engine/engine.h"\n', "only lower floors"),
    "sideways include": ("src/text/a.c", '#include "model/llama.h"\n', "only lower floors"),
    "no folder": ("src/text/a.c", '#include "tokenizer.h"\n', 'write it as "folder/file.h"'),
    "public header below its floor": ("src/engine/a.c", '#include "twllm.h"\n', "only lower floors"),
    "unknown folder": ("src/attic/a.c", "int a;\n", "stands on no floor"),
    "example with private header": ("examples/a.c", '#include "base/str.h"\n', "public header only"),
    "source included": ("tests/unit/a.c", '#include "base/str.c"\n', "compiled, not included"),
    "banned everywhere": ("tests/unit/a.c", "void f(char *a) { strcpy(a, a); }\n", "strcpy: use"),
    "printing below cmd": ("src/op/a.c", 'void f(void) { printf("x"); }\n', "only cmd/ prints"),
    "stdout below cmd": ("src/op/a.c", "void *f(void) { return stdout; }\n", "only cmd/ prints"),
    "exit below cmd": ("src/base/a.c", "void f(void) { exit(1); }\n", "return a status"),
    "environment": ("src/hub/a.c", 'void *f(void) { return getenv("A"); }\n', "an option that cmd/ fills in"),
    "files": ("src/engine/a.c", 'void *f(void) { return fopen("a", "r"); }\n', "base/file.h"),
    "tab": ("src/base/a.c", "\tint a;\n", "a tab"),
    "trailing blank": ("src/base/a.c", "int a; \n", "a blank at the end"),
    "no newline": ("src/base/a.c", "int a;", "no newline at the end"),
    "marker": ("src/base/a.c", "/* TO" "DO */\n", "a forgotten marker"),
}
FINE = {
    "lower floor": ("src/engine/a.c", '#include "base/str.h"\n#include "engine/x.h"\n'),
    "own folder below": ("src/op/cpu/a.c", '#include "op/op.h"\n'),
    "cmd prints": ("src/cmd/a.c", '#include "twllm.h"\nvoid f(void) { printf("x"); exit(0); getenv("A"); }\n'),
    "words in comments and strings": (
        "src/base/a.c",
        '/* strcpy(a, b) */ // exit(1)\nconst char *a = "printf(\\"x\\")"; char b = \'"\'; int snprintf_x;\n',
    ),
    "members and longer names": ("src/base/a.c", "void f(struct s *a) { a->open(); a->exit(); file_open(); }\n"),
}


def check(build, folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return subprocess.run([build / "house_check"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("case", BROKEN)
def test_refuses(case, build, tmp_path):
    name, text, message = BROKEN[case]
    done = check(build, tmp_path, name, text)
    assert done.returncode == 1
    assert message in done.stderr
    assert "1 problems" in done.stderr


@pytest.mark.parametrize("case", FINE)
def test_accepts(case, build, tmp_path):
    done = check(build, tmp_path, *FINE[case])
    assert done.returncode == 0, done.stderr


def test_warns_of_long_files(build, tmp_path):
    done = check(build, tmp_path, "src/base/a.c", "int a;\n" * 801)
    assert done.returncode == 0
    assert "801 lines" in done.stderr


def test_finds_headers_that_need_others(build, tmp_path):
    (tmp_path / "src/base").mkdir(parents=True)
    (tmp_path / "src/base/a.h").write_text("size_t f(void);\n")
    done = subprocess.run([build / "house_check", "--headers", "cc", "-Isrc"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "a.h:0: does not compile alone" in done.stderr


def test_refuses_an_empty_tree(build, tmp_path):
    assert subprocess.run([build / "house_check"], cwd=tmp_path, capture_output=True, check=False).returncode == 1
