"""Training runs: their directories under the home, and what a list of them shows."""

from __future__ import annotations

import re
import secrets
import shutil
import time
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from glob import has_magic
from pathlib import Path
from typing import Any

import msgspec

from core.config import Config, config_io
from core.data.encode.template import BUILT_IN
from core.errors import AfinaError, nearest
from core.events import number
from core.jobs import ACTIVE, Job
from core.paths import make_folder, write_atomic
from core.runs import custom_loss_file


class Run(Job):
    """One training run. A checkpoint or a result counts when its manifest.json is there."""

    @property
    def id(self) -> str:
        return self.directory.name

    @property
    def name(self) -> str:
        """The id without its date and its random end."""
        return re.sub(r"^\d{4}-\d\d-\d\d-|-[0-9a-f]{4}$", "", self.id)

    @property
    def config(self) -> Config:
        return config_io.load(self.directory / "config.yaml")

    @property
    def base(self) -> str:
        """Folder of the base model; its hub id while no worker has fetched it, or once it is gone
        from the hub's cache: `base_revision` then says which one it is.
        """
        recorded = self._recorded_base()
        if recorded is None or (_commit_of(recorded) and not recorded.is_dir()):
            return self.config.model.name_or_path
        return str(recorded)

    @property
    def base_revision(self) -> str | None:
        """The revision of a base that is a hub id: the commit that was trained on, if any was."""
        model = self.config.model
        if self.base != model.name_or_path:
            return None
        recorded = self._recorded_base()
        return (_commit_of(recorded) if recorded else None) or model.revision

    def _recorded_base(self) -> Path | None:
        try:
            return Path((self.directory / "base.txt").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def use_base(self, folder: Path) -> None:
        """Records the folder of the very revision that a hub id stood for."""
        write_atomic(self.directory / "base.txt", str(folder.resolve()))

    @property
    def result(self) -> Path | None:
        """The folder of the finished adapter or model; None when there is none yet."""
        for name in ("adapter", "model"):
            if is_complete(self.directory / name):
                return self.directory / name
        return None

    def checkpoints(self) -> list[Path]:
        """The complete checkpoints, oldest first."""
        return [path for path in step_folders(self.directory) if is_complete(path)]


# What reading files that are damaged, or that go while they are read, can raise
UNREADABLE = (
    *(AfinaError, OSError, msgspec.MsgspecError, RecursionError),
    *(ValueError, TypeError, LookupError, AttributeError),
)


class Summary(msgspec.Struct):
    """A line in the list of runs; the shape of `afina runs --json`."""

    run: str
    directory: str
    state: str
    step: int
    steps: int
    train_loss: float | None
    eval_loss: float | None
    tokens_per_s: float | None
    started: float | None  # seconds since the epoch
    reason: str
    continues: str | None = None  # the run or the folder that it goes on from


def _commit_of(folder: Path) -> str | None:
    """The commit of a snapshot in the hub's cache: models--ORG--NAME/snapshots/COMMIT."""
    return folder.name if folder.parent.name == "snapshots" else None


def is_complete(folder: Path) -> bool:
    """Whether the manifest, which is written last, is there."""
    return (folder / "manifest.json").is_file()


def step_folders(run: Path) -> list[Path]:
    """The checkpoints' folders, complete or not, by step: from a million on, names don't sort."""
    folders = (run / "checkpoints").glob("step-*")
    return sorted((path for path in folders if path.name[5:].isdecimal()), key=step_of)


def step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def runs_folder(home: Path) -> Path:
    return home / "runs"


def all_runs(home: Path) -> list[Run]:
    """Every run of a home, newest first."""
    born: list[tuple[int, Path]] = []
    for frozen in runs_folder(home).glob("*/config.yaml"):  # written once, when it was created
        with suppress(OSError):  # deleted elsewhere since its name was read
            born.append((frozen.stat().st_mtime_ns, frozen.parent))
    return [Run(folder) for _, folder in sorted(born, reverse=True)]


def find_run(home: Path, word: str) -> Run:
    """The run with this id, directory or name (the newest of that name); "last" is the newest."""
    folder = Path(word).expanduser()
    if (folder / "config.yaml").is_file() and (folder / "state.json").is_file():
        return Run(folder.resolve())
    runs = all_runs(home)
    if word == "last" and runs:
        return runs[0]
    for run in runs:
        if word in (run.id, run.name):
            return run
    starts = [run for run in runs if run.id.startswith(word)]
    if len(starts) == 1:
        return starts[0]
    known = [run.id for run in runs] + [run.name for run in runs]
    raise AfinaError(
        f'There is no run "{word}" in "{runs_folder(home)}".',
        nearest(word, known) or "`afina runs` lists them.",
    )


def create_run(home: Path, config: Config) -> Run:
    """A new run directory with its frozen configuration, not started yet.

    What an earlier run or an adapter decides is settled now: it may have other points later.
    """
    from core.runs.continue_from import resolve_config

    config = resolve_config(home, config)
    name = slug(config.name or default_name(config))
    stamp = time.strftime("%Y-%m-%d")
    folder = runs_folder(home) / f"{stamp}-{name}-{secrets.token_hex(2)}"
    make_folder(folder)
    frozen = msgspec.structs.replace(_resolved(config), name=name)
    if frozen.train.custom_loss:
        custom_loss_file.keep(frozen.train.custom_loss, folder)
    write_atomic(folder / "config.yaml", config_io.to_yaml(frozen))
    return Run(folder)


def default_name(config: Config) -> str:
    """The data file's name and the method: travel-lora; of a pattern, its folder's name."""
    path = Path(config.data.path)
    stem = (path.parent.name if has_magic(path.name) else path.stem) or "run"
    return f"{stem}-{config.method.kind}"


def slug(name: str) -> str:
    """The name as a part of a folder's name."""
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:40].strip("-") or "run"


def summary(run: Run) -> Summary:
    """What the list shows of a run, from its state and its events."""
    from core.runs import lineage

    state = run.state()
    loss = eval_loss = speed = started = None
    for event in run.events():
        started = started or event.get("t")
        if event["kind"] == "step":
            loss = number(event.get("loss"))
            speed = number(event.get("tokens_per_s"))
        elif event["kind"] == "eval":
            eval_loss = number(event.get("eval_loss"))
    return Summary(
        run=run.id,
        directory=str(run.directory),
        state=state.state,
        step=state.step,
        steps=state.steps,
        train_loss=loss,
        eval_loss=eval_loss,
        tokens_per_s=speed,
        started=started,
        reason=state.reason,
        continues=beginning.continues if (beginning := lineage.of(run)) else None,
    )


def summaries(home: Path) -> list[Summary]:
    """What the list shows of every run; one that can't be read says why and hides no other."""
    found = []
    for run in all_runs(home):
        try:
            found.append(summary(run))
        except UNREADABLE as error:
            if run.directory.is_dir():  # else it was deleted meanwhile
                found.append(
                    Summary(
                        *(run.id, str(run.directory), "unreadable", 0, 0, None, None, None, None),
                        reason=unreadable_reason(error),
                    )
                )
    return found


def unreadable_reason(error: Exception) -> str:
    """What to say of a run whose files can't be read."""
    return f"Its files can't be read: {str(error) or type(error).__name__}."


def delete_run(run: Run) -> None:
    """Deletes a run's directory; one that is at work is refused."""
    from core.runs import lineage

    if run.state().state in ACTIVE:
        raise AfinaError(f'"{run.id}" is at work.', "Stop it first.")
    if others := lineage.leaning_on(run.directory.parents[1], run):
        raise AfinaError(
            f'The model of "{run.id}" is the base of "{others[0].id}".',
            "Delete that run first, or keep this one.",
        )
    shutil.rmtree(run.directory)


def _resolved(config: Config) -> Config:
    """The configuration with absolute paths, so that it means the same from anywhere."""
    data: dict[str, Any] = {
        name: _absolute(getattr(config.data, name))
        for name in ("path", "eval_path")
        if getattr(config.data, name)
    }
    data["mix"] = {_absolute(path): weight for path, weight in config.data.mix.items()}
    if config.data.chat_template and config.data.chat_template not in BUILT_IN:
        data["chat_template"] = _absolute(config.data.chat_template)
    model = msgspec.structs.replace(config.model, name_or_path=_absolute(config.model.name_or_path))
    train = config.train
    if train.custom_loss:
        path, _, name = train.custom_loss.rpartition(":")
        train = msgspec.structs.replace(train, custom_loss=f"{_absolute(path)}:{name}")
    return msgspec.structs.replace(
        config, model=model, train=train, data=msgspec.structs.replace(config.data, **data)
    )


def _absolute(path: str) -> str:
    """The absolute path of what is there, or of a pattern; anything else (a hub id) as it is."""
    full = Path(path).expanduser()
    if has_magic(path) and not full.exists():
        return str(full.absolute())
    return str(full.resolve()) if full.exists() else path


def active_runs(home: Path) -> Iterator[Run]:
    """The runs that are at work now, newest first."""
    return (run for run in all_runs(home) if run.state().state in ACTIVE)
