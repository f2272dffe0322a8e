"""GGUF as a kind of export: what plan, worker, gate and pane ask of it.

The merged model in one file of a type. What is known beforehand: prepare.py; the bytes: write.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from core.targets import Target
from exporters.exporter import PLAIN, Conversation, Item, Options, Seen, Working
from exporters.gguf.prepare import Prepared, prepare
from exporters.gguf.read_back import read_back
from exporters.gguf.types import TYPES, fallbacks, file_bytes, tensor_bytes
from exporters.gguf.write import write_gguf
from exporters.job.results import file_path

LIBRARIES_BYTES = 120 * 2**20  # Python, numpy, ggml


class Gguf:
    """GGUF files of one target."""

    CHOICES = {type.name: type.description for type in TYPES.values()}

    def __init__(self, target: Target, options: Options = PLAIN) -> None:
        self.options = options
        self.prepared = prepare(target)
        self.notes = self.prepared.notes

    def item(self, type_name: str, folder: Path) -> Item:
        prepared = self.prepared
        chosen, shapes = TYPES[type_name], prepared.shapes
        path = file_path(folder, prepared.target, "gguf", type_name)
        kinds = prepared.kinds(chosen)
        notes = []
        other = fallbacks(shapes, chosen, prepared.traits) if chosen.quantized else 0
        if other:
            notes.append(
                f"{other} of {len(shapes)} tensors have rows that are not a multiple of 256 and "
                "get a larger type."
            )
        # the stored bytes, float32 of them, the delta or a copy in GGUF's order, and the result
        working = max(
            math.prod(t.shape) * 12 + tensor_bytes(t.shape, kinds[t.name]) for t in prepared.tensors
        )
        return Item(
            "gguf",
            type_name,
            str(path),
            file_bytes(kinds, shapes, _header_bytes(prepared)),
            path.is_file(),
            notes,
            memory_bytes=working + LIBRARIES_BYTES,
        )

    def write(self, outputs: dict[str, Path], working: Working) -> None:
        def report(what: str, done: int, total: int, unit: str) -> None:
            working.check()
            working.progress(what, done, total, unit)

        write_gguf(self.prepared, outputs, report)

    def answering(self, type_name: str, path: Path, working: Working) -> Target:
        target = self.prepared.target
        return Target(
            str(path), "gguf", str(path), label=f"{target.label or target.word} {type_name}"
        )

    def seen(
        self,
        type_name: str,
        path: Path,
        texts: Sequence[str],
        conversations: Sequence[Conversation],
        check: Callable[[], None],
    ) -> Seen | None:
        return read_back(path, texts, conversations, check)


def _header_bytes(prepared: Prepared) -> int:
    """Nearly: the vocabulary is most of it."""
    vocabulary = prepared.vocabulary
    texts = sum(len(token.encode()) + 8 for token in (*vocabulary.tokens, *vocabulary.merges))
    templates = sum(len(text) for text in prepared.templates.values())
    return texts + 4 * len(vocabulary.tokens) + templates + 64 * len(prepared.tensors) + 2048
