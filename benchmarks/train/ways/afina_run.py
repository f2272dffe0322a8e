"""A run of Afina as it is: its worker on a run's directory, with the worker's own environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.train.meter import Meter, Task
from core.config import config_io


def main() -> None:
    from core.environment import worker_environment

    if "AFINA_BENCHMARK" not in os.environ:  # threads and allocators are set before Python starts
        os.environ.update(worker_environment() | {"AFINA_BENCHMARK": "1"})
        os.execv(sys.executable, [sys.executable, *sys.argv])
    from core.events import number
    from core.runs.run import create_run
    from core.train.worker import main as train

    task, meter = Task.read(), Meter()
    meter.attach()
    run = create_run(Path(task.folder), config_io.parse("", words(task)))
    run.announce()
    if train(str(run.directory)):
        raise SystemExit(run.state().reason)
    steps = [event for event in run.events() if event["kind"] == "step"]
    result = next(event for event in reversed(run.events()) if event["kind"] == "result")
    losses = [number(event["loss"]) or 0.0 for event in steps]
    meter.report(losses, mfu=result.get("mfu"), data_wait=result.get("data_wait_share"))


def words(task: Task) -> list[str]:
    """The task as options of a configuration."""
    return [
        f"model.name_or_path={task.base}",
        f"data.path={task.rows}",
        f"data.max_length={task.max_length}",
        "data.eval_fraction=0",
        f"method.kind={task.method}",
        f"method.rank={task.rank}",
        f"method.alpha={2 * task.rank}",
        f"method.quantization={task.quantization}",
        "train.supervise=assistant",
        f"train.max_steps={task.all_steps}",
        f"train.per_device_train_batch_size={task.batch}",
        f"train.learning_rate={task.learning_rate}",
        "train.lr_scheduler_type=constant",
        f"train.packing={'on' if task.packed else 'off'}",
        f"train.gradient_checkpointing={str(bool(task.checkpointing)).lower()}",
    ]


if __name__ == "__main__":
    main()
