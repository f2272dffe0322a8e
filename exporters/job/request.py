"""Export jobs: their directories under the home. Light; the work is in worker.py."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from core.errors import AfinaError
from core.jobs import ACTIVE, Job
from core.paths import make_folder, write_atomic
from core.runs.run import slug
from core.runs.target import Target, resolve, split_point
from exporters.contract import PLAIN, Options
from exporters.job.export_spec import parse_to
from exporters.job.plan import plan_for, refuse

REQUEST = "request.json"


class Request(msgspec.Struct):
    """What request.json says."""

    target: str
    to: list[str]  # "gguf:f16", ...
    out: str  # the exports' folder
    adapter: str | None = None
    options: Options = PLAIN


def create_export(
    home: Path,
    target_word: str,
    to: str | Sequence[str],
    adapter: str | None = None,
    options: Options = PLAIN,
) -> Job:
    """A job that is not started yet: `job.start("export")`. Raises AfinaError for what can't be."""
    wanted = parse_to(to)
    target, options = resolve(home, target_word, adapter), _lasting_options(options)
    plan = plan_for(home, target, wanted, options=options)
    refuse(plan)
    _refuse_second(home, plan.folder)
    name = slug(target.label)
    stamp = time.strftime("%Y-%m-%d")
    folder = home / "jobs" / f"{stamp}-export-{name}-{secrets.token_hex(2)}"
    make_folder(folder)
    request = Request(
        _lasting(target_word, target),
        [str(choice) for choice in wanted],
        plan.folder,
        target.adapter if adapter else None,  # a run knows its own
        options,
    )
    write_atomic(folder / REQUEST, msgspec.json.format(msgspec.json.encode(request)))
    return Job(folder)


def _refuse_second(home: Path, folder: str) -> None:
    """Two exports must not write into one folder."""
    for job in all_exports(home):
        if job.state().state in ACTIVE and read_request(job).out == folder:
            raise AfinaError(
                f'An export of this model is at work already, "{job.directory.name}".',
                "Wait for its end, or cancel it.",
            )


def _lasting(word: str, target: Target) -> str:
    """The TARGET in words that mean the same later and from anywhere."""
    if target.run is None:
        path = Path(word).expanduser()
        return str(path.resolve()) if path.exists() else word  # else a hub id
    _, point = split_point(word)
    return f"{Path(target.run).name}{f'@{point}' if point else ''}"


def _lasting_options(options: Options) -> Options:
    """The options with paths that mean the same from anywhere."""
    return Options(
        *(
            os.path.abspath(Path(path).expanduser()) if path else path
            for path in (options.imatrix, options.llama_cpp)
        )
    )


def read_request(job: Job) -> Request:
    """The request of a job. Raises AfinaError when it can't be read."""
    path = job.directory / REQUEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Request)
    except (OSError, msgspec.DecodeError) as error:
        raise AfinaError(f'Can\'t read "{path}": {error}.', "Start the export anew.") from error


def all_exports(home: Path) -> list[Job]:
    """Every export job of a home, newest first."""
    folders = [p for p in (home / "jobs").glob("*-export-*") if (p / REQUEST).is_file()]
    return [Job(p) for p in sorted(folders, key=_created, reverse=True)]


def _created(folder: Path) -> float:
    return (folder / REQUEST).stat().st_mtime
