"""GGUF as a kind of export: what plan, worker, gate and pane ask of it.

The merged model in one file of a type, or the adapter alone. What is known beforehand: prepare.py;
the bytes: write.py, lora.py. What ours refuses, llama.cpp's converter may do: converted.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from core.errors import AfinaError
from core.runs.target import Target
from exporters.contract import (
    EXACT,
    PLAIN,
    Conversation,
    Excerpt,
    Item,
    Options,
    Progress,
    Seen,
    Working,
)
from exporters.gguf.converted import Converted
from exporters.gguf.converter import Refused, find
from exporters.gguf.excerpts import excerpts
from exporters.gguf.importance import Importance, collect, require_texts
from exporters.gguf.lora import DESCRIPTION, LORA, Lora, base_of, prepare_lora, write_lora
from exporters.gguf.prepare import Prepared, prepare
from exporters.gguf.readback import read_back
from exporters.gguf.stream import memory_bytes
from exporters.gguf.types import TYPES, fallbacks, file_bytes
from exporters.gguf.write import write_gguf
from exporters.resources import asking_bytes
from exporters.results import file_path

BASE_TYPE = "f16"  # of the base that an adapter is checked over
LIBRARIES_BYTES = 120 * 2**20  # Python, numpy, ggml


class Gguf:
    """GGUF files of one target."""

    CHOICES = {type.name: type.description for type in TYPES.values()} | {LORA: DESCRIPTION}

    def __init__(self, target: Target, options: Options = PLAIN) -> None:
        self.target = target
        self.options = options
        self._base: Path | None = None  # of the base that an adapter was laid over
        self._converted: Converted | None = None
        if options.imatrix:
            require_texts(target, options.imatrix)
        try:
            self.prepared = prepare(target)
            self.notes = self.prepared.notes
        except Refused:
            llama_cpp = find(options.llama_cpp)
            if llama_cpp is None:
                raise
            if options.imatrix is not None:
                raise AfinaError(
                    "No importance matrix can be collected for a model that llama.cpp's converter "
                    "makes.",
                    "Leave out --imatrix.",
                ) from None
            self._converted = Converted(target, llama_cpp)
            self.notes = self._converted.notes
        if options.llama_cpp and self._converted is None:
            find(options.llama_cpp)  # a name that is wrong is said, used or not
            self.notes += ("Afina knows this model itself: llama.cpp's converter is not used.",)

    def item(self, type_name: str, folder: Path) -> Item:
        if self._converted is not None:
            return self._converted.item(type_name, folder)
        path = file_path(folder, self.prepared.target, "gguf", type_name)
        if type_name == LORA:
            lora = prepare_lora(self.prepared)
            notes, size, memory, temporary = self._lora_figures(lora)
        else:
            notes, size, memory = self._figures(type_name)
            temporary = 0
        return Item(
            "gguf",
            type_name,
            str(path),
            size,
            path.is_file(),
            notes,
            memory_bytes=memory,
            temporary_bytes=temporary,
        )

    def write(self, outputs: dict[str, Path], working: Working) -> None:
        if self._converted is not None:
            self._converted.write(outputs, working)
            return
        report, models = _reporting(working), dict(outputs)
        adapter = models.pop(LORA, None)
        if adapter is not None:
            write_lora(prepare_lora(self.prepared), adapter, report)
        if models:
            importance = self._importance(list(models), working)
            write_gguf(self.prepared, models, report, importance, working.threads)

    def answering(self, type_name: str, path: Path, working: Working) -> Target:
        target = self.target
        label = f"{target.label or target.word} {type_name}"
        if type_name == LORA:
            base = str(self._write_base(working))
            return Target(str(path), "gguf", base, adapter=str(path), label=label)
        return Target(str(path), "gguf", str(path), label=label)

    def _importance(self, names: list[str], working: Working) -> Importance | None:
        """That of the columns, where a type needs it or a person asked for it."""
        types = [TYPES[name] for name in names]
        asked = self.options.imatrix is not None and any(type.weighable for type in types)
        if not asked and not any(type.needs_importance for type in types):
            return None
        importance = collect(self.prepared, self.options.imatrix, working)
        self.notes += (importance.words,)
        return importance

    def _write_base(self, working: Working) -> Path:
        """A GGUF of the base in the scratch, written once, for the adapter to lie over."""
        path = working.scratch / f"base-{BASE_TYPE}.gguf"
        if not path.is_file():
            part = path.with_suffix(".part")
            base, report = base_of(self.prepared), _reporting(working)
            write_gguf(base, {BASE_TYPE: part}, report, threads=working.threads)
            os.replace(part, path)
        self._base = path
        return path

    def _figures(self, type_name: str) -> tuple[list[str], int, int]:
        """Notes, bytes, and bytes of memory while writing."""
        prepared = self.prepared
        chosen, shapes = TYPES[type_name], prepared.shapes
        asked = self.options.imatrix is not None
        kinds = prepared.kinds(chosen, asked)
        memory = memory_bytes(prepared) + LIBRARIES_BYTES
        if chosen.needs_importance or (asked and chosen.weighable):
            require_texts(prepared.target, self.options.imatrix)
            memory = max(memory, asking_bytes(prepared.merged.parameters, EXACT))
        notes = []
        if asked and not chosen.weighable:
            notes.append("It rounds each value by itself: --imatrix changes nothing in it.")
        other = fallbacks(shapes, chosen, prepared.traits) if chosen.quantized else 0
        if other:
            notes.append(
                f"{other} of {len(shapes)} tensors have rows that are not a multiple of 256 and "
                "get a larger type."
            )
        return notes, file_bytes(kinds, shapes, _header_bytes(prepared)), memory

    def _lora_figures(self, lora: Lora) -> tuple[list[str], int, int, int]:
        """Notes, bytes, of memory, and of disk for the base that it is checked over."""
        _, base_bytes, memory = self._figures(BASE_TYPE)
        return [lora.note], lora.bytes, memory, base_bytes

    def seen(
        self,
        type_name: str,
        path: Path,
        texts: Sequence[str],
        conversations: Sequence[Conversation],
        check: Callable[[], None],
    ) -> Seen | None:
        if type_name == LORA:  # it has no vocabulary and no template: those of the base are read
            if self._base is None or not self._base.is_file():
                return None
            path = self._base
        return read_back(path, texts, conversations, check)

    def excerpts(self, type_name: str, path: Path) -> Iterator[Excerpt] | None:
        if type_name == LORA or self._converted is not None:  # names of another's choosing
            return None
        return excerpts(self.prepared, path)


def _reporting(working: Working) -> Progress:
    """A progress callback that lets a cancel through."""

    def report(what: str, done: int, total: int, unit: str) -> None:
        working.check()
        working.progress(what, done, total, unit)

    return report


def _header_bytes(prepared: Prepared) -> int:
    """Nearly: the vocabulary is most of it."""
    vocabulary = prepared.vocabulary
    texts = sum(len(token.encode()) + 8 for token in (*vocabulary.tokens, *vocabulary.merges))
    templates = sum(len(text) for text in prepared.templates.values())
    return texts + 4 * len(vocabulary.tokens) + templates + 64 * len(prepared.tensors) + 2048
