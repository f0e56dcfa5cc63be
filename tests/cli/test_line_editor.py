"""The line editor on a pseudo-terminal: what an independent terminal emulator (pyte, with the wcwidth package's
widths) shows, and where it has the cursor, after real keys."""
import unicodedata

import pytest

pytest.importorskip("pyte", reason="the pyte terminal emulator is not installed")
from terminal import Terminal  # noqa: E402
from wcwidth import wcswidth  # noqa: E402

LEFT, RIGHT, UP, DOWN = "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B"
HOME, END, DELETE, BACKSPACE = "\x1b[H", "\x1b[F", "\x1b[3~", "\x7f"
ALT_ENTER = "\x1b\r"


@pytest.fixture
def start(probe, tmp_path):
    opened = []

    def run(*arguments, **options):
        terminal = Terminal([str(probe("probe_line_editor")), *map(str, arguments)], **options)
        opened.append(terminal)
        terminal.wait_for(">")
        return terminal

    yield run
    for terminal in opened:
        terminal.close()


def accepted(terminal, text):
    return terminal.wait_for("=A " + text)


def test_full_width_cursor_movement(start):
    t = start()
    t.type("臺灣abc你好")
    assert t.lines()[0] == "> 臺灣abc你好"
    assert t.cursor == (0, 2 + 4 + 3 + 4)
    t.type(LEFT)
    assert t.cursor == (0, 2 + 4 + 3 + 2)
    t.type(LEFT * 2)
    assert t.cursor == (0, 2 + 4 + 2)
    t.type("中")
    assert t.lines()[0] == "> 臺灣ab中c你好"
    assert t.cursor == (0, 2 + 4 + 2 + 2)
    t.type(BACKSPACE + BACKSPACE)
    assert t.lines()[0] == "> 臺灣ac你好"
    t.type("\x01" + DELETE)
    assert t.lines()[0] == "> 灣ac你好"
    assert t.cursor == (0, 2)
    t.type("\r")
    accepted(t, "灣ac你好")


def test_full_width_text_wraps_at_the_margin(start):
    # 21 columns: the prompt and nine characters fill 20; the last column cannot hold half a character.
    t = start(columns=21, rows=8)
    text = "一二三四五六七八九十甲乙丙丁"
    t.type(text)
    assert t.lines()[:2] == ["> 一二三四五六七八九", "十甲乙丙丁"]
    assert t.cursor == (1, 10)
    t.type(LEFT * 5)
    assert t.cursor == (1, 0)
    t.type(LEFT)
    assert t.cursor == (0, 18)
    t.type(BACKSPACE)
    assert t.lines()[:2] == ["> 一二三四五六七九十", "甲乙丙丁"]
    t.type("\x05")
    assert t.cursor == (1, 8)
    t.type("\r")
    accepted(t, "一二三四五六七九十甲乙丙丁")


@pytest.mark.parametrize("columns", [8, 11, 12, 17, 30])
def test_screen_is_right_at_every_width(start, columns):
    """After every key, the rows on the screen joined are the prompt and the text, and the cursor stands behind what
    precedes it."""
    t = start(columns=columns, rows=20)
    text = "a一b二三c四e\u0301五🙂六ab七"
    for count in range(1, len(text) + 1):
        t.send(text[count - 1])
    t.read()
    assert "".join(t.lines()) == unicodedata.normalize("NFC", "> " + text)  # as pyte keeps it
    shown = "> " + text
    # Walk left over clusters; the cursor's row and column follow from the widths of what is in front.
    clusters = ["a", "一", "b", "二", "三", "c", "四", "e\u0301", "五", "🙂", "六", "a", "b", "七"]
    assert "".join(clusters) == text
    for back in range(1, len(clusters) + 1):
        t.type(LEFT)
        row, column = 0, 2
        for index, cluster in enumerate(clusters):
            width = wcswidth(cluster)
            if column + width > columns:
                row, column = row + 1, 0
            if index == len(clusters) - back:
                break
            column += width
        assert t.cursor == (row, column), (columns, clusters[len(clusters) - back], shown)


def test_backspace_takes_whole_clusters(start):
    t = start()
    t.type("xe\u0301👨‍👩‍👧🇹🇼")
    t.type(BACKSPACE).type(BACKSPACE).type(BACKSPACE)
    t.type("\r")
    accepted(t, "x")


def test_emacs_keys(start):
    t = start()
    t.type("one 二三 four\x17")  # Ctrl-W
    assert t.lines()[0] == "> one 二三"
    t.type("\x19")  # Ctrl-Y
    assert t.lines()[0] == "> one 二三 four"
    t.type("\x01\x0b")  # Ctrl-A Ctrl-K
    assert t.lines()[0] == ">"
    t.type("\x19\x02\x14")  # Ctrl-Y, back, exchange
    assert t.lines()[0] == "> one 二三 foru"
    t.type("\x1bb\x1bd")  # Alt-B Alt-D
    t.type("\x15" + "ok\r")  # Ctrl-U
    accepted(t, "ok")


def test_bracketed_paste_keeps_newlines(start):
    t = start()
    assert b"\x1b[?2004h" in t.raw
    t.type("貼上：\x1b[200~第一行\r\n  第二行\t結束\r第三\x1b[A行\x1b[201~。")
    assert "=A" not in t.text()
    assert t.lines()[:3] == ["> 貼上：第一行", ".   第二行  結束", ". 第三[A行。"]
    t.type("\r")
    accepted(t, "貼上：第一行\\n  第二行")


def test_large_paste(start):
    t = start(columns=80, rows=10)
    text = "臺灣的夏天很熱。" * 2000
    t.send("\x1b[200~")
    for begin in range(0, len(text), 500):
        t.send(text[begin:begin + 500])
        t.read(quiet=0.001)
    t.type("\x1b[201~")
    t.type("\x15\x0b" + "done\r")
    t.wait_for("=A done")


def test_multi_line_input(start):
    t = start()
    t.type("first" + ALT_ENTER + "二")
    assert t.lines()[:2] == ["> first", ". 二"]
    assert t.cursor == (1, 4)
    t.type(UP)
    assert t.cursor == (0, 4)
    t.type("\x05!" + DOWN + "\x05?\r")
    accepted(t, "first!\\n二?")
    t.type("back\\\rslash\r")
    accepted(t, "back\\nslash")
    t.type('"""\rone\r\rtwo\r"""\r')
    accepted(t, "one\\n\\ntwo")


def test_history_is_kept_in_its_file(start, tmp_path):
    path = tmp_path / "state" / "twllm" / "history"
    t = start(path)
    t.type("第一句\r").wait_for("=A 第一句")
    t.type("two\nlines\r")
    t.type("a" + ALT_ENTER + "b\r").wait_for("=A a\\nb")
    t.type("\x04")
    assert t.wait() == 0
    assert path.read_text().endswith("a\\nb\n")
    t = start(path)
    t.type("draft" + UP)
    assert t.lines()[:2] == ["> a", ". b"]
    t.type(UP * 2)  # to the first row, then to the entry before
    t.type("\x10\x10")
    t.type("\x12" + "一句")  # Ctrl-R
    assert "第一句" in t.text()
    t.type("\r")
    accepted(t, "第一句")


def test_control_c_and_control_d(start):
    t = start()
    t.type("not this\x03").wait_for("=I")
    t.type("this\r")
    accepted(t, "this")
    t.type("ab\x01\x04\r")  # Ctrl-D deletes under the cursor
    accepted(t, "b")
    t.type("\x04").wait_for("=C")
    assert t.wait() == 0


def test_more_rows_than_the_screen(start):
    t = start(columns=20, rows=5)
    for i in range(10):
        t.send(f"line {i}" + ALT_ENTER)
    t.type("end")
    assert t.lines() == [". line 6", ". line 7", ". line 8", ". line 9", ". end"]
    t.type(UP * 10)
    assert t.lines()[0] == "> line 0"
    t.type("\r")
    assert b"=A line 0\\nline 1\\nline 2" in t.raw


def test_wider_window(start):
    t = start(columns=20, rows=8)
    t.type("一二三四五六七八九十甲乙")
    assert t.lines()[:2] == ["> 一二三四五六七八九", "十甲乙"]
    t.resize(40, 8)
    t.read()
    t.type("丙")
    assert t.lines()[:2] == ["> 一二三四五六七八九十甲乙丙", ""]
    assert t.cursor == (0, 2 + 26)


def test_terminal_is_restored_when_killed(start):
    import signal
    import termios

    t = start()
    raw = termios.tcgetattr(t.fd)[3]
    assert not raw & termios.ICANON and not raw & termios.ECHO
    t.kill(signal.SIGTERM)
    assert t.wait() == -signal.SIGTERM
    assert b"\x1b[?2004l" in t.raw


def test_terminal_mode_between_reads(start):
    import termios

    t = start()
    t.type("\x03").wait_for("=I")
    t.type("\x04").wait_for("=C")
    modes = termios.tcgetattr(t.fd)[3]
    assert modes & termios.ICANON and modes & termios.ECHO


def test_dumb_terminal_and_plain_lines(start):
    t = start("--plain")
    t.type("你好\n")
    accepted(t, "你好")
    t.type("one\\\ntwo\n")
    accepted(t, "one\\ntwo")
    t.type("abc\x03").wait_for("=I")
    t.type("\x04").wait_for("=C")
    assert b"\x1b[" not in t.raw.replace(b"\x1b[?2004l", b"")
