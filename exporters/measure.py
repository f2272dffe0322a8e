"""Putting the tuned model and an export side by side: the same questions, the same tokens.

The tuned model is base and adapter in float32, unmerged. It answers greedily; then the export reads
those very tokens, and what both would have said next is compared. Judging is in parity.py.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from core.chat.client import ModelClient
from core.chat.protocol import Answer, Sampling
from core.data.tokenizer import Tokenizer
from core.errors import AfinaError
from core.runs import Run
from core.targets import Target, of_run
from exporters.cancel import Requests
from exporters.gguf.prepare import Prepared
from exporters.gguf.read_back import read_back
from exporters.parity import Measured
from exporters.questions import Question, questions
from exporters.snippets import hostile_snippets

if TYPE_CHECKING:
    import numpy as np

MAX_TOKENS = 64  # of an answer
BUDGET_S = 240.0  # for the tuned model's answers; a large one answers fewer questions
FEWEST = 4  # answers, however slow it is
COMPARED_BYTES = 256 * 2**20  # of whole distributions that are kept to be compared
SPOKEN = 8  # tokens that an answer needs to count for the speed

OnProgress = Callable[[int, int], None]


class Reference:
    """What the tuned model says, kept to compare any number of exports with it."""

    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        requests: Requests,
        threads: int,
        progress: OnProgress,
    ) -> None:
        """Asks the tuned model, and the base for how far the tuning went. Files go to `folder`."""
        self.target = target = prepared.target
        self.threads = threads
        self.requests = requests
        self.snippets = hostile_snippets(prepared.vocabulary.special)
        tokenizer = Tokenizer.load(prepared.merged.folder)
        self.snippet_ids = [item.ids for item in tokenizer.encode_many(self.snippets)]
        self.questions: list[Question] = []
        self.answers: list[Answer] = []
        self.distributions: list[Path] = []  # log p over the answer's tokens, .npy
        with requests.model(ModelClient(target, device="cpu", threads=threads)) as client:
            loaded = client.load()
            self.stop_ids = loaded.stop_ids
            self.dtype = loaded.dtype
            self._answer(client, progress)
            self._keep(client, folder)
            self.effect = self._effect(client, folder)

    def _answer(self, client: ModelClient, progress: OnProgress) -> None:
        begin, asked = time.monotonic(), questions(self.target)
        for done, question in enumerate(asked):
            progress(done, len(asked))
            if done >= FEWEST and time.monotonic() - begin > BUDGET_S:
                break
            self.answers.append(ask(client, question))
            self.questions.append(question)

    def _keep(self, client: ModelClient, folder: Path) -> None:
        """Writes the distributions over the answers, as many as COMPARED_BYTES hold."""
        left = COMPARED_BYTES
        for place, answer in enumerate(self.answers):
            path = folder / f"tuned-{place}.npy"
            log_p = distributions(client, answer, path)
            self.distributions.append(path)
            left -= log_p.nbytes
            if left < 0:
                break

    def _effect(self, client: ModelClient, folder: Path) -> float | None:
        """KL of the untuned model against the tuned one; None where there is no untuned one."""
        if self.target.adapter is not None:
            return self._divergence(client, folder, adapter=False)
        if self.target.run is None:
            return None
        base = of_run(Run(self.target.run), "base")
        with self.requests.model(ModelClient(base, device="cpu", threads=self.threads)) as untuned:
            return self._divergence(untuned, folder, adapter=True)

    def _divergence(self, client: ModelClient, folder: Path, adapter: bool) -> float:
        path = folder / "base.npy"
        parts = [
            divergences(log_p, distributions(client, answer, path, adapter))
            for answer, log_p in self.kept()
        ]
        return mean(parts)

    def kept(self) -> list[tuple[Answer, np.ndarray]]:
        """(answer, log p (tokens, vocabulary)) of those that are compared token by token."""
        import numpy as np

        return [
            (answer, np.load(path, mmap_mode="r"))
            for answer, path in zip(self.answers, self.distributions, strict=False)
        ]


def measure(path: Path, reference: Reference, folder: Path, progress: OnProgress) -> Measured:
    """Asks a GGUF file what the tuned model was asked. Raises AfinaError when it can't answer."""
    asked, total = reference.questions, 2 * len(reference.questions)
    progress(0, total)
    conversations = [msgspec.to_builtins(question) for question in asked]
    seen = read_back(path, reference.snippets, conversations, reference.requests.check)
    target = Target(str(path), "gguf", str(path), label=path.name)
    client = ModelClient(target, device="cpu", threads=reference.threads)
    answers, kls, deltas = [], [], []
    with reference.requests.model(client):
        loaded = client.load()
        for question in asked:
            progress(len(answers), total)
            answers.append(ask(client, question))
        for done, (answer, log_p) in enumerate(reference.kept()):
            progress(len(asked) + done, total)
            log_q = distributions(client, answer, folder / "export.npy")
            if log_q.shape != log_p.shape:
                raise AfinaError(
                    f"The export knows {log_q.shape[1]:,} tokens, and the tuned model "
                    f"{log_p.shape[1]:,}.",
                    "Export again.",
                )
            kls.append(divergences(log_p, log_q))
            deltas.append(_deltas(answer, log_p, log_q))
    own = [answer.prompt_ids for answer in reference.answers]
    pairs = list(zip(reference.answers, answers, strict=True))
    return Measured(
        prompts=len(own),
        prompts_equal=sum(a.prompt_ids == b.prompt_ids for a, b in pairs),
        fed_equal=sum(a == b for a, b in zip(own, seen.prompts, strict=True)),
        doubled_bos=sum(a != b and a == b[1:] for a, b in zip(own, seen.prompts, strict=True)),
        different_prompt=_first_different(
            [str(question.messages[-1].get("content")) for question in asked],
            own,
            [answer.prompt_ids for answer in answers],
        ),
        snippets=len(seen.ids),
        snippets_equal=sum(a == b for a, b in zip(reference.snippet_ids, seen.ids, strict=True)),
        different_snippet=_first_different(reference.snippets, reference.snippet_ids, seen.ids),
        stop_ids_missing=sorted(set(reference.stop_ids) - set(loaded.stop_ids)),
        stops_inside=sorted(set(loaded.stop_ids) & _inside(reference.answers)),
        stopped=sum(a.finish_reason == "stop" for a, _ in pairs),
        stopped_here=sum(a.finish_reason == b.finish_reason == "stop" for a, b in pairs),
        agreement=statistics.fmean(shared_share(a.ids, b.ids) for a, b in pairs),
        identical=statistics.fmean(a.ids == b.ids for a, b in pairs),
        kl=mean(kls),
        max_delta_log_p=max((float(part.max()) for part in deltas if part.size), default=0.0),
        effect=reference.effect,
        tokens=sum(part.size for part in kls),
        tokens_per_s=_speed(answers),
        threads=reference.threads,
    )


def ask(client: ModelClient, question: Question) -> Answer:
    """The greedy answer to a question."""
    return client.generate(
        question.messages,
        Sampling(temperature=0.0, max_tokens=MAX_TOKENS),
        tools=question.tools,
    )


def distributions(
    client: ModelClient, answer: Answer, path: Path, adapter: bool = True
) -> np.ndarray:
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


def _deltas(answer: Answer, log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """|difference of log p| at each token of the answer itself."""
    import numpy as np

    rows = np.arange(len(answer.ids))
    return np.abs(log_p[rows, answer.ids] - log_q[rows, answer.ids])


def shared_share(one: list[int], other: list[int]) -> float:
    """How much of the longer answer both have in common from its start, 0 to 1."""
    shared = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        shared += 1
    return shared / max(len(one), len(other), 1)


def mean(parts: list[np.ndarray]) -> float:
    """The mean over all values of some arrays, which rounding doesn't push below 0; 0 for none."""
    count = sum(part.size for part in parts)
    return max(0.0, sum(float(part.sum()) for part in parts) / count) if count else 0.0


def _inside(answers: list[Answer]) -> set[int]:
    """Ids before the last token of an answer."""
    return {token for answer in answers for token in answer.ids[:-1]}


def _first_different(texts: list[str], ours: list[list[int]], theirs: list[list[int]]) -> str:
    different = (t for t, a, b in zip(texts, ours, theirs, strict=True) if a != b)
    return next(different, "")[:80]


def _speed(answers: list[Answer]) -> float | None:
    """The median over the answers, over those long enough to measure where there are some."""
    speeds = [(len(answer.ids), answer.tokens_per_s) for answer in answers if answer.tokens_per_s]
    long = [speed for length, speed in speeds if length >= SPOKEN]
    counted = long or [speed for _, speed in speeds]
    return round(statistics.median(counted), 1) if counted else None
