"""The two files of a split: the trainer's rows, classes in their shares, copies on one side."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.data.edit.split_files import SplitReport, SplitTask, default_fraction, split_file
from core.data.edit.writer import Cancel
from core.data.files.source import open_source
from core.data.shapes.read import Reader
from core.data.split import split_keys, split_source
from core.errors import AfinaError

Write = Callable[..., Path]


def texts(count: int, **fields: Any) -> list[object]:
    return [
        {"text": f"text {n}", **{key: make(n) for key, make in fields.items()}}
        for n in range(count)
    ]


def split(path: Path, out: Path, shape: str = "text", **fields: Any) -> SplitReport:
    return split_file(SplitTask(open_source(path), Reader(shape), **fields), out)


def sides(report: SplitReport) -> list[list[Any]]:
    paths = (Path(report.train), Path(report.eval))
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]


def test_the_rows_are_those_that_the_trainer_splits_off(write_rows: Write, tmp_path: Path) -> None:
    path = write_rows([*texts(90), {"text": "text 3 "}, {"broken": 1}])
    report = split(path, tmp_path / "out", fraction=0.15, seed=7)
    source = open_source(path)
    wanted = split_source(source, Reader("text"), 0.15, 7)
    for name, rows in ((report.train, wanted.train), (report.eval, wanted.eval)):
        lines = [source.raw(index) for index in rows]
        assert Path(name).read_bytes() == b"".join(line + b"\n" for line in lines)
    assert (report.rows, report.train_rows + report.eval_rows, report.unreadable) == (92, 92, 1)
    assert (report.groups, report.grouped_rows) == (1, 2)
    assert sorted(os.listdir(tmp_path / "out")) == ["eval.jsonl", "train.jsonl"]


@pytest.mark.parametrize("by", ["label", "meta.topic"])
def test_each_class_gives_its_share(write_rows: Write, tmp_path: Path, by: str) -> None:
    topics = ["food"] * 60 + ["sights"] * 30 + ["visa"] * 10
    rows = texts(100, label=lambda n: topics[n], meta=lambda n: {"topic": topics[n], "n": n})
    shape = "classification" if by == "label" else "text"
    report = split(write_rows(rows), tmp_path / "out", shape, fraction=0.1, by=by)
    assert [(item.value, item.train, item.eval) for item in report.classes] == [
        ("food", 54, 6),
        ("sights", 27, 3),
        ("visa", 9, 1),
    ]
    assert Counter(row["label"] for row in sides(report)[1]) == {"food": 6, "sights": 3, "visa": 1}
    assert report.unjudged == []


def test_rows_without_the_field_are_a_class_of_their_own(write_rows: Write, tmp_path: Path) -> None:
    rows: list[object] = [*texts(10, good=lambda n: n % 2 == 0), {"text": "x"}, {"text": "y"}]
    report = split(write_rows(rows), tmp_path / "out", fraction=0.25, by="good")
    assert [(item.value, item.train + item.eval) for item in report.classes] == [
        (False, 5),
        (True, 5),
        ("(none)", 2),
    ]
    assert [row for side in sides(report) for row in side if "good" not in row]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda n: n * 1.5, "a number with a fraction in row 1"),
        (lambda n: [n], "a list or an object in row 1"),
        (lambda n: n, "40 different values in 40 rows"),
    ],
)
def test_fields_that_are_no_classes_are_refused(
    write_rows: Write, tmp_path: Path, make: Any, words: str
) -> None:
    with pytest.raises(AfinaError, match=words):
        split(write_rows(texts(40, by=make)), tmp_path / "out", by="by")
    with pytest.raises(AfinaError, match='No row has a field "topic".*"text", "n"'):
        split(write_rows(texts(40, n=lambda n: n)), tmp_path / "out", by="topic")
    assert not (tmp_path / "out").exists()


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4)), max_size=120), st.floats(0, 0.9))
def test_strata_part_every_row_and_no_copies(pairs: list[tuple[int, int]], share: float) -> None:
    keys, classes = [key for key, _ in pairs], [name for _, name in pairs]
    split = split_keys(keys, share, 1, classes)
    assert sorted([*split.train, *split.eval]) == list(range(len(keys)))
    assert not {keys[index] for index in split.train} & {keys[index] for index in split.eval}
    assert len(split.eval) <= max(1, round(share * len(keys)))


@example([0, 0, 1, 2, 3], 0.5)
@given(st.lists(st.integers(0, 4), max_size=200), st.floats(0, 0.9))
def test_without_copies_each_class_gets_its_share_and_a_rare_one_a_row_of_the_others(
    classes: list[int], share: float
) -> None:
    split = split_keys(range(len(classes)), share, 3, classes)
    held, rows = Counter(classes[index] for index in split.eval), Counter(classes)
    wanted = max(1, round(share * len(classes))) if share and len(classes) > 1 else 0
    shares = {name: wanted * count / len(classes) for name, count in rows.items()}
    rare = sum(rows[name] > 1 and part < 1 for name, part in shares.items())
    for name, part in shares.items():
        assert -1 - rare - 1e-9 <= held[name] - part <= 1 + 1e-9
        assert held[name] < rows[name] or rows[name] == 1
    assert split_keys(range(len(classes)), share, 3, classes) == split


def test_the_default_share_says_its_reason() -> None:
    assert default_fraction(500) == (
        0.2,
        "20%, because the file has under 1,000 rows: 100 rows tell a share of right answers to "
        "±9.8 points",
    )
    assert default_fraction(1000)[0] == 0.1
    assert default_fraction(50_000)[0] == 0.1
    fraction, reason = default_fraction(1_000_000)
    assert fraction == 0.01
    assert reason.startswith("10,000 rows, because they tell a share of right answers to ±1.0")


def test_what_can_not_be_parted_is_said(write_rows: Write, tmp_path: Path) -> None:
    for rows, words in (
        ([{"text": "x"}], "has 1 row, and a split takes two"),
        ([{"text": "x"}] * 9, "copies of each other"),
    ):
        with pytest.raises(AfinaError, match=words):
            split(write_rows(rows), tmp_path / "out")
    for share in (0.0, 1.0, 3.0):
        with pytest.raises(AfinaError, match="between 0 and 1"):
            split(write_rows(texts(9)), tmp_path / "out", fraction=share)
    assert not (tmp_path / "out").exists()


def test_a_half_that_is_there_stays_and_a_cancel_leaves_none(
    write_rows: Write, tmp_path: Path
) -> None:
    path, out = write_rows(texts(300)), tmp_path / "out"
    out.mkdir()
    (out / "eval.jsonl").write_text("mine")
    with pytest.raises(AfinaError, match="already a file"):
        split(path, out)
    task = SplitTask(open_source(path), Reader("text"))
    with pytest.raises(Cancel):
        split_file(task, out, overwrite=True, cancelled=lambda: True)
    assert [entry.name for entry in out.iterdir()] == ["eval.jsonl"]
    assert (out / "eval.jsonl").read_text() == "mine"
    split_file(task, out, overwrite=True)
    assert sorted(os.listdir(out)) == ["eval.jsonl", "train.jsonl"]


def test_rows_that_are_nearly_the_same_stay_together(write_rows: Write, tmp_path: Path) -> None:
    word = [f"word{n}" for n in range(14)]
    rows = [
        {"text": " ".join([*word[n:], *word[:n], *word, f"row{n}", *["end"] * copy])}
        for n in range(12)
        for copy in range(2)
    ]
    path = write_rows(rows)
    report = split(path, tmp_path / "out", fraction=0.25, near=True)
    assert (report.groups, report.grouped_rows, report.near) == (12, 24, True)
    train, held = ({row["text"].split()[28] for row in side} for side in sides(report))
    assert not train & held
    assert len(held) == 3
    plain = split(path, tmp_path / "plain", fraction=0.25)
    assert (plain.groups, plain.near) == (0, False)
