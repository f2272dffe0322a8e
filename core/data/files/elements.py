"""The elements of a JSON array in a large block of bytes, found by numpy.

Nothing is decided here that is not plain: where brackets or quotes don't add up, the caller looks
by itself. numpy lets go of the interpreter, so that an app whose thread does this goes on drawing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy

    Places = numpy.ndarray[Any, numpy.dtype[numpy.int64]]


class Elements(NamedTuple):
    """Elements that end with a comma, as places in the block."""

    starts: Places
    ends: Places  # of the commas
    lines: Places  # newlines from `begin` to each element's first bracket or quote
    bare: Places  # which have neither: numbers, null, or nothing
    ended: bool  # a bracket that closes the array, or does not belong, follows them


def find_elements(data: bytes, begin: int) -> Elements | None:
    """The elements from `begin` on, between two elements of an array; None for odd quotes."""
    import numpy

    octets = numpy.frombuffer(data, numpy.uint8)[begin:]
    folded = octets | 0x20  # "[" and "{" become one, so do "]" and "}"
    tokens = numpy.flatnonzero(
        (octets == ord('"')) | (octets == ord(",")) | (folded == ord("{")) | (folded == ord("}"))
    )
    kinds = folded[tokens]
    escaped = _escaped(octets, tokens, kinds)
    quotes = (kinds == ord('"')) & ~escaped
    inside = numpy.cumsum(quotes) % 2 == 1
    if (escaped & ~inside).any():  # a backslash escapes in a string only
        return None
    opens = (kinds == ord("{")) & ~inside
    closes = (kinds == ord("}")) & ~inside
    depths = numpy.cumsum(opens.astype(numpy.int64) - closes)  # 0: between the elements
    below = numpy.flatnonzero(depths < 0)
    commas = (kinds == ord(",")) & ~inside & (depths == 0)
    if len(below):
        commas[below[0] :] = False
    ends = tokens[commas]
    starts = numpy.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    firsts = tokens[numpy.searchsorted(tokens, starts)]
    bare = firsts == ends
    newlines = numpy.flatnonzero(octets == ord("\n"))
    lines = numpy.searchsorted(newlines, numpy.where(bare, starts, firsts))
    places = numpy.flatnonzero(bare)
    return Elements(starts + begin, ends + begin, lines, places, bool(len(below)))


def _escaped(octets: Any, tokens: Places, kinds: Any) -> Any:
    """Which tokens are quotes behind an odd number of backslashes."""
    import numpy

    escaped = numpy.zeros(len(tokens), bool)
    suspects = numpy.flatnonzero(kinds == ord('"'))
    distance = 1
    while len(suspects):
        places = tokens[suspects] - distance
        suspects = suspects[(places >= 0) & (octets[numpy.maximum(places, 0)] == ord("\\"))]
        escaped[suspects] = ~escaped[suspects]
        distance += 1
    return escaped
