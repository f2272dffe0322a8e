"""One export job: asks the tuned model, writes, checks, and only then names what it made.

Each export is made under a name ending in .part and takes its own after its check. One kind that
can't be written doesn't lose the others. A crash, a cancel or a full disk leaves the earlier
exports as they were.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from core.chat.backend import default_threads
from core.disk import FULL
from core.environment import usable_cores
from core.errors import AfinaError
from core.jobs import Job, JobWorker, sole_worker
from core.paths import make_folder
from core.runs.run import active_runs
from core.runs.target import resolve
from exporters.cancel import Requests
from exporters.contract import Exporter, Item, Progress, Working
from exporters.files import delete, mend, publish, sha256_of, start_part
from exporters.job.export_spec import Wanted, parse_to
from exporters.job.plan import Drawn, draw, refuse
from exporters.job.request import read_request
from exporters.parity.judge import judge, tell, verdict
from exporters.parity.measure import measure
from exporters.parity.reference import Reference
from exporters.resources import free_disk
from exporters.results import (
    FAIL,
    Check,
    Origin,
    Result,
    bytes_of,
    entry_of,
    failed_path,
    part,
    result_fields,
)
from exporters.weights.merge import Merged, changes_nothing

PROGRESS_EVERY_S = 0.2
LEAST_BYTES = 2**20  # of disk; below it nothing can be said about an export


class Failure(msgspec.Struct):
    """An export that could not be written."""

    kind: str
    type: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.type}"


class Export:
    """One job, from its request to its results."""

    def __init__(self, job: Job, worker: JobWorker) -> None:
        self.job = job
        self.worker = worker
        self.home = job.directory.parent.parent
        self.requests = Requests(worker, self._clean)
        self.results: list[Result] = []
        self.failures: list[Failure] = []
        self._ours: list[Path] | None = None  # what we may write; None before the folder is ours
        self._held = ExitStack()
        self._said = 0.0

    def go(self) -> None:
        """All of it but the last word."""
        self.phase("planning")
        request = read_request(self.job)
        self.target = resolve(self.home, request.target, request.adapter)
        self.wanted = parse_to(request.to)
        self.folder = Path(request.out)
        drawn = draw(self.target, self.wanted, self.folder, request.options)
        refuse(drawn.plan)
        assert drawn.weights is not None
        _refuse_untrained(drawn.weights)
        make_folder(self.folder)
        self.origin = _origin(request.target, drawn)
        self.worker.update("running", step=0, steps=len(self.wanted))
        self._held.enter_context(sole_worker(self.folder))
        self._ours = [Path(item.path) for item in drawn.plan.items]
        mend(self.folder, self._ours)
        self.ask(drawn)
        for kind, exporter in drawn.exporters.items():
            items = [item for item in drawn.plan.items if item.kind == kind]
            for item in self.write(exporter, items):
                self.check_and_publish(exporter, item)

    def ask(self, drawn: Drawn) -> None:
        """Asks the tuned model what every export will be asked."""
        threads = self.threads(default_threads())
        self.phase("asking the tuned model", f"with {threads} thread{'s' * (threads > 1)}")
        kept = part(self.folder / "compared")
        kept.mkdir()
        self.reference = Reference(
            drawn.target,
            kept,
            self.requests,
            threads,
            self.counting("tuned model"),
            drawn.plan.reference,
        )

    def write(self, exporter: Exporter, items: Sequence[Item]) -> list[Item]:
        """Writes the types of a kind in one pass, each alone where that fails; what was written."""
        outputs = {item.type: start_part(Path(item.path)) for item in items}
        kind = items[0].kind
        self.phase("writing", f"{kind} {', '.join(outputs)}")
        try:
            known = len(exporter.notes)
            with self.working(f"writing {kind}") as working:
                exporter.write(outputs, working)
            for note in exporter.notes[known:]:
                self.worker.event("finding", message=f"{kind}: {note}", hint="")
            return list(items)
        except AfinaError as error:
            self.blame_the_export(error)
            for path in outputs.values():
                delete(path)
            if len(items) > 1:
                return [done for item in items for done in self.write(exporter, [item])]
            self.fail(items[0], error)
            return []

    def blame_the_export(self, error: AfinaError) -> None:
        """Goes on only where an error is about the export: not a cancel, not a disk that is full,
        of which another process tells.
        """
        self.requests.check()  # it may have died by our hand
        if error.message.startswith(FULL):
            raise error
        if free_disk(self.folder) < LEAST_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error

    def fail(self, item: Item, error: AfinaError) -> None:
        """Tells why an export could not be written; the others go on."""
        failure = Failure(item.kind, item.type, error.message, error.hint)
        self.failures.append(failure)
        self.worker.event(
            "failure", export=str(failure), message=f"{failure}: {error.message}", hint=error.hint
        )

    def check_and_publish(self, exporter: Exporter, item: Item) -> None:
        """Compares a finished .part with the tuned model and gives it its name."""
        unchecked, name = part(Path(item.path)), f"{item.kind} {item.type}"
        self.phase("checking", name)
        result = self.compare(exporter, item, unchecked)
        size = bytes_of(unchecked)
        assert size is not None
        hashing = self.reporting(f"hashing {name}")
        digest = sha256_of(unchecked, lambda done: hashing(name, done, size, "bytes"))
        result.path, result.bytes = item.path, size
        if result.verdict == FAIL:
            result.path = str(failed_path(Path(item.path)))
            unchecked = unchecked.rename(part(Path(result.path)))
        self.requests.check()
        with self.requests.whole:
            publish(self.folder, result, entry_of(result, digest, self.origin))
        self.results.append(result)
        self.worker.event("parity", result=msgspec.to_builtins(result))
        self.worker.update(step=len(self.results))
        self.describe()

    def describe(self) -> None:
        """Writes what lies beside the exports; they are as good without it."""
        from exporters.sidecars.write import write_sidecars

        try:
            write_sidecars(self.folder, self.results, self.origin, self.target)
        except AfinaError as error:
            self.worker.event("finding", message=error.message, hint=error.hint)

    def compare(self, exporter: Exporter, item: Item, path: Path) -> Result:
        result = Result(item.path, item.kind, item.type, 0, FAIL)
        label = f"checking {item.kind} {item.type}"
        try:
            with self.working(label) as working:
                m = measure(
                    exporter, item.type, path, self.reference, working, self.counting(label)
                )
        except AfinaError as error:
            self.blame_the_export(error)
            result.checks = [Check("opens", FAIL, error.message, error.hint)]
            return result
        result.checks = judge(m, item.kind, item.type)
        result.verdict = verdict(result.checks)
        return tell(m, result)

    def finish(self) -> None:
        """The last word: what was exported, and what was not."""
        if not self.results:
            first = self.failures[0]
            raise AfinaError(f"{first}: {first.message}", first.hint)
        self.results.sort(key=lambda result: self.wanted.index(Wanted(result.kind, result.type)))
        wrong = [f"{r.kind}:{r.type}" for r in self.results if r.verdict == FAIL]
        count = len(self.results)
        reason = f"{count} exported and checked."
        if wrong:
            reason = f"{count} exported; not what was trained: {', '.join(wrong)}."
        if self.failures:
            reason += f" Not exported: {', '.join(map(str, self.failures))}."
        self.worker.event(
            "result",
            **result_fields(self.results),
            failures=[msgspec.to_builtins(failure) for failure in self.failures],
            folder=str(self.folder),
        )
        self.worker.update("done", reason=reason)

    def threads(self, most: int) -> int:
        """As many as asked for; one while a run trains, which needs the other cores."""
        return 1 if next(active_runs(self.home), None) is not None else most

    def phase(self, name: str, detail: str = "") -> None:
        self.requests.check()
        self.worker.event("phase", name=name, detail=detail)

    @contextmanager
    def working(self, label: str) -> Iterator[Working]:
        """What an exporter works with; its scratch folder goes at the end."""
        scratch = part(self.folder / "scratch")
        scratch.mkdir()
        try:
            threads = self.threads(usable_cores())
            yield Working(self.reporting(label), self.requests.check, scratch, threads)
        finally:
            shutil.rmtree(scratch)

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

    def _clean(self) -> None:
        """Leaves the exports' folder in order, if it was ours."""
        if self._ours is not None:
            mend(self.folder, self._ours)
        self._held.close()


def _refuse_untrained(weights: Merged) -> None:
    if changes_nothing(weights):
        raise AfinaError(
            "The adapter changes nothing: all its B matrices are zero.",
            "It has not been trained; export another checkpoint or run.",
        )


def _origin(word: str, drawn: Drawn) -> Origin:
    target, weights = drawn.target, drawn.weights
    adapter = weights.adapter if weights else None
    return Origin(
        word,
        target.model,
        target.run,
        target.adapter,
        sha256_of(adapter.weights.paths[0]) if adapter else None,
    )
