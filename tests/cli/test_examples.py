"""Every example of every --help, and the README's commands, typed as they stand, in both languages.

Names of models lead to the default model: by a folder, and by a Hugging Face cache laid out as `hf download` does.
"""
import json
import os
import re
import subprocess

import pytest

COMMANDS = ["chat", "generate", "tokenize", "detokenize", "template", "inspect", "bench", "convert", "quantize", "imatrix", "perplexity", "pull"]
MESSAGES = [{"role": "system", "content": "簡短回答"}, {"role": "user", "content": "你好"}]
TOOLS = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, root, twllm_path):
    """A function that runs one line of shell in a folder where the files of the examples are."""
    folder = tmp_path_factory.mktemp("workplace")
    model = root / "models" / "default"
    (folder / "my-model").symlink_to(model)
    hub = folder / "hub" / "models--yentinglin--Llama-3-Taiwan-8B-Instruct"
    (hub / "refs").mkdir(parents=True)
    (hub / "refs" / "main").write_text("0" * 40)
    (hub / "snapshots").mkdir()
    (hub / "snapshots" / ("0" * 40)).symlink_to(model)
    (folder / "config.json").write_text((model / "config.json").read_text())
    (folder / "messages.json").write_text(json.dumps(MESSAGES))
    (folder / "tools.json").write_text(json.dumps(TOOLS))
    (folder / "yesterday.json").write_text(json.dumps({"messages": MESSAGES[:1]}))
    (folder / "story.txt").write_text("從前從前\n" + (root / "README.zh-TW.md").read_text(encoding="utf-8")[:2500])
    (folder / "load.jsonl").write_text(json.dumps({"prompt": [100, 200, 300], "max_tokens": 4}) + "\n")
    (folder / "build").mkdir()
    (folder / "build" / "twllm").symlink_to(twllm_path)

    def run(line, language):
        environment = dict(os.environ, PATH=f"{folder}/build:{os.environ['PATH']}", HOME=str(folder), HF_HUB_CACHE=str(folder / "hub"), LC_ALL=language)
        return subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=60, check=False)  # fmt: skip

    run.folder = folder
    return run


def examples_of(workplace, command, language):
    text = workplace(f"twllm {command} --help", language).stdout.decode()
    block = re.search(r"^(?:Examples:|範例：)\n((?:  .*\n)+)", text, re.M).group(1)
    return [line.strip() for line in block.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_of_help_work(workplace, command):
    languages = ["C.UTF-8", "zh_TW.UTF-8"]
    lines = examples_of(workplace, command, languages[0])
    for path in workplace.folder.glob("*.gguf"):
        path.unlink()
    assert len(lines) >= 3 and lines == examples_of(workplace, command, languages[1])
    for line in lines:
        file = re.match(r"# (\S+): (\{.*\})$", line)  # the content of a file named in another example
        if file:
            (workplace.folder / file[1]).write_text(file[2] + "\n")
    if command == "tokenize":
        lines.append("twllm tokenize < story.txt")
    for i, line in enumerate(lines):
        if line.startswith("#"):
            continue
        line = line.replace("--random 1b", "--random tiny")  # a billion weights are too many for a test
        if command == "bench":
            line = re.sub(r" --(prompt-sizes|batch-sizes|repeat) \S+", "", line) + " --prompt-sizes 16 --batch-sizes 1 --generate-size 4 --repeat 1"
        done = workplace(line, languages[i % 2])
        assert done.returncode == 0, (line, done.stderr.decode())
        quiet = command == "chat" and "--once" not in line and "printf" not in line  # nobody types
        assert quiet or done.stdout or "--output" in line, line
        if "--json" in line:
            json.loads(done.stdout)


@pytest.mark.parametrize("page", ["README.md", "README.zh-TW.md"])
def test_commands_of_the_readme_work(workplace, root, page):
    text = (root / page).read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S) for line in block.splitlines() if line.startswith("build/twllm")]
    assert len(lines) >= 3
    for path in workplace.folder.glob("*.gguf"):
        path.unlink()
    for line in lines:
        if line.startswith("build/twllm serve"):
            continue  # stays until it is told to stop: tests/serve
        done = workplace(line.replace(" 8192", " 1024"), "zh_TW.UTF-8" if "zh" in page else "C.UTF-8")
        assert done.returncode == 0, (line, done.stderr.decode())
