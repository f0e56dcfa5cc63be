"""The documents name things that exist: files, functions, folders, options; and both READMEs say the same."""
import re
import subprocess

import pytest

LINK = re.compile(r"\]\((?!https?://)([^)#]+)\)")


def text_of(root, name):
    return (root / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["README.md", "README.zh-TW.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_links_lead_somewhere(root, name):
    folder = (root / name).parent
    missing = [target for target in LINK.findall(text_of(root, name)) if not (folder / target).exists()]
    assert not missing


def test_functions_of_the_life_of_one_token_exist(root):
    life = text_of(root, "docs/architecture.md").split("## The life of one token")[1]
    names = {n for n in re.findall(r"`([a-z][a-z0-9_]+)`", life) if "_" in n}
    assert len(names) > 30
    sources = "\n".join(p.read_text(encoding="utf-8") for p in (root / "src").rglob("*.[ch]"))
    defined = set(re.findall(r"^[a-zA-Z_][\w \*]*[ \*](\w+)\(|^(?:struct|enum) (\w+) \{", sources, re.M))
    defined = {name for pair in defined for name in pair if name}
    assert not sorted(names - defined)


def test_every_folder_of_src_stands_in_the_table_of_floors(root):
    rows = re.findall(r"^\| (\d+) \| `src/(\w+)/` \|", text_of(root, "docs/architecture.md"), re.M)
    table = {folder: int(floor) for floor, folder in rows}
    assert set(table) == {p.name for p in (root / "src").iterdir() if p.is_dir()}
    checked = dict(re.findall(r'\{"(\w+)", (\d+)\}', text_of(root, "tools/house_check.c")))
    assert table == {folder: int(checked[folder]) for folder in table}


def test_tests_of_the_page_on_security_exist(root):
    named = re.findall(r"`((?:tests|web)/[\w./]+)(?:::(\w+))?`", text_of(root, "docs/security.md"))
    assert len(named) > 40
    for path, test in named:
        assert not test or re.search(rf"^(?:def {test}\(|TEST\({test}\))", text_of(root, path), re.M), (path, test)
        assert (root / path).exists(), path


def blocks(text):
    return re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S)


def without_comments(block):
    return re.sub(r"\s+#.*", "", block)


def test_both_readmes_say_the_same(root):
    english, chinese = text_of(root, "README.md"), text_of(root, "README.zh-TW.md")
    assert [(kind, without_comments(b)) for kind, b in blocks(english)] == [(kind, without_comments(b)) for kind, b in blocks(chinese)]
    shape = re.compile(r"^(#+|\||- )", re.M)
    assert shape.findall(english) == shape.findall(chinese)
    code = re.compile(r"`([^`\n]+)`")
    assert sorted(set(code.findall(english))) == sorted(set(code.findall(chinese)))


def test_options_of_the_readme_are_the_programs(root, twllm):
    readme = text_of(root, "README.md")
    help_text = ""
    for command in ["chat", "generate", "tokenize", "detokenize", "template", "inspect", "bench", "convert", "quantize", "imatrix", "perplexity"]:
        done = twllm(command, "--help")
        assert done.returncode == 0
        help_text += done.stdout
    general = twllm("--help").stdout
    known = set(re.findall(r"--[a-z][a-z-]*", help_text + general))
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", re.sub(r"(?s)```sh\ncmake.*?```", "", readme)))
    assert not sorted(used - known)


def test_exit_codes_of_the_readme_are_the_programs(root, twllm):
    table = dict(re.findall(r"\| (\d+) \| ([^|]+) (?=\|)", text_of(root, "README.md")))
    printed = dict(re.findall(r"^ +(\d+)  (\S.*)$", twllm("--lang", "en", "--help").stdout, re.M))
    assert set(table) <= set(printed)
    assert {"0", "2", "3", "5", "7", "10"} <= set(table)


def test_commands_of_the_contributing_page_exist(root):
    page = text_of(root, "CONTRIBUTING.md")
    targets = set(re.findall(r"`make ([a-z]+)", page)) - {"PARTS"}
    for target in targets:
        assert subprocess.run(["make", "-n", target], cwd=root, capture_output=True, check=False).returncode == 0, target
    parts = text_of(root, "scripts/test.sh")
    for chosen in re.findall(r"PARTS=\"?([a-z0-9 ]+)", page):
        for part in chosen.split():
            assert f"if wants {part};" in parts, part
