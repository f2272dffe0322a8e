"""What other programs read beside an ONNX graph: genai_config.json, tokenizer and chat template.

The builder's genai_config.json names the stop tokens of config.json and reserves memory for the
whole context; here they are the tuned model's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from core.data.encode.template import ChatTemplate
from core.data.encode.tokenizer import Tokenizer
from core.errors import AfinaError
from core.model_files.json_file import read_json
from core.model_files.onnx import ABOUT
from core.model_files.onnx import CONFIG as GENAI
from core.paths import write_atomic
from exporters.onnx.template import written_out
from exporters.onnx.tokenizer import for_genai
from exporters.weights.merge import Merged
from exporters.weights.model_files import CONFIG, TEMPLATE, TEMPLATES, TOKENIZER, write_companions

LONGEST = 8192  # tokens that memory is reserved for, unless a program asks for more
SEARCH = {  # of generation_config.json, with what transformers takes where it is silent
    "do_sample": False,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
}


class Companion(msgspec.Struct, frozen=True):
    """What is true of a model in every type."""

    merged: Merged
    tokenizer: Tokenizer
    template: ChatTemplate
    stops: tuple[int, ...]


def finish(folder: Path, model: Companion, type_name: str) -> None:
    """Puts in order what lies beside a finished graph."""
    _write_json(folder / GENAI, genai_config(read_json(folder, GENAI), model))
    write_companions(model.merged, folder, "f32")
    (folder / CONFIG).unlink()  # with it the folder would pass for one of transformers
    default = _write_templates(folder, model)
    _write_tokenizer(folder, model, default)
    _write_json(folder / ABOUT, {"type": type_name})


def genai_config(values: dict[str, Any], model: Companion) -> dict[str, Any]:
    """The builder's configuration with the tuned model's stop tokens, context and sampling."""
    if not values:
        raise AfinaError(
            f"onnxruntime-genai's builder wrote no {GENAI}.", "Look at the job's log.txt."
        )
    tokenizer, config = model.tokenizer, model.merged.config
    context = int(config.get("max_position_embeddings") or values["model"]["context_length"])
    ends = model.stops
    pad = tokenizer.pad_id if tokenizer.pad_id is not None else ends[0]
    # a number must stand there; nothing puts it before a text
    bos = tokenizer.bos_id if tokenizer.bos_id is not None else ends[0]
    generation = read_json(model.merged.folder, "generation_config.json")
    search = {name: generation.get(name) for name in SEARCH}
    search = {n: SEARCH[n] if value is None else value for n, value in search.items()}
    whole = values["model"] | {
        "bos_token_id": bos,
        "eos_token_id": list(ends),
        "pad_token_id": pad,
        "context_length": context,
    }
    return values | {
        "model": whole,
        "search": values["search"] | search | {"max_length": min(context, LONGEST)},
    }


def _write_templates(folder: Path, model: Companion) -> str | None:
    """The templates that were trained, in the words of other programs; returns the usual one."""
    has_bos = model.tokenizer.bos is not None
    texts = {name: written_out(text, has_bos) for name, text in model.template.sources.items()}
    default = texts.pop("default", None)
    if default is not None:
        write_atomic(folder / TEMPLATE, default)
    for path in (folder / TEMPLATES).glob("*.jinja"):
        path.unlink()
    for name, text in texts.items():
        (folder / TEMPLATES).mkdir(exist_ok=True)
        write_atomic(folder / TEMPLATES / f"{name}.jinja", text)
    return default


def _write_tokenizer(folder: Path, model: Companion, template: str | None) -> None:
    """tokenizer.json and its settings as onnxruntime-genai reads them."""
    settings, tokenizer = read_json(folder, TOKENIZER), read_json(folder, "tokenizer.json")
    before = msgspec.json.encode(tokenizer)
    for_genai(tokenizer, settings)
    if msgspec.json.encode(tokenizer) != before:
        write_atomic(folder / "tokenizer.json", msgspec.json.encode(tokenizer))
    length = model.merged.config.get("max_position_embeddings")
    if length:  # many say 10^30 here, which not every program can read
        settings["model_max_length"] = length
    if template is not None:
        settings["chat_template"] = template
    _write_json(folder / TOKENIZER, settings)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_atomic(path, msgspec.json.format(msgspec.json.encode(values)) + b"\n")
