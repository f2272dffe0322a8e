"""Real worker processes that start warm: forked by a server that has the heavy packages loaded."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from core.train import worker
from core.workers import main

PRELOAD = [
    "afina",
    "core.train.worker",
    "core.train.objectives.sft",
    "core.train.watch_prompts",
    "datasets",
]


def start(directory: Path, before: Callable[[], None] | None = None) -> BaseProcess:
    """A train worker on a run's directory, in a session of its own, printing into log.txt.

    `before` is called in the process first: what a test breaks there. A worker that begins again
    does so without exec, to stay warm; tests/core/train/test_retry.py has a real one.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=_work, args=(str(directory), before))
    process.start()
    return process


def _work(directory: str, before: Callable[[], None] | None) -> None:
    os.setsid()
    os.chdir(directory)
    log = os.open(Path(directory) / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    again: list[str] = []
    worker.begin_again = again.append
    if before is not None:
        before()
    code = main(["train", directory])
    while again:
        again.clear()
        code = main(["train", directory])
    sys.exit(code)
