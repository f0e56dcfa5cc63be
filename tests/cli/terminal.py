"""A program on a pseudo-terminal, watched through a terminal emulator (pyte)."""
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

import pyte


class Terminal:
    def __init__(self, command, columns=40, rows=12, env=None):
        self.screen = pyte.HistoryScreen(columns, rows, history=1000)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        environment = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        environment.update(env or {})
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(command[0], [str(word) for word in command], environment)
        self._set_size(columns, rows)

    def _set_size(self, columns, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        self.screen.resize(rows, columns)
        self._set_size(columns, rows)

    def send(self, text):
        os.write(self.fd, text.encode() if isinstance(text, str) else text)

    def read(self, quiet=0.15, limit=5.0):
        """Takes in output until nothing came for `quiet` seconds. False at the end of the program."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            ready, _, _ = select.select([self.fd], [], [], quiet)
            if not ready:
                return True
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return False
            if not data:
                return False
            self.raw += data
            self.stream.feed(data)
        return True

    def wait_for(self, text, limit=20.0):
        end = time.monotonic() + limit
        while not self._shows(text):
            alive = self.read(quiet=0.05, limit=1.0)
            if self._shows(text):
                break
            assert alive and time.monotonic() < end, f"{text!r} did not appear; the screen is:\n{self.text()}"
        return self

    def _shows(self, text):
        """Also where the right margin broke it."""
        return text in self.text() or text in "".join(self.lines())

    def type(self, text):
        self.send(text)
        self.read()
        return self

    def lines(self):
        """The rows of the screen. pyte keeps a blank cell behind a wide character: those are left out."""
        rows = []
        for y in range(self.screen.lines):
            row, skip = "", False
            for x in range(self.screen.columns):
                data = self.screen.buffer[y][x].data
                if data == "":
                    continue
                row += data
            rows.append(row.rstrip())
        return rows

    def text(self):
        return "\n".join(self.lines()).rstrip()

    @property
    def cursor(self):
        return self.screen.cursor.y, self.screen.cursor.x

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)

    def wait(self, limit=10.0):
        """The exit status, as a shell counts it."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            self.read(quiet=0.02, limit=0.2)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                self.pid = None
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"still running; the screen is:\n{self.text()}")

    def close(self):
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.waitpid(self.pid, 0)
            os.close(self.fd)
            self.pid = None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
