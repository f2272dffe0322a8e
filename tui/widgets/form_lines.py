"""The lines of a form: headings, options with their values in a column, problems below them.

Knows nothing of configurations: groups come in, wishes go out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.actions import Scoped, bindings
from tui.theme import AMBER, BACKGROUND, BLUE, BRIGHT, FIELD, SECONDARY, SELECTION, SEVERITY, TEXT
from tui.widgets.row_list import fit

LABEL_CELLS = 28
MARGIN_CELLS = 4  # before the label: the cursor
VALUE_CELLS = (18, 30)  # narrowest and widest
HINT_CELLS = 12  # what long values leave


class Option(NamedTuple):
    """One option as it is drawn."""

    name: str  # dotted, as in the YAML
    label: str
    value: str
    hint: str = ""
    choices: tuple[str, ...] = ()
    own: bool = False  # differs from the default
    problems: tuple[tuple[str, str], ...] = ()  # (severity, sentence)
    dialog: bool = False  # its value is chosen elsewhere, not written over the line


class Group(NamedTuple):
    """A heading and the options below it."""

    title: str
    options: Sequence[Option]


class Line(NamedTuple):
    """A drawn line: a heading, an option, or a sentence about the option above."""

    kind: str  # "blank", "heading", "option", "problem"
    text: str = ""
    severity: str = ""
    option: int = -1


class FormLines(Scoped, ScrollView, can_focus=True, inherit_bindings=False):
    """The lines, with a cursor that stands on options only."""

    DEFAULT_CSS = """
    FormLines {
        width: 1fr; height: 1fr; background: $background;
        overflow-x: hidden; overflow-y: auto; scrollbar-size: 1 1;
    }
    """
    scope = "form"
    BINDINGS = bindings("form")
    cursor: reactive[int] = reactive(0, repaint=False)

    class Moved(Message):
        """The cursor stands on another option."""

        def __init__(self, option: Option) -> None:
            super().__init__()
            self.option = option

    class Wanted(Message):
        """Something is to be done with the option under the cursor."""

        def __init__(self, what: str, option: Option) -> None:
            super().__init__()
            self.what = what  # "edit", "next", "previous", "reset"
            self.option = option

    def __init__(self, long_values: bool = False, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self._long_values = long_values  # such as paths: they get the room of the hints
        self.options: list[Option] = []
        self._lines: list[Line] = []

    @property
    def option(self) -> Option | None:
        return self.options[self.cursor] if self.options else None

    def set_groups(self, groups: Sequence[Group]) -> None:
        """Draws these groups; the cursor stays on its option."""
        before = self.option
        self.options = [option for group in groups for option in group.options]
        self._lines = list(_lines(groups))
        self.virtual_size = Size(0, len(self._lines))
        names = [option.name for option in self.options]
        place = names.index(before.name) if before and before.name in names else self.cursor
        self.set_reactive(FormLines.cursor, max(0, min(place, len(names) - 1)))
        self.refresh()
        if self.option is not None:
            if before is not None and self.option.problems != before.problems:
                self.show_cursor()  # a new problem may stand below what is in sight
            self.post_message(self.Moved(self.option))

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self._lines)

    def line_of(self, option: int) -> int:
        """The line that an option stands on."""
        return next(y for y, line in enumerate(self._lines) if line.option == option)

    def value_region(self) -> Region:
        """Where the value under the cursor is drawn, in cells of this widget."""
        y = self.line_of(self.cursor) - self.scroll_offset.y
        return Region(MARGIN_CELLS + LABEL_CELLS, y, self._value_cells(), 1)

    def go(self, name: str) -> None:
        """Moves the cursor to an option."""
        names = [option.name for option in self.options]
        if name in names:
            self.cursor = names.index(name)

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, len(self.options) - 1))

    def watch_cursor(self) -> None:
        self.refresh()
        self.show_cursor()
        if self.option is not None:
            self.post_message(self.Moved(self.option))

    def show_cursor(self) -> None:
        """Scrolls so that the option, its heading and its problems are in sight."""
        if not self.options:
            return
        line = self.line_of(self.cursor)
        first = 0 if self.cursor == 0 else line
        while first > 0 and self._lines[first - 1].kind == "heading":
            first -= 1
        last = line
        while last + 1 < len(self._lines) and self._lines[last + 1].kind == "problem":
            last += 1
        top, height = self.scroll_offset.y, self.size.height
        if first < top:
            self.scroll_to(y=first, animate=False, force=True)
        elif last >= top + height:
            self.scroll_to(y=last - height + 1, animate=False, force=True)

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        ground = Style.parse(f"on {BACKGROUND}")
        index = self.scroll_offset.y + y
        if index >= len(self._lines):
            return Strip.blank(width, ground)
        line = self._lines[index]
        if line.kind == "option":
            segments = self._option(line.option, width)
        elif line.kind == "heading":
            segments = [Segment(f" {line.text}", Style.parse(f"bold {BLUE} on {BACKGROUND}"))]
        elif line.kind == "problem":
            symbol = self.app.symbols.problem  # type: ignore[attr-defined]
            style = Style.parse(f"{SEVERITY[line.severity]} on {BACKGROUND}")
            words = fit(f"{symbol} {line.text}", max(0, width - MARGIN_CELLS))
            segments = [Segment(" " * MARGIN_CELLS, ground), Segment(words, style)]
        else:
            segments = []
        return Strip(segments).adjust_cell_length(width, ground)

    def _option(self, index: int, width: int) -> list[Segment]:
        option = self.options[index]
        here = index == self.cursor
        ground = f" on {SELECTION if here and self.has_focus else BACKGROUND}"
        pointer = self.app.symbols.cursor if here else " "  # type: ignore[attr-defined]
        pointer_colour = AMBER if self.has_focus else SECONDARY
        worst = option.problems[0][0] if option.problems else ""
        colour = SEVERITY[worst] if worst else AMBER if option.own else TEXT
        cells = self._value_cells()
        hint_cells = max(0, width - MARGIN_CELLS - LABEL_CELLS - cells - 2)
        return [
            Segment(f" {pointer}  ", Style.parse(pointer_colour + ground)),
            Segment(
                fit(option.label, LABEL_CELLS), Style.parse((BRIGHT if here else TEXT) + ground)
            ),
            Segment(
                " " + self._value(option, cells - 2) + " ", Style.parse(f"{colour} on {FIELD}")
            ),
            Segment("  " + self._hint(option, hint_cells), Style.parse(SECONDARY + ground)),
        ]

    def _value(self, option: Option, cells: int) -> str:
        """The value; of a path that is too long its end, which tells it from others."""
        value, ellipsis = option.value, self.app.symbols.ellipsis  # type: ignore[attr-defined]
        if len(value) > cells and "/" in value:
            return fit(ellipsis + value[len(value) - cells + 1 :], cells)
        return fit(value, cells)

    def _hint(self, option: Option, cells: int) -> str:
        """The hint, cut between words."""
        hint, ellipsis = option.hint, self.app.symbols.ellipsis  # type: ignore[attr-defined]
        if len(hint) > cells:
            hint = hint[: max(0, cells - 1)].rpartition(" ")[0].rstrip(",;") + ellipsis
        return fit(hint, cells)

    def _value_cells(self) -> int:
        width = self.scrollable_content_region.width
        room = width - MARGIN_CELLS - LABEL_CELLS
        if self._long_values:
            return max(VALUE_CELLS[0], room - HINT_CELLS)
        return max(VALUE_CELLS[0], min(VALUE_CELLS[1], room * 2 // 5))

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_resize(self) -> None:
        self.show_cursor()

    def on_click(self, event: Click) -> None:
        index = self.scroll_offset.y + event.y
        if index < len(self._lines) and self._lines[index].kind == "option":
            self.cursor = self._lines[index].option
            if event.chain == 2:
                self.action_edit()

    def _want(self, what: str) -> None:
        if self.option is not None:
            self.post_message(self.Wanted(what, self.option))

    def action_up(self) -> None:
        self.cursor -= 1

    def action_down(self) -> None:
        self.cursor += 1

    def action_first(self) -> None:
        self.cursor = 0

    def action_last(self) -> None:
        self.cursor = len(self.options) - 1

    def action_half_up(self) -> None:
        self.cursor -= max(1, self.size.height // 2)

    def action_half_down(self) -> None:
        self.cursor += max(1, self.size.height // 2)

    def action_edit(self) -> None:
        self._want("edit")

    def action_next_choice(self) -> None:
        self._want("next")

    def action_previous_choice(self) -> None:
        self._want("previous")

    def action_reset(self) -> None:
        self._want("reset")

    def why_not(self, action: str) -> str:
        option = self.option
        if action in ("next_choice", "previous_choice") and option and not option.choices:
            return f"{option.label} has no list of values: enter changes it."
        return ""


def _lines(groups: Sequence[Group]) -> Iterator[Line]:
    count = 0
    for number, group in enumerate(groups):
        if number:
            yield Line("blank")
        yield Line("heading", group.title)
        for option in group.options:
            yield Line("option", option=count)
            for severity, sentence in option.problems:
                yield Line("problem", sentence, severity)
            count += 1
