"""Feeds broken files to everything that reads data, and counts what breaks: nothing may.

    python -m benchmarks.data.fuzz [--minutes 2] [--seed 1] [--keep DIR]

Each file is opened, indexed, read row by row, recognised, checked, encoded with the sample model's
tokenizer, shown, edited, converted, written and split, in a process of its own with a time limit.
A crash is any exception but AfinaError; a hang is more than LIMIT_S; a row is lost when the rows
and the white space and brackets between them are not all of the file, when a row has neither value
nor problem, or when what is written does not account for every row. Files that break something are
kept in DIR.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.data.mutants import mutants
from core.data.analysis.checks import Inquiry, check_file
from core.data.edit.convert import TARGETS
from core.data.edit.editable import dump_row, parse_row, same
from core.data.edit.split_files import SplitTask, split_file
from core.data.edit.writer import Fixes, Task, write_file
from core.data.encode.encoder import Encoder, walk_rows
from core.data.files.source import Source, open_source
from core.data.problems import ERROR
from core.data.recipe import Recipe
from core.data.report import row_fields
from core.data.shapes.detect import SHAPES
from core.data.shapes.read import Reader
from core.errors import AfinaError
from core.paths import ROOT, SAMPLE_DATA

MODEL = SAMPLE_DATA / "tiny-travel"
LIMIT_S = 90.0
MAX_LENGTH = 256
_BETWEEN = b" \t\r\n\x0b\x0c\xef\xbb\xbf"  # what may stand between rows of lines
_SHOWN = 4
_READ = 30


class Driver:
    """Does all there is to do with a file and notes what goes wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.encoder = Encoder.load(MODEL, MAX_LENGTH)

    def drive(self, path: Path) -> dict[str, Any]:
        """{rows, problems, refused, lost}; raises whatever a crash raises."""
        result: dict[str, Any] = {"rows": 0, "problems": 0, "refused": "", "lost": []}
        try:
            source = open_source(path, cache=self.folder / "cache")
        except AfinaError as error:
            result["refused"] = str(error)
            return result
        with source:
            result["rows"] = len(source)
            result["lost"] = [*_unread(source), *_uncovered(source, path)]
            reader = _reader(source)
            result["lost"] += self._understand(source, reader)
            result["problems"] = self._check(path)
            result["lost"] += self._write(source, reader)
        return result

    def _understand(self, source: Source, reader: Reader) -> list[str]:
        """Reads every row under its shape, some under all; encodes, shows and edits."""
        lost = []
        for shape in SHAPES:
            other = Reader(shape, "{prompt}: {completion}" if shape == "template" else None)
            for index in range(min(_READ, len(source))):
                other.read(source.row(index))
        items = 0
        for item in walk_rows(source, reader, self.encoder):
            items += 1
            errors = [found for found in item.encoding.problems if found.severity == ERROR]
            if item.sample is None and not errors:
                lost.append(f"row {item.row.number} gives no sample and does not say why")
        if items != len(source):
            lost.append(f"{items} of {len(source)} rows were encoded")
        for item in walk_rows(source, reader, self.encoder, range(min(_SHOWN, len(source))), True):
            json.dumps(row_fields(item))
        for index in range(min(_READ, len(source))):
            value = source.row(index).value
            with contextlib.suppress(AfinaError):  # too deep to be edited
                if value is not None and not same(parse_row(dump_row(value)), value):
                    lost.append(f"row {index + 1} is another one after editing")
        return lost

    def _check(self, path: Path) -> int:
        with contextlib.suppress(AfinaError):  # rows of no known shape
            recipe = Recipe(str(MODEL), None, MAX_LENGTH)
            return len(check_file(path, recipe, Inquiry(processes=1)).problems)
        return 0

    def _write(self, source: Source, reader: Reader) -> list[str]:
        """New files account for every row."""
        lost = []
        out, rows = self.folder / "out.jsonl", len(source)
        everything = Fixes(drop_errors=True, drop_duplicates=True, truncate=True)
        tasks = [Task(source, reader), Task(source, reader, self.encoder, fixes=everything)]
        tasks += [Task(source, reader, target=form) for form in TARGETS.values()]
        for task in tasks:
            try:
                report = write_file(task, out, overwrite=True)
            except AfinaError:  # no row is left
                continue
            if report.rows + report.dropped_rows != rows:
                lost.append(f"{report.format}: {report.rows} + {report.dropped_rows} of {rows}")
            with open_source(out, cache=self.folder / "cache") as again:
                if len(again) != report.rows:
                    lost.append(f"{report.format}: {len(again)} rows read, {report.rows} written")
        try:
            halves = split_file(SplitTask(source, reader, 0.3), self.folder / "split", True)
        except AfinaError:
            return lost
        parted = halves.train_rows + halves.eval_rows + len(halves.left_out)
        if parted != rows:
            lost.append(f"split: {parted} of {rows}")
        return lost


def _reader(source: Source) -> Reader:
    try:
        return Recipe().reader(source)
    except AfinaError:
        return Reader("chat")


def _unread(source: Source) -> list[str]:
    """Rows that have neither a value nor a problem, or that are told by another number."""
    lost = []
    for index in range(len(source)):
        row = source.row(index)
        source.place(index)
        if (row.value is None) == (row.problem is None) or row.index != index:
            lost.append(f"row {index + 1} has a value of {type(row.value)} and {row.problem}")
    return lost


def _uncovered(source: Source, path: Path) -> list[str]:
    """Bytes of the file that belong to no row and are neither white space nor brackets."""
    between = {
        "lines": _BETWEEN,
        "paragraphs": _BETWEEN,
        "document": _BETWEEN,
        "values": _BETWEEN,
        "array": _BETWEEN + b"[],",
    }
    if source.layout not in between or path.suffix in (".gz", ".zst"):
        return []
    data, done = path.read_bytes(), 0
    lost = []
    for index in range(len(source)):
        raw = source.raw(index)
        start = data.find(raw, done)
        if start < 0:
            return [f"row {index + 1} is not in the file"]
        if gap := data[done:start].strip(between[source.layout]):
            lost.append(f"bytes before row {index + 1} are in no row: {gap[:60]!r}")
        done = start + len(raw)
    if gap := data[done:].strip(between[source.layout]):
        lost.append(f"bytes behind the last row are in no row: {gap[:60]!r}")
    return lost


def serve() -> None:
    """The child: a path a line, an answer a line."""
    with tempfile.TemporaryDirectory(prefix="afina-fuzz-") as name:
        os.environ["AFINA_HOME"] = name
        driver = Driver(Path(name))
        answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        for line in sys.stdin:
            try:
                result = driver.drive(Path(line.rstrip("\n")))
            except Exception:  # the outermost frame: that is what is looked for
                result = {"crash": traceback.format_exc()}
            print(json.dumps(result), file=answers, flush=True)


class Child:
    """The process in which files are read, started anew after a crash or a hang."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def drive(self, path: Path) -> dict[str, Any]:
        process = self._process or self._start()
        assert process.stdin and process.stdout
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], LIMIT_S)
        answer = process.stdout.readline() if ready else ""
        if answer:
            return json.loads(answer)
        if ready:
            self.close()
            return {"crash": f"the process ended with {process.returncode}"}
        self.close()
        return {"hang": True}

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.data.fuzz", "--serve"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)
        return self._process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for files that break something")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    os.nice(10)
    counts: Counter[str] = Counter()
    until = time.monotonic() + 60 * options.minutes
    child = Child()
    with tempfile.TemporaryDirectory(prefix="afina-fuzz-") as folder:
        for number, (name, data) in enumerate(mutants(options.seed)):
            if time.monotonic() > until:
                break
            path = Path(folder) / f"{number}-{name}"
            path.write_bytes(data)
            count(counts, path, child.drive(path), options.keep)
            path.unlink()
    child.close()
    for key in ("files", "bytes", "refused", "rows", "problems", "crashes", "hangs", "lost"):
        print(f"{key:<10} {counts[key]:>14,}")


def count(counts: Counter[str], path: Path, result: dict[str, Any], keep: Path | None) -> None:
    """Adds the outcome of one file; tells what broke."""
    counts.update(
        {"files": 1, "bytes": path.stat().st_size, "refused": bool(result.get("refused"))}
    )
    counts.update({key: result.get(key, 0) for key in ("rows", "problems")})
    lost = result.get("lost", [])
    counts.update({"crashes": "crash" in result, "hangs": "hang" in result, "lost": len(lost)})
    if "crash" not in result and "hang" not in result and not lost:
        return
    print(f"\n{path.name}: {result.get('crash') or 'hang' if not lost else lost[:3]}", flush=True)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / path.name).write_bytes(path.read_bytes())


if __name__ == "__main__":
    main()
