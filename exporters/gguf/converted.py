"""GGUF by llama.cpp's own converter, for a model that ours refuses: what plan and worker ask of it.

The converter wants a whole model on the disk: it is merged in float32 into the scratch first.
"""

from __future__ import annotations

import math
from pathlib import Path

from core.errors import AfinaError
from core.hub import model_folder
from core.runs.target import Target
from exporters.contract import Item, Working
from exporters.gguf.converter import WRITES, convert, refuse_unquantizable
from exporters.gguf.lora import LORA
from exporters.gguf.types import BLOCKS, TYPES, tensor_bytes
from exporters.merged.exporter import MergedModel
from exporters.resources import LIBRARIES_BYTES
from exporters.results import file_path
from exporters.weights.merge import Merged

LARGER = 1.15  # mixed types keep some tensors in more bits; which, llama.cpp decides


class Converted:
    """GGUF files of one target, made by the converter in a folder."""

    def __init__(self, target: Target, llama_cpp: Path) -> None:
        self.target = target
        self._llama_cpp = llama_cpp
        adapter = Path(target.adapter) if target.adapter else None
        self._merged = Merged(model_folder(target.model, target.revision), adapter)
        self.notes = (
            "Afina's own converter doesn't know this model: llama.cpp's makes it, from a merged "
            "copy.",
        )

    def item(self, type_name: str, folder: Path) -> Item:
        if type_name == LORA:
            raise AfinaError(
                "An adapter alone can't become GGUF for a model that Afina doesn't know.",
                "Export the tuned model as a whole: --to gguf:q4_k_m, or another type.",
            )
        refuse_unquantizable(type_name)
        path = file_path(folder, self.target, "gguf", type_name)
        whole = self._merged.parameters * 4  # merged; once more where llama.cpp's quantizer follows
        return Item(
            "gguf",
            type_name,
            str(path),
            self._bytes(type_name),
            path.is_file(),
            [],
            memory_bytes=self._largest() * 16 + LIBRARIES_BYTES,  # it loads torch too
            temporary_bytes=whole if type_name in WRITES else whole * 2,
        )

    def write(self, outputs: dict[str, Path], working: Working) -> None:
        merged = working.scratch / "merged"
        MergedModel(self.target).write({"f32": merged}, working)
        for done, (type_name, path) in enumerate(outputs.items()):
            working.progress("llama.cpp's converter", done, len(outputs), "files")
            convert(merged, path, self._llama_cpp, type_name, working.check, working.threads)

    def _bytes(self, type_name: str) -> int:
        """Nearly; llama.cpp decides which tensors get more bits."""
        chosen = TYPES[type_name]
        total = 0
        for shape in self._merged.shapes.values():
            fits = shape[-1] % BLOCKS[chosen.weights][0] == 0
            kind = "F32" if len(shape) == 1 else chosen.weights if fits else "F16"
            total += tensor_bytes(shape, kind)
        return round(total * LARGER) if chosen.quantized else total

    def _largest(self) -> int:
        return max(math.prod(shape) for shape in self._merged.shapes.values())
