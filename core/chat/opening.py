"""How a talk with a run's models begins: under the system prompt that it was trained with."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from core.config import Config
from core.data.sample import Conversation, Judged, Preference
from core.data.shapes.detect import SHAPES, shape_of
from core.data.shapes.read import read_sample
from core.errors import AfinaError
from core.runs import Run
from core.targets import Target

MOST_BYTES = 1 << 20  # of a first row


def system_prompt_of(targets: Iterable[Target]) -> str:
    """What the rows of the first run among the targets begin with; empty when there is none."""
    for target in targets:
        if target.run is not None:
            try:
                return first_system_prompt(Run(target.run).config)
            except AfinaError:
                return ""
    return ""


def first_system_prompt(config: Config) -> str:
    """The system prompt of the first row that a run trains on; empty when there is none.

    Only the first line is read, so a file whose rows span lines has none for us.
    """
    try:
        with open(config.data.path, "rb") as file:
            value = msgspec.json.decode(file.readline(MOST_BYTES))
    except (OSError, msgspec.DecodeError):
        return ""
    if not isinstance(value, dict | list):
        return ""
    if config.data.prompt_template:
        return ""  # a text without roles
    shape = shape_of(value) if config.data.format == "auto" else config.data.format
    sample = read_sample(shape, value).sample if shape in SHAPES else None
    if isinstance(sample, Preference):
        sample = sample.chosen
    elif isinstance(sample, Judged):
        sample = sample.answer
    if not isinstance(sample, Conversation) or not sample.messages:
        return ""
    first = sample.messages[0]
    return str(first.get("content") or "") if first.get("role") == "system" else ""
