"""The process that exports: asks the tuned model, writes, checks, and only then names a file.

Every file is made under a name ending in .part and renamed after its check. A crash, a cancel or a
full disk leaves the earlier exports as they were.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from core.chat.backend import default_threads
from core.errors import AfinaError
from core.jobs import Job, JobWorker, sole_worker
from core.paths import make_folder, sync_folder
from core.runs import active_runs
from core.targets import resolve
from exporters.gguf.prepare import Prepared, prepare
from exporters.gguf.write import Progress, write_gguf
from exporters.job.cancel import Cancelled, Requests
from exporters.job.plan import Item, Plan, parse_to, plan_for
from exporters.job.request import read_request
from exporters.job.results import (
    FAIL,
    Check,
    Origin,
    Result,
    failed_path,
    forget,
    record,
    result_fields,
    sha256_of,
)
from exporters.parity.judge import judge, verdict
from exporters.parity.measure import measure
from exporters.parity.reference import Reference
from exporters.weights.merge import changes_nothing

PROGRESS_EVERY_S = 0.2
PART = ".part"
SAME_NAMES = (  # of a Result and of what was measured
    "agreement",
    "identical",
    "parted",
    "kl",
    "max_delta_log_p",
    "prompts",
    "snippets",
    "snippets_equal",
    "tokens",
    "tokens_per_s",
    "threads",
)


def main(directory: str) -> int:
    """Exports what request.json of a job says; returns the exit code."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # what is needed lies on this disk; nothing asks a network
    job = Job(directory)
    with sole_worker(job.directory):
        return _guarded(job, JobWorker(directory))


def _guarded(job: Job, worker: JobWorker) -> int:
    """The outermost frame: every way to fail ends in an event, a state and a sentence."""
    requests = Requests(worker)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: requests.cancel())
    try:
        Export(job, worker, requests).go()
        return 0
    except Cancelled:
        worker.update("stopped", reason="Cancelled. Earlier exports are as they were.")
        return 0
    except Exception as error:  # noqa: BLE001 - a worker's last word
        told = _failure(error, job.directory)
        if told is not error:
            traceback.print_exc()
        worker.event("failure", message=told.message, hint=told.hint)
        worker.update("failed", reason=str(told))
        return 1
    finally:
        requests.close()
        worker.close()


def _failure(error: Exception, folder: Path) -> AfinaError:
    """What a person is told."""
    if isinstance(error, AfinaError):
        return error
    full = isinstance(error, OSError) and (
        error.errno in (errno.ENOSPC, errno.EDQUOT) or shutil.disk_usage(folder).free < 2**20
    )
    if full:
        return AfinaError("The disk is full.", "Free some space, or choose fewer types.")
    if isinstance(error, MemoryError):
        return AfinaError("The memory is full.", "Export on a larger machine.")
    return AfinaError(
        f"{type(error).__name__}: {error}.",
        "This is a fault of Afina or of a library; the traceback is in log.txt.",
    )


class Export:
    """One job, from its request to its results."""

    def __init__(self, job: Job, worker: JobWorker, requests: Requests) -> None:
        self.job = job
        self.worker = worker
        self.requests = requests
        self.home = job.directory.parent.parent
        self.results: list[Result] = []
        self._said = 0.0

    def go(self) -> None:
        self.phase("planning")
        request = read_request(self.job)
        target = resolve(self.home, request.target, request.adapter)
        wanted = parse_to(request.to)
        self.plan = plan_for(self.home, target, wanted, Path(request.out))
        _refuse(self.plan)
        prepared = prepare(target)
        if changes_nothing(prepared.merged):
            raise AfinaError(
                "The adapter changes nothing: all its B matrices are zero.",
                "It has not been trained; export another checkpoint or run.",
            )
        self.folder = Path(request.out)
        make_folder(self.folder / "gguf")
        self.origin = _origin(request.target, prepared)
        self.worker.update("running", step=0, steps=len(wanted))
        with sole_worker(self.folder):
            _sweep(self.folder)
            kept = part(self.folder / "compared")
            kept.mkdir()
            try:
                threads = self.threads()
                self.phase("asking the tuned model", f"with {threads} thread{'s' * (threads > 1)}")
                self.reference = Reference(
                    prepared, kept, self.requests, threads, self.counting("tuned model")
                )
                self.write_all(prepared)
            finally:
                _sweep(self.folder)
        self.finish()

    def write_all(self, prepared: Prepared) -> None:
        """All files from one pass over the weights; then each is checked."""
        outputs = {item.type: part(Path(item.path)) for item in self.plan.items}
        self.phase("writing", ", ".join(outputs))
        write_gguf(prepared, outputs, self.reporting("writing"))
        for item in self.plan.items:
            self.check_and_publish(item)

    def check_and_publish(self, item: Item) -> None:
        """Compares a finished .part file with the tuned model and gives it its name."""
        path = part(Path(item.path))
        self.phase("checking", item.type)
        result = self.compare(item, path)
        size = path.stat().st_size
        hash_progress = self.reporting(f"hashing {item.type}")
        digest = sha256_of(path, lambda done: hash_progress(item.type, done, size, "bytes"))
        final = Path(item.path)
        if result.verdict == FAIL:
            final = failed_path(final)
        else:
            failed_path(final).unlink(missing_ok=True)
        forget(self.folder, final)
        os.replace(path, final)
        sync_folder(final.parent)
        result.path, result.bytes = str(final), size
        record(self.folder, result, digest, self.origin)
        self.results.append(result)
        self.worker.event("parity", result=msgspec.to_builtins(result))
        self.worker.update(step=len(self.results))

    def compare(self, item: Item, path: Path) -> Result:
        result = Result(item.path, item.kind, item.type, 0, FAIL)
        try:
            m = measure(path, self.reference, self.counting(f"checking {item.type}"))
        except AfinaError as error:
            self.requests.check()
            result.checks = [Check("opens", FAIL, error.message, error.hint)]
            return result
        result.checks = judge(m, item.type)
        result.verdict = verdict(result.checks)
        result.prompts_equal = m.prompts_equal == m.fed_equal == m.prompts
        result.stops_equal = not m.stop_ids_missing and not m.stops_inside
        result.tuning_kl = m.effect
        for name in SAME_NAMES:
            setattr(result, name, getattr(m, name))
        return result

    def finish(self) -> None:
        order = [item.type for item in self.plan.items]
        self.results.sort(key=lambda result: order.index(result.type))
        failed = [result.type for result in self.results if result.verdict == FAIL]
        count = len(self.results)
        reason = f"{count} exported and checked."
        if failed:
            reason = f"{count} exported; not what was trained: {', '.join(failed)}."
        self.worker.event("result", **result_fields(self.results), folder=str(self.folder))
        self.worker.update("done", reason=reason)

    def threads(self) -> int:
        """All cores but one; one while a run trains, which needs the others."""
        return 1 if next(active_runs(self.home), None) is not None else default_threads()

    def phase(self, name: str, detail: str = "") -> None:
        self.requests.check()
        self.worker.event("phase", name=name, detail=detail)

    def reporting(self, label: str) -> Progress:
        """A progress callback that writes an event now and then, and raises Cancelled."""

        def report(detail: str, done: int, total: int, unit: str) -> None:
            self.requests.check()
            now = time.monotonic()
            if now - self._said >= PROGRESS_EVERY_S or (done == total and total):
                self._said = now
                self.worker.event(
                    "progress", label=label, done=done, total=total, unit=unit, detail=detail
                )

        return report

    def counting(self, label: str) -> Callable[[int, int], None]:
        report = self.reporting(label)
        return lambda done, total: report("", done, total, "questions")


def part(path: Path) -> Path:
    """The name of a file that is not finished or not checked yet."""
    return path.with_name(path.name + PART)


def _refuse(plan: Plan) -> None:
    if plan.problems:
        raise AfinaError(plan.problems[0].message, plan.problems[0].hint)


def _origin(word: str, prepared: Prepared) -> Origin:
    target, adapter = prepared.target, prepared.merged.adapter
    return Origin(
        word,
        target.model,
        target.run,
        target.adapter,
        sha256_of(adapter.weights.paths[0]) if adapter else None,
    )


def _sweep(folder: Path) -> None:
    """Deletes what an export that ended early left under its unfinished name."""
    for path in [*folder.glob(f"*{PART}"), *(folder / "gguf").glob(f"*{PART}")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
