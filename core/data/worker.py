"""The data worker: opens a file with a model's tokenizer and answers the Data pane.

Rows in requests and answers are indexes from 0; problems carry row numbers from 1.
`stats` and `check` run beside the others and give way to them.

open    {path, model?, max_length?, supervise?, shape?, chat_template?}
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

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from core.data.checks import Checker
from core.data.encode import EncodedRow, Encoder, walk_rows
from core.data.problems import ERROR, NOTE, WARNING
from core.data.report import row_fields
from core.data.sample import Conversation, Text
from core.data.shapes import Detection, detect, named_shape, require_trainable
from core.data.source import Source
from core.errors import AfinaError
from core.pipe import Message, Request, serve

STEP_ROWS = 128  # rows between two looks at who else wants to work
SNAPSHOT_S = 0.2
_WORDS = 160  # characters of a row's first words


def main() -> int:
    """Serves until the app closes the pipe."""
    session = Session()
    handlers = {
        "open": session.open,
        "encode": session.encode,
        "show": session.show,
        "stats": session.stats,
        "check": session.check,
    }
    return serve(handlers, background=("stats", "check"))


class Gate:
    """One at a time, the foreground first: templates and their tracker are not for two threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting, self._busy = 0, False

    @contextmanager
    def foreground(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._busy)
            self._waiting, self._busy = self._waiting - 1, True
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def background(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._busy and not self._waiting)
            self._busy = True
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()


class Opened(msgspec.Struct):
    """A file with what is known about it; replaced as a whole by the next open."""

    source: Source
    detection: Detection
    shape: str
    encoder: Encoder | None
    refusal: AfinaError | None

    def ready(self) -> tuple[Source, str, Encoder]:
        if self.refusal is not None:
            raise self.refusal
        assert self.encoder is not None
        return self.source, self.shape, self.encoder


class Session:
    """The file that the pane looks at, and the answers about it."""

    def __init__(self) -> None:
        self._gate = Gate()
        self._opened: Opened | None = None

    def open(self, request: Request) -> Message:
        """Opens a file, tells its shape and loads the tokenizer."""
        fields = request.fields
        with self._gate.foreground():
            source = Source(fields["path"])
            source.index(
                lambda done, total: request.send("progress", done=done, total=total),
                request.cancelled.is_set,
            )
            if not source.indexed:
                return {"kind": "cancelled"}
            detection = detect(source)
            self._opened = opened = Opened(source, detection, detection.shape, None, None)
            try:
                shape = fields.get("shape")
                opened.shape = named_shape(shape) if shape else require_trainable(detection)
                opened.encoder = _encoder(fields)
            except AfinaError as error:
                opened.refusal = error
        return {
            "kind": "opened",
            "path": str(source.path),
            "rows": len(source),
            "layout": source.layout,
            "shape": opened.shape,
            "share": detection.share,
            "sampled": detection.sampled,
            "model": _model(opened.encoder),
            "refusal": _words_of(opened.refusal),
        }

    def encode(self, request: Request) -> Message:
        """Facts about some rows."""
        opened = self._current()
        rows = [row for row in request.fields["rows"] if 0 <= row < len(opened.source)]
        facts: list[dict[str, Any]] = []
        for start in range(0, len(rows), STEP_ROWS):
            if request.cancelled.is_set():
                return {"kind": "cancelled"}
            with self._gate.foreground():
                step = rows[start : start + STEP_ROWS]
                facts += [_facts(item) for item in walk_rows(*opened.ready(), step)]
        return {"facts": facts}

    def show(self, request: Request) -> Message:
        """One row as the model sees it."""
        opened = self._current()
        row = request.fields["row"]
        if not 0 <= row < len(opened.source):
            raise AfinaError(f"There is no row {row + 1}: the file has {len(opened.source)}.")
        with self._gate.foreground():
            item = next(walk_rows(*opened.ready(), [row], segments=True))
            raw = opened.source.raw(row).decode("utf-8", "replace")
        return {**row_fields(item), "index": row, "raw": raw}

    def stats(self, request: Request) -> Message:
        """Token statistics over all rows, growing."""
        from core.data.stats import TokenStats

        stats = TokenStats()
        last = time.monotonic()
        for step in self._steps(request):
            for item in step:
                stats.add(item.encoding)
            if time.monotonic() - last >= SNAPSHOT_S:
                request.send("stats", **stats.snapshot())
                last = time.monotonic()
        return {"kind": "cancelled"} if request.cancelled.is_set() else stats.snapshot()

    def check(self, request: Request) -> Message:
        """The problems of all rows, as they are found."""
        checker, counts = Checker(), Counter()
        total = len(self._current().source)
        for step in self._steps(request):
            found = [problem for item in step for problem in checker.see(item)]
            counts.update(problem.severity for problem in found)
            request.send("problems", problems=found, done=checker.rows, total=total)
        if request.cancelled.is_set():
            return {"kind": "cancelled"}
        last = checker.finish()
        counts.update(problem.severity for problem in last)
        request.send("problems", problems=last, done=total, total=total)
        return {"errors": counts[ERROR], "warnings": counts[WARNING], "rows": total}

    def _steps(self, request: Request) -> Iterator[list[EncodedRow]]:
        """All rows, a step at a time, until the request is cancelled."""
        opened = self._current()
        source, shape, encoder = opened.ready()
        for start in range(0, len(source), STEP_ROWS):
            if request.cancelled.is_set():
                return
            rows = range(start, min(start + STEP_ROWS, len(source)))
            with self._gate.background():
                step = list(walk_rows(source, shape, encoder, rows))
            yield step

    def _current(self) -> Opened:
        if self._opened is None:
            raise AfinaError("No file is open.")
        return self._opened


def _facts(item: EncodedRow) -> dict[str, Any]:
    encoding, sample = item.encoding, item.sample
    severities = {problem.severity for problem in encoding.problems}
    worst = next((name for name in (ERROR, WARNING, NOTE) if name in severities), "")
    return {
        "index": item.row.index,
        "line": item.row.line,
        "turns": len(sample.messages) if isinstance(sample, Conversation) else int(bool(sample)),
        "tokens": len(encoding.ids) + encoding.truncated_tokens,
        "supervised": encoding.supervised_tokens,
        "truncated": encoding.truncated_tokens,
        "problems": list(dict.fromkeys(problem.check for problem in encoding.problems)),
        "severity": worst,
        "first_words": _first_words(item),
    }


def _first_words(item: EncodedRow) -> str:
    """How the row begins for a reader: the first turn by the user, the text, or what is broken."""
    sample = item.sample
    if isinstance(sample, Text):
        text = sample.text
    elif isinstance(sample, Conversation):
        spoken = [message["content"] for message in sample.messages if message["role"] == "user"]
        text = next(iter(spoken), sample.messages[0]["content"])
    else:
        text = str(item.row.value or "") or next(
            (problem.found for problem in item.encoding.problems), ""
        )
    return " ".join(text[: 4 * _WORDS].split())[:_WORDS]


def _encoder(fields: dict[str, Any]) -> Encoder:
    if not fields.get("model"):
        raise AfinaError("No model is chosen, so rows can't be encoded.", "Choose a base model.")
    return Encoder.load(
        fields["model"],
        fields.get("max_length"),
        fields.get("supervise") or "assistant",
        fields.get("chat_template"),
    )


def _model(encoder: Encoder | None) -> dict[str, Any] | None:
    if encoder is None:
        return None
    tokenizer, template = encoder.tokenizer, encoder.template
    return {
        "vocab_size": tokenizer.vocab_size,
        "chat_template": template is not None,
        "generation_markers": template is not None and template.has_markers,
        "stop_tokens": [tokenizer.token_text(token) for token in sorted(tokenizer.stop_ids)],
    }


def _words_of(error: AfinaError | None) -> dict[str, str] | None:
    return None if error is None else {"message": error.message, "hint": error.hint}
