"""The tuned model, as an export must be: its answers, and what it expects at each of their tokens.

The tuned model is base and adapter in float32, unmerged, in a process of its own; it answers
greedily. Asked once for any number of exports.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from core.chat.client import ModelClient
from core.chat.protocol import Answer, Sampling
from core.data.encode.tokenizer import Tokenizer
from core.runs import Run
from core.targets import of_run
from exporters.gguf.prepare import Prepared
from exporters.job.cancel import Requests
from exporters.parity.questions import COUNT, Question, questions
from exporters.parity.snippets import hostile_snippets

if TYPE_CHECKING:
    import numpy as np

MAX_TOKENS = 64  # of an answer
BUDGET_S = 240.0  # for the tuned model's answers; a large one answers fewer questions
FEWEST = 4  # answers, however slow it is

OnProgress = Callable[[int, int], None]


def reference_bytes(vocabulary: int) -> int:
    """Disk that a Reference takes at most while exports are compared with it."""
    return COUNT * MAX_TOKENS * vocabulary * 4


class Reference:
    """What the tuned model says, kept to compare exports with."""

    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        requests: Requests,
        threads: int,
        progress: OnProgress,
    ) -> None:
        """Asks the tuned model, and the base for how far the tuning went. Files go to `folder`."""
        self.target = prepared.target
        self.folder = folder
        self.threads = threads
        self.requests = requests
        self.snippets = hostile_snippets(prepared.vocabulary.special)
        tokenizer = Tokenizer.load(prepared.merged.folder)
        self.snippet_ids = [item.ids for item in tokenizer.encode_many(self.snippets)]
        self.questions: list[Question] = []
        self.answers: list[Answer] = []
        with requests.model(ModelClient(self.target, device="cpu", threads=threads)) as client:
            self.stop_ids = client.load().stop_ids
            self._ask(client, progress)
            self.effect = self._effect(client)

    def log_p(self, place: int) -> np.ndarray:
        """log p at each token of an answer, f32 (tokens, vocabulary)."""
        import numpy as np

        return np.load(self._path(place), mmap_mode="r")

    def _path(self, place: int) -> Path:
        return self.folder / f"tuned-{place}.npy"

    def _ask(self, client: ModelClient, progress: OnProgress) -> None:
        begin, asked = time.monotonic(), questions(self.target)
        for done, question in enumerate(asked):
            progress(done, len(asked))
            if done >= FEWEST and time.monotonic() - begin > BUDGET_S:
                break
            answer = ask(client, question)
            log_probs(client, answer, self._path(done))
            self.questions.append(question)
            self.answers.append(answer)

    def _effect(self, client: ModelClient) -> float | None:
        """KL of the untuned model against the tuned one; None where there is no untuned one."""
        if self.target.adapter is not None:
            return self._divergence(client, adapter=False)
        if self.target.run is None:
            return None
        base = of_run(Run(self.target.run), "base")
        with self.requests.model(ModelClient(base, device="cpu", threads=self.threads)) as untuned:
            return self._divergence(untuned, adapter=True)

    def _divergence(self, client: ModelClient, adapter: bool) -> float:
        path = self.folder / "untuned.npy"
        parts = []
        for place, answer in enumerate(self.answers):
            parts.append(divergences(self.log_p(place), log_probs(client, answer, path, adapter)))
        return mean(parts)


def ask(client: ModelClient, question: Question) -> Answer:
    """The greedy answer to a question."""
    return client.generate(
        question.messages,
        Sampling(temperature=0.0, max_tokens=MAX_TOKENS),
        tools=question.tools,
    )


def log_probs(client: ModelClient, answer: Answer, path: Path, adapter: bool = True) -> np.ndarray:
    """log p at each token of an answer, f32 (tokens, vocabulary), by way of a file at `path`."""
    import numpy as np

    ids = answer.prompt_ids + answer.ids
    client.log_probs(ids, len(answer.prompt_ids), adapter=adapter, path=str(path))
    log_p = np.load(path)[: len(answer.ids)]  # the row after the last token is not needed
    np.save(path, log_p)
    return log_p


def divergences(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """KL(p || q) at each position, nats: f32 (tokens,) of two (tokens, vocabulary)."""
    import numpy as np

    return np.sum(np.exp(log_p) * (log_p - log_q), axis=-1)


def mean(parts: list[np.ndarray]) -> float:
    """The mean over all values of some arrays, which rounding doesn't push below 0; 0 for none."""
    count = sum(part.size for part in parts)
    return max(0.0, sum(float(part.sum()) for part in parts) / count) if count else 0.0
