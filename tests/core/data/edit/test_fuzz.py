"""Broken files of every kind through everything that reads and writes data: a seeded handful.

The long version is benchmarks/data/fuzz.py.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from benchmarks.data.fuzz import Driver
from benchmarks.data.mutants import mutants, seed_files

FILES = 20
MOST_BYTES = 1 << 18  # the huge ones are for the long version


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    monkeypatch.setenv("AFINA_HOME", str(tmp_path / "home"))
    return Driver(tmp_path)


def test_no_broken_file_breaks_anything_or_loses_a_row(driver: Driver, tmp_path: Path) -> None:
    outcomes = []
    small = ((name, data) for name, data in mutants(11) if len(data) < MOST_BYTES)
    for number, (name, data) in enumerate(islice(small, FILES)):
        path = tmp_path / f"{number}-{name}"
        path.write_bytes(data)
        outcomes.append(driver.drive(path))
    assert [outcome["lost"] for outcome in outcomes] == [[]] * FILES
    assert any(outcome["refused"] for outcome in outcomes)
    assert sum(outcome["rows"] for outcome in outcomes) > 150


@pytest.mark.parametrize("name", ["travel.jsonl.zst", "text.csv.gz", "kto.stream.arrow"])
def test_the_files_that_are_broken_are_whole_before(
    driver: Driver, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(seed_files()[name])
    outcome = driver.drive(path)
    assert (outcome["refused"], outcome["lost"]) == ("", [])
    assert outcome["rows"] == 16 or name == "travel.jsonl.zst" and outcome["rows"] == 24
