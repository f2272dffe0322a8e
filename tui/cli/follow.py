"""A job watched from the command line: JSON events for programs, a bar and lines for people."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer

from core.data.escape import visible
from core.events import Event, EventTail, encode, number
from core.figures import duration
from core.jobs import ENDED, Job, State
from core.model_files.json_file import read_json
from core.runs.run import Run, summary
from core.runs.target import is_classifier

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

POLL_S = 0.1
MEASURES = {  # of evaluations, beside the loss
    "accuracy": ("accuracy", ".1%"),
    "macro_f1": ("macro F1", ".3f"),
    "rewards_accuracy": ("preferred rightly", ".0%"),
    "rewards_margin": ("margin", ".4f"),
}
PLAIN_EVERY_S = 10.0  # between two lines about steps where there is no terminal to draw a bar in


def follow(run: Run, tail: EventTail, as_json: bool) -> int:
    """Shows a run until it ends; returns the exit code: 1 when it failed or was interrupted.

    A run that was stopped or paused did as it was asked: 0.

    Ctrl+C leaves it alone: the run goes on, and how to come back is said.
    """
    shown = JsonLines() if as_json else HumanLines()
    try:
        with shown:
            state = until_end(run, tail, shown)
    except KeyboardInterrupt:
        typer.echo(f"\ntraining goes on; `afina watch {run.id}`", err=True)
        return 0
    shown.end(run, state)
    return 0 if state.state in ("done", "stopped", "paused") else 1


def until_end(job: Job, tail: EventTail, shown: JsonLines | HumanLines) -> State:
    """Shows every event of a job until it ends; its last state."""
    while True:
        state = job.state()  # asked first: its last events are written before it says that it ended
        for event in tail.read():
            shown.show(event)
        if state.state in ENDED:
            return state
        time.sleep(POLL_S)


class JsonLines:
    """Every event as a line; the result comes last, also for a run that was killed."""

    def __init__(self) -> None:
        self._result: Event | None = None

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def show(self, event: Event) -> None:
        if event["kind"] == "result":
            self._result = event
        else:
            typer.echo(encode(event))

    def end(self, run: Run, state: State) -> None:
        result = self._result
        if result is None or result.get("state") != state.state:
            result = _result_of(run, state)
        typer.echo(encode(result))


class HumanLines:
    """A progress bar with the loss, and a line for what is worth one."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._console: Console = Console(stderr=True, highlight=False)
        self._bar: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(24),
            TextColumn("{task.fields[facts]}", markup=False),
            console=self._console,
            transient=True,
        )
        self._task: TaskID = self._bar.add_task("starting", total=None, facts="")
        self._last_line = 0.0
        self._told_failure = False

    def __enter__(self) -> HumanLines:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        with suppress(KeyError, TypeError, ValueError):  # a damaged event is passed by
            self._show(event)

    def _show(self, event: Event) -> None:
        kind = event["kind"]
        if kind == "step":
            self._step(event)
        elif kind == "phase":
            words = visible(f"{event['name']} {event['detail']}".strip())
            self._update(words, None, None, "")
            if not self._console.is_terminal:
                self._print(words)
        elif kind == "progress":
            self._progress(event)
        elif line := _line(event):
            self._print(line)
            self._told_failure = kind == "failure"

    def end(self, run: Run, state: State) -> None:
        """The closing words, on stdout."""
        result = _result_of(run, state)
        told = self._told_failure and self._console.is_terminal  # it stands right above
        reason = f": {visible(state.reason)}" if state.reason and not told else ""
        typer.echo(f"{run.id} {state.state}{reason}")
        if result.get("steps"):
            typer.echo("  " + _facts(result))
        if run.result is not None and state.state == "done":
            typer.echo(f"  {run.result}")
            if not is_classifier(read_json(run.result, "config.json")):
                typer.echo(f"  `afina chat {run.id}` talks to it")

    def _step(self, event: Event) -> None:
        done, total = event["step"], event["steps"]
        speed = _number(event, "tokens_per_s", ",.0f")
        facts = f"loss {_number(event, 'loss', '.3f')}  {speed} tokens/s"
        if event.get("eta_s") is not None:
            facts += f"  {duration(event['eta_s'])} left"
        self._update(f"step {done:,}/{total:,}", done, total, facts)
        if not self._console.is_terminal and time.monotonic() - self._last_line >= PLAIN_EVERY_S:
            self._print(f"step {done:,}/{total:,}  {facts}")

    def _progress(self, event: Event) -> None:
        done, total = event["done"], event["total"]
        counted = event["unit"] != "bytes"  # of bytes the bar alone says enough
        facts = f"{done:,} of {total:,} {event['unit']}" if counted else ""
        self._update(visible(event["label"]), done, total, facts)

    def _update(self, words: str, done: int | None, total: int | None, facts: str) -> None:
        self._bar.update(self._task, description=words, total=total, facts=facts)
        if done is not None:
            self._bar.update(self._task, completed=done)

    def _print(self, line: str) -> None:
        from rich.text import Text

        self._last_line = time.monotonic()
        self._bar.console.print(Text(line))


def _learned(event: Event) -> str:
    """Classes are learned from whole rows: no token of them is supervised."""
    supervised, tokens = event["supervised_tokens"], event["tokens_per_epoch"]
    return f"{supervised:,} of {tokens:,} tokens supervised" if supervised else f"{tokens:,} tokens"


def _line(event: Event) -> str:
    """What deserves a line of its own; empty for what the bar shows."""
    told = LINES.get(event["kind"])
    return visible(told(event)) if told else ""


def _plan_line(event: Event) -> str:
    from_run = f"; goes on from {event['continues']}" if event.get("continues") else ""
    return (
        f"{event['rows']:,} rows, {event['eval_rows']:,} held out; "
        f"{_learned(event)}; "
        f"{event['trainable']:,} of {event['parameters']:,} parameters; "
        f"{_steps(event['steps'])} on {event['device']} in {event['dtype']}{from_run}"
    )


def _eval_line(event: Event) -> str:
    best = "  best so far" if event.get("best") else ""
    measures = "".join(
        f"  {words} {_number(event, name, style)}"
        for name, (words, style) in MEASURES.items()
        if name in event
    )
    loss = _number(event, "eval_loss", ".4f")
    return f"step {event['step']:,}  eval loss {loss}{measures}{best}"


def _checkpoint_line(event: Event) -> str:
    size = event["bytes"] / 1e6
    return f"step {event['step']:,}  saved {event['directory']} ({size:,.1f} MB)"


def _retry_line(event: Event) -> str:
    return f"step {event['step']:,}  begins again from step {event['from_step']:,}"


def _proof_line(event: Event) -> str:
    loss, reported = (_number(event, name, ".4f") for name in ("eval_loss", "reported"))
    return f"the result loads; its loss is {loss}, {reported} was reported"


LINES: dict[str, Callable[[Event], str]] = {
    "plan": _plan_line,
    "eval": _eval_line,
    "checkpoint": _checkpoint_line,
    "retry": _retry_line,  # why is the finding before it
    "proof": _proof_line,
    "control": lambda event: f"{event['action']}: {event['result']}",
    "finding": lambda event: f"{event['message']} {event['hint']}".rstrip(),
    "failure": lambda event: f"{event['message']} {event['hint']}".rstrip(),
}


def _result_of(run: Run, state: State) -> Event:
    """The run's own result event where there is one for this end, else what is known."""
    for event in reversed(run.events()):
        if event["kind"] == "result" and event.get("state") == state.state:
            return event
    known = summary(run)
    return {
        "kind": "result",
        "run": run.id,
        "directory": str(run.directory),
        "state": state.state,
        "steps": known.step,
        "tokens": None,
        "train_s": None,
        "tokens_per_s": known.tokens_per_s,
        "train_loss": known.train_loss,
        "eval_loss": known.eval_loss,
    }


def _facts(result: dict[str, Any]) -> str:
    parts = [_steps(result["steps"])]
    for name, words, style in (
        ("tokens", "{} tokens", ",.0f"),
        ("tokens_per_s", "{} tokens/s", ",.0f"),
        ("train_loss", "train loss {}", ".4f"),
        ("eval_loss", "eval loss {}", ".4f"),
    ):
        if result.get(name) is not None:
            parts.append(words.format(_number(result, name, style)))
    return ", ".join(parts)


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count:,} steps"


def _number(event: Event, name: str, style: str) -> str:
    value = number(event.get(name))
    return "-" if value is None else format(value, style)
