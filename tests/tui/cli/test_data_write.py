"""`afina data split`, `convert` and `write`: real processes, exit codes, and --json."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.data.edit.edits import Edits
from core.data.files.source import open_source
from core.paths import ROOT
from tests.core.data.conftest import make_model, model, write_rows  # noqa: F401


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AFINA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def afina(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "afina.py"), "data", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def chat(question: str, answer: str = "A", **fields: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns, **fields}


ROWS: list[object] = [chat(f"Q{n}", id=n % 2 == 0) for n in range(20)]


def rows_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_split_parts_a_file_and_tells_why(write_rows: Callable[..., Path], tmp_path: Path) -> None:  # noqa: F811
    path, out = write_rows(ROWS), tmp_path / "out"
    done = afina("split", path, "--out", out, "--by", "id", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["rows"], report["train_rows"], report["eval_rows"]) == (20, 16, 4)
    assert (report["seed"], report["by"], report["near"]) == (42, "id", False)
    assert report["classes"] == [
        {"value": False, "train": 8, "eval": 2},
        {"value": True, "train": 8, "eval": 2},
    ]
    assert "under 1,000" in report["reason"]
    assert len(rows_of(out / "train.jsonl")) == 16
    again = afina("split", path, "--out", out, "--eval", "0.5")
    assert (again.returncode, again.stdout) == (2, "")
    assert "already a file" in again.stderr
    people = afina("split", path, "--out", out, "--eval", "0.5", "--overwrite")
    assert "10 of 20 rows are held out: as asked for." in people.stdout


def test_convert_names_what_is_lost(write_rows: Callable[..., Path], tmp_path: Path) -> None:  # noqa: F811
    rows = [*ROWS[:2], chat("Q"), chat("Q", "[bold]\x1b[31m")]
    rows[2]["messages"][0]["name"] = "Ana"  # type: ignore[index]
    out = tmp_path / "new.jsonl"
    done = afina("convert", write_rows(rows), "--to", "sharegpt", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "lost       name: the names of speakers; 1 row: 3\n" in done.stdout
    assert "4 of 4 rows written to" in done.stdout
    assert rows_of(out)[3]["conversations"][1] == {"from": "gpt", "value": "[bold]\x1b[31m"}
    assert rows_of(out)[1]["id"] is False


def test_convert_writes_nothing_where_rows_do_not_fit(
    write_rows: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    rows = [*ROWS, {"messages": [{"role": "user", "content": "Q"}]}, {"messages": []}]
    path, out = write_rows(rows), tmp_path / "new.jsonl.gz"
    command = ("convert", path, "--to", "alpaca", "--out", out)
    done = afina(*command)
    assert done.returncode == 1
    assert "left out   turn_order: the form wants a user's turn and an answer" in done.stdout
    assert "--skip leaves these rows out" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["rows.jsonl"]
    done = afina(*command, "--skip", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["dropped"] == {"turn_order": [21], "missing_messages": [22]}
    assert (report["rows"], report["dropped_rows"], report["format"]) == (20, 2, "alpaca")
    assert len(gzip.decompress(out.read_bytes()).splitlines()) == 20
    unknown = afina("convert", path, "--to", "alpacca", "--out", tmp_path / "x.jsonl")
    assert unknown.returncode == 2
    assert 'Did you mean "alpaca"?' in unknown.stderr


def test_write_mends_and_applies_the_edits(
    write_rows: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
    home: Path,
    model: Path,  # noqa: F811
) -> None:
    long = chat("old " * 60, "A")["messages"] + chat("Q", "last")["messages"]
    rows = [*ROWS, chat("Q0"), {"messages": []}, {"messages": long}]
    path, out = write_rows(rows), tmp_path / "new.jsonl"
    edits = Edits.load(open_source(path), home)
    edits.edit(open_source(path), 1, chat("edited"))
    fixes = ("--drop-errors", "--dedupe", "--truncate", 60, "--model", model)
    done = afina("write", path, "--out", out, *fixes, "--drop-warnings", "truncated")
    assert done.returncode == 0, done.stderr
    assert "edited     1 row: 2\n" in done.stdout
    assert "truncated  1 row: 23, " in done.stdout
    assert "left out   truncated; 0 rows\n" in done.stdout
    assert "left out   exact_duplicate; 1 row: 21\n" in done.stdout
    assert "21 of 23 rows written to" in done.stdout
    assert rows_of(out)[1] == chat("edited")
    assert rows_of(out)[-1] == chat("Q", "last")
    plain = afina("write", path, "--out", out, "--no-edits", "--overwrite", "--json")
    assert json.loads(plain.stdout)["rows"] == 23
    assert out.read_bytes() == path.read_bytes()


def test_write_keeps_what_a_filter_lets_through(
    write_rows: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
    model: Path,  # noqa: F811
) -> None:
    rows = [*ROWS[:3], chat("Q", "a much longer answer than any other of them")]
    path, out = write_rows(rows), tmp_path / "new.jsonl"
    command = ("write", path, "--out", out, "--overwrite", "--json", "--filter")
    done = afina(*command, "role('user') contains 'q1' or row == 3")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dropped"] == {"filter": [1, 4]}
    assert rows_of(out) == rows[1:3]
    done = afina(*command, "tokens > 20", "--model", model)
    assert rows_of(out) == rows[3:]
    done = afina(*command, "tokens > 20")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--model DIR" in done.stderr


def test_truncating_needs_a_model(write_rows: Callable[..., Path], tmp_path: Path) -> None:  # noqa: F811
    done = afina("write", write_rows(ROWS), "--out", tmp_path / "x.jsonl", "--truncate", 10)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--model DIR" in done.stderr
