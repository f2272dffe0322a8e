"""Texts with a class, rows of token ids, and rows that a person's template makes a text of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.data.encode.encoder import Encoder
from core.data.files.source import Row
from core.data.sample import Conversation, Labelled, Tokens
from core.data.shapes.read import Reader, read_sample
from core.errors import AfinaError


@pytest.mark.parametrize(
    ("value", "sample"),
    [
        ({"text": "x", "label": 1}, Labelled("x", None, 1)),
        ({"sentence": "x", "label": "food"}, Labelled("x", None, "food")),
        ({"premise": "x", "hypothesis": "y", "label": 0}, Labelled("x", "y", 0)),
        ({"sentence1": "x", "sentence2": "y", "label": 2}, Labelled("x", "y", 2)),
        ({"text": "x", "text_pair": "y", "label": 2}, Labelled("x", "y", 2)),
    ],
)
def test_a_text_with_a_class_is_labelled(value: Any, sample: Labelled) -> None:
    reading = read_sample("classification", value)
    assert (reading.sample, reading.problems) == (sample, [])


@pytest.mark.parametrize(
    ("value", "check", "field"),
    [
        ({"text": "x", "label": None}, "wrong_type_label", "label"),
        ({"text": "x"}, "wrong_type_label", "label"),
        ({"text": "x", "label": True}, "wrong_type_label", "label"),
        ({"text": "x", "label": 1.5}, "wrong_type_label", "label"),
        ({"text": "x", "label": [1]}, "wrong_type_label", "label"),
        ({"text": "x", "label": -1}, "wrong_type_label", "label"),
        ({"text": "x", "label": " "}, "wrong_type_label", "label"),
        ({"text": " ", "label": 1}, "empty_content", "text"),
        ({"premise": "x", "hypothesis": None, "label": 1}, "missing_content", "hypothesis"),
        ({"premise": "x", "hypothesis": 7, "label": 1}, "non_string_content", "hypothesis"),
        ({"label": 1}, "missing_content", ""),
        ({"text": "x", "label": 1, "image": "a.png"}, "unsupported_media", "image"),
    ],
)
def test_a_wrong_label_or_text_is_named(value: Any, check: str, field: str) -> None:
    reading = read_sample("classification", value)
    assert reading.sample is None
    assert (check, field) in [(item.check, item.field) for item in reading.problems]


def test_ids_come_with_their_labels_and_without_their_padding() -> None:
    def tokens(**value: Any) -> Any:
        reading = read_sample("pretokenised", value)
        assert reading.problems == []
        return reading.sample

    assert tokens(input_ids=[5, 6]) == Tokens([5, 6], None)
    assert tokens(input_ids=[5, 6], labels=[-100, 6]) == Tokens([5, 6], [-100, 6])
    assert tokens(input_ids=[5, 6], attention_mask=[1, 1]) == Tokens([5, 6], None)
    assert tokens(input_ids="[5, 6]", labels="[-100, 6]") == Tokens([5, 6], [-100, 6])
    padded = tokens(input_ids=[0, 5, 6, 0], labels=[-100, 5, 6, -100], attention_mask=[0, 1, 1, 0])
    assert padded == Tokens([5, 6], [5, 6])


@pytest.mark.parametrize(
    ("value", "check", "field"),
    [
        ({"input_ids": []}, "bad_token_ids", "input_ids"),
        ({"input_ids": "5 6"}, "bad_token_ids", "input_ids"),
        ({"input_ids": [5, "6"]}, "bad_token_ids", "input_ids[1]"),
        ({"input_ids": [5, True]}, "bad_token_ids", "input_ids[1]"),
        ({"input_ids": [5, -1]}, "bad_token_ids", "input_ids[1]"),
        ({"input_ids": [5, 6], "labels": [5]}, "bad_token_ids", "labels"),
        ({"input_ids": [5, 6], "labels": [6, -100]}, "wrong_type_label", "labels[0]"),
        ({"input_ids": [5, 6], "labels": 7}, "bad_token_ids", "labels"),
        ({"input_ids": [5], "attention_mask": [1, 1]}, "bad_token_ids", "attention_mask"),
        ({"input_ids": [5], "attention_mask": [0]}, "bad_token_ids", "attention_mask"),
        ({"ids": [5]}, "missing_content", ""),
    ],
)
def test_wrong_ids_are_named(value: Any, check: str, field: str) -> None:
    reading = read_sample("pretokenised", value)
    assert reading.sample is None
    assert (check, field) in [(item.check, item.field) for item in reading.problems]


TEMPLATE = "### Question: {prompt}\n### Answer: {response}\n{{end}}"


def test_a_template_makes_one_text_whose_last_field_is_the_completion() -> None:
    row = Row(0, 1, {"prompt": "How many?", "response": 7, "more": []})
    reading = Reader("template", TEMPLATE).read(row)
    sample = reading.sample
    assert isinstance(sample, Conversation)
    assert reading.problems == []
    assert sample.plain == ("### Question: How many?\n### Answer: ", "7\n{end}")
    assert (sample.as_written, sample.learn_from) == (True, 1)
    assert [message["content"] for message in sample.messages] == list(sample.plain or ())


@pytest.mark.parametrize(
    ("cell", "text"), [(7, "7"), (0.5, "0.5"), (True, "true"), (False, "false"), ("x", "x")]
)
def test_numbers_and_truths_are_written_as_text(cell: object, text: str) -> None:
    sample = read_sample("template", {"a": cell}, "{a}").sample
    assert isinstance(sample, Conversation)
    assert sample.plain == ("", text)


def test_a_row_without_a_template_says_what_is_missing() -> None:
    (found,) = read_sample("template", {"a": "x"}).problems
    assert (found.check, found.severity) == ("missing_template", "error")


def test_a_template_is_what_every_model_sees(model: Path) -> None:
    sample = Reader("template", TEMPLATE).read(Row(0, 1, {"prompt": "Q", "response": "A"})).sample
    assert isinstance(sample, Conversation) and sample.plain is not None
    encoding = Encoder.load(model).encode(sample)
    assert encoding.text.startswith("".join(sample.plain))
    first = encoding.supervised.index(True)
    assert encoding.text[encoding.offsets[first][0] :].startswith(sample.plain[1])


@pytest.mark.parametrize(
    ("value", "check", "field", "severity"),
    [
        ({"prompt": "Q", "answer": "A"}, "unknown_column", "response", "error"),
        ({"prompt": "Q", "response": None}, "missing_content", "response", "error"),
        ({"prompt": "Q", "response": " "}, "empty_content", "response", "error"),
        ({"prompt": "", "response": "A"}, "empty_content", "prompt", "warning"),
        ({"prompt": None, "response": "A"}, "missing_content", "prompt", "warning"),
        ({"prompt": ["Q"], "response": "A"}, "non_string_content", "prompt", "error"),
        ({"prompt": "\x1b[2J", "response": "A"}, "control_characters", "prompt", "note"),
        ([{"role": "user"}], "missing_content", "", "error"),
    ],
)
def test_a_row_that_the_template_does_not_fit_is_named(
    value: Any, check: str, field: str, severity: str
) -> None:
    reading = read_sample("template", value, TEMPLATE)
    (found,) = reading.problems
    assert (found.check, found.field, found.severity) == (check, field, severity)
    assert (reading.sample is None) == (severity == "error")
    if check == "unknown_column":
        assert found.found == "the columns prompt, answer"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("Q: {prompt", 'at column 4: "{" is never closed'),
        ("Q: prompt} {a}", 'at column 10: "}" closes nothing'),
        ("Q: {} {a}", 'at column 4: "{}" names no column'),
        ("Q: {a{b}", 'at column 4: "{" is never closed'),
        ("Q and {{A}}", "has no field"),
        (None, "needs a template"),
        ("", "needs a template"),
    ],
)
def test_a_broken_template_is_refused_where_it_breaks(template: str | None, words: str) -> None:
    with pytest.raises(AfinaError) as caught:
        Reader("template", template)
    assert words in str(caught.value)
