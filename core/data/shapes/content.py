"""What a message says: text, or a list of parts of text; pictures and sounds are refused."""

from __future__ import annotations

from typing import Any

from core.data.problems import RowProblem, kind_of, problem, shorten

MEDIA_KEYS = ("image", "images", "audio", "audios", "video", "videos")  # of a row
_MEDIA_PARTS = ("image", "audio", "video", "file")


def read_content(content: Any, place: str, fatal: list[RowProblem]) -> str:
    """The text of a content that is not null; "" where `fatal` says what is wrong."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (_part(part, f"{place}[{index}]", fatal) for index, part in enumerate(content))
        return "".join(parts)
    fix = "Write the content as text."
    fatal.append(problem("non_string_content", place, kind_of(content), "text", fix))
    return ""


def missing_content(place: str, found: str) -> RowProblem:
    """A message without content, or with null where no call stands beside it."""
    fix = "Write the message's text, or drop the message."
    return problem("missing_content", place, found, "text", fix)


def _part(part: Any, place: str, fatal: list[RowProblem]) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return part["text"]
    if isinstance(kind, str) and any(word in kind for word in _MEDIA_PARTS):
        fatal.append(media_problem(place, f"a part of type {shorten(kind)}"))
    else:
        found = kind_of(part) if not isinstance(kind, str) else f"a part of type {shorten(kind)}"
        fix = "Keep only parts of text."
        expected = '{"type": "text", "text": ...}'
        fatal.append(problem("non_string_content", place, found, expected, fix))
    return ""


def media_problem(place: str, found: str) -> RowProblem:
    """A row with an image, sound or film in it: Afina tunes on text only and says so."""
    fix = "Drop the row, or describe the medium in words."
    return problem("unsupported_media", place, found, "text only", fix)
