"""The merged model as a kind of export: a folder that transformers loads, in one number type.

The weights are merged in float32 and rounded once (weights/safetensors_writer.py); tokenizer,
chat template and settings are the base's (weights/companions.py). What other programs read in the
folder is asked in reading.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from core.errors import AfinaError
from core.hub import model_folder
from core.runs.run import Run
from core.runs.target import Target
from exporters.contract import PLAIN, Conversation, Excerpt, Item, Options, Seen, Working
from exporters.merged.excerpts import excerpts
from exporters.merged.readback import read
from exporters.read_isolated import read_aside
from exporters.results import file_path
from exporters.weights.merge import INPUT, Merged
from exporters.weights.model_files import NAMES, companions_bytes
from exporters.weights.safetensors_writer import (
    header,
    memory_bytes,
    shards,
    weights_bytes,
    write_model_folder,
)

LIBRARIES_BYTES = 120 * 2**20  # Python, numpy


class MergedModel:
    """Folders of one target's merged weights."""

    CHOICES = {
        "bf16": "as most models are published; half the size, 8 bits of each number are kept",
        "f16": "half the size, 11 bits; refused where a weight is too large for it",
        "f32": "twice the size, nothing is rounded: for going on with the weights",
    }

    def __init__(self, target: Target, options: Options = PLAIN) -> None:
        if target.kind != "hf":
            raise AfinaError(
                f'"{target.word}" holds no weights to merge: it is an export already.',
                "Name the run or the model that it came from.",
            )
        self.target = target
        adapter = Path(target.adapter) if target.adapter else None
        self.merged = Merged(model_folder(target.model, target.revision), adapter)
        if INPUT not in self.merged.shapes:
            raise AfinaError(
                f'The weights in "{self.merged.folder}" lack "{INPUT}".',
                "Name a whole language model, not a part of one.",
            )
        self.notes = tuple(_notes(target, self.merged))

    def item(self, type_name: str, folder: Path) -> Item:
        shapes = self.merged.shapes
        path = file_path(folder, self.target, "merged", type_name)
        headers = sum(
            len(header({name: shapes[name] for name in shard.tensors}, type_name))
            for shard in shards(shapes, type_name)
        )
        size = weights_bytes(shapes, type_name) + headers + companions_bytes(self.merged.folder)
        return Item(
            "merged",
            type_name,
            str(path),
            size,
            path.is_dir(),
            self._rounding(type_name),
            memory_bytes=memory_bytes(self.merged) + LIBRARIES_BYTES,
        )

    def write(self, outputs: dict[str, Path], working: Working) -> None:
        for type_name, folder in outputs.items():

            def report(name: str, done: int, total: int) -> None:
                working.check()
                working.progress(name, done, total, "bytes")

            write_model_folder(
                self.merged,
                folder,
                type_name,
                report,
                self.target.chat_template,
                working.threads,
            )

    def answering(self, type_name: str, path: Path, working: Working) -> Target:
        label = self.target.label or self.target.word
        return Target(str(path), "hf", str(path), label=f"{label} merged {type_name}")

    def seen(
        self,
        type_name: str,
        path: Path,
        texts: Sequence[str],
        conversations: Sequence[Conversation],
        check: Callable[[], None],
    ) -> Seen | None:
        return read_aside(read, path, texts, conversations, check)

    def excerpts(self, type_name: str, path: Path) -> Iterator[Excerpt] | None:
        return excerpts(self.merged, type_name, path)

    def _rounding(self, type_name: str) -> list[str]:
        """What a type loses of the weights as they are stored."""
        stored = {entry.dtype for entry in self.merged.base.entries.values()}
        if type_name == "f32":
            return []
        if self.merged.adapter:
            return [
                f"Merged in float32, then each weight is rounded to {NAMES[type_name]} once; a "
                "change smaller than half a step of it is lost."
            ]
        if stored != {type_name.upper()}:
            return [f"The weights are stored as {', '.join(sorted(stored))} and are rounded."]
        return []


def _notes(target: Target, merged: Merged) -> list[str]:
    notes = []
    if target.run is not None and merged.adapter:
        quantization = Run(target.run).config.method.quantization
        if quantization != "none":
            notes.append(
                f"The adapter learned over weights in {quantization} and is merged into the base "
                "as it was before: answers differ a little from those during training."
            )
    if merged.tied is False and merged.config.get("tie_word_embeddings"):
        notes.append(
            "The adapter changes the embeddings or the head alone, so they are saved as two "
            "tensors (tie_word_embeddings is false)."
        )
    return notes
