"""The bytes of one row as a JSON object or a text, or the problem with them."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from core.data.problems import WARNING, RowProblem, kind_of, problem, shorten

DEEPEST = 100  # brackets in brackets: what walks a row, or writes it again, is recursive
_KEY = re.compile(rb'"[ \t\r\n]*+:')
_KEY_BESIDE_QUOTES = re.compile(rb'(?<!\\)"[ \t\r\n]*+:')
_NESTED = frozenset((dict, list))
_CORRECT = "Correct the row, or drop it."
Value = dict[str, Any] | list[Any]


def decode_row(raw: bytes) -> tuple[Value | None, RowProblem | None, tuple[RowProblem, ...]]:
    """The object in the bytes of one row, or the problem with them; warnings beside a value."""
    try:
        value = msgspec.json.decode(raw)
    except (
        msgspec.MsgspecError,
        ValueError,
        RecursionError,
    ):  # ValueError: bytes that are not UTF-8
        value, found = _decode_slowly(raw)
        if found:
            return None, found, ()
    if not isinstance(value, dict) and not (isinstance(value, list) and _all_objects(value)):
        what = "an empty list" if value == [] else kind_of(value)
        fix = 'Write the row as an object, such as {"messages": [...]}.'
        return None, problem("not_an_object", "", what, "a JSON object", fix), ()
    keys, depth = _keys_and_depth(value)
    if depth > DEEPEST:
        return None, _invalid(f"nesting too deep to read: {depth} brackets"), ()
    return value, None, _duplicates(raw) if _may_repeat_keys(raw, keys) else ()


def decode_text(raw: bytes) -> tuple[dict[str, Any] | None, RowProblem | None]:
    """A piece of plain text as a row of the text shape."""
    try:
        return {"text": raw.decode("utf-8")}, None
    except UnicodeDecodeError as error:
        return None, bad_encoding(error)


def bad_encoding(error: UnicodeDecodeError) -> RowProblem:
    """The problem of bytes that are not UTF-8, with the character that they may have been."""
    byte = error.object[error.start]
    guess = bytes([byte]).decode("cp1252", "replace")
    meant = f' ("{guess}" in Latin-1)' if byte >= 0xA0 and guess.isprintable() else ""
    return problem(
        "bad_encoding",
        "",
        f"byte 0x{byte:02x} at position {error.start + 1}{meant}",
        "UTF-8",
        "Save the file as UTF-8: iconv -f LATIN1 -t UTF-8 OLD > NEW."
        if meant
        else "Save the file as UTF-8.",
    )


def _all_objects(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(item, dict) for item in value)


def _keys_and_depth(value: Value) -> tuple[int, int]:
    """How many keys a value has in all its objects, and how deep its brackets go."""
    keys, depth = 0, 0
    level: list[Any] = [value]
    while level:
        depth += 1
        inner: list[Any] = []
        for item in level:
            parts = item.values() if type(item) is dict else item
            if type(item) is dict:
                keys += len(item)
            elif _NESTED.isdisjoint(map(type, item)):
                continue  # token ids, thousands of them
            for part in parts:
                if type(part) in _NESTED:
                    inner.append(part)
        level = inner
    return keys, depth


def _may_repeat_keys(raw: bytes, keys: int) -> bool:
    """False when the bytes hold no more keys than the value: a key in them is a quote and a colon.

    A quote behind a backslash is text, unless that backslash is text itself. Text can hold the same
    characters, so that true is only a reason to look.
    """
    if b'\\"' not in raw:
        return len(_KEY.findall(raw)) != keys
    return b'\\\\"' in raw or len(_KEY_BESIDE_QUOTES.findall(raw)) != keys


def _duplicates(raw: bytes) -> tuple[RowProblem, ...]:
    """The keys that stand twice in one object: the last value is the one that counts."""
    repeated: dict[str, None] = {}

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(pairs)
        if len(seen) < len(pairs):
            names = [name for name, _ in pairs]
            repeated.update((name, None) for name in seen if names.count(name) > 1)
        return seen

    json.loads(raw, object_pairs_hook=look)
    return tuple(
        problem(
            "duplicate_key",
            shorten(name).strip('"'),
            "the key more than once in one object",
            "each key once",
            "Keep one of them; the last one is used.",
            WARNING,
        )
        for name in repeated
    )


def _decode_slowly(raw: bytes) -> tuple[Any, RowProblem | None]:
    """Python's own decoder: takes huge numbers, and says where the text breaks."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return None, bad_encoding(error)
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        around = text[max(0, error.pos - 20) : error.pos + 20]
        place = f"{error.msg.removesuffix(' at')} at character {error.pos + 1}"
        return None, _invalid(f"{place}: {shorten(around)}")
    except UnicodeEncodeError as error:
        found = f"half of a surrogate pair, \\u{ord(error.object[error.start]):04x}"
        fix = "Write the character as UTF-8, or drop it."
        return None, problem("bad_encoding", "", found, "whole characters", fix)
    except RecursionError:
        return None, _invalid("nesting too deep to read")
    except ValueError as error:
        return None, _invalid(shorten(error, 120))
    return value, None


def _invalid(found: str) -> RowProblem:
    return problem("invalid_json", "", found, "one JSON value", _CORRECT)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name}, which JSON has no room for")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {shorten(digits)[:40]}, which is too large")
    return number
