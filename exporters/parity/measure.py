"""Putting an export beside the tuned model: the same questions, the same tokens. No opinion yet.

The export answers for itself, and it reads the tuned model's answers: what both would have said
next is compared token by token. Judging is in parity.py.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from core.chat.client import ModelClient
from core.chat.protocol import Answer
from core.errors import AfinaError
from core.targets import Target
from exporters.gguf.read_back import Seen, read_back
from exporters.parity.judge import Measured
from exporters.parity.reference import OnProgress, Reference, ask, divergences, log_probs, mean

if TYPE_CHECKING:
    import numpy as np

SURE = 1.0  # nats between the tuned model's token and the export's; below it is a near tie
SPOKEN = 8  # tokens that an answer needs to count for the speed


class Compared(msgspec.Struct):
    """One answer of the tuned model, the export's own, and the export reading the tuned one."""

    tuned: Answer
    here: Answer
    kl: np.ndarray  # nats at each token of the tuned answer
    delta: np.ndarray  # |difference of log p| of those tokens
    last_delta: float  # log p of the last of them, the export's less the tuned model's
    gap: float  # how much less likely the tuned model finds the first other token; 0: none

    @property
    def ends_alike(self) -> bool:
        """Whether the export stops where the tuned model does, had it come the same way."""
        if self.here.finish_reason == "stop":
            return True
        went_along = self.here.ids[: len(self.tuned.ids)] == self.tuned.ids
        return not went_along and self.last_delta > -SURE


def measure(path: Path, reference: Reference, progress: OnProgress) -> Measured:
    """Asks a GGUF file what the tuned model was asked. Raises AfinaError when it can't answer."""
    conversations = [msgspec.to_builtins(question) for question in reference.questions]
    progress(0, len(conversations))
    seen = read_back(path, reference.snippets, conversations, reference.requests.check)
    found = _compare(path, reference, progress)
    asked = [str(question.messages[-1].get("content")) for question in reference.questions]
    own = [answer.prompt_ids for answer in reference.answers]
    theirs = [each.here.prompt_ids for each in found]
    ended = [each for each in found if each.tuned.finish_reason == "stop"]
    return Measured(
        prompts=len(own),
        prompts_equal=_equal(own, theirs),
        fed_equal=_equal(own, seen.prompts),
        doubled_bos=_equal(own, [prompt[1:] for prompt in seen.prompts]),
        different_prompt=_first_different(asked, own, theirs),
        snippets=len(seen.ids),
        snippets_equal=_equal(reference.snippet_ids, seen.ids),
        different_snippet=_first_different(reference.snippets, reference.snippet_ids, seen.ids),
        **_stops(reference, seen),
        stopped=len(ended),
        stopped_here=sum(each.ends_alike for each in ended),
        agreement=statistics.fmean(shared_share(each.tuned.ids, each.here.ids) for each in found),
        identical=statistics.fmean(each.tuned.ids == each.here.ids for each in found),
        parted=sum(each.gap > SURE for each in found),
        kl=mean([each.kl for each in found]),
        max_delta_log_p=max(float(each.delta.max()) for each in found),
        effect=reference.effect,
        tokens=sum(each.kl.size for each in found),
        tokens_per_s=_speed([each.here for each in found]),
        threads=reference.threads,
    )


def _compare(path: Path, reference: Reference, progress: OnProgress) -> list[Compared]:
    """Each question to the export, and each answer of the tuned model."""
    target = Target(str(path), "gguf", str(path), label=path.name)
    client = ModelClient(target, device="cpu", threads=reference.threads)
    kept = reference.folder / "export.npy"
    found = []
    with reference.requests.model(client):
        for place, (question, tuned) in enumerate(
            zip(reference.questions, reference.answers, strict=True)
        ):
            progress(place, len(reference.answers))
            here = ask(client, question)
            log_p, log_q = reference.log_p(place), log_probs(client, tuned, kept)
            found.append(_compared(tuned, here, log_p, log_q))
    progress(len(found), len(found))
    return found


def _compared(tuned: Answer, here: Answer, log_p: np.ndarray, log_q: np.ndarray) -> Compared:
    """log_p, log_q: what the tuned model and the export expect, f32 (tokens, vocabulary)."""
    import numpy as np

    if log_q.shape != log_p.shape:
        raise AfinaError(
            f"The export knows {log_q.shape[1]:,} tokens, and the tuned model {log_p.shape[1]:,}.",
            "Export again.",
        )
    rows = np.arange(len(tuned.ids))
    own, other = log_p[rows, tuned.ids], log_q[rows, tuned.ids]
    place = _first_parting(tuned.ids, here.ids)
    gap = 0.0 if place is None else float(own[place] - log_p[place, here.ids[place]])
    return Compared(
        tuned, here, divergences(log_p, log_q), np.abs(own - other), float(other[-1] - own[-1]), gap
    )


def _stops(reference: Reference, seen: Seen) -> dict[str, list[int]]:
    """Stop tokens that the file lacks, and those that would end the tuned answers too early."""
    inside = {token for answer in reference.answers for token in answer.ids[:-1]}
    return {
        "stop_ids_missing": sorted(set(reference.stop_ids) - set(seen.stop_ids)),
        "stops_inside": sorted(set(seen.stop_ids) & inside),
    }


def _first_parting(tuned: list[int], here: list[int]) -> int | None:
    """Where two answers take different tokens; None where one goes along with the other."""
    pairs = enumerate(zip(tuned, here, strict=False))
    return next((place for place, (a, b) in pairs if a != b), None)


def shared_share(one: list[int], other: list[int]) -> float:
    """How much of the longer answer both have in common from its start, 0 to 1."""
    shared = _first_parting(one, other)
    shared = min(len(one), len(other)) if shared is None else shared
    return shared / max(len(one), len(other), 1)


def _equal(ours: list[list[int]], theirs: list[list[int]]) -> int:
    return sum(a == b for a, b in zip(ours, theirs, strict=True))


def _first_different(texts: list[str], ours: list[list[int]], theirs: list[list[int]]) -> str:
    different = (t for t, a, b in zip(texts, ours, theirs, strict=True) if a != b)
    return next(different, "")[:80]


def _speed(answers: list[Answer]) -> float | None:
    """The median over the answers, over those long enough to measure where there are some."""
    speeds = [(len(answer.ids), answer.tokens_per_s) for answer in answers if answer.tokens_per_s]
    long = [speed for length, speed in speeds if length >= SPOKEN]
    counted = long or [speed for _, speed in speeds]
    return round(statistics.median(counted), 1) if counted else None
