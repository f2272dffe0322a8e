"""Rows written anew: byte for byte where nothing changed, with an account of all that did."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.data.edit.convert import target
from core.data.edit.edits import Edits
from core.data.edit.output import Output, publish
from core.data.edit.writer import Cancel, Fixes, Task, Written, write_file
from core.data.encode.encoder import Encoder
from core.data.files.source import open_source
from core.data.shapes.read import Reader
from core.errors import AfinaError

Write = Callable[..., Path]


def chat(*turns: str, system: str = "") -> dict[str, Any]:
    """A conversation of turns by user and assistant."""
    roles = ["user", "assistant"] * len(turns)
    said = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]
    return {"messages": [{"role": "system", "content": system}] * bool(system) + said}


def write(path: Path, out: Path, **fields: Any) -> Written:
    source = open_source(path)
    return write_file(Task(source, Reader(fields.pop("shape", "chat")), **fields), out)


def rows_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_are_kept_byte_for_byte(write_rows: Write, tmp_path: Path) -> None:
    lines = [
        b'{"messages" : [], "n": 1.0e5, "n": 2}',
        b'{"text": "\\u00e9 \xc3\xa9", "big": 123456789012345678901234567890}',
        b"not json \x00 \xff",
        b'{"lone": "\\ud800"}',
    ]
    path = write_rows(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    report = write(path, tmp_path / "new.jsonl")
    assert (tmp_path / "new.jsonl").read_bytes() == b"\n".join(lines) + b"\n"
    assert (report.rows_in, report.rows, report.dropped) == (4, 4, {})
    assert report.bytes == (tmp_path / "new.jsonl").stat().st_size


def test_rows_that_span_lines_become_one_line_each(write_rows: Write, tmp_path: Path) -> None:
    path = write_rows(b'[{"a": "x\\ny",\n  "n": 1.50}, {"a":\n broken}]', "rows.json")
    write(path, tmp_path / "new.jsonl")
    assert (tmp_path / "new.jsonl").read_bytes() == b'{"a":"x\\ny","n":1.50}\n{"a": broken}\n'
    texts = write_rows(b'Uno,\ndos.\n\n{"a": 1}\n', "rows.txt")
    write(texts, tmp_path / "texts.jsonl", shape="text")
    assert rows_of(tmp_path / "texts.jsonl") == [{"text": "Uno,\ndos."}, {"text": '{"a": 1}'}]


def test_a_row_with_nothing_to_be_kept_is_counted(write_rows: Write, tmp_path: Path) -> None:
    path = write_rows(b"text\nx\n\t\ny\n", "rows.tsv")
    report = write(path, tmp_path / "new.jsonl", shape="text")
    assert (report.rows, report.dropped) == (2, {"wrong_column_count": [2]})
    assert rows_of(tmp_path / "new.jsonl") == [{"text": "x"}, {"text": "y"}]


def test_edits_drops_and_views_are_applied(write_rows: Write, tmp_path: Path) -> None:
    source = open_source(write_rows([chat("Q", f"A{n}") for n in range(6)]))
    edits = Edits.load(source, tmp_path)
    edits.edit(source, 1, chat("Q", "new"))
    edits.drop(source, [2])
    task = Task(source, Reader("chat"), edits=edits, rows=[5, 2, 1, 0])
    report = write_file(task, tmp_path / "new.jsonl")
    answers = [row["messages"][1]["content"] for row in rows_of(tmp_path / "new.jsonl")]
    assert answers == ["A5", "new", "A0"]
    assert (report.edited, report.dropped) == ([2], {"dropped_by_hand": [3]})


def test_what_is_wrong_is_left_out_and_counted(
    write_rows: Write, tmp_path: Path, model: Path
) -> None:
    unlearned = chat("Q", "A")
    unlearned["messages"][1]["weight"] = 0
    rows = [chat("Q", "A"), {"messages": []}, chat("Q", "A "), unlearned, chat("Q", "A", "again?")]
    path = write_rows(rows)
    fixes = Fixes(drop_errors=True, drop_duplicates=True, drop_checks=("last_turn_not_assistant",))
    report = write(path, tmp_path / "form.jsonl", fixes=fixes)
    assert report.dropped == {
        "missing_messages": [2],
        "exact_duplicate": [3, 4],
        "last_turn_not_assistant": [5],
    }
    encoder = Encoder.load(model, 200)
    report = write(path, tmp_path / "new.jsonl", fixes=fixes, encoder=encoder)
    assert report.dropped["zero_supervised_tokens"] == [4]
    assert (report.rows, report.dropped_rows) == (1, 4)


def test_of_rows_that_are_nearly_the_same_the_first_stays(
    write_rows: Write, tmp_path: Path
) -> None:
    words = [f"word{n}" for n in range(40)]
    alike = [" ".join(words[:39] + [f"end{n}"]) for n in range(3)]
    rows = [{"text": text} for text in (alike[0], "something else", *alike[1:], alike[0])]
    fixes = Fixes(drop_near=True)
    report = write(write_rows(rows), tmp_path / "new.jsonl", shape="text", fixes=fixes)
    assert report.dropped == {"near_duplicate": [3, 4], "exact_duplicate": [5]}
    assert rows_of(tmp_path / "new.jsonl") == rows[:2]
    source = open_source(tmp_path / "rows.jsonl")
    edits = Edits.load(source, tmp_path)
    edits.drop(source, [0])
    task = Task(source, Reader("text"), edits=edits, fixes=fixes)
    report = write_file(task, tmp_path / "other.jsonl")
    assert report.dropped == {"dropped_by_hand": [1], "near_duplicate": [4, 5]}


def test_long_conversations_lose_their_oldest_exchanges(
    write_rows: Write, tmp_path: Path, model: Path
) -> None:
    long = chat("old " * 30, "A1", "older? " * 5, "A2", "last?", "A3", system="Be kind.")
    long["id"] = 7
    rows = [chat("Q", "A"), long, chat("too " * 300, "A")]
    encoder = Encoder.load(model, 100)
    report = write(
        write_rows(rows), tmp_path / "new.jsonl", encoder=encoder, fixes=Fixes(truncate=True)
    )
    kept = rows_of(tmp_path / "new.jsonl")
    assert kept == [rows[0], {**long, "messages": long["messages"][:1] + long["messages"][3:]}]
    assert (report.truncated, report.dropped) == ([2], {"too_long": [3]})
    cut = write(tmp_path / "new.jsonl", tmp_path / "again.jsonl", encoder=encoder)
    assert cut.rows == 2
    whole = Encoder.load(model)
    reader = Reader("chat")
    before, after = (open_source(path).row(1) for path in (tmp_path / "rows.jsonl", Path(cut.path)))
    lengths = [len(whole.encode(reader.read(row).sample).ids) for row in (before, after)]  # type: ignore[arg-type]
    assert lengths[1] <= 100 < lengths[0]
    assert report.truncated_tokens == lengths[0] - lengths[1]


def test_a_long_text_ends_at_the_border_of_a_token(
    write_rows: Write, tmp_path: Path, model: Path
) -> None:
    text = "¿Qué comer en Sevilla? 😀 " * 20
    encoder = Encoder.load(model, 50)
    path = write_rows([{"text": text, "id": 1}])
    fixes = Fixes(truncate=True)
    report = write(path, tmp_path / "new.jsonl", shape="text", encoder=encoder, fixes=fixes)
    (row,) = rows_of(tmp_path / "new.jsonl")
    assert row["id"] == 1
    assert text.startswith(row["text"])
    encoding = encoder.encode(Reader("text").read(open_source(report.path).row(0)).sample)  # type: ignore[arg-type]
    assert encoding.truncated_tokens == 0
    assert len(encoding.ids) in (49, 50)


def test_history_of_alpaca_and_turns_of_sharegpt_are_cut_too(
    write_rows: Write, tmp_path: Path, model: Path
) -> None:
    encoder = Encoder.load(model, 60)
    alpaca = {"instruction": "Q", "output": "A", "history": [["old " * 40, "a"], ["b", "c"]]}
    write(
        write_rows([alpaca]),
        tmp_path / "a.jsonl",
        shape="alpaca",
        encoder=encoder,
        fixes=Fixes(truncate=True),
    )
    assert rows_of(tmp_path / "a.jsonl") == [{**alpaca, "history": [["b", "c"]]}]
    said = [("human", "old " * 60), ("gpt", "A"), ("human", "Q"), ("gpt", "A2"), ("human", "Bye")]
    turns = [{"from": role, "value": text} for role, text in said]
    write(
        write_rows([{"conversations": turns, "system": "S"}]),
        tmp_path / "s.jsonl",
        shape="sharegpt",
        encoder=encoder,
        fixes=Fixes(truncate=True),
    )
    assert rows_of(tmp_path / "s.jsonl") == [{"conversations": turns[2:], "system": "S"}]


def test_a_compressed_file_has_the_same_bytes_every_time(write_rows: Write, tmp_path: Path) -> None:
    path = write_rows([chat("Q", "A")] * 3)
    for name in ("one.jsonl.gz", "two.jsonl.gz"):
        write(path, tmp_path / name)
    one = (tmp_path / "one.jsonl.gz").read_bytes()
    assert gzip.decompress(one) == path.read_bytes()
    assert one == (tmp_path / "two.jsonl.gz").read_bytes()


def test_nothing_is_written_over_without_being_asked(write_rows: Write, tmp_path: Path) -> None:
    path = write_rows([chat("Q", "A")])
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    task = Task(open_source(path), Reader("chat"))
    for out in (path, link):
        with pytest.raises(AfinaError, match="never written over"):
            write_file(task, out, overwrite=True)
    other = tmp_path / "other.jsonl"
    other.write_text("mine")
    with pytest.raises(AfinaError, match="already a file"):
        write_file(task, other)
    assert other.read_text() == "mine"
    write_file(task, other, overwrite=True)
    assert other.read_bytes() == path.read_bytes()
    for name in ("new.csv", "new"):
        with pytest.raises(AfinaError, match="JSON lines"):
            write_file(task, tmp_path / name)


def test_a_cancel_and_an_empty_result_leave_nothing(write_rows: Write, tmp_path: Path) -> None:
    task = Task(open_source(write_rows([chat("Q", "A")] * 200)), Reader("chat"))
    with pytest.raises(Cancel):
        write_file(task, tmp_path / "new.jsonl", cancelled=lambda: True)
    task.fixes = Fixes(drop_checks=("empty_content",), drop_duplicates=True)
    task.rows = []
    with pytest.raises(AfinaError, match="None of the 0 rows"):
        write_file(task, tmp_path / "new.jsonl")
    assert sorted(os.listdir(tmp_path)) == ["rows.jsonl"]


def test_a_source_that_changes_meanwhile_leaves_nothing(write_rows: Write, tmp_path: Path) -> None:
    path = write_rows([chat("Q", "A")] * 200)
    task = Task(open_source(path), Reader("chat"))
    with pytest.raises(AfinaError, match="has changed while it was read"):
        write_file(task, tmp_path / "new.jsonl", on_progress=lambda *_: path.write_text("{}"))
    assert sorted(os.listdir(tmp_path)) == ["rows.jsonl"]


def test_a_disk_that_is_too_small_is_said_before(
    write_rows: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task(open_source(write_rows([chat("Q", "A")])), Reader("chat"))
    monkeypatch.setattr("shutil.disk_usage", lambda path: os.terminal_size((0, 0)) and _Usage())
    with pytest.raises(AfinaError, match="the disk has 0 MB free"):
        write_file(task, tmp_path / "new.jsonl")
    assert sorted(os.listdir(tmp_path)) == ["rows.jsonl"]


class _Usage:
    free = 1000


def test_rows_that_do_not_fit_the_form_are_counted(write_rows: Write, tmp_path: Path) -> None:
    rows = [chat("Q", "A"), chat("Q", "A", "Q"), {"messages": []}, {**chat("Q", "A"), "label": "x"}]
    report = write(write_rows(rows), tmp_path / "new.jsonl", target=target("alpaca"))
    assert report.dropped == {"turn_order": [2], "missing_messages": [3]}
    assert report.lost == {'field "label"': [4]}
    assert rows_of(tmp_path / "new.jsonl")[0] == {"instruction": "Q", "input": "", "output": "A"}


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("trunctated", 'no check "trunctated"'),
        ("truncated", "needs a model"),
        ("near_duplicate", "not found in a row by itself"),
        ("skipped_file", "not found in a row by itself"),
    ],
)
def test_a_check_that_would_drop_nothing_is_refused(
    write_rows: Write, tmp_path: Path, check: str, words: str
) -> None:
    path = write_rows([chat("Q", "A")])
    with pytest.raises(AfinaError, match=words):
        write(path, tmp_path / "new.jsonl", fixes=Fixes(drop_checks=(check,)))
    assert not (tmp_path / "new.jsonl").exists()


@pytest.mark.parametrize("first", [b"\xff\xfe{", b"\xef\xbb\xbf{", b"\0{\0a\0b", b"{\0a\0b\0"])
def test_a_broken_first_row_does_not_pass_for_another_encoding(
    tmp_path: Path, first: bytes
) -> None:
    path = tmp_path / "new.jsonl"
    with Output(path) as output:
        output.add(first)
        output.add(b'{"a": 1}')
        output.finish()
        publish(output)
    with open_source(path) as source:
        assert [source.raw(index) for index in range(len(source))] == [first, b'{"a": 1}']
