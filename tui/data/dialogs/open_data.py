"""Opening data: a file, a folder of files, a pattern of names, or a data set of the hub."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from textual.app import ComposeResult

from core.data.escape import visible
from core.data.files.hub import is_dataset_id
from tui.data.offers import GLOB, can_be_data
from tui.dialogs.choice import ChoiceBox, Entry
from tui.dialogs.dialog import Dialog
from tui.dialogs.path import COLUMNS, Offer, PathBox, matches, path_entry, shown
from tui.theme import AMBER, SECONDARY
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame

MOST_COUNTED = 1000  # files of a pattern or a folder, before "1,000 and more"


class OpenData(Dialog[str]):
    """Dismissed with what `begin_source` takes: a path, a pattern, or the name of a data set."""

    def __init__(self, offers: Sequence[Offer]) -> None:
        super().__init__()
        self._offers = list(offers)

    def compose(self) -> ComposeResult:
        with Frame("open data", "tab completes"), PathBox():
            yield ChoiceBox(
                COLUMNS, self._offer, "", "a file, a folder, or a pattern: data/*.jsonl"
            )
        yield Footer()

    def _offer(self, text: str) -> list[Entry]:
        """What can be opened as a whole first, then what the folder has."""
        if not text:
            return [
                Entry(str(offer.path), (visible(shown(offer.path)), (offer.why, SECONDARY)))
                for offer in self._offers
            ]
        found = matches(text, ())
        listed = [path_entry(path) for path in found if path.is_dir() or can_be_data(path)]
        return [*_wholes(text), *listed, *_hub(text, found)]

    def on_choice_box_taken(self, event: ChoiceBox.Taken) -> None:
        typed = os.path.expanduser(event.text)
        value = event.entry.value if event.entry is not None else None
        if event.text and not event.moved and os.path.isfile(typed):
            self.dismiss(typed)
        elif isinstance(value, str):
            self.dismiss(value)
        elif isinstance(value, Path) and value.is_dir():
            self.query_one(ChoiceBox).write(f"{shown(value)}/")
        elif isinstance(value, Path):
            self.dismiss(str(value))
        else:
            self.afina.say(f'There is no file "{visible(event.text)}".', "warning")


def _wholes(text: str) -> list[Entry]:
    """The pattern that was typed, or the folder, as one source."""
    path = os.path.expanduser(text)
    if any(letter in path for letter in GLOB):
        names, what = glob.iglob(path, recursive=True), "these files"
    elif path.endswith("/") and os.path.isdir(path):
        names, what = (entry.path for entry in os.scandir(path)), "this folder"
    else:
        return []
    number = 0
    for name in names:
        number += can_be_data(Path(name)) and os.path.isfile(name)
        if number >= MOST_COUNTED:
            break
    saved = os.path.exists(os.path.join(path, "dataset_info.json"))
    if not number and not saved:
        return []
    more = " and more" if number >= MOST_COUNTED else ""
    words = "saved data set" if saved else f"{number:,} file{'' if number == 1 else 's'}{more}"
    return [Entry(path, ((f"{what}, as one", AMBER), (words, SECONDARY)))]


def _hub(text: str, found: Sequence[Path]) -> list[Entry]:
    """The name of a data set, where no file has it."""
    if found or not is_dataset_id(text) or os.environ.get("HF_HUB_OFFLINE"):
        return []
    return [Entry(text, (visible(text), ("from the hub", SECONDARY)))]
