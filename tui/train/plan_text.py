"""The Train pane's plan in words: what a run will take, and whether it can start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from core.config import Config
from core.data.escape import visible
from core.errors import FieldProblem
from core.figures import duration, exponent, size
from tui.options import label_of
from tui.theme import AMBER, BACKGROUND, GREEN, RED, SECONDARY, TEXT, YELLOW, Symbols
from tui.train.memory_text import fixes_text, memory_text, probe_text
from tui.train.plan_poller import Note
from tui.train.probe_poller import ProbeState

if TYPE_CHECKING:
    from core.plan.plan import Plan

LABEL_CELLS = 11


class Outlook(NamedTuple):
    """What is known of the run that the form describes."""

    config: Config
    problems: Sequence[FieldProblem]
    plan: Plan | None
    reason: str  # why there is no plan
    notes: Sequence[Note]
    probe: ProbeState | None  # that is at work, or failed
    objective: str  # "" as long as it is not known
    keys: Mapping[str, str]  # by the action


class Fact(NamedTuple):
    """A line of the panel."""

    label: str
    value: str
    note: str = ""
    warns: bool = False


def plan_text(outlook: Outlook, symbols: Symbols, width: int) -> Text:
    """The panel, for so many cells."""
    text, plan = Text(), outlook.plan
    if outlook.probe is not None:
        text.append_text(probe_text(outlook.probe, symbols))
    if plan is not None:
        text.append_text(memory_text(plan, outlook.config, symbols, width))
        if plan.probe is not None:
            text.append_text(fixes_text(plan.probe, outlook.keys["fix"]))
        text.append("\n")
    for fact in facts(outlook, symbols):
        colour = YELLOW if fact.warns else TEXT
        text.append(fact.label.ljust(LABEL_CELLS), SECONDARY)
        text.append(visible(fact.value, newlines=False), f"bold {colour}")
        text.append(f"  {visible(fact.note, newlines=False)}\n" if fact.note else "\n", SECONDARY)
    text.append("\n").append_text(verdict(outlook)).append("\n")
    if plan is None and outlook.reason:
        text.append(f"\nno estimate: {outlook.reason}\n", SECONDARY)
    for problem in outlook.problems:
        colour = RED if problem.severity == "error" else YELLOW
        text.append(f"\n{label_of(problem.field)} ", f"bold {colour}")
        text.append(f"{problem.message} ", TEXT).append(problem.hint, SECONDARY)
    return text


def plan_hints(plan: Plan) -> dict[str, str]:
    """What the plan says about single options."""
    share = 100 * plan.trainable / plan.parameters
    found = {
        "model.name_or_path": f"{parameters(plan.parameters)} parameters",
        "method.target_modules": f"{parameters(plan.trainable)} trainable, {share:.2g} %",
    }
    if plan.steps is not None:
        found["train.num_train_epochs"] = f"{plan.steps:,} steps"
    if (probe := plan.probe) and probe.largest_batch is not None:
        found["train.per_device_train_batch_size"] = f"rows, up to {probe.largest_batch:,} fit"
    return found


def facts(outlook: Outlook, symbols: Symbols) -> Iterator[Fact]:
    """The run in figures, as far as they are known."""
    config, plan = outlook.config, outlook.plan
    if config.model.continue_from:
        yield Fact("continues", config.model.continue_from)
    yield Fact("method", *_method(config))
    if plan is not None:
        share = 100 * plan.trainable / plan.parameters
        note = f"of {parameters(plan.parameters)} parameters, {share:.2g} %"
        yield Fact("trains", parameters(plan.trainable), note)
    yield Fact("learns", *_learns(outlook))
    yield Fact("optimizer", *_optimizer(config, plan))
    yield Fact(*_length(config, plan))
    if plan is None:
        return
    yield Fact("time", *_time(plan))
    note = f"{config.checkpoint.keep} checkpoints + result, {size(plan.disk_free_bytes)} free"
    yield Fact("disk", size(plan.disk_bytes), note, plan.disk_bytes > plan.disk_free_bytes)
    if plan.advises_streaming:
        yield Fact("rows", f"{size(plan.encoded_bytes)} encoded", "set data.streaming to true")
    for found in outlook.notes:
        mark = "" if found.warns else f" {symbols.check}"
        yield Fact(found.label, found.words + mark, found.aside, found.warns)


def _time(plan: Plan) -> tuple[str, str]:
    """How long it takes, and who says so."""
    speed = "" if plan.tokens_per_s is None else f"{plan.tokens_per_s:,.0f} tokens/s"
    source = {
        "probe": "measured",
        "run": f"as {plan.earlier_run}",
        "scaled": f"by the speed of {plan.earlier_run}",
        "assumed": "a rough estimate",
    }.get(plan.speed_source, "")
    if not speed:
        return "not known", "the first run measures it"
    return duration(plan.seconds), f"{speed}, {source}"


def _method(config: Config) -> tuple[str, str]:
    method = config.method
    frozen = "" if method.quantization == "none" else f"frozen weights in {method.quantization}"
    if method.kind == "full":
        layers = method.trainable_layers
        return "full", f"the last {layers} blocks" if layers else "every weight"
    if method.kind == "ia3":
        return "ia3", frozen
    if method.kind == "prompt":
        return f"prompt, {method.num_virtual_tokens} tokens", frozen
    scale = method.alpha / (method.rank**0.5 if method.rslora else method.rank)
    name = "dora" if method.dora else "qlora" if method.quantization == "nf4" else "lora"
    begins = ", ".join(
        word
        for word in (
            f"scale {scale:g}",
            "rslora" if method.rslora else "",
            "pissa" if method.init_lora_weights == "pissa" else "",
            frozen,
        )
        if word
    )
    return f"{name} r {method.rank}", begins


def _learns(outlook: Outlook) -> tuple[str, str]:
    train, objective = outlook.config.train, outlook.objective
    if not objective:
        return "by the rows", "train.objective is auto"
    if train.custom_loss and objective == "sft":
        return "a loss of your own", train.custom_loss
    if objective == "sft":
        return "sft", f"{train.supervise.replace('_', ' ')} tokens"
    if objective == "dpo":
        return f"dpo {train.loss_type}", f"beta {train.beta:g}"
    return objective, "" if objective == "classification" else f"beta {train.beta:g}"


def _optimizer(config: Config, plan: Plan | None) -> tuple[str, str]:
    """Name, and the course of the learning rate: "2e-4, cosine, 27 steps warmup"."""
    train = config.train
    course = [exponent(train.learning_rate), train.lr_scheduler_type.replace("_", " ")]
    known = plan.course if plan is not None else None
    if known is not None:
        course += [f"{known.warmup_steps:,} steps warmup"] if known.warmup_steps else []
        if known.kind == "wsd":
            course.append(f"falls from {known.decay_from:,} on")
    elif train.lr_scheduler_type != "constant" and train.warmup_ratio:
        course.append(f"{train.warmup_ratio:.0%} warmup")
    return train.optim, ", ".join(course)


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
    text.append("  press ", SECONDARY).append(outlook.keys["run"], f"bold {AMBER}")
    text.append(" to run", SECONDARY)
    if outlook.plan is not None and outlook.plan.probe is None and outlook.probe is None:
        text.append(", ", SECONDARY).append(outlook.keys["probe"], f"bold {AMBER}")
        text.append(" to measure first", SECONDARY)
    return text


def summary_text(outlook: Outlook, symbols: Symbols) -> Text:
    """The plan in one line, for a screen without room for the panel."""
    if outlook.probe is not None and not outlook.probe.failure:
        head = Text(f"{symbols.live} ", GREEN).append("probe ", TEXT)
        head.append(visible(outlook.probe.phase, newlines=False), SECONDARY)
        return head.append("   esc", f"bold {AMBER}").append(" cancels", SECONDARY)
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
        how = "measured " if plan.probe else ""
        parts.append(f"memory {how}{size(plan.peak_bytes)}, {plan.verdict}")
        if plan.seconds is not None:
            parts.append(f"time {duration(plan.seconds)}")
    return head.append("   " + f" {symbols.dot} ".join(parts), SECONDARY)
