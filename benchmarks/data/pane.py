"""The Data pane over a million rows, in a pseudo-terminal: `python -m benchmarks.data.pane`.

Writes a file of chat rows (or takes --data), opens it with the keys a person would press, and says
how long the first rows took, how fast pages and single rows follow, the longest stall, and the
memory of the app, the survey of all rows going on meanwhile. Times hold what the terminal's pipe
costs; the machine's own noise is in all of them.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import random
import re
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS, COLUMNS = 45, 160
LIMIT_S = 60.0
PAGES_PER_S = 30
NUMBER = re.compile(rb" (\d[\d,]*)(?=[^\d,])")
WORDS = ("sea", "tide", "travel", "museum", "train", "winter", "quiet", "beach", "plan", "food")


class Terminal:
    """The workbench in a pseudo-terminal."""

    def __init__(self, home: Path) -> None:
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", HF_HUB_OFFLINE="1")
            command = [sys.executable, str(ROOT / "afina.py"), "--home", str(home)]
            os.execv(command[0], command)
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def press(self, keys: bytes) -> None:
        os.write(self.file, keys)

    def wait(self, words: str) -> float:
        """Seconds until these words are drawn."""
        begun, drawn, wanted = time.perf_counter(), b"", words.encode()
        while wanted not in drawn:
            left = LIMIT_S - (time.perf_counter() - begun)
            if left <= 0 or not select.select([self.file], [], [], left)[0]:
                raise SystemExit(f'"{words}" was not drawn in {LIMIT_S:.0f} s')
            drawn = drawn[-len(wanted) :] + os.read(self.file, 65536)
        return time.perf_counter() - begun

    def rest(self, seconds: float) -> None:
        """Reads what is drawn for some time."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self.file], [], [], left)[0]:
                os.read(self.file, 65536)

    def memory(self) -> dict[str, float]:
        """VmRSS and VmHWM in MB."""
        found = {}
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("VmRSS", "VmHWM"):
                found[name] = int(value.split()[0]) * 1024 / 1e6
        return found

    def cpu_s(self) -> float:
        """Seconds of processor time that the app has taken; its workers' are their own."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)
        os.close(self.file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pages", type=int, default=150)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.jsonl"
        write_rows(data, options.rows)
        print(f"{options.rows:,} rows, {data.stat().st_size / 1e9:.2f} GB")
        for when in ("without a kept index", "with a kept index"):
            print(when)
            (Path(folder) / "home" / "session.json").unlink(missing_ok=True)
            measure(Path(folder) / "home", data, options)


def measure(home: Path, data: Path, options: argparse.Namespace) -> None:
    """One session: open, page, jump; prints its figures."""
    terminal = Terminal(home)
    try:
        terminal.wait("1,000 rows")
        terminal.rest(4.0)  # the sample's survey, the tokenizer
        print(f"  app with the sample    {terminal.memory()['VmRSS']:7.0f} MB")
        open_file(terminal, data, options.rows)
        page(terminal, options.pages)
        jump(terminal, options.rows)
        memory = terminal.memory()
        print(f"  app                    {memory['VmRSS']:7.0f} MB, at most {memory['VmHWM']:.0f}")
    finally:
        terminal.end()


def open_file(terminal: Terminal, data: Path, rows: int) -> None:
    """Opens the file in the dialog; from the last key to its first row, and to its last."""
    terminal.press(b"o")
    terminal.wait("open data")
    terminal.press(str(data).encode())
    terminal.rest(1.0)
    terminal.press(b"\r")
    first = terminal.wait("Row one")
    whole = first + terminal.wait(f"{rows:,} rows")
    print(f"  first rows on screen   {first * 1000:7.0f} ms")
    print(f"  whole index            {whole:7.2f} s")


def page(terminal: Terminal, pages: int) -> None:
    """Holds the key for a page down: so many are pressed a second, whatever is drawn."""
    height = ROWS - 6  # lines of the list, one page
    wanted = {f"{1 + number * height:,}".encode() for number in range(1, pages + 1)}
    cpu, begun = terminal.cpu_s(), time.perf_counter()
    drawn, seen = b"", {}  # numbers of the last rows of pages, and when they were drawn
    for number in range(1, pages + 1):
        terminal.press(b"\x1b[6~")
        while (left := begun + number / PAGES_PER_S - time.perf_counter()) > 0:
            if select.select([terminal.file], [], [], left)[0]:
                drawn = drawn[-16:] + os.read(terminal.file, 1 << 20)
                now = time.perf_counter()
                found = wanted.intersection(NUMBER.findall(drawn))
                seen |= {number: now for number in found if number not in seen}
    cpu_ms = (terminal.cpu_s() - cpu) / pages * 1000
    times = sorted(seen.values())
    stall = max(after - before for before, after in zip(times, times[1:], strict=False))
    frames_per_s = len(seen) / (times[-1] - begun)
    print(
        f"  pages held down        {frames_per_s:7.0f} frames/s of {PAGES_PER_S}, "
        f"longest stall {stall * 1000:.0f} ms, {cpu_ms:.0f} ms of processor time each"
    )
    terminal.rest(1.0)


def jump(terminal: Terminal, rows: int) -> None:
    """Goes to rows all over the file by their share."""
    times = []
    for share in (10, 90, 30, 70, 50, 20, 80, 40, 60):
        terminal.press(b"\x07")
        terminal.wait("go to row")
        terminal.press(f"{share}%".encode())
        terminal.rest(0.3)
        terminal.press(b"\r")
        times.append(terminal.wait(f"Row {rows * share // 100}:"))
    median, worst = statistics.median(times), max(times)
    print(f"  any row                {median * 1000:7.0f} ms, longest {worst * 1000:.0f} ms")


def write_rows(path: Path, rows: int) -> None:
    """Chat rows of about 1 kB."""
    chance = random.Random(1)
    with path.open("w") as file:
        for number in range(rows):
            question = " ".join(chance.choices(WORDS, k=chance.randint(5, 25)))
            answer = " ".join(chance.choices(WORDS, k=chance.randint(30, 260)))
            name = "Row one" if not number else f"Row {number + 1}"
            turns = [("user", f"{name}: {question}?"), ("assistant", f"{answer}.")]
            messages = [{"role": role, "content": text} for role, text in turns]
            file.write(json.dumps({"messages": messages}) + "\n")


if __name__ == "__main__":
    main()
