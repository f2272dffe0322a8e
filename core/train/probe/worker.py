"""The probe's process: reads the rows, measures batches in children, and says what fits.

probe {run: directory, device: core.hardware.Device} -> {kind "phase", name},
      {kind "point", point: core.plan.probe.Point} for each batch that was measured,
      {kind "probe", result: core.plan.probe.Probe}
Nothing is written into the run's directory but what building a trainer puts there.
"""

from __future__ import annotations

import importlib
import shutil
import threading
import time
from pathlib import Path

import msgspec

from core.config import Config
from core.hardware import Device
from core.hub import fetch
from core.pipe import Message, Request, serve
from core.plan import memory
from core.plan.data_facts import DataFacts
from core.plan.model_shape import read_shape
from core.plan.plan import computes_in_bfloat16, make_plan
from core.plan.probe import FOLDER, LIMIT_S, SAFETY
from core.plan.probe_result import Point, Probe
from core.runs.run import Run
from core.train.loader.dataset import Encoded, load
from core.train.probe import children, fixes
from core.train.probe.children import CANCELLED, NO_MEMORY, Limits, Outcome
from core.train.probe.linear_fit import Line
from core.train.probe.request import Measured, Order

# loaded once, before the children are forked; none of them asks CUDA for anything
PACKAGES = ("datasets", "core.train.objectives.sft", "core.train.objectives.dpo")
UNTRIED = 1.5  # an estimate of so many times the free memory is not tried on a CPU
SPARE = 0.97  # of the free memory, at which a child is ended


class Cancelled(Exception):
    """Nobody wants to know any more."""


def main() -> int:
    """Answers one request after another until the pipe closes.

    A client that was killed closes it too, and leaves its folder: that in which this process is.
    """
    code = serve({"probe": _probe})
    _remove_folder(Path.cwd())
    return code


def _remove_folder(folder: Path) -> None:
    if folder.name.startswith(FOLDER):
        shutil.rmtree(folder, ignore_errors=True)


def _remove_once_cancelled(request: Request, folder: Path) -> None:
    """At once: a process that is loading packages is ended before it notices."""
    request.cancelled.wait()
    _remove_folder(folder)


def _probe(request: Request) -> Message:
    device = msgspec.convert(request.fields["device"], Device)
    watch = (request, Path.cwd())
    threading.Thread(target=_remove_once_cancelled, args=watch, daemon=True).start()
    try:
        probing = Session(request, Run(request.fields["run"]), device)
        return {"kind": "probe", "result": msgspec.to_builtins(probing.go())}
    except Cancelled:
        return {"kind": "cancelled"}


class Session:
    """One probe."""

    def __init__(self, request: Request, run: Run, device: Device) -> None:
        self.request = request
        self.run = run
        self.config: Config = run.config
        self.device = device
        self.free_bytes = device.memory_free_bytes
        self.ends = time.monotonic() + LIMIT_S
        self.points: list[Point] = []
        self.words: list[str] = []  # what didn't fit
        self.slowest_s = 0.0  # a child's life
        self.base = Path()
        self.encoded: Encoded

    def go(self) -> Probe:
        self._read()
        self._measure_batches()
        rows = self.config.train.per_device_train_batch_size
        line = Line.through(self.points)
        at = {point.micro_batch: point for point in self.points}
        peak = at[rows].peak_bytes if rows in at else self._expected(rows)
        fits = rows in at and at[rows].device_bytes <= SAFETY * self.free_bytes
        fastest = at.get(rows) or (self.points[-1] if self.points else None)
        found = [] if fits else fixes.ways_out(self, peak, line)
        speed = fastest.tokens / fastest.step_s if fastest else None
        return Probe(
            device=self.device.name,
            peak_bytes=peak,
            free_bytes=self.free_bytes,
            fits=fits,
            tokens_per_s=speed,
            seconds=self._seconds(speed),
            largest_batch=line.most_rows(SAFETY * self.free_bytes, self.most_rows)
            if line
            else None,
            points=self.points,
            fixes=found,
            made=round(time.time(), 3),
            words=" ".join(self.words),
        )

    @property
    def most_rows(self) -> int:
        """Rows of a batch beyond which the data have no more."""
        return max(1, self.encoded.rows)

    def _read(self) -> None:
        from core.data.recipe import Recipe
        from core.train.checks import preflight
        from core.train.training import quiet_libraries

        config = self.config
        self.phase("finding model")
        self.base = fetch(config.model.name_or_path, config.model.revision)
        preflight.check_model_folder(self.base)
        self.phase("reading data")
        recipe = msgspec.structs.replace(Recipe.of(config), model=str(self.base), revision=None)
        encoder = recipe.encoder()
        self.encoded = load(config, encoder, lambda done, total: self.listen())
        preflight.check_data(config, encoder, self.encoded)
        self.phase("loading packages")
        preflight.check_family(self.base, self.encoded.objective)
        quiet_libraries()
        for name in PACKAGES:
            importlib.import_module(name)

    def _measure_batches(self) -> None:
        """Two sizes, the smaller one first; a batch that doesn't fit is halved."""
        rows = self.config.train.per_device_train_batch_size
        smaller, larger = (rows // 2, rows) if rows > 1 else (1, 2)
        while smaller >= 1 and not self._measure(smaller):
            smaller //= 2
        if self.points and (self.points[-1].micro_batch == rows // 2 or rows == 1):
            self._measure(larger)
        elif self.points:  # the half didn't fit: one more size below it, for the line
            below = self.points[-1].micro_batch // 2
            if below:
                self._measure(below)
                self.points.sort(key=lambda point: point.micro_batch)

    def _measure(self, rows: int) -> bool:
        """Measures a batch; False where it doesn't fit, isn't tried or takes too long."""
        expected = self._expected(rows)
        if self.device.kind == "cpu" and expected > UNTRIED * self.free_bytes:
            self.words.append(f"Batch {rows} was not tried: far more memory than is free.")
            return False
        outcome = self.child(Order(self.run.directory, self.base, self.config, rows))
        if outcome.result is None:
            why = "does not fit" if outcome.ended == NO_MEMORY else "takes too long to be measured"
            self.words.append(f"Batch {rows} {why}.")
            return False
        measured = msgspec.convert(outcome.result, Measured)
        point = Point(
            rows, measured.tokens, measured.peak_bytes, measured.step_s, measured.device_bytes
        )
        self.points.append(point)
        self.request.send("point", point=msgspec.to_builtins(point))
        return True

    def child(self, order: Order) -> Outcome:
        """One measurement in a process of its own."""
        from core.train.probe.steps import measure

        self.phase(f"two steps at batch {order.micro_batch}{_with(order)}")
        resident = int(SPARE * self.free_bytes) if self.device.kind == "cpu" else None
        began = time.monotonic()
        limits = Limits(resident, max(1.0, self.ends - began))
        outcome = children.run(lambda: measure(order, self.encoded), limits, self._cancelled)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        if outcome.ended == CANCELLED:
            raise Cancelled
        return outcome

    def estimate(self, config: Config) -> memory.Memory:
        """The formula's word on a configuration."""
        shape = read_shape(self.base)
        bfloat16 = computes_in_bfloat16(config, self.device)
        return memory.estimate(shape, config, bfloat16, self.encoded.objective, self.device.kind)

    def _expected(self, rows: int) -> int:
        """The peak at a batch: along the line, else by the formula from the point there is."""
        line = Line.through(self.points)
        if line is not None:
            return line.peak(rows)
        name = "train.per_device_train_batch_size"
        estimated = self.estimate(self.config.laid_over({name: rows})).total
        if not self.points:
            return estimated
        known = self.points[-1]
        there = self.estimate(self.config.laid_over({name: known.micro_batch})).total
        return known.peak_bytes + estimated - there

    def _seconds(self, tokens_per_s: float | None) -> float | None:
        encoded = self.encoded
        share = encoded.supervised_tokens / max(1, encoded.tokens)
        facts = DataFacts(encoded.rows, encoded.tokens, share, encoded.objective)
        plan = make_plan(self.run.directory.parent.parent, self.config, facts)
        if plan.tokens is None or not tokens_per_s:
            return None
        return plan.tokens / tokens_per_s

    def phase(self, name: str) -> None:
        self.listen()
        self.request.send("phase", name=name)

    def listen(self) -> None:
        if self._cancelled():
            raise Cancelled

    def _cancelled(self) -> bool:
        return self.request.cancelled.is_set()


def _with(order: Order) -> str:
    names = ", ".join(name.rpartition(".")[2] for name in order.options)
    return f" with {names}" if names else ""
