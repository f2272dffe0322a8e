"""Faults inside of a worker: memory that is not there, numbers that are none, clocks that jump."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.storm import fleet
from benchmarks.storm.fleet import Fault, losses, of_kind
from benchmarks.storm.stage import LORA, STEPS, Stage, holds, interrupted_at, sentence
from core.runs.run import Run

DAY_S = 86_400.0
CLOSE = 5e-3  # losses at half the batch and twice the passes, where no dropout is drawn
CGROUPS = Path("/sys/fs/cgroup/memory")
LITTLE_BYTES = 96 * 2**20  # less than a worker needs


def _fault(stage: Stage, kind: str, step: int, times: int = 1, **more: Any) -> Fault:
    marks = stage.fleet.folder / f"marks-{stage.random.random()}"
    return {"kind": kind, "step": step, "times": times, "marks": str(marks), **more}


def device_memory(stage: Stage) -> None:
    """CUDA's out of memory in mid-run: once more at half the batch; then a clear failure."""
    stage.verdict.note = "torch.OutOfMemoryError raised at step 10"
    plain = tuple(word for word in LORA if "dropout" not in word)
    for times in (1, 99):
        with stage.case("once" if times == 1 else "again and again"):
            run = stage.run(*plain)
            fleet.start(run, _fault(stage, "oom", 10, times)).wait()
            tries = of_kind(run, "retry")
            holds(len(tries) == 1, f"{run.id} tried {len(tries)} times more")
            batch = (tries[0]["per_device_train_batch_size"],
                     tries[0]["gradient_accumulation_steps"])  # fmt: skip
            holds(tries[0]["why"] == "oom" and batch == (2, 2), f"{run.id}: {tries[0]}")
            if times == 1:
                holds(run.state().state == "done", f"{run.id}: {run.state().reason}")
                _nearly_same(stage, run, plain)
            else:
                sentence(run, "failed", "memory")


def _nearly_same(stage: Stage, run: Run, words: tuple[str, ...]) -> None:
    mine, whole = losses(run), losses(stage.undisturbed(*words))
    holds(mine.keys() == whole.keys(), f"{run.id} has the steps {sorted(mine)}")
    far = {step: mine[step] - whole[step] for step in mine if abs(mine[step] - whole[step]) > CLOSE}
    holds(not far, f"{run.id} is off at {far}")


def memory(stage: Stage) -> None:
    """The machine's memory: an allocation that is refused, and the kernel's killer."""
    with stage.case("refused, then resumed"):
        run = stage.run(*LORA)
        fleet.start(run, _fault(stage, "memory", 10, 99)).wait()
        sentence(run, "failed", "memory")
        (run.directory / "recovery.json").unlink(missing_ok=True)
        stage.finish(run, LORA)
    with stage.case("killed by the kernel"):
        run = interrupted_at(stage, 6, *LORA)
        with _little_memory(stage) as group:
            fault = {"kind": "cgroup", "group": str(group)} if group else None
            life = fleet.start(run, fault)
            if group is None:
                life.kill()
            holds(life.wait() == -9, "the kernel let it live")
        holds(run.state().state == "interrupted", run.state().state)
        stage.finish(run, LORA)


@contextmanager
def _little_memory(stage: Stage) -> Iterator[Path | None]:
    """A cgroup (version 1) with less memory than a worker needs; None where none can be made."""
    group = CGROUPS / f"afina-storm-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(LITTLE_BYTES))
    except OSError:
        stage.verdict.note = "no cgroup can be made here: SIGKILL, as the killer sends it"
        yield None
        return
    stage.verdict.note = "a cgroup of 96 MiB"
    try:
        yield group
    finally:
        group.rmdir()


def no_number(stage: Stage) -> None:
    """A weight that becomes NaN: the run stops before it is saved, or goes back once."""
    for way in ("stop", "rollback", "rollback, again and again"):
        with stage.case(way):
            words = (*LORA, f"train.on_divergence={way.partition(',')[0]}")
            run = stage.run(*words)
            fleet.start(run, _fault(stage, "nan", 10, 99 if "again" in way else 1)).wait()
            if way == "rollback":
                holds(run.state().state == "done", f"{run.id}: {run.state().reason}")
                (tried,) = of_kind(run, "retry")
                holds((tried["why"], tried["from_step"]) == ("divergence", 8), str(tried))
                before = {s: loss for s, loss in losses(run).items() if s <= 8}
                whole = losses(stage.undisturbed(*LORA))
                holds(all(whole[s] == loss for s, loss in before.items()), "other losses before")
                holds(max(losses(run)) == STEPS, "it ended early")
                continue
            sentence(run, "failed", "nan")
            if way == "stop":
                stage.finish(run, LORA)


def clock(stage: Stage) -> None:
    """The clock jumps a day back or ahead in mid-run: nobody minds."""
    for jump in (-DAY_S, DAY_S, -3.0):
        with stage.case(f"{jump:+,.0f} s"):
            run = stage.run(*LORA)
            life = fleet.start(run, _fault(stage, "clock", 7, jump_s=jump))
            holds(life.until_step(9), "no step 9")
            holds(run.state().state in ("running", "done"), f"{run.id} is {run.state().state}")
            life.wait()
            stage.ended_well(run, LORA)
            numbers = [event["seq"] for event in run.events()]
            holds(numbers == list(range(1, len(numbers) + 1)), f"{run.id} counts wrongly")
    with stage.case("back, between a kill and the resume"):
        run = interrupted_at(stage, 6, *LORA)
        fleet.start(run, _fault(stage, "clock", 7, jump_s=-DAY_S)).wait()
        stage.ended_well(run, LORA)
