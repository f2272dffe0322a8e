"""From a sample to what the model sees: token ids, which of them are learned, and their text.

The pane and `data show` draw an Encoding, the trainer learns from the same one. Packing and batches
come after it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from core.data.encode.learning import learning_problems, template_problem
from core.data.encode.mask import (
    Span,
    find_answers,
    find_segments,
    learned_messages,
    rewriting_problem,
    supervise_answers,
    supervise_tokens,
)
from core.data.encode.template import ChatTemplate, TemplateRefusal
from core.data.encode.tokenizer import Tokenizer, TokenSpans
from core.data.files.source import Row, Source
from core.data.problems import RowProblem
from core.data.sample import (
    Conversation,
    Judged,
    Labelled,
    Message,
    Preference,
    Sample,
    Text,
    Tokens,
)
from core.data.shapes.read import Reader
from core.errors import AfinaError, nearest

SUPERVISE = ("assistant", "last_assistant", "completion", "all")
IGNORED = -100  # the label that PyTorch's cross entropy leaves out
BATCH_ROWS = 64
Side = Conversation | Text


class Encoding(msgspec.Struct):
    """A row as the model sees it; ids, supervised and offsets are at most max_length long.

    Of a preference it is the prompt with the chosen answer, and `rejected` the prompt with the
    other one. `problems` are those of both sides: the field of each begins with "chosen" or
    "rejected", and its token counts in that side.
    """

    ids: list[int]
    supervised: list[bool]
    text: str  # whole, also where the ids are cut
    offsets: list[tuple[int, int]]  # characters of the text
    segments: list[tuple[str, int, int]]  # (role, start, end) of each message, in characters
    truncated_tokens: int  # tokens beyond max_length
    problems: list[RowProblem]
    index: int = 0  # of the row in its source, from 0
    rejected: Encoding | None = None
    label: bool | int | str | None = None  # KTO: bool; classification: int or str

    @property
    def supervised_tokens(self) -> int:
        return sum(self.supervised)

    @property
    def usable(self) -> bool:
        """Whether there is something to learn from, in both answers of a preference."""
        if self.label is not None and not isinstance(self.label, bool):
            return bool(self.ids)  # a class is learned, no token
        return any(self.supervised) and (self.rejected is None or self.rejected.usable)


class _Draft(msgspec.Struct):
    """A sample as text, with what to learn in characters; `before` and `after` are added as ids."""

    text: str
    learned: list[Span]
    segments: list[tuple[str, int, int]]
    problems: list[RowProblem]
    before: list[int] = msgspec.field(default_factory=list)
    after: list[int] = msgspec.field(default_factory=list)


class Encoder:
    """Turns samples into encodings, one way for everyone.

    supervise: "assistant" learns every answer, "last_assistant" the last one, "all" every token.
    max_length is in tokens; None cuts nothing. A text is learned as a whole under every setting.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: ChatTemplate | None,
        max_length: int | None = None,
        supervise: str = "assistant",
    ) -> None:
        if supervise not in SUPERVISE:
            hint = f"{nearest(supervise, SUPERVISE)} One of: {', '.join(SUPERVISE)}."
            raise AfinaError(f'There is no way to supervise named "{supervise}".', hint.lstrip())
        if max_length is not None and max_length < 1:
            raise AfinaError(f"max_length must be at least 1, not {max_length}.")
        self.tokenizer = tokenizer
        self.template = template
        self.max_length = max_length
        self.supervise = supervise

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str],
        max_length: int | None = None,
        supervise: str = "assistant",
        chat_template: str | os.PathLike[str] | None = None,
    ) -> Encoder:
        """The encoder of a model folder or cached hub id, with its template or the file given."""
        tokenizer = Tokenizer.load(model)
        return cls(tokenizer, ChatTemplate.find(model, chat_template), max_length, supervise)

    def encode(self, sample: Sample, segments: bool = True) -> Encoding:
        """One sample; what is wrong with it on the way stands in the encoding's problems."""
        return self.encode_many([sample], segments)[0]

    def encode_many(self, samples: list[Sample], segments: bool = False) -> list[Encoding]:
        """Several samples, tokenized together; segments cost renderings and are for looking at."""
        drafts = [self._draft(side, segments) for sample in samples for side in _sides(sample)]
        tokens = self.tokenizer.encode_many([draft.text for draft in drafts])
        done = iter([self._finish(*pair) for pair in zip(drafts, tokens, strict=True)])
        return [_joined(sample, *islice(done, len(_sides(sample)))) for sample in samples]

    def labels(self, encoding: Encoding) -> list[int]:
        """The ids with -100 in every place that is not learned."""
        pairs = zip(encoding.ids, encoding.supervised, strict=True)
        return [token if learned else IGNORED for token, learned in pairs]

    def prompt(
        self, messages: list[Message], tools: list[dict[str, Any]] | None = None
    ) -> tuple[str, list[int]]:
        """The text and ids that ask the model for the next answer, for chat and watch prompts."""
        if self.template is None:
            if len(messages) != 1:
                raise AfinaError(
                    "The model has no chat template, so it takes one message, not a conversation.",
                    "Give it a template with data.chat_template=FILE.",
                )
            text = str(messages[0]["content"])
            return text, self._leading(text) + self.tokenizer.encode(text).ids
        messages = self._messages(messages)
        text = self.template.render(messages, tools, add_generation_prompt=True).text
        return text, self.tokenizer.encode(text).ids

    def _draft(self, sample: Side, segments: bool) -> _Draft:
        if isinstance(sample, Text):
            return self._plain("", sample.text, [("text", 0, len(sample.text))])
        if self.template is not None and not sample.as_written:
            return self._conversation(self.template, sample, segments)
        if sample.plain is None:
            raise AfinaError(
                "The model has no chat template, and these rows are conversations.",
                "Give it a template with data.chat_template=FILE.",
            )
        prompt, completion = sample.plain
        cut, end = len(prompt), len(prompt) + len(completion)
        return self._plain(prompt, completion, [("user", 0, cut), ("assistant", cut, end)])

    def _plain(self, prompt: str, learned: str, segments: list[tuple[str, int, int]]) -> _Draft:
        """Text without a template: the tokenizer's own beginning, the text, the end token."""
        text = prompt + learned
        start = 0 if self.supervise == "all" else len(prompt)
        draft = _Draft(text, [(start, len(text))], segments, [], self._leading(text))
        eos, eos_id = self.tokenizer.eos, self.tokenizer.eos_id
        if eos and eos_id is not None and not text.endswith(eos):
            draft.after = [eos_id]
        return draft

    def _leading(self, text: str) -> list[int]:
        bos = self.tokenizer.bos
        return [] if bos and text.startswith(bos) else self.tokenizer.leading_ids

    def _conversation(self, template: ChatTemplate, sample: Conversation, segments: bool) -> _Draft:
        messages, tools = self._messages(sample.messages), sample.tools
        try:
            rendered = template.render(messages, tools)
        except TemplateRefusal as error:
            return _Draft("", [], [], [template_problem(error)])
        draft = _Draft(rendered.text, [], [], [])
        if segments or (self.supervise == "all" and sample.unlearned):
            draft.segments = find_segments(template, messages, tools, rendered.text)
        if self.supervise == "all":
            draft.learned = _all_but(sample.unlearned, draft)
            return draft
        wanted = learned_messages(sample, self.supervise)
        answers = find_answers(template, messages, tools, rendered, wanted)
        draft.learned = [answers.spans[index] for index in wanted if index in answers.spans]
        if answers.rewritten:
            draft.problems.append(rewriting_problem(answers))
        return draft

    def _messages(self, messages: list[Message]) -> list[Message]:
        """The messages with the role "developer" as "system" if the template doesn't know it."""
        template = self.template
        if template is None or all(message["role"] != "developer" for message in messages):
            return messages
        if "developer" in template.source():
            return messages
        return [
            {**message, "role": "system"} if message["role"] == "developer" else message
            for message in messages
        ]

    def _finish(self, draft: _Draft, tokens: TokenSpans) -> Encoding:
        stops = self.tokenizer.stop_ids
        learned = draft.learned
        if self.supervise == "all":
            supervised = supervise_tokens(tokens, learned)
        else:
            supervised = supervise_answers(tokens, draft.text, learned, stops)
        if draft.before or draft.after:
            whole = self.supervise == "all" or learned == [(0, len(draft.text))]
            _surround(draft, tokens, supervised, self.tokenizer, whole)
        problems = draft.problems
        total = len(tokens.ids)
        limit = total if self.max_length is None else self.max_length
        cut = max(0, total - limit)
        problems += learning_problems(tokens, supervised, limit, stops, draft.text)
        return Encoding(
            tokens.ids[:limit],
            supervised[:limit],
            draft.text,
            tokens.offsets[:limit],
            draft.segments,
            cut,
            problems,
        )


def _sides(sample: Sample) -> tuple[Side, ...]:
    """What is encoded by itself: both answers of a preference, the one thing of another row."""
    if isinstance(sample, Preference):
        return (sample.chosen, sample.rejected)
    if isinstance(sample, Judged):
        return (sample.answer,)
    if isinstance(sample, Labelled):
        return (Text(sample.text + (sample.pair or "")),)
    if isinstance(sample, Tokens):
        return (Text(""),)
    return (sample,)


def _joined(sample: Sample, encoding: Encoding, rejected: Encoding | None = None) -> Encoding:
    """The encoding of the whole sample."""
    encoding.rejected = rejected
    if isinstance(sample, Judged):
        encoding.label = sample.good
    if isinstance(sample, Labelled):
        encoding.label = int(sample.label) if isinstance(sample.label, bool) else sample.label
    return encoding


class EncodedRow(msgspec.Struct):
    """A row with what became of it on each step of the way."""

    row: Row
    sample: Sample | None  # None for a row that can't be read or used
    encoding: Encoding


def encode_rows(
    source: Source,
    reader: Reader,
    encoder: Encoder,
    rows: Iterable[int] | None = None,
    segments: bool = False,
) -> Iterator[Encoding]:
    """The encoding of each row asked for (all of them by default), in order, none left out.

    A row that can't become a sample gives an encoding without tokens, with its problems.
    """
    return (item.encoding for item in walk_rows(source, reader, encoder, rows, segments))


def walk_rows(
    source: Source,
    reader: Reader,
    encoder: Encoder | None,
    rows: Iterable[int] | None = None,
    segments: bool = False,
) -> Iterator[EncodedRow]:
    """Like encode_rows, with the row and its sample; without an encoder, problems of form only."""
    wanted = iter(range(len(source)) if rows is None else rows)
    while batch := list(islice(wanted, BATCH_ROWS)):
        read = [source.row(index) for index in batch]
        readings = [reader.read(row) for row in read]
        samples = [item.sample for item in readings if item.sample is not None]
        encoded = iter(encoder.encode_many(samples, segments) if encoder else ())
        for row, reading in zip(read, readings, strict=True):
            known = encoder is not None and reading.sample is not None
            encoding = next(encoded) if known else Encoding([], [], "", [], [], 0, [])
            found = reading.problems + encoding.problems
            encoding.problems = [item.at(row.number, row.line) for item in found]
            encoding.index = row.index
            yield EncodedRow(row, reading.sample, encoding)


def _surround(
    draft: _Draft, tokens: TokenSpans, supervised: list[bool], tokenizer: Tokenizer, whole: bool
) -> None:
    """Adds the ids before and after a plain text, and their names to the text."""
    head = [tokenizer.token_text(token) for token in draft.before]
    tail = [tokenizer.token_text(token) for token in draft.after]
    shift = sum(map(len, head))
    tokens.ids = draft.before + tokens.ids + draft.after
    inner = [(start + shift, end + shift) for start, end in tokens.offsets]
    size = shift + len(draft.text)
    tokens.offsets = _spell(head, 0) + inner + _spell(tail, size)
    draft.segments = [(role, a + shift, b + shift) for role, a, b in draft.segments]
    draft.text = "".join([*head, draft.text, *tail])
    supervised[:0] = [whole] * len(head)
    supervised.extend([True] * len(tail))


def _spell(words: list[str], start: int) -> list[tuple[int, int]]:
    spans = []
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word)
    return spans


def _all_but(unlearned: frozenset[int], draft: _Draft) -> list[Span]:
    """The whole text without the segments of some messages."""
    if not unlearned:
        return [(0, len(draft.text))]
    kept = (item for index, item in enumerate(draft.segments) if index not in unlearned)
    return [(start, end) for _, start, end in kept]
