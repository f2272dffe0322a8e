"""Real worker processes that start warm: forked by a server that has the heavy packages loaded."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

from core.workers import main

PRELOAD = [
    "afina",
    "core.train.worker",
    "core.train.objectives.sft",
    "core.train.watch",
    "datasets",
]


def start(directory: Path) -> BaseProcess:
    """A train worker on a run's directory, in a session of its own, printing into log.txt."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=_work, args=(str(directory),))
    process.start()
    return process


def _work(directory: str) -> None:
    os.setsid()
    os.chdir(directory)
    log = os.open(Path(directory) / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.exit(main(["train", directory]))
