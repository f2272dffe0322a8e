"""The groups around the training: what is saved and measured on the way, and where it runs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from core.config.option import Count, Minutes, option


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the whole state is saved."""

    every_steps: Annotated[int, option("Save each so many steps.", unit="steps", ge=1)] = 200
    every_minutes: Annotated[
        Minutes | None,
        option("Save also when this long has passed since the last.", unit="min"),
    ] = 15.0
    keep: Annotated[
        int,
        option("Checkpoints kept; the newest and the best are never deleted.", ge=1),
    ] = 3
    early_stopping_patience: Annotated[
        Count | None,
        option("End after so many evaluations without a better eval loss.", unit="evaluations"),
    ] = None


class Eval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is measured on the way."""

    every_steps: Annotated[int, option("Evaluate each so many steps.", unit="steps", ge=1)] = 100
    watch_prompts: Annotated[
        list[str],
        option(
            "Questions that the model answers at each evaluation, under the system prompt that "
            "most of the rows share."
        ),
    ] = []
    max_new_tokens: Annotated[
        int, option("Longest answer to a watch prompt.", unit="tokens", ge=1)
    ] = 96


class Launch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where it runs."""

    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        option("auto takes the GPU when torch sees one."),
    ] = "auto"
