"""Choosing a preset: its name, what it is for, and what it would change."""

from __future__ import annotations

from textual.app import ComposeResult

from core.config import Config
from core.config.presets import PRESETS, Preset, apply
from tui.form_options import label_of, text_of, value_of
from tui.screens.dialogs.choice import ChoiceBox, Entry
from tui.screens.dialogs.dialog import Dialog
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame, Words
from tui.widgets.row_list import Column

COLUMNS = (Column("preset", 12), Column("what it is for", 0))


class Presets(Dialog[Preset]):
    """Dismissed with the preset."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config

    def compose(self) -> ComposeResult:
        with Frame("presets"):
            yield ChoiceBox(COLUMNS, self._offer, placeholder="a few letters of its name")
            yield Words(id="note")
        yield Footer()

    def _offer(self, text: str) -> list[Entry]:
        return [
            Entry(preset, (preset.name, preset.purpose))
            for preset in PRESETS
            if text.casefold() in f"{preset.name} {preset.purpose}".casefold()
        ]

    def on_mount(self) -> None:
        self.on_choice_box_pointed()

    def on_choice_box_pointed(self) -> None:
        entry = self.query_one(ChoiceBox).entry
        words = changes(self._config, entry.value) if entry else ""
        self.query_one("#note", Words).update(words)

    def on_choice_box_taken(self, event: ChoiceBox.Taken) -> None:
        if event.entry is not None:
            self.dismiss(event.entry.value)


def changes(config: Config, preset: Preset) -> str:
    """ "rank 16 -> 8, dropout 0 -> 0.05", or that nothing would change."""
    after = apply(config, preset)
    changed = [
        f"{label_of(name)} {text_of(value_of(config, name))} -> {text_of(value_of(after, name))}"
        for name in preset.options
        if value_of(config, name) != value_of(after, name)
    ]
    return ", ".join(changed) or "changes nothing"
