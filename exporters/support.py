"""Whether what a run makes can be exported, said before the run. Loads no torch."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec

from core.config import Config
from core.data.encode.tokenizer import tokenizer_file
from core.errors import AfinaError, FieldProblem
from core.hub import model_folder
from exporters.gguf.converter import Refused
from exporters.gguf.families import family_of
from exporters.gguf.vocabulary import check_tokenizer


def why_not(config: Config) -> FieldProblem | None:
    """A warning where the model's family or its tokenizer can't become GGUF; None where they can,
    or where the model isn't here yet.

    Chat and the plain result work for every family; what is lost is the way to llama.cpp.
    """
    if config.train.objective == "classification":
        return FieldProblem(
            "train.objective",
            "A classifier can't become GGUF.",
            "Load it with transformers: AutoModelForSequenceClassification.",
            severity="warning",
        )
    if config.method.kind == "prompt":
        return FieldProblem(
            "method.kind",
            "A learned prompt changes no weight, so there is nothing to export.",
            "Chat with the run itself, or choose lora.",
            severity="warning",
        )
    if not config.model.name_or_path:
        return None
    try:
        reason = refusal(model_folder(config.model.name_or_path, config.model.revision))
    except AfinaError:
        return None  # there is no such model: other checks say so
    if reason is None:
        return None
    return FieldProblem("model.name_or_path", reason.message, reason.hint, severity="warning")


def refusal(folder: Path) -> Refused | None:
    """Why a model can't become GGUF by our own way: the words that an export says too."""
    try:
        files = (folder / "config.json", tokenizer_file(folder))
    except AfinaError:
        files = (folder / "config.json",)  # a family is known without its tokenizer
    try:
        return _refusal(folder, tuple((path, path.stat().st_mtime_ns) for path in files))
    except (OSError, msgspec.DecodeError, KeyError, AfinaError):
        return None  # files that say too little: other checks say so


@lru_cache(maxsize=16)  # forms ask at every key, and a tokenizer.json can have 20 MB
def _refusal(folder: Path, files: tuple[tuple[Path, int], ...]) -> Refused | None:
    try:
        family_of(msgspec.json.decode((folder / "config.json").read_bytes(), type=dict))
        if len(files) > 1:
            check_tokenizer(folder)
    except Refused as reason:
        return reason
    return None
