"""ONNX as a kind of export: folders for onnxruntime-genai, the adapter merged into them or apart.

What is known beforehand: families.py, types.py, memory.py; the folder: builder.py and, in a process
of its own, build_worker.py; an adapter apart from its base: multi.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from core.data.encode.template import ChatTemplate
from core.data.encode.tokenizer import Tokenizer
from core.errors import AfinaError
from core.hub import model_folder
from core.model_files.json_file import read_json
from core.runs.target import Target
from exporters.contract import PLAIN, Conversation, Excerpt, Item, Options, Seen, Working
from exporters.eos import stop_ids
from exporters.onnx import shared_base
from exporters.onnx.builder import write_folders
from exporters.onnx.config import Companion
from exporters.onnx.families import family_of, refuse_odd
from exporters.onnx.memory import folder_bytes, memory_bytes, notes_of
from exporters.onnx.readback import read
from exporters.onnx.tokenizer import notes_on
from exporters.onnx.types import TYPES
from exporters.read_isolated import read_aside
from exporters.results import file_path
from exporters.weights.merge import INPUT, Merged
from exporters.weights.model_files import companions_bytes


class Onnx:
    """ONNX folders of one target."""

    CHOICES = {type.name: type.description for type in TYPES.values()} | shared_base.CHOICES

    def __init__(self, target: Target, options: Options = PLAIN) -> None:
        if target.kind != "hf":
            raise AfinaError(
                f'"{target.word}" is an export already.',
                "Name the run or the model that it came from.",
            )
        self.target = target
        folder = model_folder(target.model, target.revision)
        merged = Merged(folder, Path(target.adapter) if target.adapter else None)
        family_of(merged.config)  # refuses those that can't be written
        if INPUT not in merged.shapes:
            raise AfinaError(
                f'The weights in "{folder}" lack "{INPUT}".',
                "Name a whole model, not a part of one.",
            )
        tokenizer = Tokenizer.load(folder)
        template = ChatTemplate.load(folder, target.chat_template)
        stops = stop_ids(tokenizer, template, str(folder))
        self.model = Companion(merged, tokenizer, template, stops)
        self.multi = shared_base.Multi(target, self.model)
        self.notes = notes_on(read_json(folder, "tokenizer.json"))

    def item(self, type_name: str, folder: Path) -> Item:
        if type_name not in TYPES:
            return self.multi.item(type_name, folder)
        merged = self.model.merged
        refuse_odd(merged, TYPES[type_name])
        path = file_path(folder, self.target, "onnx", type_name)
        beside = companions_bytes(merged.folder)
        return Item(
            "onnx",
            type_name,
            str(path),
            folder_bytes(merged, TYPES[type_name]) + beside,
            path.is_dir(),
            notes_of(merged, TYPES[type_name]),
            memory_bytes=memory_bytes(merged),
            temporary_bytes=beside,
        )

    def write(self, outputs: dict[str, Path], working: Working) -> None:
        whole = {name: path for name, path in outputs.items() if name in TYPES}
        if whole:
            write_folders(self.model, whole, working)
        for type_name, path in outputs.items():
            if type_name not in TYPES:
                self.multi.write(type_name, path, _build, working)

    def answering(self, type_name: str, path: Path, working: Working) -> Target:
        if type_name not in TYPES:
            return self.multi.answering(type_name, path)
        label = self.target.label or self.target.word
        return Target(str(path), "onnx", str(path), label=f"{label} {type_name}")

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
        return None  # the builder names, turns and packs them in its own way


def _build(model: Companion, type_name: str, folder: Path, working: Working) -> None:
    write_folders(model, {type_name: folder}, working)
