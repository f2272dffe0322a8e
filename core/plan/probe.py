"""A probe: two real steps of a run, measured in a process of their own before it starts.

Here are its words and its client; the process is core/train/probe/worker.py. Loads no torch.
"""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from core.config import Config
from core.hardware import Device, read_device
from core.jobs import worker_environment
from core.pipe import Message, PipeWorker
from core.plan import probe_cache
from core.plan.probe_result import Point, Probe
from core.runs.continue_from import resolve_config
from core.runs.run import create_run

SAFETY = 0.9  # of the free memory is what a run may fill: other processes live there too
LIMIT_S = 600.0  # of a whole probe; what is measured by then counts
FOLDER = "afina-probe-"  # how the names of its temporary folders begin


class Probing:
    """A probe at work. `events` is read in one thread; `cancel` may come from any."""

    def __init__(self, config: Config, home: Path) -> None:
        self._config = config
        self._home = home
        self._lock = threading.Lock()
        self._worker: PipeWorker | None = None
        self._cancelled = False

    def events(self) -> Iterator[dict[str, Any]]:
        """phase {name}, point {point: Point}, then probe {result: Probe} or failure {message,
        hint}; nothing more once it is cancelled. What came out is kept for plans to come.
        """
        config = resolve_config(self._home, self._config)
        device = read_device(config.launch.device)
        _remove_leftovers()
        folder = Path(tempfile.mkdtemp(prefix=FOLDER))
        try:
            # what it goes on from has the same shape as what is new
            model = msgspec.structs.replace(config.model, continue_from=None)
            run = create_run(folder, msgspec.structs.replace(config, model=model))
            for answer in self._answers(run.directory, device, folder):
                event = _read(answer)
                if event is not None and not self._cancelled:
                    if event["kind"] == "probe":
                        probe_cache.keep(self._home, config, device, event["result"])
                    yield event
        finally:
            self.cancel()
            shutil.rmtree(folder, ignore_errors=True)

    def cancel(self) -> None:
        """Ends the process and its children at once; nothing of them is left."""
        with self._lock:
            self._cancelled = True
            if self._worker is not None:
                self._worker.close(grace_s=0.0)
                self._worker = None

    def _answers(self, run: Path, device: Device, folder: Path) -> Iterator[Message]:
        answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        environment = worker_environment()
        # asks the driver, not CUDA, whether there is a GPU: a forked child can begin with it then
        environment["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
        environment["TMPDIR"] = str(folder)
        with self._lock:
            if self._cancelled:
                return
            self._worker = PipeWorker("probe", answers.put, cwd=folder, env=environment)
            self._worker.request("probe", run=str(run), device=msgspec.to_builtins(device))
        while True:
            answer = answers.get()
            yield answer
            if answer.get("end"):
                return


def _remove_leftovers() -> None:
    """Deletes folders of probes whose process was killed before it could."""
    for old in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > 2 * LIMIT_S:
                shutil.rmtree(old, ignore_errors=True)


def _read(answer: Message) -> dict[str, Any] | None:
    """An answer of the worker as an event; None for what a screen needn't know."""
    kind = answer["kind"]
    if kind == "phase":
        return {"kind": kind, "name": answer["name"]}
    if kind == "point":
        return {"kind": kind, "point": msgspec.convert(answer["point"], Point)}
    if kind == "probe":
        return {"kind": kind, "result": msgspec.convert(answer["result"], Probe)}
    if kind in ("error", "died"):
        return {"kind": "failure", "message": answer["message"], "hint": answer.get("hint", "")}
    return None
