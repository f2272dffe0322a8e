"""A short storm: a few of the faults that `python -m benchmarks.storm` tries by the hundred."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from benchmarks.storm import disk, files, kills
from benchmarks.storm.fleet import Fleet
from benchmarks.storm.stage import Scenario, Stage, timed
from core.runs.run import Run

SHORT: dict[str, Scenario] = {
    "kills": partial(kills.kills, count=2, cold=0, only="lora"),
    "events": partial(files.events, count=2),
    "no checkpoint whole": files.no_checkpoint_whole,
    "full disk": partial(disk.full, rooms=(40_000,)),
}


@pytest.fixture(scope="module")
def undisturbed() -> dict[object, Run]:
    return {}


@pytest.mark.parametrize("name", SHORT)
def test_a_run_goes_on_as_if_nothing_had_happened(
    name: str,
    home: Path,
    tmp_path: Path,
    tiny_model: Path,
    chat_file: Path,
    undisturbed: dict[object, Run],
) -> None:
    stage = Stage(name, Fleet(tmp_path, tiny_model, chat_file), 20_261_121, undisturbed)
    verdict = timed(SHORT[name], stage)
    assert verdict.failures == []
    assert verdict.held == verdict.tries
    assert verdict.tries > 0 or verdict.note.endswith("not tried")
