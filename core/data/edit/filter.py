"""Which rows of a file a filter lets through, for a new file: the language of the Data pane.

The filter is asked of the rows as the file has them, before edits; `edited` and `dropped` are those
that are pending.
"""

from __future__ import annotations

import msgspec

from core.data.edit.edits import Edits
from core.data.recipe import Recipe
from core.errors import AfinaError

_STEP_ROWS = 4096


def parse_filter(text: str, has_model: bool) -> bool:
    """Whether the filter needs the tokens of rows; raises AfinaError that names its column."""
    from core.data.analysis.query.evaluate import check, reads_tokens
    from core.data.analysis.query.grammar import parse

    tree = parse(text)
    check(tree)
    if reads_tokens(tree) and not has_model:
        raise AfinaError("The filter asks for tokens, so it needs a model.", "Add --model DIR.")
    return reads_tokens(tree)


def filter_rows(path: str, recipe: Recipe, text: str, edits: Edits | None = None) -> bytes:
    """One byte for each row of the file: 1 where the filter lets it through.

    Takes what an earlier survey of the file left in the cache. Raises AfinaError.
    """
    import numpy as np

    from core.data.analysis.checks import Inquiry, surveyed
    from core.data.analysis.query.context import QueryContext
    from core.data.analysis.query.evaluate import evaluate
    from core.data.analysis.query.grammar import parse

    if not parse_filter(text, bool(recipe.model)):
        recipe = msgspec.structs.replace(recipe, model="")
    tree = parse(text)
    with surveyed(path, recipe, Inquiry(cache=True)) as survey:
        edited, dropped = (edits.edited, edits.dropped) if edits else ((), ())
        ground = QueryContext(survey.subject, survey.facts, (), edited, dropped)
        steps = (
            np.arange(at, min(at + _STEP_ROWS, survey.rows), dtype="u4")
            for at in range(0, survey.rows, _STEP_ROWS)
        )
        return b"".join(evaluate(tree, rows, ground).astype("u1").tobytes() for rows in steps)
