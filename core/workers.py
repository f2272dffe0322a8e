"""The processes behind the app: `afina.py worker KIND [DIRECTORY]` and the module that each one is.

Jobs (train, export) are detached and work on a directory; data and model workers answer over a
pipe. Everything heavy is imported by the module that is named here, in that process only.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys

# kind: module and function; a job's takes its directory
JOBS = {"train": "core.train.worker:main", "export": "exporters.job.worker:main"}
PIPES = {
    "data": "core.data.worker.worker:main",
    "survey": "core.data.analysis.pool_worker:main",
    "model": "core.chat.worker:main",
    "probe": "core.train.probe.worker:main",
}


def main(words: list[str]) -> int:
    """Runs one worker to its end; returns the exit code."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    kind = words[0] if words else ""
    if kind in JOBS and len(words) == 2:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal may go
        return int(_function(JOBS[kind])(words[1]) or 0)
    if kind in PIPES and len(words) == 1:
        return int(_function(PIPES[kind])() or 0)
    print(f"afina worker: unknown words {words}", file=sys.stderr)  # noqa: T201 - no screen here
    return 2


def _function(name: str):  # noqa: ANN202 - a worker's main
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)
