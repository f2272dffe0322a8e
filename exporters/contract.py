"""What every kind of export offers: plan, worker, parity gate and pane work with this alone.

A kind is a room of this package with a class that keeps the contract. Light: nothing here, and no
`__init__` of an exporter, loads torch, llama.cpp or onnxruntime.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from core.errors import AfinaError, nearest
from core.runs.target import Target

if TYPE_CHECKING:
    import numpy as np

EXACT = "float32"  # what the tuned model is asked in where the memory allows it
EXPORTERS = {  # kind: its class; in the order in which kinds are offered
    "gguf": "exporters.gguf.exporter:Gguf",
    "onnx": "exporters.onnx.exporter:Onnx",
    "merged": "exporters.merged.exporter:MergedModel",
}

# (what, done, total, unit); may raise to end the work
Progress = Callable[[str, int, int, str], None]
Conversation = dict[str, Any]  # messages and tools


class Item(msgspec.Struct):
    """One export that can be made: a file, or a folder of files that belong together."""

    kind: str
    type: str
    path: str
    bytes: int  # estimated
    replaces: bool  # whether an earlier export has this name
    notes: list[str]
    memory_bytes: int = 0  # peak while it is written, estimated
    temporary_bytes: int = 0  # of disk, besides itself, while it is written and checked


class Options(msgspec.Struct, frozen=True):
    """What a person may ask for beside the types; a kind ignores what is not about it."""

    imatrix: str | None = None  # a text file; "": the run's own data; None: where a type needs it
    llama_cpp: str | None = None  # folder of llama.cpp's converter, for what ours refuses


PLAIN = Options()


class Working(NamedTuple):
    """What the job lends to an exporter while it writes."""

    progress: Progress
    check: Callable[[], None]  # raises Cancelled once a person asked for it; call it often
    scratch: Path  # an empty folder on the same disk; gone afterwards, whatever happens
    threads: int


class Seen(msgspec.Struct):
    """What another program reads in a finished export."""

    ids: list[list[int]]  # of each text, nothing added, special tokens read as such
    prompts: list[list[int]]  # of each conversation, as a chat program feeds it
    stop_ids: list[int]


class Excerpt(NamedTuple):
    """Some rows of one tensor of an export, and what should be there; f32, alike in shape."""

    name: str  # in the export
    bits: int  # that its numbers keep
    tuned: np.ndarray
    base: np.ndarray | None  # before the adapter; None: there is none, or not of this shape
    found: np.ndarray | None  # as other programs compute with it; None: the tensor is missing


class Exporter(Protocol):
    """One kind of export of one target."""

    CHOICES: dict[str, str]  # type: one line about it, in the order in which they are offered
    notes: tuple[str, ...]  # on all types; `write` may add what it found

    def __init__(self, target: Target, options: Options = PLAIN) -> None:
        """Reads headers and tokenizer files. Raises AfinaError where this kind is impossible."""
        ...

    def item(self, type_name: str, folder: Path) -> Item:
        """What it would write below the exports' folder. Raises AfinaError where this type is
        impossible: the reason, and what to do instead.
        """
        ...

    def write(self, outputs: dict[str, Path], working: Working) -> None:
        """Writes each type to its unfinished path, from one pass over the weights where it can."""
        ...

    def answering(self, type_name: str, path: Path, working: Working) -> Target:
        """What a chat worker loads to answer as the export at `path`."""
        ...

    def seen(
        self,
        type_name: str,
        path: Path,
        texts: Sequence[str],
        conversations: Sequence[Conversation],
        check: Callable[[], None],
    ) -> Seen | None:
        """What other programs read in it, asked in a process of its own; None where none can."""
        ...

    def excerpts(self, type_name: str, path: Path) -> Iterator[Excerpt] | None:
        """Some rows of every tensor; None where they can't be read back."""
        ...


def exporter_class(kind: str) -> type[Exporter]:
    """The class of a kind. Raises AfinaError with the nearest name."""
    if kind not in EXPORTERS:
        hint = f"{nearest(kind, EXPORTERS)} Kinds: {', '.join(EXPORTERS)}.".strip()
        raise AfinaError(f'There is no kind of export "{kind}".', hint)
    module, _, name = EXPORTERS[kind].partition(":")
    return getattr(importlib.import_module(module), name)
