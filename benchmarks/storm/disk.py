"""Disks that take no more, and disks that take nothing: small ones of memory, mounted for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.storm import fleet
from benchmarks.storm.fleet import losses, of_kind
from benchmarks.storm.stage import LORA, Stage, holds, interrupted_at, newest_step
from core.errors import AfinaError

SIZE_BYTES = 24 * 2**20
ROOMS = (0, 4096, 40_000, 100_000, 250_000)  # bytes left; a checkpoint takes some 150,000


def may_mount(folder: Path) -> bool:
    """Whether a disk of memory can be mounted here."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _mounted(folder, 2**20):
            return True
    except OSError:
        return False


@contextmanager
def _mounted(folder: Path, size_bytes: int, *options: str) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    words = ",".join([f"size={size_bytes}", *options])
    _command("mount", "-t", "tmpfs", "-o", words, "storm", str(folder))
    try:
        yield folder
    finally:
        _command("umount", "--lazy", str(folder))


def _command(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{words[0]}: {done.stderr.strip()}")


def full(stage: Stage, rooms: Sequence[int] = ROOMS) -> None:
    """A disk that fills up in mid-run, wholly or but for a part of a checkpoint."""
    if not may_mount(stage.fleet.folder / "mounts" / "try"):
        stage.verdict.note = "no tmpfs may be mounted here: not tried"
        return
    stage.verdict.note = "a tmpfs of 24 MiB"
    for room in rooms:
        with (
            stage.case(f"{room:,} bytes left"),
            _mounted(stage.fleet.folder / "mounts" / f"full-{room}", SIZE_BYTES) as disk,
        ):
            run = stage.run(*LORA, "train.max_steps=24", home=disk / "home")
            life = fleet.start(run)
            holds(life.until_step(6), f"no step 6: {run.state().reason}")
            ballast = _fill(disk, room)
            life.wait()
            ended = run.state()
            holds(ended.state in ("paused", "failed", "done", "interrupted"), ended.state)
            if ended.state != "done":
                holds(room == 0 or ended.state != "interrupted", f"no word: {ended.reason}")
                holds("fault of Afina" not in ended.reason, ended.reason)
                holds(newest_step(run) > 0, "no checkpoint is left")
            ballast.unlink()
            if ended.state == "done":
                stage.ended_well(run, LORA)
            else:
                stage.finish(run, LORA)


def _fill(disk: Path, room: int) -> Path:
    """A file that takes all but `room` bytes."""
    ballast = disk / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        os.posix_fallocate(file.fileno(), 0, max(1, free - room))
    return ballast


def full_at_the_start(stage: Stage) -> None:
    """A disk without room before the first step: a sentence, and the run begins once there is."""
    if not may_mount(stage.fleet.folder / "mounts" / "try"):
        stage.verdict.note = "no tmpfs may be mounted here: not tried"
        return
    stage.verdict.note = "a tmpfs of 24 MiB"
    folder = stage.fleet.folder / "mounts" / "start"
    with stage.case("30,000 bytes left"), _mounted(folder, SIZE_BYTES) as disk:
        run = stage.run(*LORA, home=disk / "home")
        ballast = _fill(disk, 30_000)
        fleet.start(run).wait()
        ended = run.state()
        holds(ended.state in ("paused", "failed"), f"{ended.state}: {ended.reason}")
        holds("fault of Afina" not in ended.reason, ended.reason)
        ballast.unlink()
        stage.finish(run, LORA)


def read_only(stage: Stage) -> None:
    """The folder of checkpoints, then the whole run, on a disk that turned read-only."""
    if not may_mount(stage.fleet.folder / "mounts" / "try"):
        stage.verdict.note = "nothing may be mounted here: not tried"
        return
    stage.verdict.note = "mounts over the run's folders"
    with stage.case("checkpoints, in mid-run"):
        run = stage.run(*LORA)
        life = fleet.start(run)
        holds(life.until_step(6), "no step 6")
        with _read_only(run.directory / "checkpoints"):
            life.wait()
            ended, seen = run.state(), max(losses(run))
        holds(ended.state in ("paused", "failed"), f"{ended.state}: {ended.reason}")
        holds("fault of Afina" not in ended.reason, ended.reason)
        holds(bool(of_kind(run, "finding")), f"{run.id} tells nothing at step {seen}")
        stage.finish(run, LORA)
    with stage.case("the run, in mid-run"):
        run = stage.run(*LORA)
        life = fleet.start(run)
        holds(life.until_step(6), "no step 6")
        with _read_only(run.directory):
            life.wait()
        ended = run.state()
        holds("fault of Afina" not in ended.reason, ended.reason)
        holds(ended.state != "done", "it says to be done without a result")
        stage.finish(run, LORA)
    with stage.case("the run, before a resume"):
        run = interrupted_at(stage, 6, *LORA)
        with _read_only(run.directory):
            try:
                run.announce()
            except AfinaError as error:
                holds("Read-only" in str(error), str(error))
            else:
                raise AssertionError("nobody noticed")
        stage.finish(run, LORA)


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    """The folder seen through a mount that can't be written to; files that are open stay so."""
    _command("mount", "--bind", str(folder), str(folder))
    try:
        _command("mount", "-o", "remount,bind,ro", str(folder))
        yield
    finally:
        _command("umount", "--lazy", str(folder))
