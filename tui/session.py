"""What the workbench remembers between two starts: session.json in the home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from core import samples
from core.config import Config, config_io
from core.errors import AfinaError
from core.paths import write_atomic

FILE = "session.json"
MOST_RECENT = 12


class Session(msgspec.Struct):
    """The last pane, configuration and data files. Fields of a newer version are ignored."""

    pane: str = "data"
    config: dict[str, Any] | None = None
    recent: list[str] = []  # data files, newest first

    def opened(self, path: str) -> None:
        """Remembers a data file as the newest."""
        others = [other for other in self.recent if other != path]
        self.recent = [path, *others][:MOST_RECENT]


def load(home: Path) -> Session:
    """The session of a home; an empty one when there is none that can be read."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=Session)
    except (OSError, msgspec.DecodeError):
        return Session()  # the session is a comfort: without it the sample journey opens


def save(home: Path, session: Session) -> None:
    """Writes the session; a disk that is full or read-only is no reason to stop the app."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        write_atomic(home / FILE, msgspec.json.encode(session))
    except OSError:
        return


def last_config(session: Session) -> Config:
    """The configuration that was last worked on, else the sample journey's, else the defaults."""
    try:
        if session.config is not None:
            return config_io.from_values(session.config, FILE)
        return samples.sample_config()
    except AfinaError:
        return Config()
