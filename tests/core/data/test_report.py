"""Rows as plain data: every field of `data show --json`, for rows of every shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.data.recipe import Recipe
from core.data.report import load_row, load_rows, row_fields
from core.errors import AfinaError

CHAT = {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A 😀"}]}
PAIR = {"prompt": "Where to?", "chosen": "To Rome", "rejected": "Nowhere"}


def show_rows(path: Path, numbers: list[int], recipe: Recipe) -> Iterator[dict[str, Any]]:
    """What `data show --json` prints of several rows."""
    return map(row_fields, load_rows(path, numbers, recipe))


def test_rows_come_in_the_order_asked_for_and_are_json(
    model: Path, write_rows: Callable[..., Path]
) -> None:
    path = write_rows([CHAT, {"messages": []}, CHAT])
    rows = list(show_rows(path, [3, 2, 3], Recipe(str(model))))
    assert [row["row"] for row in rows] == [3, 2, 3]
    assert rows[0] == row_fields(load_row(path, 3, Recipe(str(model))))
    assert rows[1]["ids"] == [] and rows[1]["problems"]
    json.dumps(rows)
    assert rows[0]["cut_at"] == len(rows[0]["text"]) == len("".join(rows[0]["pieces"]))
    assert (rows[0]["rejected"], rows[0]["label"]) == (None, None)
    assert rows[0]["template"] == "the model's own"
    assert rows[1]["template"] is None


def test_a_row_that_is_not_there_is_one_sentence(
    model: Path, write_rows: Callable[..., Path]
) -> None:
    with pytest.raises(AfinaError, match="no row 2.* has 1 row"):
        list(show_rows(write_rows([CHAT]), [1, 2], Recipe(str(model))))


def test_both_sides_of_a_preference_are_there_in_full(
    model: Path, write_rows: Callable[..., Path]
) -> None:
    (row,) = show_rows(write_rows([PAIR]), [1], Recipe(str(model), max_length=16))
    sides = ("text", "ids", "supervised", "pieces", "offsets", "cut_at", "segments")
    assert set(row["rejected"]) == {*sides, "truncated_tokens"}
    assert "Rome" in row["text"] and "Nowhere" in row["rejected"]["text"]
    for side in (row, row["rejected"]):
        assert "".join(side["pieces"]) == side["text"][: side["cut_at"]]
    assert {item["field"] for item in row["problems"]} <= {"chosen", "rejected"}


def test_labels_and_templates_of_other_shapes(model: Path, write_rows: Callable[..., Path]) -> None:
    judged = {"prompt": "Where to?", "completion": "Rome", "label": False}
    (row,) = show_rows(write_rows([judged]), [1], Recipe(str(model)))
    assert row["label"] is False
    (row,) = show_rows(write_rows([{"text": "I like it", "label": 3}]), [1], Recipe(str(model)))
    assert (row["label"], row["template"], any(row["supervised"])) == (3, None, False)


def test_a_prompt_template_makes_the_shape_and_no_chat_template_is_used(
    model: Path, write_rows: Callable[..., Path]
) -> None:
    recipe = Recipe(str(model), prompt_template="### {question}\n> {answer}")
    (row,) = show_rows(write_rows([{"question": "Where", "answer": "Rome"}]), [1], recipe)
    assert row["text"] == "### Where\n> Rome<|im_end|>"
    assert row["template"] is None
    learned = [p for p, flag in zip(row["pieces"], row["supervised"], strict=True) if flag]
    assert "".join(learned).lstrip() == "Rome<|im_end|>"
