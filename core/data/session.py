"""The file that a data worker has open, and what is answered about single rows of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from core.data.encode.encoder import EncodedRow, Encoder, walk_rows
from core.data.files.source import Source, begin_source
from core.data.problems import ERROR, NOTE, WARNING
from core.data.recipe import Recipe
from core.data.report import row_fields
from core.data.sample import Conversation, Text
from core.data.shapes.detect import Detection, detect
from core.data.shapes.read import Reader
from core.errors import AfinaError
from core.pipe import Handler, Message, Request

STEP_ROWS = 128  # rows between two looks at who else wants to work
_WORDS = 160  # characters of a row's first words


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
    recipe: Recipe
    reader: Reader | None  # None where the shape can't be trained on
    encoder: Encoder | None
    refusal: AfinaError | None

    @property
    def shape(self) -> str:
        return self.reader.shape if self.reader else self.detection.shape

    def ready(self) -> tuple[Source, Reader, Encoder]:
        """What encoding takes; raises the refusal where it is not there."""
        if self.refusal is not None:
            raise self.refusal
        assert self.encoder is not None and self.reader is not None
        return self.source, self.reader, self.encoder


class Session:
    """The file that the pane looks at, and the answers about it."""

    def __init__(self) -> None:
        self.gate = Gate()
        self._opened: Opened | None = None

    def handlers(self) -> Mapping[str, Handler]:
        return {"open": self.open, "encode": self.encode, "show": self.show}

    def open(self, request: Request) -> Message:
        """Opens a file, tells its shape and loads the tokenizer."""
        fields = request.fields
        with self.gate.foreground():
            source = begin_source(fields["path"])
            source.index(
                lambda done, total: request.send("progress", done=done, total=total),
                request.cancelled.is_set,
            )
            if not source.indexed:
                return {"kind": "cancelled"}
            detection = detect(source)
            recipe = msgspec.convert(fields["recipe"], Recipe)
            self._opened = opened = Opened(source, detection, recipe, None, None, None)
            try:
                opened.reader = recipe.reader(source, detection)
                opened.encoder = recipe.encoder()
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
        opened = self.current()
        rows = [row for row in request.fields["rows"] if 0 <= row < len(opened.source)]
        facts: list[dict[str, Any]] = []
        for start in range(0, len(rows), STEP_ROWS):
            if request.cancelled.is_set():
                return {"kind": "cancelled"}
            with self.gate.foreground():
                step = rows[start : start + STEP_ROWS]
                facts += [_facts(item) for item in walk_rows(*opened.ready(), step)]
        return {"facts": facts}

    def show(self, request: Request) -> Message:
        """One row as the model sees it."""
        opened = self.current()
        row = request.fields["row"]
        if not 0 <= row < len(opened.source):
            raise AfinaError(f"There is no row {row + 1}: the file has {len(opened.source)}.")
        with self.gate.foreground():
            item = next(walk_rows(*opened.ready(), [row], segments=True))
            raw = opened.source.raw(row).decode("utf-8", "replace")
        return {**row_fields(item), "index": row, "raw": raw}

    def current(self) -> Opened:
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
