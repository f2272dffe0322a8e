"""The shapes that are no conversation: text, text with a class, rows that came as token ids."""

from __future__ import annotations

from operator import eq
from typing import Any

from core.data.problems import RowProblem, kind_of, problem, shorten
from core.data.sample import Labelled, Reading, Text, Tokens
from core.data.shapes.conversations import Value, wrong_shape
from core.data.shapes.turn_checks import control_problems
from core.data.shapes.turns import unfold

TEXT_KEYS = ("text", "content", "raw_content")
LABELLED_KEYS = (*TEXT_KEYS, "sentence")
PAIR_KEYS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text", "text_pair"),
)
IGNORED = -100  # the label that PyTorch's cross entropy leaves out


def read_text(value: Value) -> Reading:
    """A document; every token of it is learned."""
    key = first_key(value, TEXT_KEYS)
    if key is None or not isinstance(value, dict):
        return Reading(None, [wrong_shape("text", value)])
    fatal: list[RowProblem] = []
    text = checked_text(value[key], key, fatal)
    return Reading(None, fatal) if fatal else Reading(Text(text), control_problems(text, key))


def read_labelled(value: Value) -> Reading:
    """A text, or a pair of texts, with the number or the name of its class."""
    pair = pair_keys(value)
    key = first_key(value, LABELLED_KEYS)
    keys = pair or ((key,) if key else None)
    if keys is None or not isinstance(value, dict):
        return Reading(None, [wrong_shape("text and label", value)])
    fatal: list[RowProblem] = []
    texts = [checked_text(value.get(key), key, fatal) for key in keys]
    label = _checked_label(value, fatal)
    if fatal:
        return Reading(None, fatal)
    odd = [
        found
        for key, text in zip(keys, texts, strict=True)
        for found in control_problems(text, key)
    ]
    return Reading(Labelled(texts[0], texts[1] if pair else None, label), odd)


def _checked_label(value: dict[str, Any], fatal: list[RowProblem]) -> int | str:
    label = value.get("label")
    if isinstance(label, str) and label.strip():
        return label
    if isinstance(label, int) and not isinstance(label, bool) and label >= 0:
        return label
    if "label" not in value:
        found = "no label"
    else:
        plain = isinstance(label, str | int | float) and not isinstance(label, bool)
        found = shorten(label) if plain else kind_of(label)
    fatal.append(
        problem(
            "wrong_type_label",
            "label",
            found,
            "a number from 0, or the name of a class",
            "Write the class as a number or a name, or drop the row.",
        )
    )
    return ""


def read_tokens(value: Value) -> Reading:
    """Ids with their labels. Padding at the ends (attention_mask 0) is left out: nobody sees it."""
    if not isinstance(value, dict) or "input_ids" not in value:
        return Reading(None, [wrong_shape("input_ids", value)])
    fatal: list[RowProblem] = []
    ids = _checked_ids(value, "input_ids", 0, fatal) or []
    if not fatal and not ids:
        fatal.append(_bad_ids("input_ids", "an empty list", "token ids", "Drop the row."))
    labels = _checked_ids(value, "labels", IGNORED, fatal, len(ids))
    mask = _checked_ids(value, "attention_mask", 0, fatal, len(ids))
    if not fatal and labels is not None:
        fatal.extend(_foreign_label(ids, labels))
    if fatal:
        return Reading(None, fatal)
    if mask is None or all(mask):
        return Reading(Tokens(ids, labels), [])
    seen = [place for place, shown in enumerate(mask) if shown]
    if not seen:
        return Reading(
            None,
            [_bad_ids("attention_mask", "0 everywhere", "a token that is seen", "Drop the row.")],
        )
    kept = slice(seen[0], seen[-1] + 1)
    return Reading(Tokens(ids[kept], labels[kept] if labels else labels), [])


def _checked_ids(
    value: dict[str, Any], key: str, least: int, fatal: list[RowProblem], length: int | None = None
) -> list[int] | None:
    """A list of whole numbers, or None where the row has none; `length` is that of the ids."""
    listed = unfold(value.get(key))
    if listed is None and length is not None:
        return None
    expected = "a list of token ids" if key != "attention_mask" else "a list of 0 and 1"
    if not isinstance(listed, list):
        fatal.append(_bad_ids(key, kind_of(listed), expected, "Write the row as token ids."))
        return None
    # Types first, and all at once: rows are long, and a bool is an int to Python but no id.
    if not {int}.issuperset(map(type, listed)) or (listed and min(listed) < least):
        ids = (n for n, item in enumerate(listed) if type(item) is int and item >= least)
        wrong = next(n for n, right in enumerate((*ids, -1)) if n != right)
        found = shorten(listed[wrong]) if isinstance(listed[wrong], int) else kind_of(listed[wrong])
        fatal.append(_bad_ids(f"{key}[{wrong}]", found, expected, "Tokenize the row again."))
        return None
    if length is not None and len(listed) != length and not fatal:
        found = f"{len(listed)} entries beside {length} input_ids"
        fix = "Write as many entries as ids, or drop the field."
        fatal.append(_bad_ids(key, found, f"{length} entries", fix))
    return listed


def _foreign_label(ids: list[int], labels: list[int]) -> list[RowProblem]:
    # Every label is its id or is left out: counted, for a row can have a million of them.
    if sum(map(eq, ids, labels)) + labels.count(IGNORED) == len(ids):
        return []
    pairs = enumerate(zip(ids, labels, strict=True))
    place = next(at for at, (token, label) in pairs if label not in (token, IGNORED))
    expected = f"{IGNORED}, or the id at this place: {ids[place]}"
    fix = "Write labels unshifted: the trainer shifts them."
    where, found = f"labels[{place}]", str(labels[place])
    return [problem("wrong_type_label", where, found, expected, fix)]


def _bad_ids(place: str, found: str, expected: str, fix: str) -> RowProblem:
    return problem("bad_token_ids", place, found, expected, fix)


def checked_text(text: Any, place: str, fatal: list[RowProblem]) -> str:
    """A text with something in it; "" where `fatal` says what is wrong."""
    if isinstance(text, str) and text and not text.isspace():
        return text
    if isinstance(text, str):
        found = "white space" if text else "no text"
        fatal.append(problem("empty_content", place, found, "text", "Drop the row."))
    else:
        check = "missing_content" if text is None else "non_string_content"
        fatal.append(problem(check, place, kind_of(text), "text", "Write it as text."))
    return ""


def first_key(value: Value, keys: tuple[str, ...]) -> str | None:
    """The first of the keys that a row has."""
    return next((key for key in keys if isinstance(value, dict) and key in value), None)


def pair_keys(value: Value) -> tuple[str, str] | None:
    """The two columns of a row that is a pair of texts."""
    return next(
        (
            pair
            for pair in PAIR_KEYS
            if isinstance(value, dict) and pair[0] in value and pair[1] in value
        ),
        None,
    )
