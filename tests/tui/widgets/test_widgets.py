"""The widgets by themselves: lists, texts, strips, forms, and what a row's tokens look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.text import Text
from textual.app import App, ComposeResult
from textual.widget import Widget

from core.config import Config
from core.config.config_io import ConfigError
from tests.tui.pilots import lines_of, until
from tui import data_facts, options
from tui.dialogs.path import completed, matches
from tui.shell.clipboard import osc52
from tui.theme import TEAL, THEME, UNICODE
from tui.widgets.row_list import Cell, Column, RowList, fit
from tui.widgets.strip import Figure, FigureStrip, histogram_bars
from tui.widgets.text_view import TextView


class Numbers:
    """A million rows; remembers which were asked for."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: set[int] = set()

    def __len__(self) -> int:
        return self.count

    def cells(self, index: int) -> Sequence[Cell]:
        self.asked.add(index)
        return (str(index), (f"name {index}\x1b[2J", TEAL))


class Bench(App[None]):
    """The theme and the symbols of the workbench around one widget."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.symbols = UNICODE
        self.register_theme(THEME)
        self.theme = THEME.name
        self.widget = widget
        self.opened: list[int] = []

    def compose(self) -> ComposeResult:
        yield self.widget

    def on_mount(self) -> None:
        self.widget.focus()

    def on_row_list_opened(self, event: RowList.Opened) -> None:
        self.opened.append(event.index)


async def test_a_list_asks_for_the_rows_in_sight_only() -> None:
    rows = Numbers(1_000_000)
    widget = RowList([Column("n", 7, right=True), Column("name", 0)], rows)
    app = Bench(widget)
    async with app.run_test(size=(40, 10)) as pilot:
        assert lines_of(app)[0] == "         n  name" + " " * 24
        assert lines_of(app)[1].rstrip() == " ▶       0  name 0␛[2J"
        await pilot.press("G")
        assert lines_of(app)[-1].rstrip() == " ▶  999999  name 999999␛[2J"
        await pilot.press("k", "ctrl+u", "g", "pagedown")
        assert widget.cursor == 9
        assert len(rows.asked) < 50


async def test_a_list_keeps_its_cursor_among_rows_that_change() -> None:
    rows = Numbers(30)
    widget = RowList([Column("n", 7)], rows)
    app = Bench(widget)
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.press(*"jjjjj")
        rows.count = 100
        widget.rows_changed()
        assert widget.cursor == 5
        rows.count = 3
        widget.rows_changed()
        assert widget.cursor == 2


async def test_a_click_moves_the_cursor_and_two_open_the_row() -> None:
    widget = RowList([Column("n", 7)], Numbers(30))
    app = Bench(widget)
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.click(RowList, offset=(3, 4))
        assert widget.cursor == 3
        await pilot.click(RowList, offset=(3, 6), times=2)
        await until(pilot, lambda: app.opened == [5])


def test_cells_are_cut_by_their_width_on_the_screen() -> None:
    assert fit("日本語", 4) == "日本"
    assert fit("日本語", 5) == "日本 "
    assert fit("ab", 4, right=True) == "  ab"
    assert fit("a\nb\tc", 5) == "a␊b␉c"


async def test_a_text_is_wrapped_again_when_the_width_changes() -> None:
    view = TextView(Text("one two three four five"))
    app = Bench(view)
    async with app.run_test(size=(80, 20)) as pilot:
        assert [line.strip() for line in lines_of(app)[:2]] == ["one two three four five", ""]
        await pilot.resize_terminal(62, 20)
        view.styles.width = 10
        await until(pilot, lambda: lines_of(app)[1].strip() != "")
        assert [line.strip() for line in lines_of(app)[:3]] == ["one two", "three four", "five"]


async def test_a_strip_leaves_out_what_does_not_fit() -> None:
    strip = FigureStrip()
    app = Bench(strip)
    async with app.run_test(size=(80, 20)) as pilot:
        strip.figures = [Figure("p50", "96"), Figure("max", "1,204")]
        await pilot.pause()
        assert lines_of(app)[0].rstrip() == " p50 96   max 1,204"
        strip.styles.width = 12
        await until(pilot, lambda: lines_of(app)[0].rstrip() == " p50 96")


def test_a_histogram_is_drawn_without_its_empty_ends() -> None:
    assert histogram_bars([0, 0, 1, 4, 8, 0, 2, 0], 8, UNICODE.bars) == "▂▅█ ▃"
    assert histogram_bars([0, 0], 8, UNICODE.bars) == ""


def test_paths_are_completed_as_far_as_they_are_clear(tmp_path: Path) -> None:
    for name in ("travel.jsonl", "travel_eval.jsonl", "notes.md", ".hidden.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / "nested").mkdir()
    folder = f"{tmp_path}/"
    assert completed(f"{folder}tr", matches(f"{folder}tr", ())) == f"{folder}travel"
    assert completed(f"{folder}ne", matches(f"{folder}ne", ())) == f"{folder}nested/"
    assert completed(f"{folder}x", matches(f"{folder}x", ())) == f"{folder}x"
    names = [path.name for path in matches(folder, (".jsonl",))]
    assert names == ["nested", "travel.jsonl", "travel_eval.jsonl"]


def test_the_clipboard_sequence_is_wrapped_for_tmux_and_screen_and_has_a_limit() -> None:
    plain = "\x1b]52;c;aGk=\x07"
    assert osc52("hi", {}) == plain
    assert osc52("hi", {"TMUX": "x"}) == plain + "\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\"
    assert osc52("hi", {"STY": "x"}) == f"\x1bP{plain}\x1b\\"
    assert osc52("x" * 100_000, {}) == ""


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("train.learning_rate", "2e-5", 2e-5),
        ("method.rslora", "true", True),
        ("train.max_steps", "none", None),
        ("train.max_steps", "40", 40),
        ("eval.watch_prompts", "Where? | When?", ["Where?", "When?"]),
        ("data.eval_path", "", None),
        ("name", "null", None),
        ("model.name_or_path", "owner/name", "owner/name"),
        ("data.mix", "b.jsonl: 0.5, c.jsonl: 2", {"b.jsonl": 0.5, "c.jsonl": 2.0}),
        ("data.mix", "a,1: x.csv:1e-1,", {"a,1: x.csv": 0.1}),
        ("data.mix", "none", {}),
        ("data.prompt_template", "Q: {q}\\nA: {a}", "Q: {q}\nA: {a}"),
    ],
)
def test_a_text_in_the_form_becomes_the_options_value(name: str, text: str, value: object) -> None:
    config = options.set_text(Config(), name, text)
    assert options.value_of(config, name) == value
    again = options.set_text(config, name, options.text_of(value))
    assert again == config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("b.jsonl", '"b.jsonl" is no file with its weight'),
        ("b.jsonl: 2, c.jsonl", '"c.jsonl" is no file with its weight'),
        ("b.jsonl: 2, b.jsonl: 3", '"b.jsonl" is there twice'),
        ("b.jsonl: 0", "is not valid"),
    ],
)
def test_a_mixture_that_can_not_be_read_is_told(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        options.set_text(Config(), "data.mix", text)
    assert [problem.field for problem in error.value.problems] == ["data.mix"]


def test_every_option_has_a_meaning_to_show() -> None:
    for name in options.FIELDS:
        meaning, facts = options.about(name)
        assert meaning.endswith("."), name
        assert facts.startswith("Default "), name


def test_rows_that_are_cut_are_a_warning_beside_max_length() -> None:
    stats = {"rows": 420, "empty": 0, "tokens": 9000, "truncated": 12, "max": 172}
    config = Config()
    facts = data_facts.DataFacts(config.data.path, 420, "chat", stats)
    (found,) = data_facts.problems(config, facts)
    assert str(found) == "data.max_length: 12 of 420 rows are cut. 172 cuts none."
    assert found.severity == "warning"
    assert data_facts.problems(config, facts._replace(path="other.jsonl")) == []
