"""A plan on the command line: a compact block for people, one object for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from core.data.escape import visible
from core.errors import FieldProblem
from core.figures import duration, exponent, short, size

if TYPE_CHECKING:
    from core.config import Config
    from core.plan.data_facts import DataFacts
    from core.plan.plan import Plan
    from core.plan.probe_result import Fix, Point, Probe

LABEL_CELLS = 9
SOURCES = {
    "probe": "measured by a probe",
    "run": "as {run} went",
    "scaled": "from {run}, by the operations of both",
    "assumed": "from an assumed peak of the device: a factor of 3 off, perhaps",
}


def plan_lines(config: Config, plan: Plan, data: DataFacts | None) -> Iterator[str]:
    """The main figures, a line for each thing."""
    yield _line("trains", f"{_parameters(plan.trainable)} of {_parameters(plan.parameters)}")
    yield _line("steps", _steps(config, plan, data))
    if plan.course is not None:
        yield _line("rate", _course(plan))
    yield _line("memory", _memory(plan))
    yield _line("time", _time(plan))
    disk = f"{size(plan.disk_bytes)} for checkpoints and result, {size(plan.disk_free_bytes)} free"
    yield _line("disk", disk)


def more_lines(plan: Plan) -> Iterator[str]:
    """What `afina plan` says beyond that: memory by part, exports, the probe."""
    parts = ", ".join(f"{name} {size(count)}" for name, count in plan.memory.parts())
    yield _line("estimate", f"{size(plan.memory.total)}: {parts}")
    exports = ", ".join(f"{name} {size(count)}" for name, count in plan.export_bytes.items())
    yield _line("exports", f"about {exports}")
    if plan.probe is not None:
        yield from probe_lines(plan.probe)


def probe_lines(probe: Probe) -> Iterator[str]:
    """What a probe found."""
    for point in probe.points:
        yield _line("measured", point_words(point))
    verdict = "fits" if probe.fits else "does not fit"
    room = f"{size(probe.peak_bytes)} of {size(probe.free_bytes)} free: it {verdict}"
    largest = probe.largest_batch
    most = "" if largest is None else f"; the largest batch with a tenth to spare: {largest:,}"
    yield _line("probe", room + most)
    if probe.words:
        yield _line("", visible(probe.words, newlines=False))
    for fix in probe.fixes:
        yield _line("way out", fix_words(fix))


def point_words(point: Point) -> str:
    return (
        f"batch {point.micro_batch}: {point.tokens:,} tokens, peak {size(point.peak_bytes)}, "
        f"{short(point.step_s)} s a pass"
    )


def fix_words(fix: Fix) -> str:
    how = "measured" if fix.measured else "estimated"
    options = " ".join(f"{name}={_value(value)}" for name, value in fix.options.items())
    return f"{options}  saves {size(fix.saves_bytes)} ({how}): {fix.words}"


def plan_fields(
    config: Config, plan: Plan, data: DataFacts | None, problems: list[FieldProblem]
) -> dict[str, Any]:
    """The object that --json prints; it only grows."""
    import msgspec

    values = msgspec.to_builtins(plan)
    values |= {
        "seconds": plan.seconds,
        "peak_bytes": plan.peak_bytes,
        "fits": plan.fits,
        "memory_bytes": plan.memory.total,
        "data": None if data is None else msgspec.to_builtins(data),
        "problems": [
            {"field": p.field, "message": p.message, "hint": p.hint, "severity": p.severity}
            for p in problems
        ],
    }
    return values


def show_problems(where: object, problems: list[FieldProblem]) -> None:
    """Every problem on a line of its own, warnings too."""
    for problem in problems:
        kind = "" if problem.severity == "error" else f"{problem.severity}: "
        typer.echo(f"{where}: {kind}{visible(str(problem), newlines=False)}", err=True)


def _line(label: str, words: str) -> str:
    return f"  {label.ljust(LABEL_CELLS)} {words}"


def _steps(config: Config, plan: Plan, data: DataFacts | None) -> str:
    if plan.steps is None:
        return f"{config.train.num_train_epochs:g} epochs"
    words = f"{plan.steps:,} of about {plan.tokens_per_step:,} tokens"
    if data is None or plan.tokens is None:
        return words
    in_all = f"{plan.tokens:,}" if plan.tokens < 10_000 else short(plan.tokens)
    # classes are learned from whole rows: no token of them is supervised
    share = f", {data.supervised_share:.0%} supervised" if data.supervised_share else ""
    return f"{words}, {in_all} tokens in all; {data.rows:,} rows an epoch{share}"


def _course(plan: Plan) -> str:
    course = plan.course
    assert course is not None
    words = [f"{exponent(course.peak)} {course.kind.replace('_', ' ')}"]
    if course.warmup_steps:
        words.append(f"warmup of {course.warmup_steps:,}")
    if course.decay_from is not None:
        words.append(f"falls from step {course.decay_from:,}")
    return ", ".join(words)


def _memory(plan: Plan) -> str:
    how = "measured" if plan.probe else "estimated"
    verdict = "" if plan.fits else f" - this {plan.verdict}"
    return f"{size(plan.peak_bytes)} {how}, {size(plan.memory_free_bytes)} free{verdict}"


def _time(plan: Plan) -> str:
    if plan.seconds is None:
        return "not known"
    source = SOURCES.get(plan.speed_source, "").format(run=plan.earlier_run)
    how_long = f"about {duration(plan.seconds)}" if plan.seconds >= 1 else "less than 1 s"
    return f"{how_long} at {short(plan.tokens_per_s)} tokens/s, {source}"


def _value(value: Any) -> str:
    return (
        {True: "true", False: "false"}.get(value, str(value))
        if isinstance(value, bool)
        else str(value)
    )


def _parameters(count: int) -> str:
    for factor, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return str(count)
