"""Runs as processes: how they stop, are killed, and go on with the losses they would have had."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from core.config import Config
from core.runs.curves import curve
from core.runs.run import Run, is_complete
from core.train.checkpoint import manifest, resume
from tests.core.train import faults
from tests.core.train.conftest import (
    LORA,
    Configure,
    NewWorker,
    Worker,
    chat_rows,
    losses,
    of_kind,
    steps,
    write_rows,
)


def test_a_killed_run_goes_on_from_its_checkpoint_with_the_same_losses(
    whole: Run, new_worker: NewWorker, configure: Configure
) -> None:
    """Three times: at some moment, in the middle of a checkpoint, and with a damaged newest one."""
    worker = new_worker(configure(*LORA)).start()
    worker.until_step(random.randint(4, 9))
    worker.kill()
    assert worker.run.state().state == "interrupted"

    worker.start()
    folder = _kill_inside_a_checkpoint(worker)
    assert not is_complete(folder)
    assert worker.run.state().state == "interrupted"

    complete = worker.run.checkpoints()
    weights = complete[-1] / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    assert worker.start().wait() == 0, worker.log()
    assert losses(worker.run) == losses(whole)
    last, expected = (of_kind(run, "result")[-1] for run in (worker.run, whole))
    for name in ("steps", "tokens", "train_loss", "eval_loss"):
        assert last[name] == expected[name], name
    (finding,) = [e for e in of_kind(worker.run, "finding") if "damaged" in e["message"]]
    assert complete[-1].name in finding["message"]
    assert "adapter_model.safetensors" in finding["message"]
    assert _adapter_bytes(worker.run) == _adapter_bytes(whole)


def _kill_inside_a_checkpoint(worker: Worker) -> Path:
    """Kills the process while a checkpoint's folder is there and its manifest is not."""
    before = set((worker.run.directory / "checkpoints").glob("step-*"))

    def half_written() -> Path | None:
        for folder in (worker.run.directory / "checkpoints").glob("step-*"):
            if folder in before or is_complete(folder):
                continue
            worker.signal(signal.SIGSTOP)  # hold it, then look again
            if folder.is_dir() and not is_complete(folder):
                worker.signal(signal.SIGKILL)
                return folder
            worker.signal(signal.SIGCONT)
        return None

    folder = worker.until(half_written, "a checkpoint without a manifest")
    assert worker.wait() == -signal.SIGKILL
    return folder


def _adapter_bytes(run: Run) -> bytes:
    return (run.directory / "adapter" / "adapter_model.safetensors").read_bytes()


def test_a_run_that_was_killed_while_it_saved_its_result_only_saves_it(
    whole: Run, home: Path
) -> None:
    run = Run(home / "runs" / whole.id)
    shutil.copytree(whole.directory, run.directory)
    (run.directory / "adapter" / "manifest.json").unlink()
    run.write_state(msgspec.structs.replace(run.recorded_state(), state="interrupted"))
    before = steps(run)
    worker = Worker(run).start()
    assert worker.wait() == 0, worker.log()
    assert run.state().state == "done"
    assert steps(run) == before
    assert _adapter_bytes(run) == _adapter_bytes(whole)
    assert of_kind(run, "result")[-1]["train_loss"] == of_kind(whole, "result")[-1]["train_loss"]


def test_time_that_has_passed_is_a_reason_to_save(
    new_worker: NewWorker, configure: Configure
) -> None:
    words = ("train.max_steps=3", "checkpoint.every_minutes=1e-9", "data.eval_fraction=0")
    worker = new_worker(configure(*words)).start()
    assert worker.wait() == 0, worker.log()
    reasons = [event["reason"] for event in of_kind(worker.run, "checkpoint")]
    assert reasons == ["time", "time", "end"]


def test_a_stopped_full_run_saves_and_goes_on_with_the_same_losses(
    finished: Callable[[Config], Run], new_worker: NewWorker, configure: Configure
) -> None:
    words = (
        "method.kind=full",
        "model.dtype=bfloat16",
        "train.packing=on",
        "train.max_steps=16",
        "train.learning_rate=1e-3",
        "train.gradient_accumulation_steps=2",
    )
    worker = new_worker(configure(*words)).start()
    worker.until_step(2)
    request = worker.run.request("stop")
    assert worker.wait() == 0, worker.log()
    state = worker.run.state()
    assert (state.state, state.reason) == (
        "stopped",
        f"Stopped at step {state.step}; resumable.",
    )
    assert [manifest.step_of(folder) for folder in worker.run.checkpoints()] == [state.step]
    assert of_kind(worker.run, "checkpoint")[-1]["reason"] == "stop"
    (answer,) = of_kind(worker.run, "control")
    assert (answer["request"], answer["action"]) == (request, "stop")
    assert of_kind(worker.run, "result")[-1]["state"] == "stopped"
    assert worker.run.result is None

    assert worker.start().wait() == 0, worker.log()
    undisturbed = finished(configure(*words))
    assert state.step < 16
    assert losses(worker.run) == losses(undisturbed)


def test_a_stop_that_comes_at_the_last_step_changes_nothing(
    new_worker: NewWorker, configure: Configure
) -> None:
    many = f"eval.watch_prompts={['What?'] * 300}"  # so that the last step takes its time
    worker = new_worker(configure("train.max_steps=3", many, "eval.max_new_tokens=2")).start()
    worker.until_step(3)
    worker.run.request("stop")
    assert worker.wait() == 0, worker.log()
    assert worker.run.state().state == "done"
    assert worker.run.result is not None


def test_requests_are_answered_while_the_run_goes_on(
    new_worker: NewWorker, configure: Configure
) -> None:
    worker = new_worker(configure("train.max_steps=5000", "checkpoint.every_steps=5000")).start()
    worker.until_step(1)
    asked = {name: worker.run.request(name) for name in ("checkpoint", "evaluate", "sample", "fly")}
    worker.until(lambda: len(of_kind(worker.run, "control")) >= 4, "four answers")
    answers = {event["action"]: event for event in of_kind(worker.run, "control")}
    assert {name: answers[name]["request"] for name in asked} == asked
    saved = of_kind(worker.run, "checkpoint")
    assert saved[0]["reason"] == "request"
    assert answers["checkpoint"]["result"] == f"saved {Path(saved[0]['directory']).name}"
    assert answers["sample"]["result"] == "there are no watch prompts"
    assert '"fly"' in answers["fly"]["result"]
    assert any(0 < event["step"] < 5000 for event in of_kind(worker.run, "eval"))
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.log()
    assert worker.run.state().state == "stopped"


def test_a_second_signal_ends_a_run_that_is_slow_to_stop(
    new_worker: NewWorker, configure: Configure
) -> None:
    slow = ("eval.max_new_tokens=200000", 'eval.watch_prompts=["What?"]', "train.max_steps=5")
    worker = new_worker(configure(*slow)).start()
    worker.until(lambda: worker.run.state().state == "running", "the first answer being written")
    worker.signal(signal.SIGTERM)
    worker.signal(signal.SIGINT)  # another one, so that the two can't become one on their way
    assert worker.wait() == 1, worker.log()
    state = worker.run.state()
    assert state.state == "stopped"
    assert "no checkpoint was saved" in state.reason


def test_a_stop_now_ends_a_run_in_the_middle_of_a_step(
    new_worker: NewWorker, configure: Configure
) -> None:
    """The main thread hears nothing: it is in a call that lasts an hour."""
    worker = new_worker(configure("train.max_steps=5")).start(faults.hang_in_a_step)
    worker.until(lambda: (worker.run.directory / "hangs").exists(), "the long step")
    request = worker.run.request("stop", now=True)
    assert worker.wait() == 1, worker.log()
    state = worker.run.state()
    assert state.state == "stopped"
    assert state.reason == "Ended at once, without saving; no checkpoint was saved."
    (answer,) = of_kind(worker.run, "control")
    assert (answer["request"], answer["result"]) == (request, state.reason)


@pytest.mark.parametrize("second", ["request", "signal"])
def test_a_second_stop_ends_a_run_whose_step_goes_on_and_on(
    second: str, new_worker: NewWorker, configure: Configure
) -> None:
    worker = new_worker(configure("train.max_steps=5")).start(faults.hang_in_a_step)
    worker.until(lambda: (worker.run.directory / "hangs").exists(), "the long step")
    worker.run.request("stop")
    if second == "request":
        worker.run.request("stop")
    else:
        worker.signal(signal.SIGTERM)
    assert worker.wait() == 1, worker.log()
    assert worker.run.state().reason.startswith("Ended at once, without saving")


def test_a_paused_run_is_saved_and_goes_on_with_the_same_losses(
    whole: Run, new_worker: NewWorker, configure: Configure
) -> None:
    worker = new_worker(configure(*LORA)).start()
    worker.until_step(5)
    worker.run.request("pause")
    assert worker.wait() == 0, worker.log()
    state = worker.run.state()
    assert (state.state, state.reason) == ("paused", f"Paused at step {state.step}; resumable.")
    assert manifest.step_of(worker.run.checkpoints()[-1]) == state.step
    assert of_kind(worker.run, "checkpoint")[-1]["reason"] == "pause"
    assert of_kind(worker.run, "control")[-1]["action"] == "pause"
    assert worker.start().wait() == 0, worker.log()
    assert losses(worker.run) == losses(whole)
    evaluated = [[e["eval_loss"] for e in of_kind(run, "eval")] for run in (worker.run, whole)]
    assert evaluated[0] == evaluated[1]


def test_a_resumed_run_that_is_stopped_before_its_next_step_tells_where_it_is(
    new_worker: NewWorker, configure: Configure
) -> None:
    worker = new_worker(configure("train.max_steps=50", "checkpoint.every_steps=1"))
    worker.start().until_step(2)
    worker.run.request("pause")
    assert worker.wait() == 0, worker.log()
    step = worker.run.state().step
    worker.run.announce()
    worker.run.request("stop")
    assert worker.start_unannounced().wait() == 0, worker.log()
    assert worker.run.state().reason == f"Stopped at step {step}; resumable."


def test_a_pause_before_the_first_step_is_obeyed(
    new_worker: NewWorker, configure: Configure
) -> None:
    worker = new_worker(configure("train.max_steps=50"))
    worker.run.announce()
    worker.run.request("pause")
    assert worker.start_unannounced().wait() == 0, worker.log()
    state = worker.run.state()
    assert (state.state, state.reason) == ("paused", "Paused before the first step.")
    assert of_kind(worker.run, "step") == []


def test_a_stop_is_obeyed_in_the_middle_of_an_evaluation(
    new_worker: NewWorker, configure: Configure
) -> None:
    slow = ("eval.max_new_tokens=100", f"eval.watch_prompts={['What?'] * 5000}")
    worker = new_worker(configure(*slow, "train.max_steps=5")).start()
    samples = worker.run.directory / "samples.jsonl"
    worker.until(lambda: samples.exists() and samples.stat().st_size, "the first answer")
    worker.run.request("stop")
    assert worker.wait() == 0, worker.log()
    assert worker.run.state().state == "stopped"
    assert of_kind(worker.run, "control")[0]["action"] == "stop"


def test_what_was_asked_before_the_worker_spoke_is_not_lost(
    new_worker: NewWorker, configure: Configure
) -> None:
    worker = new_worker(configure("train.max_steps=5000"))
    worker.run.request("stop")  # of an earlier process: over
    worker.run.announce()
    request = worker.run.request("stop")
    assert worker.start_unannounced().wait() == 0, worker.log()
    assert [event["request"] for event in of_kind(worker.run, "control")] == [request]
    assert of_kind(worker.run, "step") == []


def test_a_stop_before_the_first_step_is_obeyed(
    new_worker: NewWorker, configure: Configure, tmp_path: Path
) -> None:
    many = write_rows(tmp_path / "many.jsonl", chat_rows(20_000))
    worker = new_worker(configure(f"data.path={many}")).start()
    worker.until(lambda: of_kind(worker.run, "phase"), "the first phase")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.log()
    assert worker.run.state().state == "stopped"
    assert of_kind(worker.run, "step") == []


def test_changed_data_is_resumed_only_by_force(
    new_worker: NewWorker, configure: Configure, tmp_path: Path
) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", chat_rows(20))
    worker = new_worker(configure(f"data.path={rows}", "train.max_steps=12")).start()
    worker.until_step(1)
    worker.run.request("stop")
    assert worker.wait() == 0, worker.log()
    write_rows(rows, [*chat_rows(19), *chat_rows(25)[24:]])
    assert worker.start().wait() == 1
    state = worker.run.state()
    assert state.state == "failed"
    assert f'would not go on as it began: data.path "{rows}" was' in state.reason
    assert worker.run.checkpoints() != []

    resume.force(worker.run)
    assert worker.start().wait() == 0, worker.log()
    assert worker.run.state().state == "done"
    assert any("data.path" in event["message"] for event in of_kind(worker.run, "finding"))
    assert resume.differences(worker.run) == [], "what it went on with is what it stands on now"


def test_a_base_model_that_is_deleted_under_a_run_takes_nothing_from_it(
    new_worker: NewWorker, configure: Configure, tiny_model: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    words = ("train.max_steps=30", f"model.name_or_path={base}", "checkpoint.every_steps=10")
    worker = new_worker(configure(*words)).start()
    worker.until_step(2)
    shutil.rmtree(base)
    assert worker.wait() == 0, worker.log()
    assert worker.run.state().state == "done"
    assert worker.run.result is not None
    assert (worker.run.result / "tokenizer.json").is_file()


def test_a_run_without_its_base_model_is_not_resumed(
    new_worker: NewWorker, configure: Configure, tiny_model: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    words = ("train.max_steps=5000", f"model.name_or_path={base}")
    worker = new_worker(configure(*words)).start()
    worker.until_step(1)
    worker.run.request("stop")
    assert worker.wait() == 0, worker.log()
    (base / "tokenizer.json").unlink()
    assert worker.start().wait() == 1
    state = worker.run.state()
    assert (state.state, "tokenizer.json" in state.reason) == ("failed", True), state.reason


def test_events_that_were_damaged_are_gone_on_from(
    whole: Run, new_worker: NewWorker, configure: Configure
) -> None:
    """Cut in the middle, with garbage of bytes, and with a number that is none any more."""
    worker = new_worker(configure(*LORA)).start()
    worker.until_step(9)
    worker.kill()
    path = worker.run.events_path
    lines = path.read_bytes().splitlines(keepends=True)
    last = max(index for index, line in enumerate(lines) if b'"kind":"step"' in line)
    lines[last] = lines[last].replace(b'"loss":', b'"loss":"x', 1).replace(b',"lear', b'","lear')
    seq = b'"seq":9999999999999,"t":"noon","kind":"step","step":"two","loss":1}\n'
    garbage = b"\0" * 40 + b"\xff\xfe{[\n" + b'{"v":1,' + seq + b'[1]\n{"kind":3}\n'
    path.write_bytes(b"".join(lines[3:]) + garbage + lines[1][:20])
    assert worker.start().wait() == 0, worker.log()
    assert worker.run.state().state == "done"
    later = [point for point in curve(worker.run.events(), "step", "loss") if point[0] > 9]
    assert later == [point for point in losses(whole).items() if point[0] > 9]
    numbers = [event["seq"] for event in worker.run.events() if event["seq"] < 10**9]
    assert len(set(numbers)) == len(numbers)


def test_early_stopping_keeps_the_best_weights(new_worker: NewWorker, configure: Configure) -> None:
    worker = new_worker(
        configure(
            "train.max_steps=2000",
            "train.learning_rate=0.3",
            "train.lr_scheduler_type=constant",
            "train.warmup_ratio=0",
            "eval.every_steps=1",
            "checkpoint.every_steps=500",
            "checkpoint.early_stopping_patience=3",
        )
    ).start()
    assert worker.wait() == 0, worker.log()
    state = worker.run.state()
    assert state.state == "done"
    assert state.step == (state.best_step or 0) + 3
    assert state.reason.startswith(f"Ended early at step {state.step}")
    best = manifest.step_folder(worker.run.directory, state.best_step or 0)
    assert worker.run.result is not None
    weights = "adapter_model.safetensors"
    assert (worker.run.result / weights).read_bytes() == (best / weights).read_bytes()

    (worker.run.result / "manifest.json").unlink()  # as if it was killed while it saved the result
    worker.run.write_state(msgspec.structs.replace(state, state="interrupted"))
    before = steps(worker.run)
    assert worker.start().wait() == 0, worker.log()
    assert (steps(worker.run), worker.run.state().reason) == (before, state.reason)
    assert (worker.run.result / weights).read_bytes() == (best / weights).read_bytes()
