"""Runs on a tiny model, and their worker processes: warm ones are forked, cold ones are not."""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from core.config import config_io
from core.events import read_events
from core.jobs import BIRTH, ENDED, process_identity, worker_environment
from core.paths import ROOT, write_atomic
from core.runs.run import Run, create_run

INJECT = Path(__file__).parent / "inject"
PRELOAD = [
    "afina",
    "core.train.worker",
    "core.train.objectives.sft",
    "core.train.watch_prompts",
    "datasets",
]
PATIENCE_S = 300.0
Fault = dict[str, Any]


class Life:
    """One process of a run."""

    def __init__(self, run: Run, process: BaseProcess | subprocess.Popen[bytes]) -> None:
        self.run = run
        self.process = process
        self.born = time.monotonic()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def alive(self) -> bool:
        if isinstance(self.process, subprocess.Popen):
            return self.process.poll() is None
        return self.process.is_alive()

    def runs(self) -> bool:
        return self.run.state().state == "running"

    def wait(self) -> int:
        """The exit code; negative for the signal that ended it."""
        if isinstance(self.process, subprocess.Popen):
            return self.process.wait(PATIENCE_S)
        self.process.join(PATIENCE_S)
        assert self.process.exitcode is not None, f"no end in {PATIENCE_S} s: {self.run.directory}"
        return self.process.exitcode

    def signal(self, number: int) -> bool:
        """Whether it was still there to be signalled."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> bool:
        there = self.signal(signal.SIGKILL)
        self.wait()
        return there

    def until(self, condition: Callable[[], Any], timeout: float = PATIENCE_S) -> bool:
        """Waits for a condition; False when the process ended before it held."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            alive = self.alive()
            if condition():
                return True
            if not alive:
                return False
            time.sleep(0.003)
        return False

    def until_step(self, step: int) -> bool:
        return self.until(lambda: any(at >= step for at in losses(self.run)))


def start(run: Run, fault: Fault | None = None, cold: bool = False) -> Life:
    """A worker on a run that is not at work."""
    run.announce()
    return start_unannounced(run, fault, cold)


def start_unannounced(run: Run, fault: Fault | None = None, cold: bool = False) -> Life:
    given = {"AFINA_STORM": json.dumps(fault)} if fault else {}
    environment = worker_environment() | given | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(INJECT), environment["PYTHONPATH"]])
    if cold:
        with open(run.log_path, "ab") as log:
            words = [sys.executable, str(ROOT / "afina.py"), "worker", "train", str(run.directory)]
            process = subprocess.Popen(
                words, cwd=run.directory, env=environment, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        return _born(Life(run, process))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    forked = context.Process(target=_work, args=(str(run.directory), environment))
    forked.start()
    return _born(Life(run, forked))


def _born(life: Life) -> Life:
    """Says who was started, as `Job.start` does: the worker may die before its first word."""
    born = {"pid": life.pid, "process": process_identity(life.pid)}
    write_atomic(life.run.directory / BIRTH, json.dumps(born))
    return life


def _work(directory: str, environment: dict[str, str]) -> None:
    """A forked worker, as a started one would be."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    log = os.open(Path(directory) / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    runpy.run_path(str(INJECT / "sitecustomize.py"))
    from core.workers import main

    sys.exit(main(["train", directory]))


class Fleet:
    """A folder with a model, rows, and homes of runs."""

    def __init__(self, folder: Path, model: Path, rows: Path) -> None:
        self.folder = folder
        self.model = model
        self.rows = rows

    def new_run(self, *words: str, home: Path | None = None) -> Run:
        config = config_io.parse(
            "",
            [
                f"model.name_or_path={self.model}",
                "model.dtype=float32",
                f"data.path={self.rows}",
                "data.max_length=96",
                "train.per_device_train_batch_size=4",
                "train.learning_rate=1e-2",
                "launch.device=cpu",
                *words,
            ],
        )
        return create_run(home or self.folder / "home", config)


def losses(run: Run) -> dict[int, float]:
    """The last loss of each step."""
    return {e["step"]: e["loss"] for e in read_events(run.events_path) if e.get("kind") == "step"}


def of_kind(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in run.events() if event.get("kind") == kind]


def weights(run: Run) -> bytes:
    """The result's weights."""
    assert run.result is not None, f"no result: {run.state().reason}"
    (path,) = run.result.glob("*.safetensors")
    return path.read_bytes()


def ended(run: Run) -> bool:
    return run.state().state in ENDED
