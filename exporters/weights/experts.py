"""Experts that a model stores in one tensor for all of a layer, seen as a tensor for each.

transformers 5 holds them so in memory, and writes them so when it is asked not to restore the names
of the hub. The matrices lie one behind the other, so that no byte has to be moved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from core.errors import AfinaError
from core.model_files.safetensors import SIZES, Entry

NAMES = {  # model_type: what the hub calls the parts of gate_up_proj, and down_proj
    "mixtral": (("w1", "w3"), ("w2",)),
    "qwen3_moe": (("gate_proj", "up_proj"), ("down_proj",)),
}
TOGETHER = re.compile(r"(.*\.experts)\.(gate_up_proj|down_proj)")


def split_experts(entries: Mapping[str, Entry], model_type: str) -> dict[str, Entry]:
    """The tensors of a model by their names on the hub: experts one by one.

    gate_up_proj is (experts, gate's rows and up's, in), down_proj (experts, out, in).
    """
    found: dict[str, Entry] = {}
    for name, entry in entries.items():
        together = TOGETHER.fullmatch(name) if model_type in NAMES else None
        if together is None:
            found[name] = entry
        else:
            parts = NAMES[model_type][together[2] == "down_proj"]
            found |= {part.name: part for part in parts_of(entry, together[1], parts)}
    return found


def parts_of(entry: Entry, stem: str, names: tuple[str, ...]) -> Iterator[Entry]:
    """The matrices of each expert in one tensor of all: its parts beside each other."""
    if len(entry.shape) != 3 or entry.shape[1] % len(names):
        raise AfinaError(
            f'"{entry.name}" in "{entry.path}" has the shape {entry.shape}, not that of experts.',
            "Save the model again.",
        )
    experts, rows, columns = entry.shape[0], entry.shape[1] // len(names), entry.shape[2]
    size = rows * columns * SIZES.get(entry.dtype, 1)
    for expert in range(experts):
        for place, name in enumerate(names):
            start = entry.start + (expert * len(names) + place) * size
            yield Entry(
                f"{stem}.{expert}.{name}.weight",
                entry.dtype,
                (rows, columns),
                entry.path,
                start,
                start + size,
            )
