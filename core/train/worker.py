"""The process that trains one run: its lock, its signals, and what is said when it ends.

The work itself is in core/train/training.py. Nobody waits for this process at a pipe.
"""

from __future__ import annotations

import os
import sys
import traceback

from core.disk import reason_of, takes_no_more
from core.errors import AfinaError
from core.jobs import ENDED, JobWorker, sole_worker
from core.paths import ROOT
from core.runs.run import Run
from core.train.checkpoint import manifest
from core.train.checks.findings import Diverged
from core.train.control import Requests
from core.train.recovery import overrides
from core.train.signals import SignalThread, hold
from core.train.training import EndedEarly, Training, log


def main(directory: str) -> int:
    """Trains the run in a directory to its end; returns the exit code."""
    _take_one_gpu()
    run = Run(directory)
    try:
        with sole_worker(run.directory):
            return _guarded(run, JobWorker(run.directory))
    except overrides.Again:
        begin_again(directory)
    except AfinaError as error:  # another worker holds the lock: the run is its own
        log(str(error))
    return 1


def begin_again(directory: str) -> None:
    """Becomes a new process: the pid and the start stay, memory and devices are let go."""
    hold()
    sys.stderr.flush()
    words = [sys.executable, str(ROOT / "afina.py"), "worker", "train", directory]
    os.execv(sys.executable, words)


def _take_one_gpu() -> None:
    """A run uses one GPU: the first that it may; several would be wrapped in nn.DataParallel."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]


def _guarded(run: Run, worker: JobWorker) -> int:
    """The outermost frame: every way to fail ends in an event, a state and a sentence."""
    requests = Requests(worker, lambda asked: _end_now(run, worker, asked))
    listener = SignalThread(requests)
    try:
        return Training(run, worker, requests).go()
    except EndedEarly as ended:
        words = "Stopped" if ended.state == "stopped" else "Paused"
        newest, _ = manifest.newest_whole(run.directory)
        at = f"at step {int(newest.name[5:])}; resumable." if newest else "before the first step."
        worker.update(ended.state, reason=f"{words} {at}")
        return 0
    except overrides.Again:
        requests.close("not done: the run begins again from a checkpoint; ask once more")
        worker.hand_on()
        raise
    except Exception as error:  # noqa: BLE001 - a worker's last word
        told = failure_of(error, run)
        if not isinstance(error, AfinaError):
            _print_traceback()
        worker.event("failure", message=told.message, hint=told.hint)
        worker.update("failed", reason=str(told))
        return 1
    finally:
        requests.close(f"the run is {worker.current.state}")
        listener.close()
        worker.close()


def _end_now(run: Run, worker: JobWorker, requests: Requests) -> None:
    """Ends the process without saving, from whichever thread heard it."""
    saved = run.checkpoints()
    last = f"the last checkpoint is {saved[-1].name}" if saved else "no checkpoint was saved"
    reason = f"Ended at once, without saving; {last}."
    if worker.current.state in ENDED:
        return
    requests.answer_all(reason)  # before the state, after which nobody waits for answers
    if worker.end("stopped", reason):
        os._exit(1)


def failure_of(error: Exception, run: Run) -> AfinaError:
    """What a person is told: what happened and what to change."""
    if isinstance(error, AfinaError):
        return error
    if isinstance(error, Diverged):
        return _diverged(error, run)
    if overrides.is_out_of_memory(error):
        return AfinaError("The device ran out of memory.", overrides.ways_out(_config(run)))
    if isinstance(error, OSError) and takes_no_more(error):
        return AfinaError(
            f'The disk of "{run.directory}" takes no more: {reason_of(error)}.',
            "Free some space and resume, or choose another home with --home DIR.",
        )
    return AfinaError(
        f"{type(error).__name__}: {_first_line(error)}.",
        "This is a fault of Afina or of a library; the traceback is in log.txt.",
    )


def _config(run: Run):  # noqa: ANN202 - a Config
    return overrides.read(run.directory).apply(run.config)


def _diverged(error: Diverged, run: Run) -> AfinaError:
    good = run.checkpoints()
    if good:
        step = manifest.step_of(good[-1])
        hint = (
            f"The last good checkpoint is step {step}: `afina chat {run.id}@{step}` asks it. "
            "A smaller train.learning_rate usually helps."
        )
    else:
        hint = "No checkpoint was saved before. A smaller train.learning_rate usually helps."
    return AfinaError(error.sentence, hint)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:300].rstrip(".")


def _print_traceback() -> None:
    try:
        traceback.print_exc()
    except OSError as error:  # log.txt lies on the disk that is full
        if not takes_no_more(error):
            raise
