"""The data worker: opens a file with a model's tokenizer and answers the Data pane.

Rows in requests and answers are indexes from 0; problems carry row numbers from 1. The requests
marked * run beside the others and give way to them.

open    {path, mix?: {path: weight}, recipe: the fields of core.data.recipe.Recipe}
        -> {kind "opened", path, rows, layout, files, shape, share, sampled, keys, cached, model,
            readable, refusal}
           cached: the index came from the cache
           model: {vocab_size, chat_template, template_name, generation_markers, stop_tokens}
           or null
           readable: whether the rows have a shape; encode and show answer then, without tokens
           where there is no model
           refusal: {message, hint} when rows can't be encoded (shape or model), else null
        on the way {kind "progress", done, total} in bytes
encode  {rows} -> {kind "done", facts: [{index, line, turns, tokens, supervised, truncated,
                   problems, severity, first_words, label?}]}
show    {row} -> {kind "done", index, raw, ...} and all of core.data.report.row_fields; the pieces
        join to text[:cut_at]
survey* {near?: bool, eval_path?}: near duplicates are looked for in small files by default
           -> {kind "survey", phase: form|tokens|near, done, total, rows_per_s, errors, warnings,
               notes, counts: {check: rows}, stats: token_stats() or null} at most 5 times a second
           -> {kind "done", the same fields, cached, seconds}
           What is cancelled goes on where it was when it is asked for again.
problems {check?, start, limit} -> {kind "done", problems, total}: of those found so far
seek    {row, step: 1|-1, view?} -> {kind "done", row: index or null}
view*   {filter?, sort?, descending?, search?, regex?, marked?: [indexes]}
           -> {kind "view", file, count, done, total} as it grows,
              {kind "done", file, count, seconds}
           file: row indexes, native uint32, appended in order; a sorted view comes as a whole
statistics* {} -> {kind "done", ...}: whole_stats()
edit, editable, drop, pending, write*, split*: see core.data.worker.edit_requests
"""

from __future__ import annotations

from core.data.worker.analysis_requests import AnalysisRequests
from core.data.worker.edit_requests import EditRequests
from core.data.worker.session import Session
from core.pipe import serve


def main() -> int:
    """Serves until the app closes the pipe."""
    session = Session()
    surveying = AnalysisRequests(session)
    writing = EditRequests(session)
    background = {**surveying.background(), **writing.background()}
    try:
        handlers = {**session.handlers(), **surveying.handlers(), **writing.handlers()}
        return serve(handlers, background)
    finally:
        surveying.close()
