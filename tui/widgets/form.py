"""A form of many options on few lines, and the input that lies over a value while it is written."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Container
from textual.events import DescendantBlur
from textual.message import Message
from textual.widgets import Input

from tui.actions import Scoped, bindings
from tui.widgets.form_lines import FormLines, Group, Option


class ValueInput(Scoped, Input):
    """The value while it is written."""

    DEFAULT_CSS = """
    ValueInput {
        position: absolute; height: 1; border: none; padding: 0 1; display: none;
        background: $selection; color: $bright;
    }
    ValueInput:focus { border: none; background: $selection; }
    """
    scope = "value"
    BINDINGS = bindings("value")

    class Left(Message):
        """The value is to stay as it was."""

    def action_keep(self) -> None:
        self.post_message(self.Submitted(self, self.value, None))

    def action_leave(self) -> None:
        self.post_message(self.Left())


class Form(Container, can_focus=False):
    """The lines, and the input that lies over a value while it is written."""

    DEFAULT_CSS = """
    Form { width: 1fr; height: 1fr; layers: lines value; }
    Form > FormLines { layer: lines; }
    Form > ValueInput { layer: value; }
    """

    class Edited(Message):
        """A value was written or chosen; None asks for the default."""

        def __init__(self, name: str, value: str | None) -> None:
            super().__init__()
            self.name = name
            self.value = value

    class Asked(Message):
        """The value of this option is to be chosen in a dialog."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, long_values: bool = False, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self._long_values = long_values

    def compose(self) -> ComposeResult:
        yield FormLines(self._long_values)
        yield ValueInput(compact=True)

    @property
    def lines(self) -> FormLines:
        return self.query_one(FormLines)

    @property
    def _input(self) -> ValueInput:
        return self.query_one(ValueInput)

    @property
    def writing(self) -> bool:
        """Whether a value is being written."""
        return bool(self._input.display)

    def set_groups(self, groups: Sequence[Group]) -> None:
        self.lines.set_groups(groups)

    def on_form_lines_wanted(self, event: FormLines.Wanted) -> None:
        option = event.option
        if event.what == "reset":
            self.post_message(self.Edited(option.name, None))
        elif event.what == "edit" and option.dialog:
            self.post_message(self.Asked(option.name))
        elif event.what == "edit" and not option.choices:
            self._write(option)
        elif option.choices:
            self._step(option, -1 if event.what == "previous" else 1)

    def _step(self, option: Option, step: int) -> None:
        known = option.value in option.choices
        place = option.choices.index(option.value) + step if known else 0
        self.post_message(self.Edited(option.name, option.choices[place % len(option.choices)]))

    def _write(self, option: Option) -> None:
        self.lines.show_cursor()
        region = self.lines.value_region()
        line = self._input
        line.styles.offset = (region.x, region.y)
        # a path wants more room than its column
        line.styles.width = max(
            region.width, min(len(option.value) + 3, self.size.width - region.x)
        )
        line.value = option.value
        line.cursor_position = len(option.value)
        line.display = True
        line.focus()

    def _close(self) -> None:
        self._input.display = False
        self.lines.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        option = self.lines.option
        self._close()
        if option is not None and event.value != option.value:
            self.post_message(self.Edited(option.name, event.value))

    def on_value_input_left(self) -> None:
        self._close()

    def on_descendant_blur(self, event: DescendantBlur) -> None:
        if self.writing and not self._input.has_focus:
            self._input.display = False
