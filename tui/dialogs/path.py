"""A path to open or to save at: typed with completion, or taken from a list of offers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from textual.app import ComposeResult
from textual.containers import Container

from core.data.escape import visible
from tui.actions import Scoped, bindings
from tui.dialogs.choice import ChoiceBox, Entry
from tui.dialogs.dialog import Dialog
from tui.theme import BLUE, SECONDARY
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame
from tui.widgets.row_list import Column

COLUMNS = (Column("file", 0), Column("", 14, right=True))
MOST_ENTRIES = 400  # of a folder that is listed


class Offer(NamedTuple):
    """A path worth offering before anything is typed, and why: "recent", "sample"."""

    path: Path
    why: str


class PathBox(Scoped, Container):
    """Adds the completing keys to the box in it."""

    DEFAULT_CSS = "PathBox { width: 1fr; height: 1fr; }"
    scope = "path"
    BINDINGS = bindings("path")

    def action_complete(self) -> None:
        box = self.query_one(ChoiceBox)
        box.write(completed(box.text, matches(box.text, ())))


class PathDialog(Dialog[Path]):
    """Dismissed with the path. `suffixes` narrows the files listed; empty lists them all."""

    def __init__(
        self,
        title: str,
        suffixes: Sequence[str] = (),
        offers: Sequence[Offer] = (),
        value: str = "",
        saving: bool = False,
    ) -> None:
        super().__init__()
        self._title = title
        self._suffixes = tuple(suffixes)
        self._offers = list(offers)
        self._value = value
        self._saving = saving

    def compose(self) -> ComposeResult:
        with Frame(self._title, "tab completes"), PathBox():
            yield ChoiceBox(COLUMNS, self._offer, self._value, "a path")
        yield Footer()

    def _offer(self, text: str) -> list[Entry]:
        if not text and self._offers:
            return [
                Entry(offer.path, (visible(shown(offer.path)), (offer.why, SECONDARY)))
                for offer in self._offers
            ]
        return [path_entry(path) for path in matches(text, self._suffixes)]

    def on_choice_box_taken(self, event: ChoiceBox.Taken) -> None:
        typed = Path(event.text).expanduser()
        if event.text and not event.moved and (typed.is_file() or self._saving):
            if not typed.is_dir():
                self.dismiss(typed)
            return
        if event.entry is None:
            self.afina.say(f'There is no file "{visible(event.text)}".', "warning")
        elif event.entry.value.is_dir():
            self.query_one(ChoiceBox).write(f"{shown(event.entry.value)}/")
        else:
            self.dismiss(event.entry.value)


def path_entry(path: Path) -> Entry:
    """A file with its size, or a folder."""
    if path.is_dir():
        return Entry(path, ((f"{visible(path.name)}/", BLUE), ("folder", SECONDARY)))
    return Entry(path, (visible(path.name), (size_words(path), SECONDARY)))


def matches(text: str, suffixes: Sequence[str]) -> list[Path]:
    """The entries of the folder typed so far whose name starts with the rest, folders first."""
    folder, start = os.path.split(os.path.expanduser(text))
    try:
        entries = [path for path in Path(folder or ".").iterdir() if path.name.startswith(start)]
    except OSError:
        return []
    wanted = [
        path
        for path in entries
        if (not path.name.startswith(".") or start.startswith("."))
        and (path.is_dir() or not suffixes or path.name.lower().endswith(tuple(suffixes)))
    ]
    return sorted(wanted, key=lambda path: (not path.is_dir(), path.name))[:MOST_ENTRIES]


def completed(text: str, found: Sequence[Path]) -> str:
    """The text with what all matches share; a single folder gets its slash."""
    if not found:
        return text
    folder = os.path.split(text)[0]
    shared = os.path.commonprefix([path.name for path in found])
    ending = "/" if len(found) == 1 and found[0].is_dir() else ""
    return os.path.join(folder, shared) + ending


def shown(path: Path) -> str:
    """A path as people write it: from the working directory, else with ~ for their folder."""
    for start, prefix in ((Path.cwd(), ""), (Path.home(), "~/")):
        if path.is_relative_to(start) and path != start:
            return prefix + str(path.relative_to(start))
    return str(path)


def size_words(path: Path) -> str:
    """The size of a file: "12.4 MB"; empty when it can't be read."""
    try:
        size = float(path.stat().st_size)
    except OSError:
        return ""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
