"""What stands in a GGUF file before its first tensor: keys, values and where each tensor lies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.gguf.prepare import Prepared
from exporters.gguf.types import Type, tensor_bytes

if TYPE_CHECKING:
    from gguf import GGUFWriter

    from exporters.gguf.importance import Importance


def begin(
    prepared: Prepared,
    wanted: Type,
    path: Path,
    kinds: dict[str, str],
    importance: Importance | None = None,
) -> GGUFWriter:
    """A file at the place of its first tensor's data; `kinds` are the ggml types by GGUF name.

    importance: that it is quantized by, which the file tells as llama-quantize does.
    """
    from gguf import GGML_QUANT_VERSION, GGUFWriter

    writer = GGUFWriter(path, prepared.family.architecture)
    _add_values(writer, prepared, wanted)
    if wanted.quantized:
        writer.add_quantization_version(GGML_QUANT_VERSION)
    if importance is not None:
        writer.add_string("quantize.imatrix.dataset", importance.origin)
        writer.add_uint32("quantize.imatrix.entries_count", len(importance.columns))
        writer.add_uint32("quantize.imatrix.chunks_count", importance.texts)
    for name, shape in prepared.shapes.items():
        _add_info(writer, name, shape, kinds[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    return writer


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
    values = prepared.family.hyperparameters(prepared.merged.config)
    values["vocab_size"] = len(prepared.vocabulary.tokens)  # an adapter can bring rows with it
    for key, value in values.items():
        _add_value(writer, f"{prepared.family.architecture}.{key}", value)
    vocabulary, (eos, *others) = prepared.vocabulary, prepared.stops
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
    writer.add_eos_token_id(eos)  # llama.cpp has three places for what ends a generation
    for add, token in zip((writer.add_eot_token_id, writer.add_eom_token_id), others, strict=False):
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
