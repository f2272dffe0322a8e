"""The group model: what is tuned."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from core.config.option import option


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base model."""

    name_or_path: Annotated[
        str,
        option("Folder of a model with safetensors weights, or a hub id where there is a network."),
    ] = ""
    revision: Annotated[str | None, option("Branch, tag or commit of a hub id.")] = None
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"],
        option(
            "Number type of the matrix products; auto measures what this device does well. "
            "Trained weights stay in float32."
        ),
    ] = "auto"
    continue_from: Annotated[
        str | None,
        option(
            "What goes on learning: a run, run@step (or @best), or the folder of an adapter. An "
            "adapter decides the base model, the kind of method, rank and targets; a fully tuned "
            "model is the base. The model's name may be left out."
        ),
    ] = None
