"""Trainers in this process, of runs that can go on from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.config import Config
from core.data.encode.encoder import Encoder
from core.jobs import JobWorker
from core.runs.run import Run, create_run
from core.train.control import Requests
from core.train.setup import Setup
from core.train.training import Training

Assemble = Callable[..., Any]  # the trainer of a configuration, of a new run or of this one


@pytest.fixture
def assemble(home: Path) -> Iterator[Assemble]:
    from core.train.callback import RunCallback
    from core.train.checkpoint.progress import Progress
    from core.train.model import precision

    workers = []

    def make(config: Config, run: Run | None = None) -> Any:
        run = run or create_run(home, config)
        workers.append(worker := JobWorker(run.directory))
        requests = Requests(worker)
        training = Training(run, worker, requests)
        base = Path(config.model.name_or_path)
        encoder = Encoder.load(base, config.data.max_length)
        encoded = training.load_rows(encoder)
        setup = Setup(run.directory, base, config, precision.choose(config))
        callback = RunCallback(worker, config, Progress(), requests, lambda step: 0)
        return training.build(setup, encoder, encoded, callback)

    yield make
    for worker in workers:
        worker.close()
