"""Choosing a preset: its name, what it is for, what it would change, and who says so."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.app import ComposeResult

from core.config import Config
from core.config.presets import Preset, Subject, fitting
from tui.dialogs.choice import ChoiceBox, Entry
from tui.dialogs.dialog import Dialog
from tui.options import label_of, text_of, value_of
from tui.theme import SECONDARY, TEXT
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame, Words
from tui.widgets.row_list import Column

COLUMNS = (Column("preset", 24), Column("what it is for", 0))
OTHER_LINES = 5  # beside presets and changes: the input, heads, a gap, the purpose
NARROW_CELLS = 90  # below it sources are written shorter


class Presets(Dialog[Preset]):
    """Dismissed with the preset."""

    CSS = """
    Presets > Frame { height: 92%; max-height: 30; }
    Presets #note { margin: 1 0 0 0; }
    """

    def __init__(self, config: Config, subject: Subject) -> None:
        super().__init__()
        self._config = config
        self._subject = subject

    def compose(self) -> ComposeResult:
        rows = self._subject.shape.replace("_", " ")
        with Frame("presets", f"for {rows} rows" if rows else ""):
            yield ChoiceBox(COLUMNS, self._offer, placeholder="a few letters of its name")
            yield Words(id="note")
        yield Footer()

    def _offer(self, text: str) -> list[Entry]:
        return [
            Entry(preset, (preset.name, preset.purpose))
            for preset in fitting(self._subject)
            if text.casefold() in f"{preset.name} {preset.purpose}".casefold()
        ]

    def on_resize(self) -> None:
        self.on_choice_box_pointed()

    def on_choice_box_pointed(self) -> None:
        entry = self.query_one(ChoiceBox).entry
        words = self._words(entry.value) if entry else Text()
        self.query_one("#note", Words).update(words)

    def on_choice_box_taken(self, event: ChoiceBox.Taken) -> None:
        if event.entry is not None:
            self.dismiss(event.entry.value)

    def _words(self, preset: Preset) -> Text:
        """A line for each change, as many as there is room for."""
        found = changes(self._config, preset, self._subject)
        if not found:
            return Text(f"{preset.purpose}\nchanges nothing", SECONDARY)
        frame = self.query_one(Frame).content_size
        room = max(4, frame.height - OTHER_LINES - len(fitting(self._subject)))
        kept = found if len(found) <= room else found[: room - 1]
        labels = max(len(label_of(name)) for name, *_ in kept)
        values = max(len(_change(old, new)) for _, old, new, _ in kept)
        lines = [Text(preset.purpose, SECONDARY)]
        lines += [
            Text.assemble(
                (f"{label_of(name).ljust(labels)}  {_change(old, new).ljust(values)}  ", TEXT),
                (why if frame.width >= NARROW_CELLS else _shorter(why), SECONDARY),
            )
            for name, old, new, why in kept
        ]
        if len(kept) < len(found):
            rest = ", ".join(label_of(name) for name, *_ in found[len(kept) :])
            lines.append(Text(f"and {rest}", SECONDARY))
        for line in lines:
            line.truncate(max(1, frame.width), overflow="ellipsis")
        return Text("\n").join(lines)


def changes(config: Config, preset: Preset, subject: Subject) -> list[tuple[str, Any, Any, str]]:
    """(option, value now, value then, who says so) of what would be another."""
    return [
        (name, value_of(config, name), setting.value, setting.source)
        for name, setting in preset.settings(config, subject).items()
        if value_of(config, name) != setting.value
    ]


def _change(old: Any, new: Any) -> str:
    return f"{text_of(old)} -> {text_of(new)}"


def _shorter(source: str) -> str:
    """ "QLoRA 2305.14314 B.2"."""
    return source.replace("(arXiv ", "").replace("arXiv ", "").replace(")", "")
