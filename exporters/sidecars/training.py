"""What a model card tells of a run: its data, the configuration that matters, what it learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from core.chat.default_system_prompt import first_system_prompt
from core.config import Config
from core.events import Event
from core.figures import duration, short
from core.runs.curves import curve
from core.runs.run import Run
from core.train.checkpoint import provenance

# Told whether or not they differ from what Afina would choose.
ALWAYS = ("method.kind", "train.learning_rate", "train.num_train_epochs", "data.max_length")
LORA = ("method.rank", "method.alpha", "method.target_modules")
# About this machine or told elsewhere: no part of the card.
LEFT_OUT = (
    "name",
    "model.name_or_path",
    "model.continue_from",
    "data.path",
    "data.eval_path",
    "data.mix",
    "data.chat_template",
    "train.custom_loss",
    "eval",
    "checkpoint",
    "launch",
)


class Training(msgspec.Struct, frozen=True):
    """A run as rows of a table: (what, how)."""

    method: str  # "lora", "full", "ia3"
    rows: list[tuple[str, str]]


def training_of(run: Run, point: str = "") -> Training:
    """What the run's own files say; what they don't is left out.

    point: a step or "last", where it is not the result that is told of.
    """
    config, events = run.config, run.events()
    rows = [*_data(run, events), *_options(config), *_losses(events, point), *_ended(events)]
    return Training(config.method.kind, [(name, value) for name, value in rows if value])


def _data(run: Run, events: list[Event]) -> list[tuple[str, str]]:
    """Name and hash of each file of data; where they lie is nobody's business."""
    known = provenance.read(run.directory)
    rows = []
    for key, digest in (known.data if known else {}).items():
        option, _, path = key.partition(" ")
        name = Path(path.strip('"')).name
        said = f"{name}, gone since" if digest == provenance.GONE else f"{name}, sha256 {digest}"
        rows.append((option, said))
    told = {option for option, _ in rows}
    data = run.config.data
    if data.path and "data.path" not in told:
        here = Path(data.path).is_absolute()
        rows.append(("data.path", Path(data.path).name if here else data.path))
    template = data.chat_template
    if template and "data.chat_template" not in told:
        rows.append(("data.chat_template", Path(template).name))
    planned = _last(events, "plan")
    rows.append(("system prompt of the rows", first_system_prompt(run.config)))
    if isinstance(planned.get("rows"), int):
        held_out = f", {planned['eval_rows']:,} held out" if planned.get("eval_rows") else ""
        rows.append(("rows", f"{planned['rows']:,}{held_out}"))
    return rows


def _options(config: Config) -> list[tuple[str, str]]:
    """The options that were chosen, and some that everybody asks for."""
    given, usual = _flat(msgspec.to_builtins(config)), _flat(msgspec.to_builtins(Config()))
    wanted = ALWAYS + (LORA if config.method.kind == "lora" else ())
    return [
        (name, _value(value))
        for name, value in given.items()
        if name in wanted or (value != usual.get(name) and not _left_out(name))
    ]


def _losses(events: list[Event], point: str) -> list[tuple[str, str]]:
    """On the rows held out, before the first step and at the weights that are told of."""
    points = curve(events, "eval", "eval_loss")
    learned = [found for found in points if found[0] > 0]
    if point.isdecimal():
        learned = [found for found in learned if found[0] <= int(point)][-1:]
    elif point == "last":
        learned = learned[-1:]
    rows = []
    if points and points[0][0] == 0:
        rows.append(("eval loss of the base", f"{points[0][1]:.4f}"))
    if learned:  # the result has the best weights that were seen
        step, loss = min(learned, key=lambda found: found[1])
        rows.append(("eval loss", f"{loss:.4f} at step {step:,}"))
    return rows


def _ended(events: list[Event]) -> list[tuple[str, str]]:
    ended = _last(events, "result")
    if not ended:
        return []
    return [
        ("train loss", short(ended.get("train_loss"))),
        ("steps", f"{ended.get('steps', 0):,} in {duration(ended.get('train_s'))}"),
        ("device", str(ended.get("device_name") or "")),
    ]


def _last(events: list[Event], kind: str) -> Event:
    return next((event for event in reversed(events) if event["kind"] == kind), {})


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """{"method.rank": 16}"""
    found = {}
    for group, inner in values.items():
        if isinstance(inner, dict):
            found |= {f"{group}.{name}": value for name, value in inner.items()}
        else:
            found[group] = inner
    return found


def _left_out(name: str) -> bool:
    return name in LEFT_OUT or name.partition(".")[0] in LEFT_OUT


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_value(inner)}" for name, inner in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
