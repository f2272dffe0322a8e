"""What the Runs pane says: states, the strip, the questions. Snapshots in, text out."""

from __future__ import annotations

import time

from rich.text import Text

from core.data.escape import visible
from core.events import Event
from core.figures import duration, short
from core.jobs import ACTIVE
from tui.runs.view import RunView
from tui.theme import AMBER, BLUE, GREEN, RED, SECONDARY, SEVERITY, TEAL, TEXT, YELLOW, Symbols

STATES = {
    "running": GREEN,
    "starting": GREEN,
    "stopping": YELLOW,
    "stopped": YELLOW,
    "paused": TEAL,
    "done": BLUE,
    "failed": RED,
    "interrupted": RED,
    "queued": SECONDARY,
}
STALE_S = 10.0  # silence that is told, at least
STALE_STEPS = 5  # and at least so many steps' time


def silence_s(view: RunView, now: float) -> float | None:
    """Seconds since the newest event, once that is longer than usual for a run that steps."""
    if view.state not in ACTIVE or view.newest is None or view.phase:
        return None
    silent = now - view.newest
    return silent if silent > max(STALE_S, STALE_STEPS * view.step_s) else None


def state_words(view: RunView) -> tuple[str, str]:
    """The state and its colour; "retry" while a run begins anew by itself."""
    if view.retrying and view.state in ACTIVE:
        return "retry", YELLOW
    return view.state, STATES.get(view.state, SECONDARY)


def progress(view: RunView) -> str:
    """412/900; "-" before the number of steps is known."""
    return f"{view.step}/{view.steps}" if view.steps else "-"


def note(view: RunView, now: float) -> tuple[str, str]:
    """The last column of the list: what is worth a few words, and its colour."""
    silent = silence_s(view, now)
    if silent is not None:
        return f"no event for {duration(silent)}", YELLOW
    if view.state in ACTIVE and view.phase:
        return visible(view.phase, newlines=False), SECONDARY
    if view.state in ("failed", "interrupted"):
        return visible(view.reason, newlines=False), SECONDARY
    if view.finding is not None:
        severity, message = str(view.finding.get("severity")), str(view.finding.get("message", ""))
        return visible(message, newlines=False), SEVERITY.get(severity, SECONDARY)
    if view.best_step is not None and view.best_eval_loss is not None:
        return f"best {short(view.best_eval_loss)} at step {view.best_step}", SECONDARY
    return "", SECONDARY


class Strip:
    """The line above the footer while it is put together: words, an aside, and keys with labels."""

    def __init__(self) -> None:
        self.words = Text()
        self.aside = ""
        self.keys: list[tuple[str, str]] = []

    def line(self, width: int) -> Text:
        """All of it, or without the aside and the last keys where the room ends."""
        aside = f"  {self.aside}" if self.aside else ""
        keys = [Text.assemble("   ", (key, f"bold {AMBER}"), (f" {label}", SECONDARY))
                for key, label in self.keys]  # fmt: skip
        taken = self.words.cell_len + sum(key.cell_len for key in keys)
        if taken + len(aside) > width:
            aside = ""
        while keys and self.words.cell_len + sum(key.cell_len for key in keys) > width:
            keys.pop()
        line = Text.assemble(self.words, (aside, SECONDARY), *keys, no_wrap=True)
        line.truncate(width, overflow="ellipsis")
        return line


def strip(view: RunView | None, symbols: Symbols, width: int, now: float | None = None) -> Text:
    """The line above the footer: the newest thing to know of a run, and the key for it."""
    if view is None:
        return Text()
    now = time.time() if now is None else now
    silent = silence_s(view, now)
    if view.state in ("failed", "interrupted"):
        found = _ended_badly(view, symbols)
    elif silent is not None:
        found = _silent(silent, symbols)
    elif view.state in ACTIVE and view.phase:
        found = _phase(view, symbols, now)
    elif view.finding is not None:
        found = _finding(view, view.finding, symbols)
    else:
        found = _plain(view, symbols)
    return found.line(width)


def _ended_badly(view: RunView, symbols: Symbols) -> Strip:
    found, failure = Strip(), view.failure or {}
    reason = str(failure.get("message") or view.reason)
    found.words.append(f"{symbols.problem} {view.state}: ", f"bold {RED}")
    found.words.append(visible(reason, newlines=False), TEXT)
    found.aside = visible(str(failure.get("hint") or ""), newlines=False)
    found.keys = [("l", "log")]
    if view.last_checkpoint is not None:
        found.keys.insert(0, ("r", f"resume from step {view.last_checkpoint}"))
    return found


def _silent(silent: float, symbols: Symbols) -> Strip:
    found = Strip()
    found.words.append(f"{symbols.problem} ", YELLOW)
    found.words.append(f"no event for {duration(silent)}", TEXT)
    found.aside = "its numbers are from then"
    found.keys = [("l", "log")]
    return found


def _phase(view: RunView, symbols: Symbols, now: float) -> Strip:
    found = Strip()
    found.words.append(f"{symbols.live} ", GREEN).append(visible(view.phase, newlines=False), TEXT)
    if view.newest is not None:
        found.aside = duration(now - view.newest)
    return found


def _finding(view: RunView, finding: Event, symbols: Symbols) -> Strip:
    found = Strip()
    found.words.append(f"{symbols.problem} ", SEVERITY.get(str(finding.get("severity")), BLUE))
    found.words.append(visible(str(finding.get("message", "")), newlines=False), TEXT)
    found.aside = visible(str(finding.get("hint") or ""), newlines=False)
    if view.state == "running":
        found.keys = [("s", "stop"), ("c", "checkpoint now")]
    elif view.state in ("stopped", "paused"):
        found.keys = [("r", "resume")]
    elif view.has_result:
        found.keys = [("enter", "chat"), ("x", "export")]
    return found


def _plain(view: RunView, symbols: Symbols) -> Strip:
    """Nothing is wrong: how far it is, or how it ended and what comes next."""
    found = Strip()
    if view.best_step is not None and view.best_eval_loss is not None:
        found.aside = f"best eval {short(view.best_eval_loss)} at step {view.best_step}"
    if view.state in ACTIVE:
        found.words.append(f"{symbols.live} ", GREEN)
        found.words.append(f"step {progress(view)}" if view.steps else view.state, TEXT)
        if view.eta_s is not None:
            found.words.append(f"  {duration(view.eta_s)} left", SECONDARY)
        return found
    found.words.append(view.state, f"bold {STATES.get(view.state, SECONDARY)}")
    found.words.append(f" at step {progress(view)}" if view.steps else "", TEXT)
    if view.state in ("stopped", "paused"):
        found.keys.append(("r", "resume"))
    if view.has_result or view.last_checkpoint is not None:
        found.keys += [("enter", "chat"), ("x", "export")]
    return found


def stop_question(view: RunView) -> tuple[str, str]:
    """Title and explanation of the question before a stop."""
    return (
        f"Stop {view.name} at step {progress(view)}?",
        "Its whole state is saved first; r resumes it from there.",
    )


def end_now_question(view: RunView) -> tuple[str, str]:
    """Of a run that is stopping already."""
    if view.last_checkpoint is None:
        kept = "It has no complete checkpoint, so nothing of it is kept."
    else:
        kept = f"Nothing after step {view.last_checkpoint} is kept: it is not saved again."
    return f"End {view.name} now?", kept


def pause_question(view: RunView) -> tuple[str, str]:
    return (
        f"Pause {view.name} at step {progress(view)}?",
        "Its whole state is saved and the device is free; r goes on from there.",
    )


def resume_question(view: RunView) -> tuple[str, str]:
    """From which checkpoint it goes on, and what is done again."""
    if view.last_checkpoint is None:
        return (
            f"Start {view.name} again from step 0?",
            "It has no complete checkpoint, so nothing of it can be kept.",
        )
    again = max(0, view.step - view.last_checkpoint)
    repeated = f" {again} steps after it are done again." if again else ""
    return (
        f"Resume {view.name} from step {view.last_checkpoint} of {view.steps}?",
        f"step-{view.last_checkpoint:06d} is its newest complete checkpoint.{repeated}",
    )


def delete_question(view: RunView) -> tuple[str, str]:
    what = "its checkpoints, its result and its exports" if view.has_result else "its checkpoints"
    return f"Delete {view.name}?", f'"{view.directory}" goes, with {what}.'
