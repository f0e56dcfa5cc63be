"""twllm chat on a pseudo-terminal: typing, streaming, Ctrl-C, commands."""
import json

import pytest

pytest.importorskip("pyte", reason="the pyte terminal emulator is not installed")
from terminal import Terminal  # noqa: E402

LEFT, UP = "\x1b[D", "\x1b[A"


@pytest.fixture
def chat(twllm_path, tmp_path):
    opened = []

    def run(*arguments, env=None, **options):
        environment = {"HOME": str(tmp_path), **(env or {})}
        options.setdefault("columns", 120)
        options.setdefault("rows", 40)
        terminal = Terminal([str(twllm_path), "chat", *map(str, arguments)], env=environment, **options)
        opened.append(terminal)
        terminal.wait_for("\n>")
        return terminal

    yield run
    for terminal in opened:
        terminal.close()


def test_a_conversation(chat, tmp_path):
    t = chat("--temperature", "0", "--max-tokens", "20", "--system", "簡短")
    assert "embedded" in t.text() and "簡短" in t.text()
    t.type("好" + LEFT + "你\r").wait_for(" s]")
    assert "> 你好" in t.lines()
    t.wait_for("\n>")
    t.type("/save " + str(tmp_path / "one.json") + "\r").wait_for("saved 3 messages")
    t.type("/regenerate\r")
    t.read(quiet=0.5)
    t.type("/save " + str(tmp_path / "two.json") + "\r").wait_for("two.json)")
    one, two = (json.loads((tmp_path / name).read_text())["messages"] for name in ("one.json", "two.json"))
    assert one == two  # greedy
    assert one[1] == {"role": "user", "content": "你好"}
    t.type("/reset\r").wait_for("forgotten")
    t.type("/system 新的\r").wait_for("begins anew")
    t.type("/stats\r").wait_for("messages: 1;")
    t.type("/help\r").wait_for("/regenerate ")
    t.type("/nonsense\r").wait_for("no command /nonsense")
    t.type("/load " + str(tmp_path / "missing.json") + "\r").wait_for("cannot open")
    t.type("/load " + str(tmp_path / "one.json") + "\r").wait_for("loaded 3 messages")
    t.type("/undo\r").wait_for("taken back")
    t.type("/exit\r")
    assert t.wait() == 0


def test_control_c_stops_the_answer_and_not_the_program(chat):
    t = chat("--ignore-eos", "--max-tokens", "0", "--system", "")
    t.send("你好\r")
    t.wait_for("你好\n")
    while len(t.text()) < 200:
        t.read(quiet=0.01, limit=0.1)
    t.send("\x03")
    t.wait_for("(stopped)")
    t.wait_for(" s]")
    t.type("/undo\r").wait_for("taken back")
    t.type("abc\x03")  # while typing: the line is dropped
    t.type("/stats\r").wait_for("messages: 0;")
    t.type("\x04")
    assert t.wait() == 0


def test_history_reaches_the_next_session(chat, tmp_path):
    t = chat("--max-tokens", "4", "--system", "")
    t.type("昨天的問題\r").wait_for(" s]")
    t.wait_for("\n>")
    t.type("\x04")
    assert t.wait() == 0
    assert (tmp_path / ".local/state/twllm/history").read_text() == "昨天的問題\n"
    t = chat("--max-tokens", "4", "--system", "")
    t.type(UP)
    assert t.lines()[t.cursor[0]] == "> 昨天的問題"
    t = chat("--max-tokens", "4", "--history", "")
    t.type("secret\r").wait_for(" s]")
    assert "secret" not in (tmp_path / ".local/state/twllm/history").read_text()


def test_paste_is_one_message(chat, tmp_path):
    t = chat("--max-tokens", "4", "--system", "")
    t.type("\x1b[200~一\n二\n三\x1b[201~\r").wait_for(" s]")
    t.wait_for("\n>")
    t.type(f"/save {tmp_path}/p.json\r").wait_for("saved 2")
    assert json.loads((tmp_path / "p.json").read_text())["messages"][0]["content"] == "一\n二\n三"


def test_typed_ahead_text_waits(chat):
    t = chat("--ignore-eos", "--max-tokens", "60", "--system", "")
    t.send("你好\r")
    t.wait_for("> 你好\n")
    t.send("typed ahead")
    t.wait_for(" s]")
    t.wait_for("> typed ahead")
    assert t.text().count("typed ahead") == 1


def test_messages_follow_the_locale(chat, root):
    t = chat(root / "models" / "default", "--max-tokens", "4", env={"LC_ALL": "zh_TW.UTF-8"})
    assert "Ctrl-D 離開" in t.text()
    t.type("你好\r").wait_for("個詞元/秒")
    assert "尚未設定系統訊息" in t.text()


def test_dumb_terminal(chat):
    t = chat("--max-tokens", "4", "--system", "", env={"TERM": "dumb"})
    t.type("你好\n").wait_for(" s]")
    assert b"\x1b" not in t.raw
    t.type("\x04")
    assert t.wait() == 0


def test_once_and_stay(chat, tmp_path):
    t = chat("--once", "你好", "--stay", "--temperature", "0", "--system", "")
    t.wait_for(" s]").wait_for("\n> 你好\n")
    t.type("/stats\r").wait_for("messages: 2;")
    t.type("\x04")
    assert t.wait() == 0
