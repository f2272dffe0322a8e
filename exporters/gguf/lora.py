"""A LoRA as a GGUF adapter file, which llama.cpp lays over a GGUF of the base, whatever its type.

llama.cpp adds alpha / rank · B·A to a matrix, with one alpha in the file and the rank of each B
(src/llama-adapter.h). Other scales, rsLoRA's alpha / sqrt(rank) and patterns of alphas, become this
one by the alpha that is written, and by factors in B where modules differ. Values stay float32.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from core.errors import AfinaError
from core.runs.run import Run
from core.runs.target import Target
from exporters.contract import Progress
from exporters.gguf.prepare import Prepared, Tensor, prepare
from exporters.gguf.write import close
from exporters.weights.adapter import Adapter
from exporters.weights.merge import INPUT, OUTPUT, Merged

if TYPE_CHECKING:
    import numpy as np

LORA = "lora"  # the name of the type
DESCRIPTION = "The adapter alone, in f32: llama.cpp lays it over a GGUF of the base of any type."
MERGE = "Export the tuned model as a whole: --to gguf:q4_k_m, or another type."
ROWS = 4096  # of an embedding, that are compared at once
PER_TENSOR_BYTES = 96  # of the header: name, shape, place


class Pair(msgspec.Struct, frozen=True):
    """A tensor of the base, a matrix or those of all experts, and the two that change it."""

    tensor: Tensor
    parts: dict[str, str]  # of the adapter: its keys
    rank: int
    scale: float
    factor: float = 1.0  # on B, so that the file's one alpha gives this pair's scale

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of A and B in the file."""
        *experts, rows, columns = self.tensor.shape
        if "embedding A" in self.parts:  # rows are looked up in A: llama-graph.cpp, build_inp_embd
            return (rows, self.rank), (columns, self.rank)
        return (*experts, self.rank, columns), (*experts, rows, self.rank)


class Lora(msgspec.Struct, frozen=True):
    """A target's adapter, as it will stand in a file."""

    prepared: Prepared
    alpha: float
    pairs: list[Pair]

    @property
    def adapter(self) -> Adapter:
        assert self.prepared.merged.adapter is not None
        return self.prepared.merged.adapter

    @property
    def bytes(self) -> int:
        """Of the file, nearly."""
        values = sum(math.prod(shape) for pair in self.pairs for shape in pair.shapes)
        return values * 4 + 2 * len(self.pairs) * PER_TENSOR_BYTES + 512

    @property
    def note(self) -> str:
        return f"Goes with a GGUF of {base_name(self.prepared.target)}: {base_export(self)}."


def base_name(target: Target) -> str:
    """What the base of a target is called in the file; a run's base may lie in a cache."""
    word = Run(target.run).config.model.name_or_path if target.run else target.model
    return Path(word).name


def base_export(lora: Lora) -> str:
    """The command that writes a base for it."""
    target = lora.prepared.target
    word = f"{Path(target.run).name}@base" if target.run else target.model
    return f"`afina export {word} --to gguf:q4_k_m`"


def prepare_lora(prepared: Prepared) -> Lora:
    """Reads headers only. Raises AfinaError, with the reason, for an adapter that llama.cpp can't
    lay over a model.
    """
    adapter = prepared.merged.adapter
    if adapter is None:
        raise AfinaError(
            f'"{prepared.target.word}" has no adapter: it is a model of its own.', MERGE
        )
    _refuse(prepared, adapter)
    pairs = [_pair(adapter, t) for t in prepared.tensors if t.source in adapter.changes]
    alphas = Counter(round(pair.scale * pair.rank, 9) for pair in pairs if pair.scale)
    alpha = alphas.most_common(1)[0][0] if alphas else 1.0  # llama.cpp takes 0 for "no alpha"
    return Lora(prepared, alpha, [_under(pair, alpha) for pair in pairs])


def write_lora(lora: Lora, path: Path, progress: Progress) -> None:
    """Writes the file, a matrix at a time. Raises AfinaError for values that are no numbers."""
    import numpy as np
    from gguf import GGUFWriter

    target = lora.prepared.target
    writer = GGUFWriter(path, lora.prepared.family.architecture)
    try:
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", lora.alpha)
        writer.add_name(lora.prepared.name)
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, base_name(target))
        writer.add_file_type(0)  # all values are f32
        for pair in lora.pairs:
            for end, shape in zip("ab", pair.shapes, strict=True):
                name = f"{pair.tensor.name}.lora_{end}"
                size = math.prod(shape) * 4
                writer.add_tensor_info(name, shape, np.dtype(np.float32), size)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, pair in enumerate(lora.pairs):
            progress(pair.tensor.name, done, len(lora.pairs), "tensors")
            _check_base(lora, pair)
            for values in _matrices(lora, pair):
                writer.write_tensor_data(values)
        progress("adapter", len(lora.pairs), len(lora.pairs), "tensors")
    finally:
        close(writer)


def base_of(prepared: Prepared) -> Prepared:
    """The same model without its adapter, to lay the file over."""
    target = prepared.target
    return prepare(msgspec.structs.replace(target, adapter=None, label=base_name(target)))


def _pair(adapter: Adapter, tensor: Tensor) -> Pair:
    parts, expert = adapter.changes[tensor.source], adapter.experts.get(tensor.source)
    rank = adapter.weights.shape(parts.get("A") or parts["embedding A"])[0]
    if expert is not None:
        rank //= expert.count
    name = expert.parameter if expert else tensor.source
    return Pair(tensor, parts, rank, adapter.scale(name, rank))


def _under(pair: Pair, alpha: float) -> Pair:
    """The pair with the factor that it needs under the file's alpha."""
    factor = pair.scale * pair.rank / alpha
    exact = math.isclose(factor, 1.0, rel_tol=1e-9)
    return msgspec.structs.replace(pair, factor=1.0 if exact else factor)


def _matrices(lora: Lora, pair: Pair) -> Iterator[np.ndarray]:
    """A and B as llama.cpp wants them, float32. Raises AfinaError where they don't fit."""
    import numpy as np

    source, read = pair.tensor.source, lora.adapter.weights.read
    if "embedding A" in pair.parts:
        a, b = read(pair.parts["embedding A"]).T, read(pair.parts["embedding B"])
    else:
        a, b = read(pair.parts["A"]), read(pair.parts["B"])
        if len(pair.tensor.shape) == 3:
            a, b = _of_experts(lora.adapter, pair, a, b)
        else:  # B's rows are those of the base's matrix, in its order
            b = lora.prepared.family.convert(source, b, lora.prepared.merged.config)
    if pair.factor != 1.0:
        b = b * np.float32(pair.factor)
    for values, shape in zip((a, b), pair.shapes, strict=True):
        if values.shape != shape:
            raise AfinaError(
                f'The adapter "{lora.adapter.folder}" has the shape {values.shape} for '
                f'"{source}", where the base model needs {shape}.',
                "It was trained on another model: name that one.",
            )
        if not np.isfinite(values).all():
            raise AfinaError(
                f'The adapter of "{source}" holds a value that is not a number.',
                "The training diverged: export an earlier checkpoint (RUN@STEP).",
            )
        yield np.ascontiguousarray(values)


def _of_experts(
    adapter: Adapter, pair: Pair, a: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The matrices of each expert out of PEFT's for all, (experts, r, in) and (experts, out, r)."""
    import numpy as np

    ranks, outs = [], []
    for source in pair.tensor.sources:
        expert = adapter.experts[source]
        ranks.append(a[expert.place * pair.rank : (expert.place + 1) * pair.rank])
        rows = slice(expert.first, expert.first + pair.tensor.rows)
        outs.append(b[rows, expert.place :: expert.count])
    return np.stack(ranks), np.stack(outs)


def _check_base(lora: Lora, pair: Pair) -> None:
    """Raises AfinaError where the adapter carries other rows than the base has.

    PEFT saves them with every LoRA on embeddings, changed or not.
    """
    import numpy as np

    if "base" not in pair.parts:
        return
    own, base = lora.adapter.weights, lora.prepared.merged.base
    rows = base.shape(pair.tensor.source)[0]
    for start in range(0, rows, ROWS):
        stop = min(start + ROWS, rows)
        there = base.rows(pair.tensor.source, start, stop)
        if not np.array_equal(own.rows(pair.parts["base"], start, stop), there):
            raise AfinaError(
                f'The adapter "{lora.adapter.folder}" can\'t become a GGUF adapter: it has another '
                f'"{pair.tensor.source}" than the base, for new tokens or by training.',
                MERGE,
            )


def _refuse(prepared: Prepared, adapter: Adapter) -> None:
    """Raises AfinaError for what an adapter file has no place for."""
    merged = prepared.merged
    tied = Merged(merged.folder).tied
    tensors = {source: tensor for tensor in prepared.tensors for source in tensor.sources}
    for source, parts in adapter.changes.items():
        reason = _reason(source, parts, tied)
        own = merged.base.entries.get(source)
        if reason is None and own is not None and merged.shapes[source] != own.shape:
            reason = f'it has a resized "{source}", and the base has other rows'
        if reason is None and not _whole(adapter, tensors.get(source)):
            reason = f'it changes "{source}", which is no matrix of its own in a GGUF file'
        if reason is not None:
            raise AfinaError(
                f'The adapter "{adapter.folder}" can\'t become a GGUF adapter: {reason}.', MERGE
            )


def _whole(adapter: Adapter, tensor: Tensor | None) -> bool:
    """Whether a tensor is one matrix, or those of experts that one pair of matrices changes."""
    if tensor is None or len(tensor.sources) == 1:
        return tensor is not None and len(tensor.shape) == 2
    keys = adapter.changes[tensor.source] if tensor.source in adapter.experts else None
    return keys is not None and all(
        source in adapter.experts and adapter.changes[source] == keys for source in tensor.sources
    )


def _reason(source: str, parts: dict[str, str], tied: bool) -> str | None:
    if "factor" in parts:
        return "it is an IA3, and llama.cpp lays only LoRA over a model"
    if "magnitude" in parts:
        return "it is a DoRA, whose norms of whole weights llama.cpp doesn't compute"
    if "whole" in parts:
        what = "a trained bias" if source.endswith(".bias") else "trained as a whole"
        return f'it replaces "{source}" ({what}), and an adapter file holds only A and B'
    if tied and source in (INPUT, OUTPUT):
        # the file has one matrix for both; llama.cpp would lay the change over both or fail
        return f'it changes "{source}", and input and output share one matrix in this model'
    return None
