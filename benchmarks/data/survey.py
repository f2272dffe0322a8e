"""How fast all rows are surveyed, filtered, sorted, searched and compared.

    python -m benchmarks.data.survey [--rows N] [--model DIR]

Writes chat rows of about 1 KB to a temporary file, with a home of its own beside it, and prints a
markdown table. Rates are rows a second; "one core" is one process, "crew" as many as there are
cores. Views are those of the data worker, over its pipe.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import tempfile
import time
from pathlib import Path

from core.data.analysis.analysis import Options, Progress
from core.data.analysis.checks import Inquiry, surveyed
from core.data.analysis.passes import examine_form
from core.data.analysis.pool import cores
from core.data.recipe import Recipe
from core.environment import worker_environment
from core.paths import SAMPLE_DATA
from core.pipe import PipeWorker

COMMON = ("where", "should", "I", "eat", "in", "Rome", "near", "the", "market", "with", "friends")
ALL = [  # views of all rows, without a model
    ("filter bytes > 1150 and turns >= 2", {"filter": "bytes > 1150 and turns >= 2"}),
    ("sort by bytes", {"sort": "bytes", "descending": True}),
    ("search, plain", {"search": "WORD1234 word77"}),
    ("search, not in ASCII", {"search": "señor"}),
]
CONTENT = ("filter role('user') contains", {"filter": "role('user') contains 'word1234 '"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--encoded", type=int, default=50_000, help="rows encoded and compared")
    parser.add_argument("--model", default=str(SAMPLE_DATA / "tiny-travel"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AFINA_HOME"] = str(Path(folder, "home"))
        path, some = Path(folder, "rows.jsonl"), Path(folder, "some.jsonl")
        write(path, options.rows)
        write(some, options.encoded)
        size = path.stat().st_size
        print(f"{options.rows:,} rows, {size / 1e6:,.0f} MB, {cores()} cores, load {load()}\n")
        print("| what | rows | time | rate |\n| --- | ---: | ---: | ---: |")
        measure_form(path)
        measure_tokens(some, options)
        measure_near(some)
        measure_views(path, some, options)
        print(f"\nlargest process {peak_mb():,.0f} MB, load {load()}")


def measure_form(path: Path) -> None:
    with surveyed(path, Recipe(), Inquiry(cache=True)) as survey:
        line("check of form, crew", survey.rows, survey.seconds)
        source, reader = survey.subject.source, survey.subject.reader
        rows = range(min(50_000, survey.rows))
        begun = time.process_time()
        examine_form(source, reader, rows)
        line("check of form, one core (its own time)", len(rows), time.process_time() - begun)
    begun = time.perf_counter()
    with surveyed(path, Recipe(), Inquiry(cache=True)) as survey:
        assert survey.cached
        line("check of form, from the cache", survey.rows, time.perf_counter() - begun)


def measure_tokens(path: Path, options: argparse.Namespace) -> None:
    for name, languages in (("tokens, crew", False), ("tokens and languages, crew", True)):
        told: dict[str, Progress] = {}
        inquiry = Inquiry(Options(languages=languages))
        recipe = Recipe(options.model, max_length=512)
        with surveyed(path, recipe, inquiry, lambda item: told.update({item.phase: item})):  # noqa: B023
            last = told["tokens"]
            line(name, last.total, last.total / last.rows_per_s)


def measure_near(path: Path) -> None:
    told: dict[str, Progress] = {}
    inquiry = Inquiry(Options(near=True))
    with surveyed(path, Recipe(), inquiry, lambda item: told.update({item.phase: item})) as survey:
        seconds = survey.seconds - told["form"].total / told["form"].rows_per_s
        line("near duplicates, one core", survey.rows, seconds)


def measure_views(path: Path, some: Path, options: argparse.Namespace) -> None:
    with PipeWorker("data", env=worker_environment()) as worker:
        recipe = {"model": options.model, "max_length": 512}
        worker.call("open", path=str(some), recipe=recipe)
        running = worker.request("survey")
        waits = []
        for _ in range(40):
            time.sleep(0.05)
            begun = time.perf_counter()
            worker.call("show", row=random.randrange(options.encoded))
            waits.append(time.perf_counter() - begun)
        waits.sort()
        print(f"| show during a survey, median and worst | 1 | {waits[20] * 1e3:.1f} ms | "
              f"{waits[-1] * 1e3:.0f} ms |")  # fmt: skip
        worker.cancel(running)
        name, wish = CONTENT
        line(name, options.encoded, worker.call("view", **wish)["seconds"])
        worker.call("open", path=str(path), recipe={"model": ""})
        worker.call("survey", near=False)
        for name, wish in ALL:
            line(name, options.rows, worker.call("view", **wish)["seconds"])


def write(path: Path, rows: int) -> None:
    """Chat rows of two turns and about 1 KB; one in a hundred is a copy with a word changed."""
    chosen = random.Random(7)
    words = [*COMMON, *(f"word{number}" for number in range(4000))]
    said = ["", ""]
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            if number % 100:
                said = [" ".join(chosen.choices(words, k=size)) for size in (25, 95)]
            messages = [
                {"role": "user", "content": f"{number} {said[0]}?"},
                {"role": "assistant", "content": said[1]},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")


def line(name: str, rows: int, seconds: float) -> None:
    print(f"| {name} | {rows:,} | {seconds:.3f} s | {rows / seconds:,.0f}/s |", flush=True)


def load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def peak_mb() -> float:
    """Of this process and of those that have ended."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024


if __name__ == "__main__":
    main()
