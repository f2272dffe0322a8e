"""Which shape a file has, what it can train, and the words for a file of no known shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.data.files.source import open_source
from core.data.sample import Text
from core.data.shapes.detect import (
    SHAPES,
    detect,
    named_shape,
    objectives_of,
    require_trainable,
    shape_of,
)
from core.data.shapes.read import read_sample
from core.errors import AfinaError
from tests.core.data.samples import to_sample

U, A = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}
HUMAN, GPT = {"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ({"prompt": "x", "chosen": "a", "rejected": "b"}, "preference"),
        ({"chosen": [U, A], "rejected": [U, A]}, "preference"),
        ({"conversations": [HUMAN], "chosen": GPT, "rejected": GPT}, "preference"),
        ({"input": {}, "preferred_output": [], "non_preferred_output": []}, "preference"),
        ({"prompt": "x", "completion": "a", "label": True}, "kto"),
        ({"messages": [U, A], "kto_tag": False}, "kto"),
        ({"text": "x", "label": 1}, "classification"),
        ({"sentence1": "x", "sentence2": "y", "label": "same"}, "classification"),
        ({"input_ids": [1, 2]}, "pretokenised"),
    ],
)
def test_a_row_of_another_shape_is_recognised_by_its_keys(
    write_rows: Callable[..., Path], value: Any, shape: str
) -> None:
    assert shape_of(value) == shape
    detection = detect(open_source(write_rows([value] * 3)))
    assert detection.shape == shape
    assert require_trainable(detection) == named_shape(shape) == shape


def test_rows_of_a_file_without_a_shape_are_read_as_what_each_one_is() -> None:
    assert to_sample("unknown", {"text": "x"}) == Text("x")
    (found,) = read_sample("unknown", {"foo": 1}).problems
    assert (found.check, found.found) == ("missing_content", "the keys foo")


def test_each_shape_names_what_it_can_train() -> None:
    assert {shape: objectives_of(shape) for shape in SHAPES} == {
        **dict.fromkeys(SHAPES, ("sft",)),
        "preference": ("dpo", "orpo"),
        "kto": ("kto",),
        "classification": ("classification",),
    }


def test_the_shape_is_that_of_most_rows_wherever_they_stand(
    write_rows: Callable[..., Path],
) -> None:
    rows = [{"text": "x"}] * 300 + [{"messages": [U, A]}] * 700
    detection = detect(open_source(write_rows(rows)))
    assert (detection.shape, detection.share, detection.sampled) == ("chat", 0.7, 200)


def test_rows_that_can_not_be_read_have_no_vote(write_rows: Callable[..., Path]) -> None:
    lines = b'{"text": "x"}\n' + b"no JSON\n" * 3
    detection = detect(open_source(write_rows(lines)))
    assert (detection.shape, detection.share) == ("text", 1.0)
    assert (detection.sampled, detection.readable) == (4, 1)


def test_rows_of_no_known_shape_are_described_by_their_keys(
    write_rows: Callable[..., Path],
) -> None:
    detection = detect(open_source(write_rows([{"foo": 1, "bar": 2}])))
    assert detection.shape == "unknown"
    with pytest.raises(AfinaError, match='their keys are "foo", "bar"'):
        require_trainable(detection)
    with pytest.raises(AfinaError, match='Did you mean "chat"'):
        named_shape("chatt")
