"""What a model's folder needs beside weights: settings, tokenizer, chat template, licence.

Copied from the base as they are, but for what is no longer true of the merged model and what is
nobody's business: paths of this machine. No code: a model that needs its own is not one of ours.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec

from core.data.encode.template import template_text
from core.data.encode.tokenizer import tokenizer_values
from core.model_files.json_file import require_json
from core.paths import write_atomic
from exporters.weights.merge import INPUT, Merged

CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer_config.json"
TEMPLATE, TEMPLATES = "chat_template.jinja", "additional_chat_templates"
SETTINGS = (GENERATION, TOKENIZER, "special_tokens_map.json", "added_tokens.json")
TOKENIZER_FILE = "tokenizer.json"
COPIED = (
    TOKENIZER_FILE,
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "LICENSE*",
    "NOTICE*",
    "USE_POLICY*",
)
NAMES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}  # transformers' own
# Where the files lay when somebody saved them, and which Python files to run when they are loaded.
DROPPED = (
    "_name_or_path",
    "name_or_path",
    "_commit_hash",
    "tokenizer_file",
    "vocab_file",
    "merges_file",
    "special_tokens_map_file",
    "auto_map",
    "custom_generate",
)


def write_companions(
    merged: Merged, folder: Path, dtype: str, chat_template: str | None = None
) -> None:
    """Writes everything but the weights; `chat_template` replaces the model's own template."""
    base = merged.folder
    _write(folder / CONFIG, config_of(merged, dtype))
    for name in SETTINGS:
        if (base / name).is_file():
            _copy_settings(base / name, folder / name)
    for pattern in COPIED:
        for path in sorted(base.glob(pattern)):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
    if not (base / TOKENIZER_FILE).is_file():  # a tokenizer.model alone, as training read it
        _write(folder / TOKENIZER_FILE, tokenizer_values(base))
    if chat_template is None:
        _copy_templates(base, folder)
    else:
        _replace_template(folder, template_text(chat_template))


def companions_bytes(base: Path) -> int:
    """Nearly, of what is copied."""
    patterns = (CONFIG, *SETTINGS, *COPIED, TEMPLATE, f"{TEMPLATES}/*.jinja")
    paths = {path for pattern in patterns for path in base.glob(pattern)}
    return sum(path.stat().st_size for path in paths if path.is_file())


def config_of(merged: Merged, dtype: str) -> dict[str, Any]:
    """The base's config.json as it is true of the merged weights."""
    values = _typed(_cleaned(merged.config), NAMES[dtype])
    values.setdefault("dtype", NAMES[dtype])
    values["tie_word_embeddings"] = merged.tied
    if INPUT in merged.shapes:
        values["vocab_size"] = merged.shapes[INPUT][0]
    return values


def _typed(values: dict[str, Any], name: str) -> dict[str, Any]:
    """The settings with the number type of the weights, inner settings too."""
    found = {}
    for key, value in values.items():
        if key in ("dtype", "torch_dtype"):
            found["dtype"] = name
        else:
            found[key] = _typed(value, name) if isinstance(value, dict) else value
    return found


def _cleaned(values: dict[str, Any]) -> dict[str, Any]:
    """The settings without what is in DROPPED, inner settings too."""
    return {
        key: _cleaned(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if key not in DROPPED
    }


def _copy_settings(source: Path, target: Path) -> None:
    """Byte by byte where there is nothing to leave out."""
    values = require_json(source)
    cleaned = _cleaned(values)
    if cleaned == values:
        shutil.copyfile(source, target)
    else:
        _write(target, cleaned)


def _copy_templates(base: Path, folder: Path) -> None:
    """Those in files; the ones in tokenizer_config.json came with it."""
    if (base / TEMPLATE).is_file():
        shutil.copyfile(base / TEMPLATE, folder / TEMPLATE)
    named = sorted((base / TEMPLATES).glob("*.jinja"))
    if named:
        (folder / TEMPLATES).mkdir(exist_ok=True)
        for path in named:
            shutil.copyfile(path, folder / TEMPLATES / path.name)


def _replace_template(folder: Path, text: str) -> None:
    """One template, and no other one left that a program could find first."""
    write_atomic(folder / TEMPLATE, text)
    path = folder / TOKENIZER
    if path.is_file():
        values = require_json(path)
        if values.pop("chat_template", None) is not None:
            _write(path, values)


def _write(path: Path, values: dict[str, Any]) -> None:
    write_atomic(path, msgspec.json.format(msgspec.json.encode(values)) + b"\n")
