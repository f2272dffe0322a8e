"""The bytes of one row as a JSON object or a text, or the problem with them."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from core.data.problems import RowProblem, kind_of, problem, shorten


def decode_row(raw: bytes) -> tuple[dict[str, Any] | list[Any] | None, RowProblem | None]:
    """The object in the bytes of one row, or the problem with them."""
    try:
        value = msgspec.json.decode(raw)
    except (
        msgspec.MsgspecError,
        ValueError,
        RecursionError,
    ):  # ValueError: bytes that are not UTF-8
        value, found = _decode_slowly(raw)
        if found:
            return None, found
    if isinstance(value, dict) or (isinstance(value, list) and _all_objects(value)):
        return value, None
    return None, problem(
        "not_an_object",
        "",
        "an empty list" if value == [] else kind_of(value),
        "a JSON object",
        'Write the row as an object, such as {"messages": [...]}.',
    )


def _all_objects(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(item, dict) for item in value)


def _decode_slowly(raw: bytes) -> tuple[Any, RowProblem | None]:
    """Python's own decoder: takes NaN and huge numbers, and says where the text breaks."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return None, _bad_encoding(error)
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        around = text[max(0, error.pos - 20) : error.pos + 20]
        return None, problem(
            "invalid_json",
            "",
            f"{error.msg.removesuffix(' at')} at character {error.pos + 1}: {shorten(around)}",
            "one JSON value",
            "Correct the row, or drop it.",
        )
    except UnicodeEncodeError as error:
        found = f"half of a surrogate pair, \\u{ord(error.object[error.start]):04x}"
        return None, problem(
            "bad_encoding",
            "",
            found,
            "whole characters",
            "Write the character as UTF-8, or drop it.",
        )
    except (RecursionError, ValueError) as error:
        found = "nesting too deep to read" if isinstance(error, RecursionError) else str(error)
        return None, problem(
            "invalid_json",
            "",
            shorten(found, 120),
            "one JSON value",
            "Correct the row, or drop it.",
        )
    return value, None


def decode_text(raw: bytes) -> tuple[dict[str, Any] | None, RowProblem | None]:
    """A piece of plain text as a row of the text shape."""
    try:
        return {"text": raw.decode("utf-8")}, None
    except UnicodeDecodeError as error:
        return None, _bad_encoding(error)


def _bad_encoding(error: UnicodeDecodeError) -> RowProblem:
    return problem(
        "bad_encoding",
        "",
        f"byte 0x{error.object[error.start]:02x} at position {error.start + 1}",
        "UTF-8",
        "Save the file as UTF-8.",
    )
