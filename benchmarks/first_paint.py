"""From the key to the first full paint: the workbench beside an empty Textual app, in one run.

`python -m benchmarks.first_paint [--rounds 7]` starts each in a pseudo-terminal, 120x40, by turns,
and takes the time until its last line is drawn. The machine's own noise is in both.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EMPTY = """
from textual.app import App
from textual.widgets import Label
class Empty(App):
    def compose(self):
        yield Label("painted")
Empty().run()
"""
LIMIT_S = 30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as home:
        workbench = [sys.executable, str(ROOT / "afina.py"), "--home", home]
        empty = [sys.executable, "-c", EMPTY]
        times: dict[str, list[float]] = {"workbench": [], "empty Textual app": []}
        for _ in range(rounds + 1):  # the first round warms the disk and the home
            times["workbench"].append(paint_s(workbench, b"next problem"))
            times["empty Textual app"].append(paint_s(empty, b"painted"))
    for name, seconds in times.items():
        kept = seconds[1:]
        print(f"{name:<20} median {statistics.median(kept):.2f} s  best {min(kept):.2f} s")
    ratio = statistics.median(times["workbench"][1:]) / statistics.median(
        times["empty Textual app"][1:]
    )
    print(f"{'ratio':<20} {ratio:.2f}")


def paint_s(command: list[str], last: bytes) -> float:
    """Seconds from starting a command until it has drawn some bytes."""
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    drawn = b""
    try:
        while last not in drawn:
            left = LIMIT_S - (time.perf_counter() - began)
            if left <= 0 or not select.select([terminal], [], [], left)[0]:
                raise SystemExit(f"{command} did not draw {last!r} in {LIMIT_S:.0f} s")
            drawn += os.read(terminal, 65536)
        return time.perf_counter() - began
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


if __name__ == "__main__":
    main()
