"""The process that trains one run: its lock, its signals, and what is said when it fails.

The work itself is in core/train/training.py. Nobody waits for this process at a pipe.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from types import FrameType

from core.errors import AfinaError
from core.jobs import JobWorker, sole_worker
from core.runs import Run
from core.train.requests import Requests
from core.train.safety import checkpoints
from core.train.safety.findings import Diverged
from core.train.training import StoppedEarly, Training, log


def main(directory: str) -> int:
    """Trains the run in a directory to its end; returns the exit code."""
    _take_one_gpu()
    run = Run(directory)
    try:
        with sole_worker(run.directory):
            return _guarded(run, JobWorker(run.directory))
    except AfinaError as error:  # another worker holds the lock: the run is its own
        log(str(error))
        return 1


def _take_one_gpu() -> None:
    """A run uses one GPU: the first that it may; several would be wrapped in nn.DataParallel."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]


def _guarded(run: Run, worker: JobWorker) -> int:
    """The outermost frame: every way to fail ends in an event, a state and a sentence."""
    requests = Requests(worker)
    _obey_signals(worker, requests)
    try:
        return Training(run, worker, requests).go()
    except StoppedEarly:
        worker.update("stopped", reason="Stopped before the first step.")
        return 0
    except Exception as error:  # noqa: BLE001 - a worker's last word
        told = failure_of(error, run)
        if not isinstance(error, AfinaError):
            traceback.print_exc()
        worker.event("failure", message=told.message, hint=told.hint)
        worker.update("failed", reason=str(told))
        return 1
    finally:
        requests.close(f"the run is {worker.current.state}")
        worker.close()


def failure_of(error: Exception, run: Run) -> AfinaError:
    """What a person is told: what happened and what to change."""
    if isinstance(error, AfinaError):
        return error
    if isinstance(error, Diverged):
        return _diverged(error, run)
    if _out_of_memory(error):
        return AfinaError(
            "The device ran out of memory.",
            "Lower train.per_device_train_batch_size or data.max_length, or set "
            "train.gradient_checkpointing=true.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return AfinaError(
            f'The disk of "{run.directory}" is full.',
            "Free some space and resume, or choose another home with --home DIR.",
        )
    return AfinaError(
        f"{type(error).__name__}: {_first_line(error)}.",
        "This is a fault of Afina or of a library; the traceback is in log.txt.",
    )


def _diverged(error: Diverged, run: Run) -> AfinaError:
    good = run.checkpoints()
    if good:
        step = checkpoints.step_of(good[-1])
        hint = (
            f"The last good checkpoint is step {step}: `afina chat {run.id}@{step}` asks it. "
            "A smaller train.learning_rate usually helps."
        )
    else:
        hint = "No checkpoint was saved before. A smaller train.learning_rate usually helps."
    return AfinaError(f"The {error.what} is {error.value} at step {error.step}.", hint)


def _out_of_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError):
        return True
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:300].rstrip(".")


def _obey_signals(worker: JobWorker, requests: Requests) -> None:
    """The first SIGTERM or SIGINT stops after saving; the second one ends the process now."""

    def heard(number: int, frame: FrameType | None) -> None:
        if not requests.signalled:
            requests.signalled = True
            return
        saved = Run(worker.job.directory).checkpoints()
        last = f"the last checkpoint is {saved[-1].name}" if saved else "no checkpoint was saved"
        worker.update("stopped", reason=f"Ended at once, without saving; {last}.")
        os._exit(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, heard)
