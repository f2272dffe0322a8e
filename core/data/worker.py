"""The data worker: opens a file with a model's tokenizer and answers the Data pane.

Rows in requests and answers are indexes from 0; problems carry row numbers from 1.
`stats` and `check` run beside the others and give way to them.

open    {path, recipe: the fields of core.data.recipe.Recipe}
        -> {kind "opened", path, rows, layout, shape, share, sampled, model, refusal}
           model: {vocab_size, chat_template, generation_markers, stop_tokens} or null
           refusal: {message, hint} when rows can't be encoded (shape or model), else null
        on the way {kind "progress", done, total} in bytes
encode  {rows} -> {kind "done", facts: [{index, line, turns, tokens, supervised, truncated,
                   problems, severity, first_words}]}
show    {row} -> {kind "done", index, raw, ...} and all of core.data.report.row_fields; the pieces
        join to text[:cut_at]
stats   {} -> {kind "stats", ...} as they grow, {kind "done", ...}: TokenStats.snapshot()
check   {} -> {kind "problems", problems, done, total} ..., {kind "done", errors, warnings, rows}
"""

from __future__ import annotations

from core.data.session import Session
from core.data.survey.requests import Surveying
from core.pipe import serve


def main() -> int:
    """Serves until the app closes the pipe."""
    session = Session()
    surveying = Surveying(session)
    background = surveying.handlers()
    return serve({**session.handlers(), **background}, background)
