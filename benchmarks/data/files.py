"""How fast large files open: `python -m benchmarks.data.files [--rows N] [--small N]`.

Writes chat rows of some 930 bytes (1 M of them: about 1 GB) and small rows to a temporary folder
and opens them with Afina, `datasets.load_dataset("json")` and pandas, each in a process of its own.
Prints a Markdown table. Times leave imports out; the file is in the page cache for all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RANDOM_ROWS = 1000
NEEDED = 4  # times the file's size, that the peers write or that is spare
WORDS = ("where", "should", "I", "eat", "in", "Rome", "near", "the", "market", "with", "friends")
COLUMNS = {
    "first_s": "first row",
    "all_s": "all rows",
    "again_s": "second opening",
    "row_ms": "random row, mean",
    "worst_ms": "worst",
    "stall_ms": "longest stall of another thread",
    "peak_mib": "peak memory",
    "disk_mib": "written to disk",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="chat rows")
    parser.add_argument("--small", type=int, default=10_000_000, help="small rows, for us alone")
    parser.add_argument("--folder", type=Path, help="where the files are written")
    parser.add_argument("--measure", nargs=3, metavar=("WHO", "FILE", "CACHE"))
    options = parser.parse_args()
    if options.measure:
        who, path, cache = options.measure
        print(json.dumps(measure(who, Path(path), Path(cache))))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name, rows, write, whose in (
            ("chat rows", options.rows, write_chat, ("afina", "datasets", "pandas")),
            ("small rows", options.small, write_small, ("afina",)),
        ):
            if rows:
                compare(name, rows, write, whose, Path(folder))


def compare(
    name: str, rows: int, write: Callable[[Path, int], None], whose: tuple[str, ...], folder: Path
) -> None:
    path = folder / "rows.jsonl"
    if shutil.disk_usage(folder).free < rows * 1000 * NEEDED:
        raise SystemExit(f"too little disk is free in {folder}")
    write(path, rows)
    print(f"\n{rows:,} {name}, {path.stat().st_size / 1e6:,.0f} MB\n")
    print(f"| | {' | '.join(COLUMNS.values())} |")
    print(f"|---|{'---:|' * len(COLUMNS)}")
    for who in whose:
        cache = folder / who
        first, again = (ask(who, path, cache) for _ in range(2))
        if who == "afina":
            print(row_of("Afina, index kept", {**again, "again_s": again["all_s"]}))
        print(row_of(who.replace("afina", "Afina"), {**first, "again_s": again["all_s"]}))
        shutil.rmtree(cache, ignore_errors=True)
    path.unlink()


def ask(who: str, path: Path, cache: Path) -> dict[str, float]:
    """Measures in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.data.files", "--measure", who, path, cache]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(cache)}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def row_of(name: str, found: dict[str, float]) -> str:
    cells = []
    for key in COLUMNS:
        value = found.get(key)
        unit = {"s": "s", "ms": "ms", "mib": "MiB"}[key.rpartition("_")[2]]
        digits = 0 if unit == "MiB" else 3 if unit == "s" else 2
        cells.append("" if value is None else f"{value:,.{digits}f} {unit}")
    return f"| {name} | {' | '.join(cells)} |"


def measure(who: str, path: Path, cache: Path) -> dict[str, float]:
    """One opening and a thousand random rows."""
    opened = {"afina": open_afina, "datasets": open_datasets, "pandas": open_pandas}[who]
    count, read, found = opened(path, cache)
    places = random.Random(7).sample(range(count), min(count, RANDOM_ROWS))
    times = [timed(lambda place=place: read(place)) for place in places]
    written = sum(item.stat().st_size for item in cache.rglob("*") if item.is_file())
    return {
        **found,
        "row_ms": sum(times) / len(times) * 1e3,
        "worst_ms": max(times) * 1e3,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "disk_mib": written / 2**20,
    }


Opened = tuple[int, Callable[[int], Any], dict[str, float]]


def open_afina(path: Path, cache: Path) -> Opened:
    """The rows as the app finds them: in a thread, while another one wants to draw."""
    from core.data.files.source import begin_source

    found: dict[str, float] = {}
    begun = time.perf_counter()
    source = begin_source(path, cache=cache)

    def look(done: int, total: int) -> None:
        if "first_s" not in found and len(source):
            source.row(0)
            found["first_s"] = time.perf_counter() - begun

    thread = threading.Thread(target=source.index, args=(look,))
    thread.start()
    stall = 0.0
    while thread.is_alive():
        asleep = time.perf_counter()
        time.sleep(0.002)
        stall = max(stall, time.perf_counter() - asleep - 0.002)
    found["all_s"] = time.perf_counter() - begun
    return len(source), source.row, {**found, "stall_ms": stall * 1e3}


def open_datasets(path: Path, cache: Path) -> Opened:
    """Converted to Arrow in the cache, then mapped; the first row is there when all are."""
    import datasets

    datasets.disable_progress_bars()
    begun = time.perf_counter()
    rows = datasets.load_dataset("json", data_files=str(path), cache_dir=str(cache), split="train")
    rows[0]
    seconds = time.perf_counter() - begun
    return len(rows), rows.__getitem__, {"first_s": seconds, "all_s": seconds}


def open_pandas(path: Path, cache: Path) -> Opened:
    """Everything in memory."""
    import pandas

    begun = time.perf_counter()
    rows = pandas.read_json(path, lines=True)
    seconds = time.perf_counter() - begun
    return len(rows), rows.iloc.__getitem__, {"first_s": seconds, "all_s": seconds}


def write_chat(path: Path, rows: int) -> None:
    numbers = random.Random(7)
    pool = [" ".join(numbers.choices(WORDS, k=numbers.randrange(20, 160))) for _ in range(2000)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            messages = [
                {"role": "user", "content": f"{number} {numbers.choice(pool)}?"},
                {"role": "assistant", "content": numbers.choice(pool)},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")


def write_small(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            file.write(f'{{"text": "row {number} of many small ones"}}\n')


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
