"""The rows that a run is evaluated on, as an export is compared on them.

Each gives two things: the conversation before its last answer, which is asked, and its tokens as
training saw them, where both models say what they expect at every supervised one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from core.config import Config
from core.data.sample import Conversation, Preference, Sample, UnpairedPreference
from core.errors import AfinaError
from core.runs.run import Run
from core.runs.target import Target
from core.train.checkpoint import provenance
from exporters.parity.distributions import Passage

MOST_ROWS = 256  # that are looked at, spread over all of them
SEED = 5


class Question(msgspec.Struct, frozen=True):
    """A conversation that waits for an answer."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None


class Rows(msgspec.Struct):
    """What the rows of a run give, in an order of chance that is always the same."""

    questions: list[Question] = []
    passages: list[Passage] = []  # whole rows; the supervised tokens are their places
    missing: str = ""  # why a run gives none, a sentence


def rows_of(target: Target) -> Rows:
    """The rows of a target's run; none where it has no run, or other data by now.

    Of changed data other rows would be held out, among them some that were trained on.
    """
    if target.run is None:
        return Rows()
    run = Run(target.run)
    known = provenance.read(run.directory)
    try:
        if known is not None and provenance.data_of(run.config) != known.data:
            return Rows(missing="The data is not what the run was trained on any more.")
        return _read(target, run.config)
    except AfinaError as error:
        return Rows(missing=error.message)


def _read(target: Target, config: Config) -> Rows:
    from core.data.encode.encoder import walk_rows
    from core.data.files.source import open_source
    from core.data.recipe import Recipe
    from core.plan.layout import open_rows
    from core.train.loader.dataset import held_out_rows

    data = config.data
    recipe = msgspec.structs.replace(
        Recipe.of(config), model=target.model, revision=target.revision
    )
    with open_source(data.eval_path) if data.eval_path else open_rows(config) as source:
        reader, encoder = recipe.reader(source), recipe.encoder()
        indexes: Sequence[int] = range(len(source))
        if data.eval_path is None and data.eval_fraction > 0:
            indexes = held_out_rows(config, source, reader)
        wanted = random.Random(SEED).sample(list(indexes), min(len(indexes), MOST_ROWS))
        found = Rows()
        for row in walk_rows(source, reader, encoder, wanted):
            found.questions += _question(row.sample)
            supervised = row.encoding.supervised
            places = [place for place in range(1, len(supervised)) if supervised[place]]
            if places:
                found.passages.append(Passage(row.encoding.ids, places))
        return found


def _question(sample: Sample | None) -> list[Question]:
    """The conversation before its last answer, if it has one and something before it."""
    if isinstance(sample, Preference):
        sample = sample.chosen
    elif isinstance(sample, UnpairedPreference):
        sample = sample.answer
    if not isinstance(sample, Conversation):
        return []
    for place in range(len(sample.messages) - 1, 0, -1):
        if sample.messages[place]["role"] == "assistant":
            return [Question(sample.messages[:place], sample.tools)]
    return []
