"""Checks of whole files: what is reported, that nothing is lost, that no bytes are too odd."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.analysis.analysis import Progress
from core.data.analysis.checks import check_file
from core.data.files.source import open_source
from core.data.recipe import Recipe
from core.data.shapes.detect import SHAPES, shape_of
from core.data.shapes.read import read_sample
from core.errors import AfinaError


def chat(question: str, answer: str = "A") -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns}


def recipe(model: Path | None = None, max_length: int | None = 512, **fields: Any) -> Recipe:
    return Recipe(model=str(model or ""), max_length=max_length, **fields)


def test_a_good_file_is_clean(write_rows: Callable[..., Path], model: Path) -> None:
    path = write_rows([chat(f"Q{n}") for n in range(12)])
    report = check_file(path, recipe(model))
    assert (report.shape, report.share, report.rows) == ("chat", 1.0, 12)
    assert report.problems == []
    assert report.clean


def test_problems_stand_at_their_row_and_line(write_rows: Callable[..., Path], model: Path) -> None:
    lines = [json.dumps(chat(f"Q{n}")) for n in range(10)]
    lines[3] = "{broken"
    lines.insert(5, "")
    lines[8] = json.dumps(chat("Q8", "  "))
    path = write_rows("\n".join(lines).encode())
    report = check_file(path, recipe(model))
    assert report.rows == 10
    found = [(item.row, item.line, item.check) for item in report.problems]
    assert found == [(4, 4, "invalid_json"), (8, 9, "empty_content")]
    assert (report.errors, report.warnings) == (2, 0)


def test_copies_are_found_whatever_their_white_space(write_rows: Callable[..., Path]) -> None:
    rows: list[object] = [chat(f"Q {n}") for n in range(10)]
    rows.append({**chat("Q   3 "), "source": "elsewhere"})
    report = check_file(write_rows(rows), recipe())
    assert [(item.row, item.check, item.found) for item in report.problems] == [
        (11, "exact_duplicate", "the same content as row 4")
    ]


def test_too_few_rows_are_said_of_the_file(write_rows: Callable[..., Path]) -> None:
    report = check_file(write_rows([chat("Q")]), recipe())
    assert [(item.row, item.check, item.severity) for item in report.problems] == [
        (0, "too_few_examples", "warning")
    ]
    empty = check_file(write_rows(b"\n \n", "empty.jsonl"), recipe())
    assert (empty.rows, empty.errors, empty.shape) == (0, 1, "unknown")


def test_a_file_of_broken_lines_has_a_problem_for_each(write_rows: Callable[..., Path]) -> None:
    report = check_file(write_rows(b"{\n7\n\xff\n"), recipe())
    checks = [item.check for item in report.problems]
    assert checks == ["invalid_json", "not_an_object", "bad_encoding", "too_few_examples"]


def test_a_shape_can_be_named_over_the_guess(write_rows: Callable[..., Path]) -> None:
    rows = [{**chat(f"Q{n}"), "label": True} for n in range(10)]
    path = write_rows(rows)
    assert check_file(path, recipe()).shape == "kto"
    assert check_file(path, recipe(shape="chat")).shape == "chat"


def test_progress_is_told(write_rows: Callable[..., Path]) -> None:
    told: list[Progress] = []
    path = write_rows([chat(f"Q{n}") for n in range(600)])
    check_file(path, recipe(), on_progress=told.append)
    assert {(item.phase, item.total) for item in told} == {("form", 600)}
    done = [item.done for item in told]
    assert done == sorted(done)
    assert done[-1] == 600
    assert len(done) > 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=6), children, max_size=4)
    ),
    max_leaves=12,
)
WORDS = [
    *("messages", "conversations", "role", "from", "content", "value", "text", "prompt"),
    *("completion", "instruction", "input", "output", "history", "system", "tools", "tool_calls"),
    *("function", "name", "arguments", "weight", "label", "type", "functions", "function_call"),
    *("user", "assistant", "human", "gpt", "tool", "observation", "images", "thinking"),
]
WORD = st.sampled_from(WORDS)
NEAR = st.recursive(  # values that look like rows, with our own words in every wrong place
    st.none() | st.booleans() | st.integers(-2, 2) | WORD | st.text(max_size=5),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(WORD, children, max_size=5),
    max_leaves=25,
)
NAMES = st.sampled_from(["x.jsonl", "x.json", "x.txt", "x.md"])


def check_bytes(name: str, content: bytes, model: Path | None = None) -> None:
    """Checks a file of any bytes: an error for people at most, and each row is accounted for."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            with open_source(path) as source:
                rows = len(source)
                numbers = [row.number for row in source]
            report = check_file(path, recipe(model, 32))
        except AfinaError as error:
            assert error.message
            return
        assert numbers == list(range(1, rows + 1))
        assert report.rows == rows
        assert bool(content.strip(b"\xef\xbb\xbf \t\r\n\x0b\x0c[]")) <= bool(rows)


@settings(max_examples=300, deadline=None)
@given(NAMES, st.binary(max_size=200))
def test_no_bytes_are_too_odd(name: str, content: bytes) -> None:
    check_bytes(name, content)


@settings(max_examples=200, deadline=None)
@given(
    NAMES,
    st.lists(NEAR, min_size=1, max_size=4),
    st.sampled_from([b"\n", b"\r\n", b",", b"\n\n", b""]),
    st.integers(0, 400),
    st.sampled_from([b"", b"\x00", b"\xff", b"\n", b'"', b"}", b"\xef\xbb\xbf", b"[", b"\\"]),
)
def test_no_mutation_of_a_file_is_too_odd(
    model: Path, name: str, values: list[Any], between: bytes, cut: int, put: bytes
) -> None:
    whole = between.join(json.dumps(value).encode() for value in values)
    place = cut % (len(whole) + 1)
    check_bytes(name, whole[:place] + put + whole[place:], model)
    check_bytes(name, b"[" + whole[:place], None)


@settings(max_examples=500, deadline=None)
@given(JSON | NEAR)
def test_no_value_is_too_odd_for_any_shape(value: Any) -> None:
    if not isinstance(value, dict | list) or (isinstance(value, list) and not value):
        return
    if isinstance(value, list) and not all(isinstance(item, dict) for item in value):
        return
    assert shape_of(value)
    for shape in SHAPES:
        reading = read_sample(shape, value)
        assert reading.sample is not None or reading.problems
