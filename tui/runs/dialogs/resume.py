"""Before a run is resumed: where it goes on, and what is another than when it was started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Input

from core.data.escape import visible
from tui.dialogs.dialog import Dialog
from tui.dialogs.question import Question
from tui.theme import AMBER, RED, SECONDARY, TEXT
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame, Words

if TYPE_CHECKING:
    from core.train.checkpoint.resume import Difference

WORD = "force"  # is typed where a difference would change what the run means


class Forced(Dialog[bool]):
    """A question that only a typed word says yes to; dismissed with True for it."""

    CSS = """
    Forced > Frame { height: auto; max-height: 90%; padding: 1 2; border: round $red; }
    Forced.-ascii > Frame { border: ascii $red; }
    Forced Input, Forced Input:focus { margin: 1 0 0 0; }
    """

    def __init__(self, title: str, words: Text) -> None:
        super().__init__()
        self._title = title
        self._words = words

    def compose(self) -> ComposeResult:
        with Frame(self._title):
            yield Words(self._words, id="words")
            yield Input(placeholder=f"{WORD}, then enter; esc leaves it", compact=True)
        yield Footer()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.value.strip().lower() == WORD:
            self.dismiss(True)
        else:
            self.afina.say(f'"{WORD}" resumes it all the same; esc leaves it.', "warning")


def resume_dialog(title: str, words: str, found: Sequence[Difference]) -> Dialog[bool]:
    """A plain question, or one that wants a typed word where the meaning would change."""
    text = Text(f"{words}\n", TEXT)
    if found:
        text.append("\nAnother than when it was started:\n", SECONDARY)
    for each in found:
        text.append(f"  {visible(each.what, newlines=False)}  ", RED if each.meaning else TEXT)
        text.append(visible(str(each.before), newlines=False), SECONDARY).append(" -> ", SECONDARY)
        text.append(f"{visible(str(each.now), newlines=False)}\n", TEXT)
    if not any(each.meaning for each in found):
        return Question(title, text)
    text.append("\nWhat is red would make it another run. To go on all the same, type ", TEXT)
    return Forced(title, text.append(WORD, f"bold {AMBER}").append(".", TEXT))
