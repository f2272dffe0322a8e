"""Writing GGUF files in f32, f16 and bf16, several from one pass over the weights.

One merged tensor is in memory at a time. All tensor infos come first, then the data; nothing is
renamed here, and quantized types are made from such a file (quantize.py).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import AfinaError
from exporters.gguf.prepare import Prepared
from exporters.gguf.types import TYPES, Type, tensor_bytes

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFWriter

# (what, done, total, unit); may raise to end the work
Progress = Callable[[str, int, int, str], None]
LARGEST_F16 = 65504.0


def write_gguf(prepared: Prepared, outputs: dict[str, Path], progress: Progress) -> None:
    """Writes one file per type name in `outputs`. Raises AfinaError for weights that don't fit."""
    types = {name: TYPES[name] for name in outputs}
    extra = prepared.family.extra_tensors(prepared.merged.config)
    writers = {name: _begin(prepared, types[name], path, extra) for name, path in outputs.items()}
    try:
        total, done = sum(math.prod(t.shape) for t in prepared.tensors), 0
        for tensor in prepared.tensors:
            progress(tensor.name, done * 4, total * 4, "bytes")
            values = prepared.merged.read(tensor.source)
            values = prepared.family.convert(tensor.source, values, prepared.merged.config)
            _write_tensor(writers, types, tensor.name, values)
            done += values.size
        for values in extra.values():
            for writer in writers.values():
                writer.write_tensor_data(values)
        progress("weights", total * 4, total * 4, "bytes")
    finally:
        for writer in writers.values():
            _close(writer)


def _write_tensor(
    writers: dict[str, GGUFWriter], types: dict[str, Type], name: str, values: np.ndarray
) -> None:
    largest = float(max(values.max(), -values.min()))
    if not math.isfinite(largest):
        raise AfinaError(
            f'The tensor "{name}" holds a value that is not a number.',
            "The training diverged: export an earlier checkpoint (RUN@STEP).",
        )
    for key, writer in writers.items():
        kind = _kind(types[key], values.shape)
        if kind == "F16" and largest > LARGEST_F16:
            raise AfinaError(
                f'The tensor "{name}" holds {largest:g}, and f16 ends at {LARGEST_F16:g}.',
                "Export to bf16 or f32.",
            )
        writer.write_tensor_data(_encode(values, kind))


def _begin(
    prepared: Prepared, wanted: Type, path: Path, extra: dict[str, np.ndarray]
) -> GGUFWriter:
    """A file with its header, key values and tensor infos written."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, prepared.family.architecture)
    _add_values(writer, prepared, wanted)
    shapes = {tensor.name: tensor.shape for tensor in prepared.tensors}
    shapes |= {name: values.shape for name, values in extra.items()}
    for name, shape in shapes.items():
        _add_info(writer, name, shape, "F32" if name in extra else _kind(wanted, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    return writer


def _add_info(writer: GGUFWriter, name: str, shape: tuple[int, ...], kind: str) -> None:
    import numpy as np
    from gguf import GGMLQuantizationType

    size = tensor_bytes(shape, kind)
    if kind == "BF16":  # the writer wants the shape in bytes for what numpy has no type for
        shape = (*shape[:-1], shape[-1] * 2)
        raw = GGMLQuantizationType.BF16
        writer.add_tensor_info(name, shape, np.dtype(np.uint8), size, raw_dtype=raw)
    else:
        number = np.dtype(np.float16 if kind == "F16" else np.float32)
        writer.add_tensor_info(name, shape, number, size)


def _add_values(writer: GGUFWriter, prepared: Prepared, wanted: Type) -> None:
    writer.add_type("model")
    writer.add_name(prepared.name)
    writer.add_file_type(wanted.file_type)
    for key, value in prepared.family.hyperparameters(prepared.merged.config).items():
        _add_value(writer, f"{prepared.family.architecture}.{key}", value)
    vocabulary, stops = prepared.vocabulary, prepared.stops
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    if vocabulary.model == "llama":
        writer.add_token_scores(vocabulary.scores)
        writer.add_add_space_prefix(vocabulary.adds_space)
    else:
        writer.add_token_merges(vocabulary.merges)
    if vocabulary.unknown is not None:
        writer.add_unk_token_id(vocabulary.unknown)
    writer.add_eos_token_id(stops.eos)
    for add, token in zip(
        (writer.add_eot_token_id, writer.add_eom_token_id), stops.others, strict=False
    ):
        add(token)
    if vocabulary.bos is not None:
        writer.add_bos_token_id(vocabulary.bos)
    if vocabulary.pad is not None:
        writer.add_pad_token_id(vocabulary.pad)
    writer.add_add_bos_token(prepared.add_bos)
    writer.add_add_eos_token(False)
    writer.add_chat_template(
        [{"name": name, "template": text} for name, text in prepared.templates.items()]
    )


def _add_value(writer: GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    else:
        writer.add_float32(key, value)


def _kind(wanted: Type, shape: tuple[int, ...]) -> str:
    """llama.cpp wants what is not a matrix in F32."""
    return "F32" if len(shape) == 1 else wanted.weights


def _encode(values: np.ndarray, kind: str) -> np.ndarray:
    import numpy as np

    if kind == "BF16":
        from gguf import GGMLQuantizationType, quantize

        return quantize(values, GGMLQuantizationType.BF16)
    return values.astype(np.float16 if kind == "F16" else np.float32, copy=False)


def _close(writer: GGUFWriter) -> None:
    """Closes the file after its bytes have reached the disk."""
    for file in writer.fout or []:
        file.flush()
        os.fsync(file.fileno())
    writer.close()
