"""Runs as processes: what they write, how they stop, resume, fail and survive."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from safetensors.torch import load_file

from core.config import Config
from core.paths import ROOT
from core.runs import Run, create_run, is_complete
from core.train import checkpoints
from tests.core.train.conftest import Configure, Worker, chat_rows, of_kind, steps, write_rows

NewWorker = Callable[[Config], Worker]
STEPS = 24
LORA = (
    f"train.max_steps={STEPS}",
    "method.dropout=0.1",  # so that a wrong random state shows
    "eval.every_steps=8",
    "checkpoint.every_steps=4",
    "checkpoint.keep=2",
    'eval.watch_prompts=["What do people eat in Rome?", "And in [bold]Lima[/bold]?"]',
    "eval.max_new_tokens=6",
)


@pytest.fixture(scope="session")
def whole(finished: Callable[[Config], Run], configure: Configure) -> Run:
    """A LoRA run that nobody disturbed."""
    return finished(configure(*LORA))


def losses(run: Run) -> dict[int, float]:
    return {step: event["loss"] for step, event in steps(run).items()}


# --- what a run leaves behind ---


def test_a_run_writes_its_events_in_order(whole: Run) -> None:
    events = whole.events()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    kinds = [event["kind"] for event in events]
    assert kinds.index("phase") < kinds.index("plan") < kinds.index("step")
    assert [event["step"] for event in of_kind(whole, "step")] == list(range(1, STEPS + 1))
    assert [event["step"] for event in of_kind(whole, "eval")] == [0, 8, 16, 24]
    assert [event["step"] for event in of_kind(whole, "samples")] == [0, 8, 16, 24]
    assert kinds[-2:] == ["result", "state"]
    assert whole.state().state == "done"
    assert whole.state().step == STEPS


def test_the_plan_counts_the_model_and_the_rows(whole: Run) -> None:
    (plan,) = of_kind(whole, "plan")
    assert plan["rows"] + plan["eval_rows"] == 40
    assert plan["steps"] == STEPS
    assert plan["steps_per_epoch"] == -(-plan["rows"] // 4)
    assert (plan["device"], plan["dtype"]) == ("cpu", "float32")
    weights = load_file(Path(whole.config.model.name_or_path) / "model.safetensors")
    assert plan["parameters"] == sum(tensor.numel() for tensor in weights.values())
    adapter = load_file(whole.directory / "adapter" / "adapter_model.safetensors")
    assert plan["trainable"] == sum(tensor.numel() for tensor in adapter.values())


def test_tokens_are_counted_without_padding(whole: Run) -> None:
    plan, events = of_kind(whole, "plan")[0], steps(whole)
    assert events[plan["steps_per_epoch"]]["tokens"] == plan["tokens_per_epoch"]
    assert of_kind(whole, "result")[0]["tokens"] == events[STEPS]["tokens"]


def test_the_loss_falls_and_the_result_says_so(whole: Run) -> None:
    result, evaluations = of_kind(whole, "result")[0], of_kind(whole, "eval")
    assert result["eval_loss"] == evaluations[-1]["eval_loss"] < evaluations[0]["eval_loss"]
    assert result["state"] == "done"
    assert result["steps"] == STEPS
    last_20 = list(losses(whole).values())[-20:]
    assert result["train_loss"] == pytest.approx(sum(last_20) / 20)


def test_the_best_evaluation_is_in_the_state(whole: Run) -> None:
    evaluations = [event for event in of_kind(whole, "eval") if event["step"] > 0]
    best = min(evaluations, key=lambda event: event["eval_loss"])
    assert whole.state().best_step == best["step"]
    assert whole.state().best_eval_loss == best["eval_loss"]


def test_watch_prompts_are_answered_at_each_evaluation(whole: Run) -> None:
    lines = (whole.directory / "samples.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == [0, 0, 8, 8, 16, 16, 24, 24]
    assert rows[1]["prompt"] == "And in [bold]Lima[/bold]?"
    assert {row["finish_reason"] for row in rows} <= {"stop", "length"}


def test_old_checkpoints_go_and_the_newest_and_the_best_stay(whole: Run) -> None:
    kept = [checkpoints.step_of(folder) for folder in whole.checkpoints()]
    assert STEPS in kept
    assert whole.state().best_step in kept
    assert len(kept) <= 3


def test_a_checkpoint_holds_what_its_manifest_says(whole: Run) -> None:
    folder = whole.checkpoints()[-1]
    assert checkpoints.damage(folder) is None
    manifest = checkpoints.read(folder)
    assert manifest is not None
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == {*manifest.files, "manifest.json"}
    assert {"adapter_model.safetensors", "optimizer.pt", "rng_state.pth"} <= there


def test_the_result_carries_the_tokenizer_and_template_as_they_were(whole: Run) -> None:
    base, result = Path(whole.config.model.name_or_path), whole.result
    assert result == whole.directory / "adapter"
    assert checkpoints.damage(result) is None
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (result / name).read_bytes() == (base / name).read_bytes()


def test_a_full_run_ends_in_a_model_that_transformers_loads(
    finished: Callable[[Config], Run], configure: Configure
) -> None:
    from transformers import AutoModelForCausalLM

    run = finished(
        configure(
            "method.kind=full",
            "train.max_steps=3",
            "model.dtype=bfloat16",
            "train.learning_rate=1e-3",
        )
    )
    assert run.result == run.directory / "model"
    base = Path(run.config.model.name_or_path)
    before, after = (json.loads((d / "config.json").read_text()) for d in (base, run.result))
    assert after == before | {"dtype": "bfloat16"}
    model, report = AutoModelForCausalLM.from_pretrained(
        run.result, dtype="auto", output_loading_info=True
    )
    assert str(model.dtype) == "torch.bfloat16"
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert model.config.use_cache


def test_a_template_of_the_users_own_travels_with_the_result(
    new_worker: NewWorker, configure: Configure, tmp_path: Path
) -> None:
    from tests.core.train.conftest import TEMPLATE

    own = tmp_path / "own.jinja"
    own.write_text("Talk: " + TEMPLATE)
    worker = new_worker(configure(f"data.chat_template={own}", "train.max_steps=2")).start()
    assert worker.wait() == 0, worker.log()
    assert worker.run.result is not None
    assert (worker.run.result / "chat_template.jinja").read_text() == own.read_text()


# --- stopping and going on ---


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
    assert [checkpoints.step_of(folder) for folder in worker.run.checkpoints()] == [state.step]
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


def test_changed_data_is_not_resumed_in_silence(
    new_worker: NewWorker, configure: Configure, tmp_path: Path
) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", chat_rows(20))
    worker = new_worker(configure(f"data.path={rows}", "train.max_steps=2000")).start()
    worker.until_step(1)
    worker.run.request("stop")
    assert worker.wait() == 0, worker.log()
    write_rows(rows, [*chat_rows(19), *chat_rows(25)[24:]])
    assert worker.start().wait() == 1
    assert "other tokens than when this run began" in worker.run.state().reason


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
    best = checkpoints.step_folder(worker.run.directory, state.best_step or 0)
    assert worker.run.result is not None
    weights = "adapter_model.safetensors"
    assert (worker.run.result / weights).read_bytes() == (best / weights).read_bytes()

    (worker.run.result / "manifest.json").unlink()  # as if it was killed while it saved the result
    worker.run.write_state(msgspec.structs.replace(state, state="interrupted"))
    before = steps(worker.run)
    assert worker.start().wait() == 0, worker.log()
    assert (steps(worker.run), worker.run.state().reason) == (before, state.reason)
    assert (worker.run.result / weights).read_bytes() == (best / weights).read_bytes()


# --- failing ---


@pytest.fixture
def poisoned(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with one token whose embedding is not a number."""
    from safetensors.torch import save_file
    from tokenizers import Tokenizer

    folder = tmp_path / "poisoned"
    shutil.copytree(tiny_model, folder)
    tensors = load_file(folder / "model.safetensors")
    token = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id("~")
    tensors["model.embed_tokens.weight"][token] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_a_loss_that_is_no_number_stops_the_run_and_is_never_saved(
    poisoned: Path, new_worker: NewWorker, configure: Configure, tmp_path: Path
) -> None:
    rows = chat_rows(24)
    rows[5]["messages"][0]["content"] += " ~"
    worker = new_worker(
        configure(
            f"model.name_or_path={poisoned}",
            f"data.path={write_rows(tmp_path / 'rows.jsonl', rows)}",
            "data.eval_fraction=0",
            "checkpoint.every_steps=1",
            "checkpoint.keep=50",
            "train.num_train_epochs=1",
            "train.per_device_train_batch_size=2",
        )
    ).start()
    assert worker.wait() == 1
    state, last = worker.run.state(), max(steps(worker.run))
    assert last > 1, "the poisoned row came first: choose another seed"
    assert state.state == "failed"
    assert f"The loss is nan at step {last}." in state.reason
    assert f"The last good checkpoint is step {last - 1}" in state.reason
    assert steps(worker.run)[last]["loss"] == "nan"
    kept = [checkpoints.step_of(folder) for folder in worker.run.checkpoints()]
    assert kept == list(range(1, last))
    assert worker.run.result is None
    assert of_kind(worker.run, "failure")[0]["message"] == f"The loss is nan at step {last}."


def test_rows_that_teach_nothing_end_the_run_in_a_sentence(
    new_worker: NewWorker, configure: Configure
) -> None:
    worker = new_worker(configure("data.max_length=8")).start()
    assert worker.wait() == 1
    (failure,) = of_kind(worker.run, "failure")
    assert failure["message"].startswith("No row of ")
    assert "supervised" in failure["message"]
    assert worker.run.state().reason == f"{failure['message']} {failure['hint']}"
    assert "Traceback" not in worker.log()


def test_a_bug_ends_in_a_traceback_in_the_log(new_worker: NewWorker, configure: Configure) -> None:
    worker = new_worker(configure())
    (worker.run.directory / "samples.jsonl").mkdir()
    worker.run = Run(worker.run.directory)
    config = worker.run.directory / "config.yaml"
    config.write_text(config.read_text().replace("watch_prompts: []", "watch_prompts: [Hm]"))
    assert worker.start().wait() == 1
    state = worker.run.state()
    assert state.state == "failed"
    assert state.reason.startswith("IsADirectoryError: ")
    assert "log.txt" in state.reason
    assert "Traceback" in worker.log()


def test_a_second_worker_on_the_same_run_is_refused(
    new_worker: NewWorker, configure: Configure
) -> None:
    worker = new_worker(configure("train.max_steps=5000")).start()
    worker.until_step(1)
    second = Worker(worker.run).start_unannounced()
    assert second.wait() == 1
    assert "Another process works on" in worker.log()
    assert worker.run.state().state == "running"
    assert worker.process is not None and worker.process.pid == worker.run.state().pid
    worker.kill()


# --- outliving the terminal ---


def test_a_run_outlives_the_terminal_that_started_it(home: Path, configure: Configure) -> None:
    """Started cold by Job.start in a process that is hung up on and killed."""
    run = create_run(home, configure("train.max_steps=3"))
    code = (
        "import afina, sys; from core.runs import Run; import time;"
        f"print(Run({str(run.directory)!r}).start('train'), flush=True); time.sleep(600)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    os.killpg(starter.pid, signal.SIGHUP)
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    Worker(run).until_ended()
    assert run.state().state == "done", run.log_path.read_text()
    assert run.state().pid == pid
    assert sorted(steps(run)) == [1, 2, 3]


def test_the_manifest_is_read_by_people_too(whole: Run) -> None:
    text = (whole.checkpoints()[-1] / "manifest.json").read_text()
    values: dict[str, Any] = msgspec.json.decode(text.encode())
    assert values["step"] == STEPS
    assert "\n" in text
