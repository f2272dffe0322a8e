"""The Train pane's plan in words and bars: what a run will take, and whether it can start."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from core.config import Config
from core.errors import FieldProblem
from tui.form_options import label_of
from tui.theme import AMBER, BACKGROUND, GREEN, RED, SECONDARY, TEXT, YELLOW, Symbols

LABEL_CELLS = 9


def plan_text(
    config: Config, problems: Sequence[FieldProblem], run_key: str, symbols: Symbols
) -> Text:
    """The panel."""
    text = Text()
    for label, value, note in config_lines(config, symbols.times):
        text.append(label.ljust(LABEL_CELLS), SECONDARY).append(value, f"bold {TEXT}")
        text.append(f"  {note}\n" if note else "\n", SECONDARY)
    text.append("\n").append_text(verdict(problems, run_key)).append("\n")
    for problem in problems:
        colour = RED if problem.severity == "error" else YELLOW
        text.append(f"\n{label_of(problem.field)} ", f"bold {colour}")
        text.append(f"{problem.message} ", TEXT).append(problem.hint, SECONDARY)
    return text


def config_lines(config: Config, times: str) -> list[tuple[str, str, str]]:
    """(label, value, note): what the configuration alone tells."""
    train, method = config.train, config.method
    rows = train.per_device_train_batch_size * train.gradient_accumulation_steps
    packed = train.packing != "off"
    tokens = rows * config.data.max_length
    if train.max_steps is not None:
        length = f"{train.max_steps:,} steps"
    else:
        length = f"{train.num_train_epochs:g} epochs"
    if method.kind == "lora":
        scale = method.alpha / (method.rank**0.5 if method.rslora else method.rank)
        kind, note = f"{'dora' if method.dora else 'lora'} r {method.rank}", f"scale {scale:g}"
    else:
        kind, note = "full", "every weight"
    return [
        ("method", kind, note),
        ("a step", f"{rows} {times} {config.data.max_length:,} tokens",
         f"{tokens:,} packed" if packed else f"at most {tokens:,}"),
        ("length", length, ""),
        ("device", config.launch.device, ""),
    ]  # fmt: skip


def verdict(problems: Sequence[FieldProblem], run_key: str) -> Text:
    """Whether the run can start, and with which key."""
    errors = sum(problem.severity == "error" for problem in problems)
    if errors:
        words = f" {errors} problem{'' if errors == 1 else 's'} "
        text = Text().append(words, f"bold {BACKGROUND} on {RED}")
        stand = "stands" if errors == 1 else "stand"
        return text.append(f"  {stand} in the way of a run", SECONDARY)
    text = Text().append(" ready ", f"bold {BACKGROUND} on {GREEN}").append("  press ", SECONDARY)
    return text.append(run_key, f"bold {AMBER}").append(" to run", SECONDARY)


def summary_text(config: Config, problems: Sequence[FieldProblem], symbols: Symbols) -> Text:
    """The plan in one line, for a screen without room for the panel."""
    parts = [
        f"{value} {note}".strip() for _, value, note in config_lines(config, symbols.times)[:3]
    ]
    errors = sum(problem.severity == "error" for problem in problems)
    head = Text().append("ready", f"bold {GREEN}")
    if errors:
        head = Text().append(f"{symbols.problem} {errors} problem{'' if errors == 1 else 's'}", RED)
    return head.append("   " + f" {symbols.dot} ".join(parts), SECONDARY)
