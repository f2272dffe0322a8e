"""The workbench as a process of its own: what it loads, how it ends when the terminal goes."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.paths import ROOT

HEAVY = ("torch", "transformers", "datasets", "peft", "trl", "pyarrow", "llama_cpp", "onnxruntime",
         "tokenizers", "jinja2", "psutil")  # fmt: skip
PANES = ("data", "train", "runs", "chat", "export")
DEADLINE_S = 30.0
START = "import afina; from tui.cli.workbench import open_workbench; open_workbench()"


@pytest.mark.parametrize("module", ["tui.app", *(f"tui.{pane}.pane" for pane in PANES)])
def test_the_app_and_its_panes_load_no_heavy_package(module: str) -> None:
    code = f"import afina, sys, importlib; importlib.import_module({module!r}); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    assert not set(HEAVY) & set(loaded)
    assert module in loaded


class Terminal:
    """The workbench in a terminal of its own."""

    def __init__(self, home: Path) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ |= {"TERM": "xterm-256color", "AFINA_HOME": str(home)}
            os.chdir(ROOT)
            os.execv(sys.executable, [sys.executable, "-c", START])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.written = b""

    def until(self, words: bytes) -> None:
        """Reads until the workbench has written these words."""
        end = time.monotonic() + DEADLINE_S
        while words not in self.written:
            assert time.monotonic() < end, self.written[-2000:]
            if select.select([self.fd], [], [], 0.1)[0]:
                self.written += os.read(self.fd, 65536)

    def press(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def hang_up(self) -> None:
        """The link is gone: the kernel sends SIGHUP and every write fails."""
        os.close(self.fd)
        self.fd = -1

    def end(self) -> int:
        """Waits for the process; its exit code, or minus the signal that ended it."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if self.fd >= 0 and select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.written += os.read(self.fd, 65536)
                except OSError:  # Linux says so when the last process of the terminal is gone
                    os.close(self.fd)
                    self.fd = -1
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("the workbench did not end")

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self.fd >= 0:
            os.close(self.fd)


@pytest.fixture
def terminal(home: Path) -> Iterator[Terminal]:
    opened = Terminal(home)
    yield opened
    opened.close()


def test_when_the_terminal_goes_the_workbench_ends_and_keeps_its_session(
    terminal: Terminal, home: Path
) -> None:
    terminal.until(b"quit")
    terminal.press(b"2")
    terminal.until(b"Model and data")
    terminal.hang_up()
    terminal.end()
    assert json.loads((home / "session.json").read_text())["pane"] == "train"


def test_a_hangup_signal_ends_it_cleanly_with_the_screen_given_back(terminal: Terminal) -> None:
    terminal.until(b"quit")
    os.kill(terminal.pid, signal.SIGHUP)
    assert terminal.end() in (0, 128 + signal.SIGHUP)
    assert b"\x1b[?1049l" in terminal.written  # the alternate screen is left


def test_q_leaves_it_with_exit_code_0(terminal: Terminal) -> None:
    terminal.until(b"quit")
    terminal.press(b"q")
    assert terminal.end() == 0
