"""The process that exports: every way to end it leaves an event, a state and a sentence."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import traceback
from pathlib import Path

from core.disk import takes_no_more, told
from core.errors import AfinaError
from core.jobs import Job, JobWorker, sole_worker
from exporters.cancel import CANCELLED, Cancelled
from exporters.job.export import LEAST_BYTES, Export


def main(directory: str) -> int:
    """Exports what request.json of a job says; returns the exit code."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # what is needed lies on this disk; nothing asks a network
    job = Job(directory)
    with sole_worker(job.directory):
        return _guarded(job, JobWorker(directory))


def _guarded(job: Job, worker: JobWorker) -> int:
    """The outermost frame."""
    export = Export(job, worker)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: export.requests.cancel())
    try:
        try:
            export.go()
        finally:
            export.requests.close()
        export.finish()
        return 0
    except Cancelled:
        worker.update("stopped", reason=CANCELLED)
        return 0
    except Exception as error:  # noqa: BLE001 - a worker's last word
        last = _failure(error, job.directory)
        if last is not error:
            traceback.print_exc()
        worker.event("failure", message=last.message, hint=last.hint)
        worker.update("failed", reason=str(last))
        return 1
    finally:
        worker.close()


def _failure(error: Exception, folder: Path) -> AfinaError:
    """What a person is told."""
    if isinstance(error, AfinaError):
        return error
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or shutil.disk_usage(folder).free < LEAST_BYTES:
            return AfinaError("The disk is full.", "Free some space, or choose fewer types.")
        if takes_no_more(error):
            return AfinaError(*told(error))
    if isinstance(error, MemoryError):
        return AfinaError("The memory is full.", "Export on a larger machine.")
    return AfinaError(
        f"{type(error).__name__}: {error}.",
        "This is a fault of Afina or of a library; the traceback is in log.txt.",
    )
