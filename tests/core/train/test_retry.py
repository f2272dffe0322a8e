"""Runs that go on by themselves: after memory ran out, and after a loss that diverged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.config import Config
from core.paths import ROOT
from core.runs.run import Run, create_run
from core.train.checkpoint import manifest
from core.train.recovery import overrides
from core.train.recovery.overrides import Recovery
from tests.core.train import faults
from tests.core.train.conftest import (
    Configure,
    NewWorker,
    losses,
    of_kind,
    steps,
)

STEPS = 20
FULL_BATCH = (f"train.max_steps={STEPS}", "eval.every_steps=7", "checkpoint.every_steps=100")


@pytest.fixture(scope="session")
def undisturbed(finished: Callable[[Config], Run], configure: Configure) -> Run:
    return finished(configure(*FULL_BATCH))


def rows_of(run: Run) -> dict[int, list[int]]:
    """The tokens that each step saw, its last time, all micro-batches in their order."""
    found: dict[int, list[int]] = {}
    before = 0
    for line in (run.directory / "rows.jsonl").read_text().splitlines():
        step, ids = json.loads(line)
        if step <= before and step in found and before != step:
            found = {at: seen for at, seen in found.items() if at < step}
        found[step] = found.get(step, []) + ids
        before = step
    return found


def near(found: dict[int, float], expected: dict[int, float]) -> bool:
    return found == {step: pytest.approx(loss, abs=2e-5) for step, loss in expected.items()}


def test_a_step_that_ran_out_of_memory_is_done_again_in_halves(
    undisturbed: Run, new_worker: NewWorker, configure: Configure, tmp_path: Any
) -> None:
    """In a second epoch, whose last batch is not full; with the same rows in each step."""
    watched = new_worker(configure(*FULL_BATCH)).start(faults.note_rows)
    worker = new_worker(configure(*FULL_BATCH)).start(partial(faults.run_out_of_memory, 13, 4))
    assert (watched.wait(), worker.wait()) == (0, 0), worker.log()
    run = worker.run
    (retry,) = of_kind(run, "retry")
    expected = {"why": "oom", "step": 13, "from_step": 12}
    expected |= {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    assert {name: retry[name] for name in expected} == expected
    assert any("micro-batch of 4" in event["message"] for event in of_kind(run, "finding"))
    assert overrides.read(run.directory).oom_retries == 1

    done = [event["step"] for event in of_kind(run, "step")]
    assert done == list(range(1, STEPS + 1)), "no step was lost or done twice"
    assert near(losses(run), losses(undisturbed))
    evaluated = {e["step"]: e["eval_loss"] for e in of_kind(run, "eval")}
    assert near(evaluated, {e["step"]: e["eval_loss"] for e in of_kind(undisturbed, "eval")})
    tokens = [of_kind(each, "result")[-1]["tokens"] for each in (run, undisturbed)]
    assert tokens[0] == tokens[1]
    seen, whole = rows_of(run), rows_of(watched.run)
    failed = whole[13]
    assert seen[13] in (failed, failed[: len(seen[13]) - len(failed)] + failed)
    assert {at: ids for at, ids in seen.items() if at != 13} == {
        at: ids for at, ids in whole.items() if at != 13
    }


def test_memory_that_runs_out_twice_ends_in_the_ways_out(
    new_worker: NewWorker, configure: Configure
) -> None:
    fault = partial(faults.run_out_of_memory, 3, 1)
    worker = new_worker(configure("train.max_steps=5")).start(fault)
    assert worker.wait() == 1
    state = worker.run.state()
    assert state.state == "failed"
    assert "micro-batch of 2, which was made smaller once already." in state.reason
    assert "train.gradient_checkpointing=true" in state.reason
    assert len(of_kind(worker.run, "retry")) == 1
    assert [manifest.step_of(folder) for folder in worker.run.checkpoints()] == [2]

    assert worker.start(partial(faults.run_out_of_memory, 3, 2)).wait() == 0, worker.log()
    retry = of_kind(worker.run, "retry")[-1]
    assert (retry["per_device_train_batch_size"], retry["gradient_accumulation_steps"]) == (1, 4)
    assert sorted(steps(worker.run)) == [1, 2, 3, 4, 5]


def test_a_worker_begins_again_as_a_clean_process(home: Path, configure: Configure) -> None:
    """Started cold, with a file of fault that counts for the first process only."""
    run = create_run(home, configure(*FULL_BATCH, "train.max_steps=4"))
    run.announce()
    code = (
        "import afina, sys, pathlib, functools;"
        "from tests.core.train import faults; faults.run_out_of_memory(3, 4);"
        "from core.workers import main; sys.exit(main(['train', sys.argv[1]]))"
    )
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": f"{ROOT}"}
    with open(run.log_path, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(run.directory)],
            cwd=run.directory,
            env=environment,
            stderr=log,
        )
    assert process.wait(120) == 0, run.log_path.read_text()
    state = run.state()
    assert (state.state, state.pid) == ("done", process.pid)
    assert [event["step"] for event in of_kind(run, "step")] == [1, 2, 3, 4]
    assert len(of_kind(run, "retry")) == 1


def test_streamed_rows_go_on_where_they_stood_when_memory_ran_out(
    new_worker: NewWorker, configure: Configure
) -> None:
    words = (*FULL_BATCH, "data.streaming=true", "train.packing=off", "train.max_steps=8")
    whole = new_worker(configure(*words)).start(faults.note_rows)
    worker = new_worker(configure(*words)).start(partial(faults.run_out_of_memory, 4, 4))
    assert (whole.wait(), worker.wait()) == (0, 0), worker.log()
    seen, expected = rows_of(worker.run), rows_of(whole.run)
    failed = expected.pop(4)
    assert seen.pop(4)[-len(failed) :] == failed
    assert seen == expected
    assert near(losses(worker.run), losses(whole.run))


def test_a_micro_batch_of_one_row_can_not_be_made_smaller(
    new_worker: NewWorker, configure: Configure
) -> None:
    words = ("train.max_steps=5", "train.per_device_train_batch_size=1")
    worker = new_worker(configure(*words)).start(partial(faults.run_out_of_memory, 3, 1))
    assert worker.wait() == 1
    assert "ran out of memory in step 3, at a micro-batch of 1." in worker.run.state().reason
    assert of_kind(worker.run, "retry") == []
    assert [manifest.step_of(folder) for folder in worker.run.checkpoints()] == [2]


def test_an_evaluation_that_ran_out_of_memory_is_made_up_for(
    undisturbed: Run, new_worker: NewWorker, configure: Configure
) -> None:
    fault = partial(faults.run_out_of_memory_evaluating, 14)
    worker = new_worker(configure(*FULL_BATCH)).start(fault)
    assert worker.wait() == 0, worker.log()
    assert near(losses(worker.run), losses(undisturbed))
    evaluated = {e["step"]: e["eval_loss"] for e in of_kind(worker.run, "eval")}
    assert near(evaluated, {e["step"]: e["eval_loss"] for e in of_kind(undisturbed, "eval")})


def test_halving_keeps_the_rows_of_a_step() -> None:
    from core.config import config_io

    def halved(rows: int, passes: int, least: int = 1) -> tuple[int | None, int | None] | None:
        words = [
            f"train.per_device_train_batch_size={rows}",
            f"train.gradient_accumulation_steps={passes}",
        ]
        smaller = Recovery().smaller(config_io.parse("", words), least)
        if smaller is None:
            return None
        return smaller.per_device_train_batch_size, smaller.gradient_accumulation_steps

    assert halved(8, 1) == (4, 2)
    assert halved(6, 3) == (3, 6)
    assert halved(9, 2) == (3, 6)
    assert halved(5, 1) == (1, 5)
    assert halved(1, 4) is None
    assert halved(2, 1, least=2) is None


ROLLBACK = (
    f"train.max_steps={STEPS}",
    "train.on_divergence=rollback",
    "checkpoint.every_steps=4",
    "checkpoint.keep=9",
    "train.optim=adamw",
)


def test_a_divergence_goes_back_to_the_last_good_checkpoint_and_on_with_half_the_rate(
    undisturbed: Run, new_worker: NewWorker, configure: Configure
) -> None:
    """At step 13 the checkpoint at 12 holds the weights that failed; that at 8 is good."""
    worker = new_worker(configure(*ROLLBACK)).start(partial(faults.diverge, (13,)))
    assert worker.wait() == 0, worker.log()
    run = worker.run
    (retry,) = of_kind(run, "retry")
    expected = {"why": "divergence", "step": 13, "from_step": 8}
    assert {name: retry[name] for name in expected} == expected
    rates = {at: event["learning_rate"] for at, event in steps(run).items()}
    usual = {at: event["learning_rate"] for at, event in steps(undisturbed).items()}
    for at in range(1, STEPS + 1):
        assert rates[at] == pytest.approx(usual[at] * (1.0 if at <= 8 else 0.5)), at
    seen = losses(run)
    assert {at: seen[at] for at in range(1, 10)} == {
        at: losses(undisturbed)[at] for at in range(1, 10)
    }
    assert max(seen) == STEPS and run.state().state == "done"
    lines = [json.loads(line) for line in (run.directory / "rows.jsonl").read_text().splitlines()]
    first, again = ([ids for at, ids in part if at == 10] for part in (lines[:13], lines[13:]))
    assert first == again, "the order of the rows is the same"

    worker.run.write_state(_interrupted(run))
    (run.directory / "adapter" / "manifest.json").unlink()
    newest = run.checkpoints()[-1]
    (newest / "manifest.json").unlink()
    assert worker.start().wait() == 0, worker.log()
    assert losses(run) == seen, "a resume after it has the lower rate once, not twice"


def _interrupted(run: Run) -> Any:
    import msgspec

    return msgspec.structs.replace(run.recorded_state(), state="interrupted")


def test_a_second_divergence_fails_in_a_sentence(
    new_worker: NewWorker, configure: Configure
) -> None:
    worker = new_worker(configure(*ROLLBACK)).start(partial(faults.diverge, (3, 6)))
    assert worker.wait() == 1
    state = worker.run.state()
    assert state.state == "failed"
    assert state.reason.startswith("The loss is nan at step 6, again: the run went back once")
    assert of_kind(worker.run, "retry")[0]["from_step"] == 0


def test_a_spike_counts_as_divergence_where_a_factor_is_set(
    new_worker: NewWorker, configure: Configure
) -> None:
    words = (
        "train.max_steps=30",
        "train.on_divergence=rollback",
        "train.spike_factor=5",
        "checkpoint.every_steps=10",
    )
    worker = new_worker(configure(*words)).start(partial(faults.spike, 26, 20.0))
    assert worker.wait() == 0, worker.log()
    (retry,) = of_kind(worker.run, "retry")
    assert (retry["step"], retry["from_step"]) == (26, 20)
    assert "times the median of the 20 steps before" in retry["message"]


def test_a_spike_without_a_factor_is_told(new_worker: NewWorker, configure: Configure) -> None:
    words = ("train.max_steps=30", "train.learning_rate=1e-4")
    worker = new_worker(configure(*words)).start(partial(faults.spike, 26, 20.0))
    assert worker.wait() == 0, worker.log()
    assert of_kind(worker.run, "retry") == []
    told = [e for e in of_kind(worker.run, "finding") if "spiked" in e["message"]]
    assert [event["step"] for event in told] == [26]
