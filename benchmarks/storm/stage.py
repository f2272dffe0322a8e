"""What every scenario stands on: runs that nobody disturbed, and a count of what held."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.storm import fleet
from benchmarks.storm.fleet import Fault, Fleet, Life, losses, of_kind, weights
from core.runs.run import Run
from core.train.checkpoint import manifest

STEPS, EVERY = 24, 4
LORA = (
    f"train.max_steps={STEPS}",
    "method.dropout=0.1",  # so that a wrong random state shows
    "eval.every_steps=8",
    f"checkpoint.every_steps={EVERY}",
    "checkpoint.keep=2",
    'eval.watch_prompts=["What do people eat on day 3?"]',
    "eval.max_new_tokens=4",
)
FULL = (*LORA, "method.kind=full", "train.learning_rate=1e-3", "train.packing=on")
STREAMED = (*LORA, "data.streaming=true")


class Verdict(msgspec.Struct):
    """What became of one scenario."""

    name: str
    tries: int = 0
    held: int = 0
    failures: list[str] = []
    seconds: float = 0.0
    note: str = ""  # how the fault was made, where that depends on the machine


class Stage:
    """One scenario's hands: new runs, cases that are counted, and what must hold at the end."""

    def __init__(self, name: str, ships: Fleet, seed: int, undisturbed: dict[object, Run]) -> None:
        self.fleet = ships
        self.random = random.Random(f"{seed} {name}")
        self.verdict = Verdict(name)
        self._undisturbed = undisturbed  # by words; the scenarios share it

    def run(self, *words: str, home: Path | None = None) -> Run:
        return self.fleet.new_run(*words, home=home)

    def undisturbed(self, *words: str) -> Run:
        """A run of these words that nobody disturbed."""
        if words not in self._undisturbed:
            run = self.run(*words)
            life = fleet.start(run)
            life.wait()
            state = run.state()
            assert state.state == "done", f"the undisturbed run is {state.state}: {state.reason}"
            self._undisturbed[words] = run
        return self._undisturbed[words]

    def life_s(self, *words: str) -> float:
        """Seconds that the undisturbed run of these words took."""
        events = self.undisturbed(*words).events()
        return events[-1]["t"] - events[0]["t"]

    @contextmanager
    def case(self, what: str) -> Iterator[None]:
        """One try; what goes wrong in it is a failure with a sentence, and the storm goes on."""
        self.verdict.tries += 1
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a storm counts what fails
            said = str(error).strip() or type(error).__name__
            self.verdict.failures.append(f"{what}: {said.splitlines()[0][:400]}")
        else:
            self.verdict.held += 1

    def finish(self, run: Run, words: tuple[str, ...], fault: Fault | None = None) -> None:
        """Starts a run again, which must end as if nothing had happened."""
        saved, said = newest_step(run), len(trainings(run))
        fleet.start(run, fault).wait()
        self.ended_well(run, words)
        for detail in trainings(run)[said:]:  # none where only the result was missing
            came = int(detail.rpartition("-")[2]) if detail else 0
            holds(came >= saved, f"{run.id} went on from step {came}, and step {saved} was saved")

    def ended_well(self, run: Run, words: tuple[str, ...]) -> None:
        """Done and proven, with the losses and the weights that it would have had."""
        state, whole = run.state(), self.undisturbed(*words)
        holds(state.state == "done", f"{run.id} is {state.state}: {state.reason}")
        mine, theirs = losses(run), losses(whole)
        other = sorted(step for step in mine if mine[step] != theirs.get(step))
        holds(not other, f"{run.id} has other losses at the steps {other}")
        holds(bool(mine) and max(mine) == max(theirs), f"{run.id} ends at step {max(mine)}")
        holds(weights(run) == weights(whole), f"{run.id} has other weights")
        holds(manifest.damage(run.result or run.directory) is None, f"{run.id}: damaged result")
        proofs = of_kind(run, "proof")
        holds(bool(proofs) and proofs[-1]["difference"] == 0.0, f"{run.id} has not proven itself")


def holds(condition: bool, what: str) -> None:
    assert condition, what


def sentence(run: Run, state: str, *parts: str) -> None:
    """The run ended in this state, with a reason for people that says these things."""
    found = run.state()
    holds(found.state == state, f"{run.id} is {found.state}, not {state}: {found.reason}")
    for part in parts:
        holds(part in found.reason, f'{run.id} does not say "{part}": {found.reason}')
    holds("fault of Afina" not in found.reason, f"{run.id} calls it a fault: {found.reason}")


def trainings(run: Run) -> list[str]:
    """From which checkpoint each process went on; empty for the beginning."""
    return [event["detail"] for event in of_kind(run, "phase") if event["name"] == "training"]


def newest_step(run: Run) -> int:
    """The step of the newest checkpoint whose files hold; 0 when there is none."""
    folder, _ = manifest.newest_whole(run.directory)
    return manifest.step_of(folder) if folder else 0


def interrupted_at(stage: Stage, step: int, *words: str) -> Run:
    """A run that was killed at a step."""
    run = stage.run(*words)
    life = fleet.start(run)
    holds(life.until_step(step), f"{run.id} ended before step {step}: {run.state().reason}")
    life.kill()
    return run


Scenario = Callable[[Stage], None]
__all__ = ["EVERY", "FULL", "LORA", "STEPS", "STREAMED", "Life", "Scenario", "Stage", "Verdict"]


def timed(scenario: Scenario, stage: Stage) -> Verdict:
    """Runs a scenario; what it raises outside of a case is a failure too."""
    started = time.monotonic()
    try:
        scenario(stage)
    except Exception as error:  # noqa: BLE001 - the other scenarios come after it
        stage.verdict.tries += 1
        stage.verdict.failures.append(f"{type(error).__name__}: {str(error)[:400]}")
    stage.verdict.seconds = time.monotonic() - started
    return stage.verdict
