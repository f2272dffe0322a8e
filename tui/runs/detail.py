"""What the tabs show of a run beside its curves: checkpoints, options, lineage, findings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from core.errors import AfinaError
from core.events import Event, number
from core.runs import lineage
from core.runs.run import Run, is_complete, step_folders, step_of
from tui.options import FIELDS, default_of, text_of, value_of

Curve = list[tuple[int, float]]


class CheckpointView(msgspec.Struct, frozen=True):
    """A line of the Checkpoints tab."""

    step: int
    eval_loss: float | None
    bytes: int | None
    complete: bool
    resumable: bool  # every file is there in its size; the hashes are looked at when it resumes
    reason: str
    written: float | None  # seconds since the epoch


class Difference(msgspec.Struct, frozen=True):
    """An option of the run that is not at its default."""

    option: str
    value: str
    default: str  # "" where the default is nothing


class FindingView(msgspec.Struct, frozen=True):
    """One thing that the run has told of itself."""

    step: int | None
    severity: str  # "error", "warning", "note" or "good"
    message: str
    hint: str = ""


class Confusion(msgspec.Struct, frozen=True):
    """How many held-out rows of each class were given each class."""

    step: int
    classes: list[str]
    table: list[list[int]]  # [class of the row][class given]


def checkpoint_views(run: Run, saved: dict[int, Event], evaluations: Curve) -> list[CheckpointView]:
    """The checkpoints, newest first; `saved` are their events by step."""
    losses, found = dict(evaluations), []
    for folder in reversed(step_folders(run.directory)):
        step = step_of(folder)
        event = saved.get(step, {})
        found.append(
            CheckpointView(
                step=step,
                eval_loss=losses.get(step),
                bytes=event.get("bytes"),
                complete=is_complete(folder),
                resumable=_resumable(folder),
                reason=str(event.get("reason") or ""),
                written=event.get("t"),
            )
        )
    return found


def differences(run: Run) -> list[Difference]:
    """The options that are not at their defaults; none when the configuration can't be read."""
    try:
        config = run.config
    except AfinaError:
        return []
    return [
        Difference(name, text_of(value_of(config, name)), _words(default_of(name)))
        for name in FIELDS
        if name != "name" and value_of(config, name) != default_of(name)
    ]


def _words(default: Any) -> str:
    return "" if default in (None, "", [], {}) else text_of(default)


def changed_since(run: Run) -> list[str]:
    """What a retry has changed of the configuration: "per_device_train_batch_size 4"."""
    values = _values(run.directory / "recovery.json")
    words = [
        f"{name} {values[name]}"
        for name in ("per_device_train_batch_size", "gradient_accumulation_steps")
        if values.get(name) is not None
    ]
    if values.get("learning_rate_factor") not in (None, 1.0):
        words.append(f"learning_rate times {values['learning_rate_factor']:g}")
    return words


def config_text(run: Run) -> str:
    try:
        return (run.directory / "config.yaml").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def origin_of(run: Run) -> list[str]:
    """What the run goes on from, newest first: "2026-11-20-travel-3f9a, step 560"."""
    found = lineage.of(run)
    if found is None:
        return []
    point = f"step {found.point:,}" if isinstance(found.point, int) else found.point
    first = f"{found.continues}, {point}" if point else found.continues
    before = [name for name in reversed(found.ancestors) if name != found.continues]
    return [first, *before]


def finding_of(event: Event) -> FindingView | None:
    """What an event tells, for the Findings tab; None of one that tells nothing."""
    kind, step = event.get("kind"), event.get("step")
    if kind == "finding":
        severity = str(event.get("severity") or "note")
        return FindingView(
            step, severity, str(event.get("message", "")), str(event.get("hint") or "")
        )
    if kind == "retry":
        return FindingView(step, "warning", retry_words(event))
    if kind == "failure":
        return FindingView(
            step, "error", str(event.get("message", "")), str(event.get("hint") or "")
        )
    if kind == "proof":
        return FindingView(step, "good", proof_words(event))
    return None


def retry_words(event: Event) -> str:
    """Why the run began anew, and from where."""
    if message := event.get("message"):
        return str(message)
    why = {"oom": "Out of memory", "divergence": "The loss diverged"}.get(str(event.get("why")))
    return f"{why or 'It began anew'}: it goes on from step {event.get('from_step')}."


def proof_words(event: Event) -> str:
    """That the saved result is what was trained: loaded again, moved, the same eval loss."""
    moved = " and differs from the model" if event.get("moved") else ""
    words = f"The result was loaded from its files{moved}"
    loss, reported = number(event.get("eval_loss")), number(event.get("reported"))
    if loss is None or reported is None:
        return f"{words}."
    return f"{words}; its eval loss is {loss:.4f}, {reported:.4f} was reported."


def _resumable(folder: Path) -> bool:
    if not is_complete(folder):
        return False
    files = _values(folder / "manifest.json").get("files", {})
    for name, record in files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != record.get("bytes"):
            return False
    return True


def _values(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        return {}
