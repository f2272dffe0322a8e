"""What an adapter changes of the experts of a mixture: one pair of matrices for all of a layer.

transformers 5 holds the experts of a layer in two tensors, and PEFT (0.21, lora/layer.py,
ParamWrapper) trains those: A is (experts·rank, in), an expert's rows together; B is (out,
rank·experts), an expert's columns apart. Gate and up are one tensor there, gate's rows first. Two
wrappers lie in each other, so their keys differ by "base_layer" and only shapes tell which is
which. On disk a base has a tensor for each expert and part, and these are what an adapter changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from core.model_files.safetensors import Entry
from exporters.weights.experts import TOGETHER, parts_of

Shape = tuple[int, ...]
Parts = dict[str, str]  # part: key in the adapter's file

# A layer's experts as PEFT names them, both wrappers.
WRAPPED = re.compile(r"(.*\.experts)(?:\.base_layer)*\.weight")
# transformers' parameter: what its rows are in a base on disk, in their order, by either naming
STACKED = {
    "gate_up_proj": (("gate_proj", "up_proj"), ("w1", "w3")),
    "down_proj": (("down_proj",), ("w2",)),
}
MODULES = ((".mlp.", ".block_sparse_moe."),)  # a module's name in transformers and on disk


class Expert(msgspec.Struct, frozen=True):
    """Where the matrices of one tensor of one expert lie in those of all."""

    parameter: str  # transformers' name of the tensor of all, which patterns of ranks name
    place: int
    count: int  # experts
    first: int  # row of B at which the tensor's rows begin


def spread(
    changes: Mapping[str, Parts], shapes: Mapping[str, Shape], base: Mapping[str, Shape]
) -> tuple[dict[str, Parts], dict[str, Expert]]:
    """An adapter's changes by the names of a base on disk, and where each expert's part lies.

    shapes: of the adapter's keys. What fits nothing stays under its name, for others to refuse.
    """
    found: dict[str, Parts] = {}
    experts: dict[str, Expert] = {}
    layers = _layers(base)
    for name, parts in changes.items():
        wrapped = WRAPPED.fullmatch(name)
        stem = _renamed(wrapped[1], layers) if wrapped else None
        if wrapped is None or stem is None or not {"A", "B"} <= parts.keys():
            found[_renamed(name, base) or name] = parts
            continue
        own = _of_layer(wrapped[1], stem, layers[stem], (shapes[parts["A"]], shapes[parts["B"]]))
        if not own:
            found[name] = parts
        for tensor, expert in own.items():
            found[tensor], experts[tensor] = parts, expert
    return found, experts


def split_whole(
    changes: Mapping[str, Parts], entries: Mapping[str, Entry], base: Mapping[str, Shape]
) -> tuple[dict[str, Parts], dict[str, Entry]]:
    """Experts that learned as a whole (modules_to_save), by the names of a base on disk.

    entries: of the adapter's file; those of single experts are returned, by new keys.
    """
    found: dict[str, Parts] = {}
    single: dict[str, Entry] = {}
    layers = _layers(base)
    for name, parts in changes.items():
        together = TOGETHER.fullmatch(name)
        stem = _renamed(together[1], layers) if together else None
        namings = STACKED[together[2]] if together else ()
        naming = next((n for n in namings if stem and set(n) <= layers[stem].keys()), None)
        if stem is None or naming is None or "whole" not in parts:
            found[name] = parts
            continue
        for part in parts_of(entries[parts["whole"]], stem, naming):
            single[part.name] = part
            found[part.name] = {"whole": part.name}
    return found, single


def _of_layer(
    module: str, stem: str, layer: dict[str, list[Shape]], factors: tuple[Shape, Shape]
) -> dict[str, Expert]:
    """The tensors on disk that one pair of matrices changes, by the shapes of both."""
    (_, into), (out, _) = factors
    for parameter, namings in STACKED.items():
        for names in namings:
            parts = [layer[name] for name in names if name in layer]
            if len(parts) != len(names) or any(shape[1] != into for shape in parts[0]):
                continue
            if sum(shapes[0][0] for shapes in parts) != out:
                continue
            found, first = {}, 0
            for name, shapes in zip(names, parts, strict=True):
                for place in range(len(shapes)):
                    expert = Expert(f"{module}.{parameter}", place, len(shapes), first)
                    found[f"{stem}.{place}.{name}.weight"] = expert
                first += shapes[0][0]
            return found
    return {}


def _layers(base: Mapping[str, Shape]) -> dict[str, dict[str, list[Shape]]]:
    """The experts of each layer of a base: {"model.layers.0.mlp.experts": {part: shapes}}."""
    found: dict[str, dict[str, dict[int, Shape]]] = {}
    for name, shape in base.items():
        expert = re.fullmatch(r"(.*\.experts)\.(\d+)\.(\w+)\.weight", name)
        if expert and len(shape) == 2:
            found.setdefault(expert[1], {}).setdefault(expert[3], {})[int(expert[2])] = shape
    return {
        stem: {part: [shapes[place] for place in sorted(shapes)] for part, shapes in parts.items()}
        for stem, parts in found.items()
    }


def _renamed(name: str, there: Mapping[str, object]) -> str | None:
    """The name itself or as it is on disk, whichever is there."""
    names = [name, *(name.replace(ours, theirs) for ours, theirs in MODULES)]
    return next((each for each in names if each in there), None)
