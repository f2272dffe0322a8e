"""Writing a merged model as safetensors, in one file or in shards, one tensor at a time.

The header of a file is known from names and shapes before a weight is read, so neither a shard nor
a whole tensor is in memory, but some rows in float32 and what they become. The same tensors give
the same bytes. What a folder needs beside weights is in companions.py.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from core.environment import usable_cores
from core.errors import AfinaError
from core.paths import sync_folder, write_atomic
from exporters.weights.merge import Merged
from exporters.weights.model_files import write_companions
from exporters.weights.prefetch import AHEAD, in_order
from exporters.weights.safetensors_reader import INDEX, SINGLE

if TYPE_CHECKING:
    import numpy as np

SHARD_BYTES = 5 * 10**9  # of tensors in one file: what hubs and transfers like
BLOCK_VALUES = 2**20  # of a block
ALIGNMENT = 8  # of the data, by the format

DTYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16"}  # our names and safetensors' own
BYTES = {"f32": 4, "f16": 2, "bf16": 2}  # of one value
# The largest value of each type; the next one would round to infinity.
LARGEST = {"f32": math.inf, "f16": 65504.0, "bf16": 3.3895313892515355e38}
OTHERS = {"f16": "bf16 or f32", "bf16": "f32"}  # types with a wider range

Shapes = Mapping[str, tuple[int, ...]]
OnBytes = Callable[[str, int, int], None]  # a tensor's name, bytes behind us, bytes in all


class Shard(msgspec.Struct, frozen=True):
    """One file to be written and the tensors in it, in their order."""

    name: str
    tensors: tuple[str, ...]


class Block(NamedTuple):
    """Rows of a tensor that are merged, rounded and written together."""

    name: str
    rows: slice | None  # None: all of it


def write_model_folder(
    merged: Merged,
    folder: Path,
    dtype: str = "bf16",
    on_bytes: OnBytes = lambda name, done, total: None,
    chat_template: str | None = None,
    threads: int | None = None,
) -> None:
    """Writes a folder that transformers and converters load: weights, config, tokenizer, template.

    dtype: "f32", "f16" or "bf16". `on_bytes` is called several times a second, and what it raises
    ends the work. `chat_template` is a Jinja file or built-in name in place of the model's own
    template. threads: all cores by default. Raises AfinaError for weights that don't fit the type.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(merged, folder, dtype, on_bytes, threads=threads)
    write_companions(merged, folder, dtype, chat_template)
    sync_folder(folder)


def write_weights(
    merged: Merged,
    folder: Path,
    dtype: str,
    on_bytes: OnBytes = lambda name, done, total: None,
    shard_bytes: int = SHARD_BYTES,
    threads: int | None = None,
) -> None:
    """Writes the safetensors files and, for more than one, their index; on all cores by default."""
    found = shards(merged.shapes, dtype, shard_bytes)
    total, done, at = weights_bytes(merged.shapes, dtype), 0, ""
    blocks = [block for name in merged.shapes for block in _blocks(merged, name)]
    made = in_order(
        (partial(_make, merged, block, dtype) for block in blocks),
        threads or usable_cores(),
        lambda: on_bytes(at, done, total),
    )
    with closing(made):
        left = iter(blocks)
        for shard in found:
            with open(folder / shard.name, "wb") as file:
                file.write(header({name: merged.shapes[name] for name in shard.tensors}, dtype))
                end = done + weights_bytes({n: merged.shapes[n] for n in shard.tensors}, dtype)
                while done < end:
                    at = next(left).name
                    done += file.write(next(made).data)
                file.flush()
                os.fsync(file.fileno())
    if len(found) > 1:
        write_atomic(folder / INDEX, _index(found, merged.shapes, dtype))
    on_bytes("weights", done, total)


def shards(shapes: Shapes, dtype: str, limit: int = SHARD_BYTES) -> list[Shard]:
    """The files of a model: filled in order up to `limit` bytes; a larger tensor has its own."""
    groups: list[list[str]] = [[]]
    filled = 0
    for name, shape in shapes.items():
        size = math.prod(shape) * BYTES[dtype]
        if groups[-1] and filled + size > limit:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += size
    if len(groups) == 1:
        return [Shard(SINGLE, tuple(groups[0]))]
    return [
        Shard(f"model-{place:05d}-of-{len(groups):05d}.safetensors", tuple(names))
        for place, names in enumerate(groups, 1)
    ]


def weights_bytes(shapes: Shapes, dtype: str) -> int:
    """Of all tensors, without headers."""
    return sum(math.prod(shape) for shape in shapes.values()) * BYTES[dtype]


def memory_bytes(merged: Merged) -> int:
    """What the blocks at work and those that wait take at most."""
    largest = max(
        BLOCK_VALUES if merged.divisible(name) else math.prod(shape)
        for name, shape in merged.shapes.items()
    )
    # the stored bytes, float32 of them and the delta, then the result
    threads = usable_cores()
    return largest * (threads * 12 + (threads + AHEAD) * 4)


def header(shapes: Shapes, dtype: str) -> bytes:
    """The length and the JSON that a file of these tensors begins with, filled to the alignment."""
    values: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, shape in shapes.items():
        stop = start + math.prod(shape) * BYTES[dtype]
        values[name] = {"dtype": DTYPES[dtype], "shape": shape, "data_offsets": [start, stop]}
        start = stop
    text = msgspec.json.encode(values)
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Finite float32 values rounded to nearest, ties to even, as the upper halves: uint16."""
    import numpy as np

    bits = values.view(np.uint32)
    rounded = bits >> 16
    rounded &= 1
    rounded += bits
    rounded += 0x7FFF
    rounded >>= 16
    return rounded.astype(np.uint16)


def _blocks(merged: Merged, name: str) -> Iterator[Block]:
    """A tensor in pieces of some rows, or whole where its rows can't be merged apart."""
    shape = merged.shapes[name]
    size = math.prod(shape)
    if not size:
        return
    if not shape or not merged.divisible(name):
        yield Block(name, None)
        return
    step = max(1, BLOCK_VALUES * shape[0] // size)
    for start in range(0, shape[0], step):
        yield Block(name, slice(start, min(start + step, shape[0])))


def _make(merged: Merged, block: Block, dtype: str) -> np.ndarray:
    """The bytes of a block in a type, uint8. Raises AfinaError for values that don't fit."""
    if block.rows is None:
        values = merged.read(block.name)
    else:
        values = merged.rows(block.name, block.rows.start, block.rows.stop)
    _check_range(block.name, values, dtype)
    return _encode(values.reshape(-1), dtype)


def _encode(block: np.ndarray, dtype: str) -> np.ndarray:
    """The bytes of float32 values in a type, uint8."""
    import numpy as np

    values = to_bfloat16(block) if dtype == "bf16" else block
    return values.astype({"f32": "<f4", "f16": "<f2", "bf16": "<u2"}[dtype]).view(np.uint8)


def _check_range(name: str, block: np.ndarray, dtype: str) -> None:
    largest = float(max(block.max(), -block.min()))  # not a number, if one is in there
    if not math.isfinite(largest):
        raise AfinaError(
            f'The tensor "{name}" holds a value that is not a number.',
            "The training diverged: export an earlier checkpoint (RUN@STEP).",
        )
    if largest > LARGEST[dtype]:
        raise AfinaError(
            f'The tensor "{name}" holds {largest:g}, and {dtype} ends at {LARGEST[dtype]:g}.',
            f"Export to {OTHERS[dtype]}.",
        )


def _index(found: list[Shard], shapes: Shapes, dtype: str) -> bytes:
    """The index of a sharded model, in transformers' form."""
    places = {name: shard.name for shard in found for name in shard.tensors}
    values = {
        "metadata": {
            "total_parameters": sum(math.prod(shape) for shape in shapes.values()),
            "total_size": weights_bytes(shapes, dtype),
        },
        "weight_map": dict(sorted(places.items())),
    }
    return msgspec.json.format(msgspec.json.encode(values)) + b"\n"
