"""Whether what a run makes can be exported, said before the run. Loads no torch."""

from __future__ import annotations

import msgspec

from core.config import Config
from core.errors import AfinaError, FieldProblem
from core.hub import model_folder
from exporters.gguf.families import family_of

FIELD = "model.name_or_path"


def why_not(config: Config) -> FieldProblem | None:
    """A warning where the model's family can't become GGUF; None where it can, or isn't here yet.

    Chat and the plain result work for every family; what is lost is the way to llama.cpp.
    """
    if config.train.objective == "classification":
        return FieldProblem(
            FIELD,
            "A classifier can't become GGUF.",
            "Load it with transformers: AutoModelForSequenceClassification.",
            severity="warning",
        )
    try:
        folder = model_folder(config.model.name_or_path, config.model.revision)
        family_of(msgspec.json.decode((folder / "config.json").read_bytes(), type=dict))
    except (OSError, msgspec.DecodeError, KeyError):
        return None  # a config.json that says too little: other checks say so
    except AfinaError as error:
        if not config.model.name_or_path or "GGUF" not in error.message:
            return None
        return FieldProblem(FIELD, error.message, error.hint, severity="warning")
    return None
