"""How a talk with a run's models begins: under the system prompt that it was trained with."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from core.config import Config
from core.data.files.hub import is_dataset_id
from core.data.files.source import begin_source
from core.data.recipe import Recipe
from core.data.sample import Conversation, Preference, UnpairedPreference
from core.errors import AfinaError
from core.runs.run import Run, runs_folder
from core.runs.target import Target

MOST_S = 1.0  # for the first row: somebody waits for the chat


def system_prompt_of(targets: Iterable[Target]) -> str:
    """What the rows of the first run among the targets begin with; empty when there is none."""
    for target in targets:
        if (run := _run_of(target)) is not None:
            try:
                return first_system_prompt(run.config)
            except AfinaError:
                return ""
    return ""


def _run_of(target: Target) -> Run | None:
    """The run that a target is, or was exported from: `<run>/exports/...`, or by the name of an
    adapter that lies beside others in `<home>/exports/...`.
    """
    if target.run is not None:
        return Run(target.run)
    for folder in Path(target.model).parents:
        if folder.name == "exports":
            found = [folder.parent]
            if target.adapter is not None:
                found.append(runs_folder(folder.parent) / Path(target.adapter).stem)
            return next((Run(each) for each in found if (each / "config.yaml").is_file()), None)
    return None


def first_system_prompt(config: Config) -> str:
    """The system prompt of the first row that a run trains on; empty when there is none.

    Only the first rows are looked for, and only in files of this machine.
    """
    data = config.data
    if data.prompt_template or is_dataset_id(data.path):
        return ""  # a text without roles; or nothing to be fetched for a greeting
    try:
        with begin_source(data.path) as source:
            late = time.monotonic() + MOST_S  # a packed file may have to be unpacked first
            source.index(cancelled=lambda: len(source) > 0 or time.monotonic() > late)
            if not len(source):
                return ""
            sample = Recipe.of(config).reader(source).read(source.row(0)).sample
    except AfinaError:
        return ""
    if isinstance(sample, Preference):
        sample = sample.chosen
    elif isinstance(sample, UnpairedPreference):
        sample = sample.answer
    if not isinstance(sample, Conversation) or not sample.messages:
        return ""
    first = sample.messages[0]
    return str(first.get("content") or "") if first.get("role") == "system" else ""
