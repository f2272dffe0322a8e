"""What a run counts while it trains, in a form that travels in a checkpoint's manifest."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import msgspec

from core.train.loader.stream_batches import Passed

WINDOW = 20  # steps over which speed and the reported training loss are taken


class Progress(msgspec.Struct):
    """Counters of the whole run, earlier processes included."""

    dtype: str = ""  # what "auto" became, so that a resumed run computes the same
    data: str = ""  # digest of the encoded rows; a resumed run must find the same
    tokens: int = 0  # real tokens that went through the model, padding never counted
    train_s: float = 0.0  # seconds in training steps, evaluations and saving left out
    data_wait_s: float = 0.0  # of these, seconds that steps waited for their batches
    best_step: int | None = None
    best_eval_loss: float | None = None
    evaluations_since_best: int = 0
    evaluation_owed: bool = False  # it was due and given up: a resumed run makes up for it
    eval_loss: float | None = None  # of the newest evaluation
    losses: list[float] = []  # of the last WINDOW steps
    batch_rows: int = 0  # micro-batch by which `streamed` counts batches
    streamed: Passed = msgspec.field(default_factory=Passed)

    def count_by(self, rows: int) -> None:
        """Counts streamed batches by another micro-batch from here on: a part of the one before."""
        if self.batch_rows and self.batch_rows != rows:
            cursor = self.streamed.cursor
            batch = cursor.batch * self.batch_rows // rows
            self.streamed.cursor = msgspec.structs.replace(cursor, batch=batch)
        self.batch_rows = rows

    def add_step(self, loss: float, tokens: int, seconds: float, waited_s: float = 0.0) -> None:
        self.tokens += tokens
        self.train_s += seconds
        self.data_wait_s += waited_s
        self.losses = [*self.losses, loss][-WINDOW:]

    def add_evaluation(self, step: int, eval_loss: float) -> bool:
        """Records an evaluation; True when it is the best one after training began."""
        self.eval_loss = eval_loss
        if step == 0:
            return False
        if self.best_eval_loss is not None and eval_loss >= self.best_eval_loss:
            self.evaluations_since_best += 1
            return False
        self.best_step, self.best_eval_loss, self.evaluations_since_best = step, eval_loss, 0
        return True

    @property
    def train_loss(self) -> float | None:
        """Mean loss of the last steps; None before the first."""
        return sum(self.losses) / len(self.losses) if self.losses else None

    @property
    def tokens_per_s(self) -> float | None:
        return self.tokens / self.train_s if self.train_s > 0 else None

    @property
    def data_wait_share(self) -> float | None:
        """Of the time in training steps, what went by waiting for batches; None before one."""
        return self.data_wait_s / self.train_s if self.train_s > 0 else None

    def to_values(self) -> dict[str, Any]:
        return msgspec.to_builtins(self)

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Progress:
        return msgspec.convert(values, cls)


class Pace:
    """Tokens a second and the time that is left, from the last steps of this process."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, float]] = deque(maxlen=WINDOW)  # (tokens, seconds)
        self._pauses_s = 0.0  # evaluations, samples and saving since the start
        self._first = time.monotonic()

    def step(self, tokens: int, seconds: float) -> None:
        self._steps.append((tokens, seconds))

    def pause(self, seconds: float) -> None:
        self._pauses_s += seconds

    @property
    def tokens_per_s(self) -> float:
        seconds = sum(seconds for _, seconds in self._steps)
        return sum(tokens for tokens, _ in self._steps) / seconds if seconds > 0 else 0.0

    def eta_s(self, steps_left: int) -> float | None:
        """Seconds to the end, pauses included at the rate they came so far."""
        if not self._steps:
            return None
        step_s = sum(seconds for _, seconds in self._steps) / len(self._steps)
        elapsed = max(time.monotonic() - self._first, 1e-9)
        share = min(self._pauses_s / elapsed, 0.9)
        return steps_left * step_s / (1.0 - share)
