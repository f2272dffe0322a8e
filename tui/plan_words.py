"""The Train pane's plan in words and bars: what a run will take, and whether it can start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from core.config import Config
from core.errors import FieldProblem
from core.figures import duration, size
from tui.form_options import label_of
from tui.theme import (
    AMBER,
    BACKGROUND,
    BLUE,
    GREEN,
    RED,
    SECONDARY,
    TEAL,
    TEXT,
    YELLOW,
    Symbols,
)

if TYPE_CHECKING:
    from core.plan.plan import Plan

LABEL_CELLS = 9
PART_CELLS = 20
SIZE_CELLS = 10
# parts of the memory that are drawn as one
PARTS = (
    ("weights", ("weights",), BLUE),
    ("adapter + optimizer", ("adapter", "gradients", "optimizer"), AMBER),
    ("activations", ("activations",), TEAL),
    ("logits", ("logits",), YELLOW),
)


class Outlook(NamedTuple):
    """What is known of the run that the form describes."""

    config: Config
    problems: Sequence[FieldProblem]
    plan: Plan | None
    reason: str  # why there is no plan
    run_key: str


def plan_text(outlook: Outlook, symbols: Symbols, width: int) -> Text:
    """The panel, for so many cells."""
    text = Text()
    if outlook.plan is not None:
        text.append_text(memory_text(outlook, symbols, width)).append("\n")
    for label, value, note in lines(outlook, symbols):
        text.append(label.ljust(LABEL_CELLS), SECONDARY).append(value, f"bold {TEXT}")
        text.append(f"  {note}\n" if note else "\n", SECONDARY)
    text.append("\n").append_text(verdict(outlook)).append("\n")
    if outlook.plan is None and outlook.reason:
        text.append(f"\nno estimate: {outlook.reason}\n", SECONDARY)
    for problem in outlook.problems:
        colour = RED if problem.severity == "error" else YELLOW
        text.append(f"\n{label_of(problem.field)} ", f"bold {colour}")
        text.append(f"{problem.message} ", TEXT).append(problem.hint, SECONDARY)
    return text


def memory_text(outlook: Outlook, symbols: Symbols, width: int) -> Text:
    """The memory of a step by what it is for, each part with its bar, and whether it fits."""
    plan, data, train = outlook.plan, outlook.config.data, outlook.config.train
    assert plan is not None
    rows = train.per_device_train_batch_size
    text = Text(f"memory, estimated at {rows} {symbols.times} {data.max_length:,} tokens\n")
    text.stylize(SECONDARY)
    sizes = [(label, _sum(plan, names), colour) for label, names, colour in PARTS]
    most = max(bytes_ for _, bytes_, _ in sizes)
    cells = max(0, width - PART_CELLS - SIZE_CELLS - 3)
    for label, bytes_, colour in sizes:
        text.append(f" {label.ljust(PART_CELLS)}", TEXT)
        text.append(size(bytes_).rjust(SIZE_CELLS - 1), TEXT).append(" ")
        filled = max(1, round(cells * bytes_ / most)) if bytes_ and most else 0
        text.append(f"{symbols.full * min(filled, cells)}\n", colour)
    fits, colour = ("fits", GREEN) if plan.fits else ("may not fit", RED)
    total = f"{size(plan.memory.total)} of {size(plan.memory_free_bytes)}"
    text.append(f" {'total'.ljust(PART_CELLS)}", f"bold {TEXT}")
    return text.append(f"{total}  ", f"bold {TEXT}").append(f"{fits}\n", f"bold {colour}")


def plan_hints(plan: Plan) -> dict[str, str]:
    """What the plan says about single options."""
    share = 100 * plan.trainable / plan.parameters
    found = {
        "model.name_or_path": f"{parameters(plan.parameters)} parameters",
        "method.target_modules": f"{parameters(plan.trainable)} trainable, {share:.2g} %",
    }
    if plan.steps is not None:
        found["train.num_train_epochs"] = f"{plan.steps:,} steps"
    return found


def _sum(plan: Plan, names: Sequence[str]) -> int:
    return sum(getattr(plan.memory, name) for name in names)


def lines(outlook: Outlook, symbols: Symbols) -> list[tuple[str, str, str]]:
    """(label, value, note): the run in figures, as far as they are known."""
    config, plan = outlook.config, outlook.plan
    found = [("method", *_method(config))]
    if plan is not None:
        share = 100 * plan.trainable / plan.parameters
        note = f"of {parameters(plan.parameters)} parameters, {share:.2g} %"
        found.append(("trains", parameters(plan.trainable), note))
    found.append(_length(config, plan))
    if plan is None:
        return found
    if plan.seconds is not None:
        found.append(("time", duration(plan.seconds), f"{plan.tokens_per_s:,.0f} tokens/s before"))
    else:
        found.append(("time", "not known", "the first run measures it"))
    kept = f"{outlook.config.checkpoint.keep} checkpoints, {size(plan.disk_free_bytes)} free"
    found.append(("disk", size(plan.disk_bytes), kept))
    if plan.advises_streaming:
        found.append(("rows", f"{size(plan.encoded_bytes)} encoded", "set data.streaming to true"))
    return found


def _method(config: Config) -> tuple[str, str]:
    method = config.method
    if method.kind == "full":
        return "full", "every weight"
    scale = method.alpha / (method.rank**0.5 if method.rslora else method.rank)
    return f"{'dora' if method.dora else 'lora'} r {method.rank}", f"scale {scale:g}"


def _length(config: Config, plan: Plan | None) -> tuple[str, str, str]:
    train = config.train
    if plan is not None and plan.steps is not None:
        known = "about" if plan.tokens is not None else "at most"
        return "steps", f"{plan.steps:,}", f"{known} {plan.tokens_per_step:,} tokens each"
    if train.max_steps is not None:
        return "steps", f"{train.max_steps:,}", ""
    return "length", f"{train.num_train_epochs:g} epochs", ""


def parameters(count: int) -> str:
    """ "18.5 M", "1.54 B"."""
    for factor, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return str(count)


def verdict(outlook: Outlook) -> Text:
    """Whether the run can start, and with which key."""
    errors = sum(problem.severity == "error" for problem in outlook.problems)
    if errors:
        words = f" {errors} problem{'' if errors == 1 else 's'} "
        text = Text().append(words, f"bold {BACKGROUND} on {RED}")
        stand = "stands" if errors == 1 else "stand"
        return text.append(f"  {stand} in the way of a run", SECONDARY)
    tight = outlook.plan is not None and not outlook.plan.fits
    word, colour = ("tight", YELLOW) if tight else ("ready", GREEN)
    text = Text().append(f" {word} ", f"bold {BACKGROUND} on {colour}")
    text.append("  press ", SECONDARY).append(outlook.run_key, f"bold {AMBER}")
    return text.append(" to run", SECONDARY)


def summary_text(outlook: Outlook, symbols: Symbols) -> Text:
    """The plan in one line, for a screen without room for the panel."""
    errors = sum(problem.severity == "error" for problem in outlook.problems)
    if errors:
        words = f"{symbols.problem} {errors} problem{'' if errors == 1 else 's'}"
        head = Text().append(words, RED)
    else:
        head = Text().append("ready", f"bold {GREEN}")
    plan = outlook.plan
    parts = [_method(outlook.config)[0]]
    label, value, _ = _length(outlook.config, plan)
    parts.append(f"{value} {label}" if label == "steps" else value)
    if plan is not None:
        parts.append(f"memory {size(plan.memory.total)}, {'fits' if plan.fits else 'may not fit'}")
        if plan.seconds is not None:
            parts.append(f"time {duration(plan.seconds)}")
    return head.append("   " + f" {symbols.dot} ".join(parts), SECONDARY)
