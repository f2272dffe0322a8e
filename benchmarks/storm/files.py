"""Files that are not what they were: checkpoints, events, state, data, tokenizer, base model."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.storm import fleet
from benchmarks.storm.fleet import losses, of_kind, weights
from benchmarks.storm.model import write_rows
from benchmarks.storm.stage import LORA, Stage, holds, interrupted_at, sentence, trainings
from core.runs.run import Run
from core.train.checkpoint import manifest

Harm = Callable[[Path, random.Random], None]


def _flip(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def _cut(path: Path, draw: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(len(data))])


def _remove(path: Path, draw: random.Random) -> None:
    path.unlink()


def _empty(path: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


HARMS: list[Harm] = [_flip, _cut, _remove, _empty]


def damaged_checkpoint(stage: Stage, count: int = 16) -> None:
    """Any file of the newest checkpoint changed: the one before it serves, and it is said."""
    run = interrupted_at(stage, 10, *LORA)
    names = sorted(path.name for path in run.checkpoints()[-1].iterdir())
    for turn in range(count):
        harm, name = stage.random.choice(HARMS), names[turn % len(names)]
        with stage.case(f"{harm.__name__.strip('_')} {name}"):
            other = _copy(run)
            newest, before = other.checkpoints()[-1], other.checkpoints()[-2]
            harm(newest / name, stage.random)
            fleet.start(other).wait()
            stage.ended_well(other, LORA)
            manifest_gone = name == manifest.MANIFEST and harm is _remove
            told = [e for e in of_kind(other, "finding") if newest.name in e["message"]]
            harmless = name == manifest.MANIFEST and harm is _flip  # a digit of its date
            holds(bool(told) or manifest_gone or harmless, f"{other.id} does not say it")
            if told:
                begun = trainings(other)[-1]
                holds(begun == f"from {before.name}", f"{other.id} began {begun}")


def no_checkpoint_whole(stage: Stage) -> None:
    """Every checkpoint damaged: it begins anew, and says so."""
    with stage.case("all of them"):
        run = interrupted_at(stage, 10, *LORA)
        for folder in run.checkpoints():
            _cut(folder / "optimizer.pt", stage.random)
        fleet.start(run).wait()
        stage.ended_well(run, LORA)
        hints = [event["hint"] for event in of_kind(run, "finding")]
        holds("Starting from the beginning." in hints, f"{run.id} does not say it")


def _truncate(path: Path, draw: random.Random) -> None:
    _cut(path, draw)


def _garbage_at_the_end(path: Path, draw: random.Random) -> None:
    with open(path, "ab") as file:
        file.write(draw.randbytes(400))


def _garbage_inside(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    place = draw.randrange(len(data))
    data[place : place + 300] = draw.randbytes(300)
    path.write_bytes(data)


def events(stage: Stage, count: int = 12) -> None:
    """The event file cut, overwritten or gone: the run goes on, and what can be read is true."""
    run = interrupted_at(stage, 10, *LORA)
    harms: list[Harm] = [_truncate, _garbage_at_the_end, _garbage_inside, _flip, _empty, _remove]
    for turn in range(count):
        harm = harms[turn % len(harms)]
        with stage.case(harm.__name__.strip("_")):
            other = _copy(run)
            harm(other.events_path, stage.random)
            fleet.start(other).wait()
            holds(other.state().state == "done", f"{other.id}: {other.state().reason}")
            whole = losses(stage.undisturbed(*LORA))
            mine = losses(other)
            wrong = [step for step, loss in mine.items() if whole.get(step) != loss]
            holds(not wrong or (harm is _flip and len(wrong) == 1), f"{other.id}: losses {wrong}")
            holds(set(range(9, 25)) <= mine.keys(), f"{other.id} misses steps after its resume")
            holds(weights(other) == weights(stage.undisturbed(*LORA)), f"{other.id}: weights")
            numbers = [e["seq"] for e in of_kind(other, "step") if e["step"] > 10]
            holds(numbers == sorted(numbers), f"{other.id} counts events backwards")


def state(stage: Stage) -> None:
    """state.json cut, emptied, gone: the run is interrupted, and goes on."""
    run = interrupted_at(stage, 10, *LORA)
    for harm in HARMS:
        with stage.case(f"{harm.__name__.strip('_')} state.json"):
            other = _copy(run)
            harm(other.directory / "state.json", stage.random)
            holds(other.state().state == "interrupted", f"{other.id} is {other.state().state}")
            stage.finish(other, LORA)


def small_files(stage: Stage) -> None:
    """Whatever a run keeps beside its checkpoints cut, emptied or of other bytes: it goes on."""
    run = interrupted_at(stage, 10, *LORA)
    names = [path.name for path in run.directory.glob("*.json*") if path != run.events_path]
    names += [f"base/{path.name}" for path in (run.directory / "base").iterdir()]
    for name in sorted(names):
        for harm in (_cut, _empty, _garbage_inside, _remove):
            with stage.case(f"{harm.__name__.strip('_')} {name}"):
                other = _copy(run)
                harm(other.directory / name, stage.random)
                stage.finish(other, LORA)
                _same_files(stage, other)


def _same_files(stage: Stage, run: Run) -> None:
    """The result has what a result of the undisturbed run has, weights and manifest left out."""
    whole = stage.undisturbed(*LORA).result
    assert whole is not None and run.result is not None
    for path in whole.iterdir():
        if path.name != manifest.MANIFEST and path.is_file():
            holds((run.result / path.name).read_bytes() == path.read_bytes(), f"other {path.name}")


def changed_data(stage: Stage) -> None:
    """Rows changed between a stop and the resume: refused; put back, it goes on."""
    for what in ("other rows", "no rows", "gone"):
        with stage.case(what):
            rows = write_rows(stage.fleet.folder / f"rows-{stage.random.random()}.jsonl")
            kept = rows.read_bytes()
            run = interrupted_at(stage, 6, *LORA, f"data.path={rows}")
            if what == "other rows":
                write_rows(rows, 39)
            elif what == "no rows":
                rows.write_bytes(b"")
            else:
                rows.unlink()
            holds(fleet.start(run).wait() == 1, f"{run.id} went on")
            sentence(run, "failed", str(rows))
            rows.write_bytes(kept)
            stage.finish(run, LORA)


def tokenizer_missing(stage: Stage) -> None:
    """No tokenizer: a sentence; put back, the run goes on."""
    for when in ("before the start", "before the resume"):
        with stage.case(when):
            model = _copy_of_model(stage)
            kept = (model / "tokenizer.json").read_bytes()
            words = (*LORA, f"model.name_or_path={model}")
            resumed = when == "before the resume"
            run = interrupted_at(stage, 6, *words) if resumed else stage.run(*words)
            (model / "tokenizer.json").unlink()
            holds(fleet.start(run).wait() == 1, f"{run.id} went on")
            sentence(run, "failed", "tokenizer")
            (model / "tokenizer.json").write_bytes(kept)
            stage.finish(run, LORA)


def base_deleted(stage: Stage) -> None:
    """The base model deleted in mid-run: the run ends with a whole result all the same."""
    for kind in ("lora", "full"):
        with stage.case(f"{kind}, to its end"):
            model = _copy_of_model(stage)
            full = ("method.kind=full", "train.learning_rate=1e-3")
            plain = (*LORA, *(full if kind == "full" else ()))
            run = stage.run(*plain, f"model.name_or_path={model}")
            life = fleet.start(run)
            holds(life.until_step(1), f"no step: {run.state().reason}")
            shutil.rmtree(model)
            life.wait()
            stage.ended_well(run, plain)
            result, whole = run.result, stage.undisturbed(*plain).result
            assert result and whole
            names = [sorted(path.name for path in folder.iterdir()) for folder in (result, whole)]
            holds(names[0] == names[1], f"{run.id} has other files: {names}")
    with stage.case("killed, then resumed"):
        model = _copy_of_model(stage)
        run = interrupted_at(stage, 6, *LORA, f"model.name_or_path={model}")
        model.rename(model.with_name("away"))
        holds(fleet.start(run).wait() == 1, f"{run.id} went on")
        sentence(run, "failed", str(model))
        model.with_name("away").rename(model)
        stage.finish(run, LORA)


def _copy(run: Run) -> Run:
    """The same run in another folder."""
    number = 1
    while (folder := run.directory.with_name(f"{run.id}-{number}")).exists():
        number += 1
    shutil.copytree(run.directory, folder)
    return Run(folder)


def _copy_of_model(stage: Stage) -> Path:
    folder = stage.fleet.folder / f"model-{stage.random.random()}"
    shutil.copytree(stage.fleet.model, folder)
    return folder
