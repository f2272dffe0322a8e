"""Homes with runs in every state, written as their workers would: for the tests of the screens."""

from __future__ import annotations

import math
import os
import random
import time
from pathlib import Path

import msgspec

from core.config import Config, Data, Eval, Method, Model
from core.events import encode
from core.jobs import State, process_identity
from core.runs.run import Run, create_run

PROMPTS = ["Where should I stay in Rome?", "¿Cuándo debería visitar Oslo?"]


def write_run(
    home: Path,
    name: str,
    state: str = "done",
    *,
    steps: int = 900,
    at: int = 900,
    reason: str = "",
    every: int = 40,
    speed: float = 31_200.0,
    nan_from: int | None = None,
    started: float | None = None,
    checkpoints: tuple[int, ...] = (),
    result: bool = False,
    phases: tuple[tuple[str, str], ...] = (),
) -> Run:
    """A run that is in this state at this step; one at work is this very process."""
    config = Config(
        name=name,
        model=Model(name_or_path="sample_data/tiny-travel"),
        data=Data(path="sample_data/travel.jsonl"),
        method=Method(kind="lora", rank=16),
        eval=Eval(every_steps=every, watch_prompts=PROMPTS),
    )
    run = create_run(home, config)
    begin = time.time() - 60 if started is None else started
    events = _Events(begin)
    for phase, detail in phases:
        events.add("phase", name=phase, detail=detail)
    best = _write_steps(events, run, at, steps, every, speed, nan_from)
    for step in checkpoints:
        write_checkpoint(run, step)
        events.add("checkpoint", step=step, directory=f"checkpoints/step-{step:06d}",
                   bytes=9_600_000, reason="interval")  # fmt: skip
    if state in ("failed", "stopped", "paused", "done"):
        events.add("state", state=state, reason=reason)
    run.events_path.write_bytes(events.bytes())
    if result:
        _complete(run.directory / "adapter")
    run.log_path.write_text("loading tiny-travel\nTrainer is ready\n")
    active = state in ("running", "starting", "stopping")
    run.write_state(
        State(
            state,
            pid=os.getpid() if active else None,
            process=process_identity(os.getpid()) if active else None,
            step=at,
            steps=steps,
            best_step=best[0] if best else None,
            best_eval_loss=best[1] if best else None,
            reason=reason,
        )
    )
    return run


def write_checkpoint(run: Run, step: int, complete: bool = True) -> Path:
    """A checkpoint folder, complete or as a crash leaves it."""
    folder = run.directory / "checkpoints" / f"step-{step:06d}"
    if complete:
        return _complete(folder)
    folder.mkdir(parents=True)
    return folder


def write_adapter(folder: Path, base: str = "sample_data/tiny-travel") -> Path:
    """What says of a folder that it holds a LoRA; its weights are none."""
    settings = {"peft_type": "LORA", "base_model_name_or_path": base, "r": 8, "lora_alpha": 16}
    settings |= {"target_modules": "all-linear"}
    (folder / "adapter_config.json").write_bytes(msgspec.json.encode(settings))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    return folder


def write_samples(run: Run, *samples: tuple[int, str, str]) -> None:
    """(step, prompt, text) appended to samples.jsonl."""
    with open(run.directory / "samples.jsonl", "ab") as file:
        for step, prompt, text in samples:
            row = {"step": step, "prompt": prompt, "text": text, "finish_reason": "stop"}
            file.write(msgspec.json.encode(row) + b"\n")


def append_event(run: Run, kind: str, **fields: object) -> None:
    """One more event, at this moment."""
    events = _Events(time.time())
    events.add(kind, **fields)
    with open(run.events_path, "ab") as file:
        file.write(events.bytes())


def travel_home(home: Path) -> dict[str, Run]:
    """The home of the drawings: five runs in five states, one at step 412 of 900."""
    now = time.time()
    runs = {}
    runs["queued"] = write_run(home, "support-full", "interrupted", at=0, steps=0, every=40,
                               reason="It was never started: there is no state.json.")  # fmt: skip
    runs["failed"] = write_run(home, "travel-r64", "failed", at=17, nan_from=17, speed=30_900.0,
                               started=now - 90_000,
                               reason="The loss is nan at step 17.")  # fmt: skip
    runs["stopped"] = write_run(home, "travel-full", "stopped", at=300, speed=11_000.0,
                                started=now - 9_000, checkpoints=(200, 300))  # fmt: skip
    runs["done"] = write_run(home, "travel-qlora", "done", at=900, speed=24_800.0, result=True,
                             started=now - 7_200, checkpoints=(800, 900))  # fmt: skip
    runs["running"] = running = write_run(
        home, "travel-lora", "running", at=412, started=now - 412, checkpoints=(200, 400)
    )
    write_samples(
        running,
        *[
            (step, prompt, text)
            for step in (120, 240, 360)
            for prompt, text in zip(PROMPTS, _answers(step), strict=True)
        ],
    )
    append_event(running, "finding", severity="warning", step=400,
                 message="Eval loss has been flat for 4 evaluations.",
                 hint="Best is 1.03 at step 360.")  # fmt: skip
    return runs


class _Events:
    """Event lines with their numbers and times."""

    def __init__(self, begin: float) -> None:
        self.t = begin
        self._lines: list[bytes] = []

    def add(self, kind: str, **fields: object) -> None:
        record = {"v": 1, "seq": len(self._lines) + 1, "t": round(self.t, 3), "kind": kind}
        self._lines.append(encode(record | fields) + b"\n")

    def bytes(self) -> bytes:
        return b"".join(self._lines)


def _write_steps(
    events: _Events, run: Run, at: int, steps: int, every: int, speed: float, nan_from: int | None
) -> tuple[int, float] | None:
    """The events of the steps so far; returns the best evaluation."""
    noise = random.Random(run.name)
    best: tuple[int, float] | None = None
    for step in range(1, at + 1):
        events.t += 1.0
        loss = 0.9 + 2.4 * math.exp(-step / 90) + noise.gauss(0, 0.05)
        events.add(
            "step", step=step, steps=steps, epoch=round(step / 300, 3),
            loss=math.nan if nan_from and step >= nan_from else round(loss, 4),
            learning_rate=2e-4 * min(1.0, step / 27) * (0.5 + 0.5 * math.cos(math.pi * step / 900)),
            grad_norm=round(0.6 + noise.random(), 3), tokens=step * 3277,
            tokens_per_s=speed + noise.gauss(0, 200), eta_s=float(steps - step),
        )  # fmt: skip
        if step % every == 0:
            value = round(1.02 + 2.2 * math.exp(-step / 85), 4)
            is_best = best is None or value < best[1]
            best = (step, value) if best is None or is_best else best
            events.add("eval", step=step, eval_loss=value, seconds=1.2, best=is_best)
    return best


def _complete(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    return folder


def _answers(step: int) -> tuple[str, str]:
    return {
        120: ("There are several good hotels in Rome.", "En verano."),
        240: ("Rome is lovely, and hotels are many.", "Oslo es preciosa en junio."),
        360: (
            "Rome is calling! Picture mornings by the Pantheon and evenings in Trastevere. "
            "I leave beds to others, but tell me: ancient stones or lively squares?",
            "¡Oslo te espera con luz hasta medianoche! Junio es puro brillo. "
            "¿Te tienta más el fiordo o los museos?",
        ),
    }[step]
