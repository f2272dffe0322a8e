"""From rows to batches: encoding, the kept rows, packing, padding, and the wait for batches.

    python benchmarks/feed.py                 100,000 chats
    python benchmarks/feed.py --rows 10000 --steps 20

Chats of about 70 tokens (log-normal, up to 499), on the sample model. Each way stands beside the
one before it, in the same process and on the same rows, so that the ratios count. On a busy machine
set OMP_WAIT_POLICY=PASSIVE, or the steps take minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import msgspec
import numpy as np

import afina  # noqa: F401 - claims core
from core.config import Config, config_io
from core.data.analysis.job import Subject
from core.data.analysis.pool import cores
from core.data.files.source import open_source
from core.data.recipe import Recipe
from core.jobs import JobWorker
from core.runs.run import create_run
from core.samples import TINY_MODEL
from core.train.control import Requests
from core.train.loader.encode import Encoding, encode_source
from core.train.loader.encoded_cache import EncodedCache
from core.train.loader.mixture import Drawn
from core.train.loader.packing import pack
from core.train.loader.rows import Rows
from core.train.training import Training, quiet_libraries

BATCH, MAX_LENGTH = 8, 512
WORDS = (
    *("which", "road", "leads", "to", "the", "old", "town", "and", "where", "do", "people"),
    *("eat", "soup", "on", "a", "cold", "day", "there"),
)


def main() -> None:
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--rows", type=int, default=100_000)
    words.add_argument("--steps", type=int, default=30, help="of each run that waits are taken of")
    options = words.parse_args()
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AFINA_HOME"] = folder
        path = write_chats(Path(folder) / "chats.jsonl", options.rows)
        rows = encoding(configure(path), Path(folder))
        laying(rows)
        waiting(Path(folder), configure(write_chats(Path(folder) / "few.jsonl", 600)), options)


def write_chats(path: Path, count: int) -> Path:
    draw = np.random.default_rng(0)
    with path.open("wb") as file:
        for index, size in enumerate(np.clip(draw.lognormal(3.6, 0.8, count), 4, 350).astype(int)):
            answer = " ".join(WORDS[place] for place in draw.integers(0, len(WORDS), size))
            ask = {"role": "user", "content": f"Question {index}?"}
            row = {"messages": [ask, {"role": "assistant", "content": answer}]}
            file.write(msgspec.json.encode(row) + b"\n")
    return path


def configure(path: Path, *more: str) -> Config:
    words = [
        f"model.name_or_path={TINY_MODEL}",
        f"data.path={path}",
        f"data.max_length={MAX_LENGTH}",
        "data.eval_fraction=0",
        f"train.per_device_train_batch_size={BATCH}",
        *more,
    ]
    return config_io.parse("", words)


def encoding(config: Config, folder: Path) -> Rows:
    """Prints rows a second of one process, of all cores, and of the kept rows."""
    recipe = Recipe.of(config)
    with open_source(config.data.path) as source:
        subject = Subject(source, recipe.reader(source), recipe.encoder(), recipe)
        count = len(source)
        first, rows = 0.0, Rows()
        ways = {"one process": (1, "one"), f"{cores()} processes": (None, "all")}
        for name, (processes, place) in {**ways, "kept": (None, "all")}.items():
            how = Encoding(processes, 0.0, EncodedCache(folder / place))
            began = time.perf_counter()
            rows = encode_source(subject, lambda done, total: None, how).rows(Drawn(range(count)))
            seconds = time.perf_counter() - began
            first = first or seconds
            tell(f"encoding, {name}", f"{count / seconds:,.0f} rows/s", first / seconds)
    return rows


def laying(rows: Rows) -> None:
    """Prints how full bins and padded batches are."""
    from trl.data_utils import pack_dataset

    from core.train.loader.sampler import LengthSampler, filled_share, lengths_of

    dataset, first = rows.to_dataset(), 0.0
    packers: dict[str, Callable[[], Any]] = {
        "TRL's bfd": lambda: pack_dataset(dataset, MAX_LENGTH, "bfd"),
        "ours": lambda: pack(dataset, MAX_LENGTH),
    }
    for name, packer in packers.items():
        began = time.perf_counter()
        filled = rows.tokens / (len(packer()) * MAX_LENGTH)
        seconds = time.perf_counter() - began
        first = first or seconds
        tell(f"packing, {name}", f"{seconds:.2f} s, {filled:.1%} filled", first / seconds)
    random = np.random.default_rng(0).permutation(len(dataset))
    shares = [
        filled_share(dataset, order, BATCH)
        for order in (random, LengthSampler(lengths_of(dataset), BATCH, 0).order(0))
    ]
    for name, share in zip(("random", "of like length"), shares, strict=True):
        tell(f"padded rows, {name}", f"{share:.1%} of tokens are real", share / shares[0])


def waiting(home: Path, config: Config, options: argparse.Namespace) -> None:
    """Prints the share of the training time that goes by waiting, with and without the thread."""
    from core.train.loader import feeding

    real = feeding.Prefetch
    for name, ahead in {"in the step": InTheStep, "ahead": real}.items():
        feeding.Prefetch = ahead  # type: ignore[assignment]
        limited = msgspec.structs.replace(
            config,
            train=msgspec.structs.replace(config.train, max_steps=options.steps, packing="on"),
        )
        run = create_run(home, limited)
        worker = JobWorker(run.directory)
        Training(run, worker, Requests(worker)).go()
        worker.close()
        (result,) = [event for event in run.events() if event["kind"] == "result"]
        tell(f"batches made {name}", f"{result['data_wait_share']:.2%} waited", None)
    feeding.Prefetch = real


class InTheStep:
    """Batches as without the thread: made when they are asked for."""

    def __init__(self, items: Iterator[Any], depth: int) -> None:
        self._items = iter(items)

    def __next__(self) -> Any:
        return next(self._items)

    def close(self) -> None:
        """There is no thread to be ended."""


def tell(name: str, figure: str, ratio: float | None) -> None:
    more = "" if ratio is None else f"{ratio:>8.2f}x"
    print(f"{name:34}{figure:>34}{more}", flush=True)  # noqa: T201 - a benchmark


if __name__ == "__main__":
    main()
