"""The storm from the command line: a table of what was tried and what held."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import afina  # noqa: F401 - claims core before a scenario imports it
from benchmarks.storm import disk, files, inside, kills
from benchmarks.storm.fleet import Fleet
from benchmarks.storm.model import write_model, write_rows
from benchmarks.storm.stage import Scenario, Stage, Verdict, timed
from core.runs.run import Run


def scenarios(count: int) -> dict[str, Scenario]:
    """By name, in the order of the table."""
    return {
        "kills": partial(kills.kills, count=count),
        "stops": kills.stops,
        "second stop": kills.second_stop,
        "second worker": kills.second_worker,
        "hangup": kills.hangup,
        "full disk": disk.full,
        "full disk at the start": disk.full_at_the_start,
        "read-only disk": disk.read_only,
        "damaged checkpoint": files.damaged_checkpoint,
        "no checkpoint whole": files.no_checkpoint_whole,
        "events": files.events,
        "state": files.state,
        "small files": files.small_files,
        "changed data": files.changed_data,
        "tokenizer missing": files.tokenizer_missing,
        "base deleted": files.base_deleted,
        "device memory": inside.device_memory,
        "memory": inside.memory,
        "no number": inside.no_number,
        "clock": inside.clock,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storm", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs in all")
    parser.add_argument("--only", action="append", help="a scenario by name; may come repeatedly")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="keep the runs")
    given = parser.parse_args()
    every = scenarios(given.kills)
    chosen = given.only or list(every)
    if unknown := set(chosen) - every.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    folder = Path(tempfile.mkdtemp(prefix="afina-storm-"))
    os.environ["AFINA_HOME"] = str(folder / "home")
    print(f"seed {given.seed}, in {folder}", flush=True)
    ships = Fleet(folder, write_model(folder / "model"), write_rows(folder / "rows.jsonl"))
    undisturbed: dict[object, Run] = {}
    verdicts = []
    for name in chosen:
        verdict = timed(every[name], Stage(name, ships, given.seed, undisturbed))
        verdicts.append(verdict)
        print(_line(verdict), flush=True)
        for failure in verdict.failures:
            print(f"    {failure}", flush=True)
    tries, held = (sum(getattr(verdict, of) for verdict in verdicts) for of in ("tries", "held"))
    print(f"{'all':24} {held:>5} of {tries:<5} {sum(v.seconds for v in verdicts):8.1f} s")
    good = held == tries
    if good and not given.keep:
        shutil.rmtree(folder)
    return 0 if good else 1


def _line(verdict: Verdict) -> str:
    counts = f"{verdict.held:>5} of {verdict.tries:<5} {verdict.seconds:8.1f} s"
    return f"{verdict.name:24} {counts}  {verdict.note}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
