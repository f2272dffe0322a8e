"""The words for what is to be exported: "gguf:q4_k_m,q8_0", "onnx:int4", "merged"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from core.errors import AfinaError, nearest
from exporters.contract import EXPORTERS, exporter_class

USUAL = {"merged": "bf16"}  # what a kind means that is named without a type


class Wanted(msgspec.Struct, frozen=True):
    """One export that was asked for."""

    kind: str  # a name in EXPORTERS
    type: str  # a name in the CHOICES of its class

    def __str__(self) -> str:
        return f"{self.kind}:{self.type}"


def choices_of(kind: str) -> dict[str, str]:
    """The types of a kind, each with a line about it."""
    return exporter_class(kind).CHOICES


def everything() -> list[Wanted]:
    """Every export there is a word for, in the order in which they are offered."""
    return [Wanted(kind, name) for kind in EXPORTERS for name in choices_of(kind)]


def parse_to(words: str | Sequence[str]) -> list[Wanted]:
    """The exports behind words such as "gguf:q4_k_m,q8_0", in either case; each once, in order.

    Raises AfinaError with the nearest name.
    """
    found: dict[Wanted, None] = {}
    for word in [words] if isinstance(words, str) else words:
        found.update(dict.fromkeys(_read(word)))
    if not found:
        raise AfinaError("Nothing is to be exported.", _all_hint())
    return list(found)


def _read(word: str) -> Iterator[Wanted]:
    """A kind counts for the types after it, up to the next kind."""
    kind = ""
    for part in (part.strip() for part in word.lower().split(",")):
        before, colon, name = (piece.strip() for piece in part.partition(":"))
        if not colon and kind and before not in EXPORTERS:
            name = before
        else:
            kind, name = before, name or USUAL.get(before, "")
        yield _known(word, kind, name)


def _known(word: str, kind: str, name: str) -> Wanted:
    if kind not in EXPORTERS:
        raise _unknown_kind(word, kind)
    if not name:
        raise AfinaError(f'"{word}" names no type.', _types_hint(kind))
    if name not in choices_of(kind):
        hint = f"{nearest(name, choices_of(kind))} {_types_hint(kind)}".strip()
        raise AfinaError(f'There is no {kind} type "{name}".', hint)
    return Wanted(kind, name)


def _unknown_kind(word: str, kind: str) -> AfinaError:
    having = [str(Wanted(known, kind)) for known in EXPORTERS if kind in choices_of(known)]
    if having:
        return AfinaError(f'"{word}" lacks its kind.', f"Write {' or '.join(having)}.")
    hint = f"{nearest(kind, EXPORTERS)} {_all_hint()}".strip()
    return AfinaError(f'There is no export "{word}".', hint)


def _types_hint(kind: str) -> str:
    return f"Types: {', '.join(str(Wanted(kind, name)) for name in choices_of(kind))}."


def _all_hint() -> str:
    every = "; ".join(f"{kind}:{','.join(choices_of(kind))}" for kind in EXPORTERS)
    return f"There are {every}."
