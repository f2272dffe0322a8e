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

from core.data.encode.encoding import IGNORED, Encoding, empty
from core.data.encode.labelled import encode_labelled, texts_of
from core.data.encode.mask import supervise_answers, supervise_tokens
from core.data.encode.mask_checks import learning_problems
from core.data.encode.preference import join_sides
from core.data.encode.pretokenized import encode_given
from core.data.encode.rendered_sample import RenderedSample, SampleRenderer
from core.data.encode.spans import ByOffsets, TokenSpans, surrounded
from core.data.encode.template import ChatTemplate, check_built_in
from core.data.encode.tokenizer import Tokenizer
from core.data.files.source import Row, Source
from core.data.problems import RowProblem
from core.data.sample import (
    Conversation,
    Labelled,
    Message,
    Preference,
    Sample,
    Text,
    Tokens,
    UnpairedPreference,
)
from core.data.shapes.read import Reader
from core.errors import AfinaError, nearest

SUPERVISE = ("assistant", "last_assistant", "completion", "all")
BATCH_ROWS = 64
Part = tuple[
    tuple[RenderedSample, str], TokenSpans
]  # a text with how it is supervised, and its tokens


class Encoder:
    """Turns samples into encodings, one way for everyone.

    supervise: "assistant" learns every answer, "last_assistant" the last one, "completion" what
    comes after the prompt (see mask.learned_messages), "all" every token; messages of weight 0 are
    left out of each. It is for rows that teach text. Of a preference and of a judged answer what
    comes after the prompt is learned, of a text all of it, of a text with a class no token, of
    rows of ids what their labels say.
    max_length is in tokens; None cuts nothing.
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
        self._drafter = SampleRenderer(tokenizer, template, supervise)
        # of the rows where the two sides of the border are what matters, whatever is asked for
        self._answers = SampleRenderer(tokenizer, template, "assistant")

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str],
        max_length: int | None = None,
        supervise: str = "assistant",
        chat_template: str | os.PathLike[str] | None = None,
    ) -> Encoder:
        """The encoder of a model folder or cached hub id, with its template or the one named.

        chat_template: a Jinja file, or one of template.BUILT_IN.
        """
        tokenizer = Tokenizer.load(model)
        template = ChatTemplate.find(model, chat_template)
        check_built_in(chat_template, tokenizer)
        return cls(tokenizer, template, max_length, supervise)

    def encode(self, sample: Sample, segments: bool = True) -> Encoding:
        """One sample; what is wrong with it on the way stands in the encoding's problems."""
        return self.encode_many([sample], segments)[0]

    def encode_many(self, samples: list[Sample], segments: bool = False) -> list[Encoding]:
        """Several samples, tokenized together.

        segments: whether somebody looks at them; without, segments and offsets are left empty.
        """
        drafts: list[tuple[RenderedSample, str]] = []
        for sample in samples:
            drafts += self._drafts(sample, segments)
        texts = [draft.text for draft, _ in drafts]
        tokens = self.tokenizer.encode_many(texts, fast=not segments)
        parts = zip(drafts, tokens, strict=True)
        return [self._complete(sample, parts, segments) for sample in samples]

    def template_of(self, sample: Sample | None) -> str | None:
        """The name of the chat template that a sample goes through; None for none."""
        if isinstance(sample, Preference):
            sample = sample.chosen
        if isinstance(sample, UnpairedPreference):
            sample = sample.answer
        if self.template is None or not isinstance(sample, Conversation) or sample.as_written:
            return None
        return self.template.name

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
            return text, self._drafter.leading(text) + self.tokenizer.encode(text).ids
        messages = self._drafter.known_roles(messages)
        text = self.template.render(messages, tools, add_generation_prompt=True).text
        return text, self.tokenizer.encode(text).ids

    def _drafts(self, sample: Sample, segments: bool) -> list[tuple[RenderedSample, str]]:
        """What of a sample goes through the tokenizer as a text, with how it is supervised."""
        if isinstance(sample, Preference):
            sides = (sample.chosen, sample.rejected)
            return [(self._answers.draft(side, segments), "assistant") for side in sides]
        if isinstance(sample, UnpairedPreference):
            return [(self._answers.draft(sample.answer, segments), "assistant")]
        if isinstance(sample, Conversation | Text):
            return [(self._drafter.draft(sample, segments), self.supervise)]
        if isinstance(sample, Labelled):
            return [(RenderedSample(text, [], [], []), "") for text in texts_of(sample)]
        return []

    def _complete(self, sample: Sample, parts: Iterator[Part], segments: bool) -> Encoding:
        """The encoding of a whole sample, of as many parts as it has."""
        if isinstance(sample, Labelled):
            found = [tokens for _, tokens in islice(parts, len(texts_of(sample)))]
            return encode_labelled(sample, found, self.tokenizer, self.max_length, segments)
        if isinstance(sample, Tokens):
            return encode_given(sample, self.tokenizer, self.max_length, segments)
        encoding = self._finish(next(parts), segments)
        if isinstance(sample, Preference):
            return join_sides(encoding, self._finish(next(parts), segments))
        if isinstance(sample, UnpairedPreference):
            encoding.label = sample.good
        return encoding

    def _finish(self, part: Part, segments: bool) -> Encoding:
        (draft, supervise), tokens = part
        stops, learned = self.tokenizer.stop_ids, draft.learned
        if supervise == "all":
            supervised = supervise_tokens(tokens, learned)
        else:
            supervised = supervise_answers(tokens, draft.text, learned, stops)
        shift = len(draft.before)
        problems = [_placed(found, at, tokens, shift) for found, at in draft.problems]
        if draft.before or draft.after:
            whole = supervise == "all" or learned == [(0, len(draft.text))]
            tokens = self._surround(draft, tokens, supervised, whole, segments)
        total = len(tokens.ids)
        limit = total if self.max_length is None else self.max_length
        if draft.text:  # one that is empty was refused, which is a problem of its own
            problems += learning_problems(tokens.ids, supervised, limit, self.tokenizer)
        return Encoding(
            tokens.ids[:limit],
            supervised[:limit],
            draft.text,
            tokens.offsets[:limit] if segments else [],
            draft.segments if segments else [],
            max(0, total - limit),
            problems,
        )

    def _surround(
        self,
        draft: RenderedSample,
        tokens: TokenSpans,
        supervised: list[bool],
        whole: bool,
        segments: bool,
    ) -> TokenSpans:
        """Adds the ids before and after a plain text, and their names to the text."""
        head = [(token, self.tokenizer.token_text(token)) for token in draft.before]
        tail = [(token, self.tokenizer.token_text(token)) for token in draft.after]
        shift = sum(len(word) for _, word in head)
        draft.segments = [(role, a + shift, b + shift) for role, a, b in draft.segments]
        draft.text = "".join([*(word for _, word in head), draft.text, *(word for _, word in tail)])
        supervised[:0] = [whole] * len(head)
        supervised.extend([True] * len(tail))
        if segments:
            return surrounded(tokens, head, tail, draft.text)
        return ByOffsets([*draft.before, *tokens.ids, *draft.after], [])


def _placed(found: RowProblem, at: int | None, tokens: TokenSpans, shift: int) -> RowProblem:
    """A problem at the token that holds its character, in a row that begins with `shift` others."""
    if at is None:
        return found
    return msgspec.structs.replace(found, token=shift + tokens.within(at, at + 1)[0])


class EncodedRow(msgspec.Struct):
    """A row with what became of it on each step of the way."""

    row: Row
    sample: Sample | None  # None for a row that can't be read or used
    encoding: Encoding
    template: str | None = None  # the chat template's name, where one was used


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
            encoding = next(encoded) if known else empty([])
            found = reading.problems + encoding.problems
            encoding.problems = [item.at(row.number, row.line) for item in found]
            encoding.index = row.index
            template = encoder.template_of(reading.sample) if encoder else None
            yield EncodedRow(row, reading.sample, encoding, template)
