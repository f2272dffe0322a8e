"""The tuned model, as an export must be: its answers, and what it expects at each of their tokens.

The tuned model is base and adapter in float32 (bfloat16 where the memory is too small for that),
unmerged, in a process of its own; it answers greedily, and it reads rows of its evaluation. Asked
once for any number of exports.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from core.chat.client import ModelClient
from core.chat.protocol import Answer, Sampling
from core.data.encode.template import ChatTemplate, TemplateRefusal
from core.data.encode.tokenizer import Tokenizer
from core.hub import model_folder
from core.runs.run import Run
from core.runs.target import Target, of_run
from exporters.cancel import Requests
from exporters.contract import EXACT, Conversation
from exporters.eos import after_answer
from exporters.parity.distributions import Expected, Passage, divergences, expected
from exporters.parity.questions import COUNT, questions
from exporters.parity.rows import Question, Rows, rows_of
from exporters.parity.snippets import hostile_snippets, opening, single_tokens

MAX_TOKENS = 64  # of an answer
EVAL_TOKENS = 4096  # supervised ones, of rows
FEWEST_TOKENS = 1024  # of them, however large the vocabulary is
ANSWERS_S, ROWS_S = 180.0, 120.0  # a slow model is asked less, and so is a slow export
FEWEST = 4  # answers, and rows, however slow it is
LONGEST = 1024  # tokens of a row that are read
WINDOW_BYTES = 256 * 2**20  # of what a model expects in one passage
KEPT_BYTES = 1536 * 2**20  # of what is kept of all passages

OnProgress = Callable[[int, int], None]


def reference_bytes(vocabulary: int) -> int:
    """Disk that a Reference takes at most while exports are compared with it."""
    places = 2 * COUNT * MAX_TOKENS + eval_tokens(vocabulary)  # of answers the untuned model's too
    return 2 * places * vocabulary + min(WINDOW_BYTES, 4 * LONGEST * vocabulary)


def eval_tokens(vocabulary: int) -> int:
    """How many supervised tokens are kept at most, 2 bytes for each word of the vocabulary."""
    room = KEPT_BYTES // (2 * vocabulary) - 2 * COUNT * MAX_TOKENS
    return max(FEWEST_TOKENS, min(EVAL_TOKENS, room))


class Reference:
    """What the tuned model says, kept to compare exports with."""

    def __init__(
        self,
        target: Target,
        folder: Path,
        requests: Requests,
        threads: int,
        progress: OnProgress,
        dtype: str = EXACT,
    ) -> None:
        """Asks the tuned model, and the base for how far the tuning went. Files go to `folder`.

        dtype: what it computes in; half of it where float32 doesn't fit into the memory.
        """
        self.target = target
        self.dtype = dtype
        self.folder = folder
        self.threads = threads
        self.requests = requests
        self._own_words(rows := rows_of(target))
        self.rows_missing = rows.missing
        self.answers: list[Answer] = []
        self.questions: list[Question] = []
        self.passages: list[Passage] = []  # rows as far as they were read
        asked = questions(target, COUNT, rows)
        with requests.model(self.client(target)) as client:
            loaded = client.load()
            self.stop_ids = sorted({*loaded.stop_ids, *turn_end(self._template, self._tokenizer)})
            self._longest = min(LONGEST, loaded.context_length)
            total = len(asked) + len(rows.passages)
            self._ask(client, asked, lambda done: progress(done, total))
            self._read(client, rows, lambda done: progress(len(asked) + done, total))
            self.untuned = target.adapter is not None
            if self.untuned:
                self._ask_untuned(client, adapter=False)
        if not self.untuned and target.run is not None:
            self.untuned = True
            base = of_run(Run(target.run), "base")
            with requests.model(self.client(base)) as client:
                self._ask_untuned(client, adapter=True)

    def client(self, target: Target) -> ModelClient:
        """A model beside which an export stands, or the export: on this CPU, as in chat."""
        return ModelClient(target, device="cpu", threads=self.threads, dtype=self.dtype)

    def _own_words(self, rows: Rows) -> None:
        """What tokenizer and template make of texts, without a model."""
        folder = model_folder(self.target.model, self.target.revision)
        self._tokenizer = Tokenizer.load(folder)
        self._template = ChatTemplate.load(folder, self.target.chat_template)
        texts = hostile_snippets(list(self._tokenizer.specials))
        before = opening(self._tokenizer, self._template)
        self.snippets = [before + text for text in texts]
        self.snippet_ids = [item.ids for item in self._tokenizer.encode_many(self.snippets)]
        self.singles = [before + text for text in single_tokens(self._tokenizer)[0]]
        self.single_ids = [i.ids for i in self._tokenizer.encode_many(self.singles, fast=True)]
        self.conversations: list[Conversation] = []
        self.prompts: list[list[int]] = []  # the conversations as the tuned model reads them
        for question in questions(self.target, COUNT + len(rows.questions), rows):
            try:
                text = self._template.render(
                    question.messages, question.tools, add_generation_prompt=True
                ).text
            except TemplateRefusal:  # training left such a row out
                continue
            self.conversations.append(msgspec.to_builtins(question))
            self.prompts.append(self._tokenizer.encode(text).ids)

    def answer(self, place: int) -> Passage:
        """A question with the tuned model's answer; compared at the answer's tokens."""
        answer = self.answers[place]
        start = len(answer.prompt_ids)
        ids = answer.prompt_ids + answer.ids
        return Passage(ids, list(range(start, len(ids))))

    def expected(self, kind: str, place: int) -> Expected:
        """What was expected in the answer of that number ("answer", "untuned") or the "row"."""
        return Expected.kept(self._path(kind, place))

    @property
    def passing(self) -> Path:
        """Where what a model expects lies for a moment, however many are asked."""
        return self.folder / "passing.npy"

    def _path(self, kind: str, place: int) -> Path:
        return self.folder / f"{kind}-{place}.npz"

    def _ask(
        self, client: ModelClient, asked: list[Question], progress: Callable[[int], None]
    ) -> None:
        budget = Budget(ANSWERS_S)
        for place, question in enumerate(asked):
            progress(place)
            if budget.over(place):
                break
            self.questions.append(question)
            self.answers.append(ask(client, question))
            read = expected(client, self.answer(place), self.passing)
            read.keep(self._path("answer", place))

    def _read(self, client: ModelClient, rows: Rows, progress: Callable[[int], None]) -> None:
        """What the tuned model expects at the supervised tokens of rows, until there are enough."""
        vocabulary = self._tokenizer.vocab_size
        window, left = WINDOW_BYTES // (4 * vocabulary), eval_tokens(vocabulary)
        budget = Budget(ROWS_S)
        for done, whole in enumerate(rows.passages):
            progress(done)
            if left < 1 or budget.over(len(self.passages)):
                break
            passage = whole.cut(self._longest, min(window, left))
            if passage is None:
                continue
            read = expected(client, passage, self.passing)
            read.keep(self._path("row", len(self.passages)))
            self.passages.append(passage)
            left -= len(passage.places)
        progress(len(rows.passages))

    def _ask_untuned(self, client: ModelClient, adapter: bool) -> None:
        """Keeps what the untuned model expects in the tuned answers, and how far away that is."""
        import numpy as np

        apart = []
        for place in range(len(self.answers)):
            read = expected(client, self.answer(place), self.passing, adapter)
            read.keep(self._path("untuned", place))
            apart.append(divergences(self.expected("answer", place), read))
        self.effect = float(np.concatenate(apart).mean())


def turn_end(template: ChatTemplate, tokenizer: Tokenizer) -> list[int]:
    """The special token that a template ends an answer with, as training saw it, if any."""
    after = tokenizer.encode(after_answer(template)).ids
    return [token for token in after[:1] if token in tokenizer.specials.values()]


class Budget:
    """Whether there is time for another one."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def over(self, done: int) -> bool:
        return done >= FEWEST and time.monotonic() > self._end


def ask(client: ModelClient, question: Question) -> Answer:
    """The greedy answer to a question."""
    return client.generate(
        question.messages,
        Sampling(temperature=0.0, max_tokens=MAX_TOKENS),
        tools=question.tools,
    )
