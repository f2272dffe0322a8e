"""Writing GGUF files, several types from one pass over the weights.

One merged tensor is in memory at a time, with its bytes in one type. All tensor infos come first,
then the data; nothing is renamed here.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from core.errors import AfinaError
from exporters.exporter import Progress
from exporters.gguf.prepare import Prepared
from exporters.gguf.quantize import Quantizer
from exporters.gguf.types import TYPES, Type, tensor_bytes

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFWriter

LARGEST_F16 = 65504.0


def write_gguf(prepared: Prepared, outputs: dict[str, Path], progress: Progress) -> None:
    """Writes one file per type name in `outputs`. Raises AfinaError for weights that don't fit."""
    extra = prepared.family.extra_tensors(prepared.merged.config)
    files = [_begin(prepared, TYPES[name], path, extra) for name, path in outputs.items()]
    total, done = sum(math.prod(t.shape) for t in prepared.tensors), 0
    at = ""

    def check() -> None:
        progress(at, done * 4, total * 4, "bytes")

    try:
        with Quantizer(check) as quantizer:
            for tensor in prepared.tensors:
                at = tensor.name
                check()
                values = prepared.merged.read(tensor.source)
                values = prepared.family.convert(tensor.source, values, prepared.merged.config)
                _write_tensor(files, tensor.name, values, quantizer)
                done += values.size
        for values in extra.values():
            for file in files:
                file.writer.write_tensor_data(values)
        progress("weights", total * 4, total * 4, "bytes")
    finally:
        for file in files:
            close(file.writer)


class _File(NamedTuple):
    """An open file and the ggml type of each of its tensors."""

    writer: GGUFWriter
    kinds: dict[str, str]


def _write_tensor(files: list[_File], name: str, values: np.ndarray, quantizer: Quantizer) -> None:
    largest = float(max(values.max(), -values.min()))
    if not math.isfinite(largest):
        raise AfinaError(
            f'The tensor "{name}" holds a value that is not a number.',
            "The training diverged: export an earlier checkpoint (RUN@STEP).",
        )
    for kind in dict.fromkeys(file.kinds[name] for file in files):
        if kind == "F16" and largest > LARGEST_F16:
            raise AfinaError(
                f'The tensor "{name}" holds {largest:g}, and f16 ends at {LARGEST_F16:g}.',
                "Export to bf16 or f32.",
            )
        encoded = _encode(values, kind, quantizer)
        for file in files:
            if file.kinds[name] == kind:
                file.writer.write_tensor_data(encoded)


def _begin(prepared: Prepared, wanted: Type, path: Path, extra: dict[str, np.ndarray]) -> _File:
    """A file with its header, key values and tensor infos written."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, prepared.family.architecture)
    _add_values(writer, prepared, wanted)
    kinds = prepared.kinds(wanted)
    for name, shape in prepared.shapes.items():
        _add_info(writer, name, shape, kinds[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    return _File(writer, kinds)


def _add_info(writer: GGUFWriter, name: str, shape: tuple[int, ...], kind: str) -> None:
    import numpy as np
    from gguf import GGMLQuantizationType

    size = tensor_bytes(shape, kind)
    if kind in ("F16", "F32"):
        number = np.dtype(np.float16 if kind == "F16" else np.float32)
        writer.add_tensor_info(name, shape, number, size)
    else:  # the writer wants the shape in bytes for what numpy has no type for
        shape = (*shape[:-1], tensor_bytes(shape[-1:], kind))
        raw = GGMLQuantizationType[kind]
        writer.add_tensor_info(name, shape, np.dtype(np.uint8), size, raw_dtype=raw)


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


def _encode(values: np.ndarray, kind: str, quantizer: Quantizer) -> np.ndarray:
    import numpy as np

    if kind in ("F16", "F32"):
        return values.astype(np.float16 if kind == "F16" else np.float32, copy=False)
    if kind == "BF16":
        from gguf import GGMLQuantizationType, quantize

        return quantize(values, GGMLQuantizationType.BF16)
    return quantizer.encode(values, kind)


def close(writer: GGUFWriter) -> None:
    """Closes the file after its bytes have reached the disk."""
    for file in writer.fout or []:
        file.flush()
        os.fsync(file.fileno())
    writer.close()
