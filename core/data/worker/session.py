"""The file that a data worker has open, and what is answered about single rows of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from core.data.analysis.analysis import Analysis
from core.data.analysis.job import Subject
from core.data.analysis.passes import sides_of, whole_length
from core.data.analysis.row_facts import SEVERITIES
from core.data.analysis.stats import spell
from core.data.edit.edits import EditedSource, Edits
from core.data.encode.encoder import EncodedRow, Encoder, walk_rows
from core.data.files.source import Source, begin_source
from core.data.recipe import Recipe
from core.data.report import row_fields
from core.data.shapes.detect import Detection, detect
from core.data.shapes.read import Reader
from core.data.shapes.sample_text import label_of, texts_of, turns_of
from core.errors import AfinaError
from core.pipe import Handler, Message, Request

STEP_ROWS = 32  # rows between two looks at who else wants to work
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
    mix: dict[str, float]
    detection: Detection
    recipe: Recipe
    reader: Reader | None  # None where the shape can't be trained on
    encoder: Encoder | None
    refusal: AfinaError | None
    survey: Analysis | None = None  # of its rows, as far as it has come
    surveying: threading.Lock = msgspec.field(default_factory=threading.Lock)  # one at a time
    edits: Edits | None = None  # what a person wants changed; None where that can't be read

    @property
    def shape(self) -> str:
        return self.reader.shape if self.reader else self.detection.shape

    @property
    def rows(self) -> Source:
        """The rows as they are to be, with the pending edits."""
        return self.source if self.edits is None else EditedSource(self.source, self.edits)

    def survey_of(self, row: int) -> Analysis | None:
        """What was found out about a row by comparing it; None for one that was edited since."""
        edited = self.edits is not None and row in self.edits.edited
        return None if edited else self.survey

    def ready(self) -> tuple[Source, Reader, Encoder | None]:
        """What reading rows as they are to be takes, and encoding them where there is a model.

        Raises the refusal for rows of no shape.
        """
        if self.reader is None:
            assert self.refusal is not None
            raise self.refusal
        return self.rows, self.reader, self.encoder

    def subject(self) -> Subject:
        """What a survey takes; raises the refusal where the rows can't even be read."""
        if self.reader is None:
            assert self.refusal is not None
            raise self.refusal
        return Subject(
            self.source, self.reader, self.encoder, self.recipe, self.detection.share, self.mix
        )


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
        mix = fields.get("mix") or {}
        with self.gate.foreground():
            source = self._source(fields["path"], mix, request)
            if not source.indexed:
                return {"kind": "cancelled"}
            detection = detect(source)
            recipe = msgspec.convert(fields["recipe"], Recipe)
            opened = Opened(source, mix, detection, recipe, None, None, None)
            with suppress(AfinaError):  # it is said as soon as an edit is asked for
                opened.edits = self._edits(source)
            try:
                opened.reader = recipe.reader(source, detection)
                opened.encoder = recipe.encoder()
            except AfinaError as error:
                opened.refusal = error
            self._opened = opened
        return {
            "kind": "opened",
            "path": str(source.path),
            "rows": len(source),
            "layout": source.layout,
            "files": [str(path) for path in source.files],
            "cached": source.cached,
            "shape": opened.shape,
            "share": detection.share,
            "sampled": detection.sampled,
            "keys": detection.keys,
            "model": _model(opened.encoder, recipe),
            "readable": opened.reader is not None,
            "refusal": _words_of(opened.refusal),
        }

    def _source(self, path: str, mix: dict[str, float], request: Request) -> Source:
        """The source of before where only the recipe is another; else a new one, indexed."""
        before = self._opened
        same = before is not None and (before.source.path, before.mix) == (Path(path), mix)
        if before is not None and same and not before.source.changed():
            return before.source
        source = begin_source(path, mix)
        source.index(
            lambda done, total: request.send("progress", done=done, total=total),
            request.cancelled.is_set,
        )
        return source

    def _edits(self, source: Source) -> Edits:
        """The pending edits of the source, those at hand where it is the one of before."""
        before = self._opened
        if before is not None and before.source is source and before.edits is not None:
            return before.edits
        return Edits.load(source)

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
                facts += [_facts(item, opened) for item in walk_rows(*opened.ready(), step)]
        return {"facts": facts}

    def show(self, request: Request) -> Message:
        """One row as the model sees it."""
        opened = self.current()
        row = request.fields["row"]
        if not 0 <= row < len(opened.source):
            raise AfinaError(f"There is no row {row + 1}: the file has {len(opened.source)}.")
        with self.gate.foreground():
            item = next(walk_rows(*opened.ready(), [row], segments=True))
            raw = opened.rows.raw(row).decode("utf-8", "replace")
        if (survey := opened.survey_of(row)) is not None:
            item.encoding.problems = survey.problems_of(row, item.encoding.problems)
        return {**row_fields(item), "index": row, "raw": raw}

    def is_open(self, opened: Opened) -> bool:
        """Whether it is still what the pane looks at."""
        return self._opened is opened

    def current(self) -> Opened:
        if self._opened is None:
            raise AfinaError("No file is open.")
        return self._opened


def _facts(item: EncodedRow, opened: Opened) -> dict[str, Any]:
    encoding, sample = item.encoding, item.sample
    index, sides = item.row.index, sides_of(encoding)
    survey, edits = opened.survey_of(index), opened.edits
    problems = list(dict.fromkeys(problem.check for problem in encoding.problems))
    severity = max((SEVERITIES.index(found.severity) for found in encoding.problems), default=0)
    if survey is not None:  # what was found by comparing rows
        problems += [name for name in survey.facts.checks_of(index) if name not in problems]
        severity = max(severity, int(survey.facts["severity"][index]))
    facts = {
        "index": index,
        "line": item.row.line,
        "turns": turns_of(sample),
        "tokens": whole_length(encoding),
        "supervised": sum(side.supervised_tokens for side in sides),
        "truncated": sum(side.truncated_tokens for side in sides),
        "problems": problems,
        "severity": SEVERITIES[severity],
        "first_words": _first_words(item),
    }
    if edits is not None and index in edits.edited:
        facts["edited"] = True
    label = label_of(sample)
    return facts if label is None else {**facts, "label": spell(label)}


def _first_words(item: EncodedRow) -> str:
    """How the row begins for a reader: the first turn by the user, the text, or what is broken."""
    said = texts_of(item.sample)
    if said:
        text = next((text for role, text in said if role == "user"), said[0][1])
    else:
        text = str(item.row.value or "") or next(
            (problem.found for problem in item.encoding.problems), ""
        )
    return " ".join(text[: 4 * _WORDS].split())[:_WORDS]


def _model(encoder: Encoder | None, recipe: Recipe) -> dict[str, Any] | None:
    if encoder is None:
        return None
    name = Path(recipe.chat_template).name if recipe.chat_template else "the model's own"
    tokenizer, template = encoder.tokenizer, encoder.template
    return {
        "vocab_size": tokenizer.vocab_size,
        "chat_template": template is not None,
        "template_name": "" if template is None else name,
        "generation_markers": template is not None and template.has_markers,
        "stop_tokens": [tokenizer.token_text(token) for token in sorted(tokenizer.stop_ids)],
    }


def _words_of(error: AfinaError | None) -> dict[str, str] | None:
    return None if error is None else {"message": error.message, "hint": error.hint}
