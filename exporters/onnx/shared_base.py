"""ONNX with the adapter apart: a base that runs share, and one .onnx_adapter file for each.

What an export makes here is the adapter's file; the base under it is built where it isn't there.
Where both lie: shared.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from core.data.encode.template import ChatTemplate
from core.errors import AfinaError
from core.model_files.onnx import about
from core.runs.target import Target
from exporters.contract import Item, Working
from exporters.onnx.adapters import refuse_other_base, refuse_unfit
from exporters.onnx.config import Companion
from exporters.onnx.families import refuse_odd
from exporters.onnx.memory import folder_bytes, memory_bytes, notes_of
from exporters.onnx.shared_graph import (
    PREFIX,
    adapter_path,
    add_adapter,
    base_of,
    ensure_base,
    template_path,
)
from exporters.onnx.template import written_out
from exporters.onnx.types import TYPES
from exporters.weights.adapter import Adapter
from exporters.weights.merge import Merged
from exporters.weights.model_files import companions_bytes

CHOICES = {
    f"{PREFIX}{type.name}": f"{type.name} of the base, the adapter in a file of its own"
    for type in TYPES.values()
}
# makes a folder of a model in a type (without PREFIX), which isn't there yet
Build = Callable[[Companion, str, Path, Working], None]


class Multi:
    """Adapters of one target and the bases under them."""

    def __init__(self, target: Target, tuned: Companion) -> None:
        self.target = target
        self._tuned = tuned
        self._adapter: Adapter | None = tuned.merged.adapter

    @property
    def base(self) -> Companion:
        """The model under the adapter, with its own template where it has one."""
        tuned = self._tuned
        merged = Merged(tuned.merged.folder)
        template = ChatTemplate.find(merged.folder) or tuned.template
        return Companion(merged, tuned.tokenizer, template, tuned.stops)

    def item(self, type_name: str, exports: Path) -> Item:
        """What an export writes. Raises AfinaError where the adapter can't be kept apart."""
        adapter = self._fit()
        path = adapter_path(self.target, type_name, exports)
        base = self.base.merged
        chosen = TYPES[type_name.removeprefix(PREFIX)]
        of_base = folder_bytes(base, chosen) + companions_bytes(base.folder)
        size = _adapter_bytes(adapter)
        notes = [f'The base is shared: "{base_of(path)}".']
        if self.target.chat_template:
            notes.append(
                f'Its chat template lies beside it, "{template_path(path).name}": programs other '
                "than Afina take the base's unless they are given it."
            )
        memory = max(size * 3, of_base)  # the base is loaded to be asked
        if about(base_of(path)) is None:
            refuse_odd(base, chosen)
            size += of_base
            notes += notes_of(base, chosen)
            memory = max(memory, memory_bytes(base))
        return Item("onnx", type_name, str(path), size, path.is_file(), notes, memory_bytes=memory)

    def write(self, type_name: str, path: Path, build: Build, working: Working) -> None:
        """Writes the adapter to its unfinished `path`, and the base where it isn't there."""
        adapter, base = self._fit(), self.base
        refuse_other_base(adapter, base.merged)
        bare = type_name.removeprefix(PREFIX)
        there = ensure_base(
            base_of(path),
            self.target,
            bare,
            lambda folder: build(base, bare, folder, working),
            base.merged.shapes,
            working.check,
        )
        working.check()
        add_adapter(adapter, there, path, self._own_template())

    def answering(self, type_name: str, path: Path) -> Target:
        """The base under the adapter at `path`, finished or not."""
        label = f"{self.target.label or self.target.word} {type_name}"
        template = self.target.chat_template
        return Target(
            str(path), "onnx", str(base_of(path)), str(path), chat_template=template, label=label
        )

    def _own_template(self) -> str | None:
        """The template that was trained in place of the base's, in words that all programs read."""
        if not self.target.chat_template:
            return None
        tuned = self._tuned
        return written_out(tuned.template.source(), tuned.tokenizer.bos is not None)

    def _fit(self) -> Adapter:
        if self._adapter is None:
            raise AfinaError(
                f'"{self.target.word}" has no adapter that could be kept apart from its base.',
                "Export it without multi-: onnx:int4.",
            )
        refuse_unfit(self._adapter, self.base.merged)
        return self._adapter


def _adapter_bytes(adapter: Adapter) -> int:
    """Nearly: joined layers hold zeros where one layer's rank meets another's outputs."""
    weights = adapter.weights
    return 2 * sum(math.prod(weights.shape(key)) * 4 for key in weights.entries)
