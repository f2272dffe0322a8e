"""Runs as processes: what they write, and that they outlive the terminal."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from safetensors.torch import load_file

from core.config import Config
from core.data.encode.template import template_text
from core.paths import ROOT
from core.runs.run import Run, create_run
from core.runs.target import of_run
from core.train.checkpoint import manifest as checkpoints
from tests.core.train import faults
from tests.core.train.conftest import (
    STEPS,
    Configure,
    NewWorker,
    Worker,
    losses,
    of_kind,
    steps,
)


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


def test_a_template_that_is_built_in_travels_with_the_result(
    new_worker: NewWorker, configure: Configure
) -> None:
    worker = new_worker(configure("data.chat_template=alpaca", "train.max_steps=2")).start()
    assert worker.wait() == 0, worker.log()
    assert worker.run.result is not None
    saved = (worker.run.result / "chat_template.jinja").read_text()
    assert saved == template_text("alpaca")


def test_a_run_outlives_the_terminal_that_started_it(home: Path, configure: Configure) -> None:
    """Started cold by Job.start in a process that is hung up on and killed."""
    run = create_run(home, configure("train.max_steps=3"))
    code = (
        "import afina, sys; from core.runs.run import Run; import time;"
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


def test_a_pinned_revision_is_what_is_trained_on_and_asked_later(
    configure: Configure,
    new_worker: NewWorker,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    cache = tmp_path / "hub" / "models--some--model"
    for name, commit in (("main", "a" * 40), ("v2", "b" * 40)):
        shutil.copytree(tiny_model, cache / "snapshots" / commit)
        (cache / "refs").mkdir(exist_ok=True)
        (cache / "refs" / name).write_text(commit)
    words = ("model.name_or_path=some/model", "model.revision=v2", "train.max_steps=1")
    hub = partial(faults.no_hub_beside, str(cache.parent))
    worker = new_worker(configure(*words)).start(hub)
    assert worker.wait() == 0, worker.log()
    trained_on = str(cache / "snapshots" / ("b" * 40))
    assert worker.run.base == trained_on
    target = of_run(worker.run)
    assert (target.model, target.revision) == (trained_on, None)
    adapter = json.loads((worker.run.directory / "adapter" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == trained_on
