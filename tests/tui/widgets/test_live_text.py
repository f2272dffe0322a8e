"""Text that grows: wrapped, drawn seldom, and never obeyed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from textual.app import App, ComposeResult

from tests.tui.pilots import lines_of, until
from tui.theme import THEME
from tui.widgets.live_text import LiveText
from tui.widgets.log_view import LogView
from tui.widgets.wrap import wrap


class TextApp(App[None]):
    def __init__(self, view: LiveText) -> None:
        super().__init__()
        self.register_theme(THEME)
        self.theme = "afina"
        self.view = view

    def compose(self) -> ComposeResult:
        yield self.view


@asynccontextmanager
async def shown(view: LiveText, size: tuple[int, int] = (30, 8)):  # noqa: ANN201
    app = TextApp(view)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield app, pilot


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("    return x + y", 10, ["    return", "x + y"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("日本語です", 4, ["日本", "語で", "す"]),
        ("", 5, [""]),
        ("a\tb", 10, ["a   b"]),
    ],
)
def test_wrapping_keeps_words_and_counts_cells(text: str, width: int, lines: list[str]) -> None:
    assert wrap(text, width) == lines


async def test_markup_and_escape_sequences_appear_as_text() -> None:
    view = LiveText()
    async with shown(view, (60, 6)) as (app, pilot):
        view.block("text", "[bold red]no[/] \x1b[31mred\x1b[0m \x07")
        await pilot.pause()
        assert lines_of(app)[0].startswith("[bold red]no[/] ␛[31mred␛[0m ␇")


async def test_pieces_join_into_the_paragraph_they_belong_to() -> None:
    view = LiveText()
    async with shown(view) as (app, pilot):
        view.block("text", "")
        for piece in ("Rome is cal", "ling! Picture mor", "nings\nand evenings."):
            view.write(piece)
        view.flush()
        await pilot.pause()
        assert [line.rstrip() for line in lines_of(app)[:3]] == [
            "Rome is calling! Picture",
            "mornings",
            "and evenings.",
        ]


async def test_a_burst_of_tokens_is_drawn_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    view = LiveText()
    async with shown(view) as (_, pilot):
        view.block("text", "")
        drawn = 0
        refresh = view.refresh

        def counting(*args: object, **kwargs: object) -> object:
            nonlocal drawn
            drawn += 1
            return refresh(*args, **kwargs)  # type: ignore[arg-type]

        monkeypatch.setattr(view, "_grown", lambda at_end=True: counting())
        for _ in range(1000):
            view.write("token ")
            await asyncio.sleep(0)
        await until(pilot, lambda: view.plain.count("token") == 1000)
        assert 1 <= drawn < 100


async def test_it_follows_the_end_until_one_scrolls_away() -> None:
    view = LiveText()
    async with shown(view) as (app, pilot):
        view.block("text", "\n".join(f"line {i}" for i in range(50)))
        await pilot.pause()
        assert lines_of(app)[-1].startswith("line 49")
        view.action_first()
        await pilot.pause()
        view.write("\nline 50")
        view.flush()
        await pilot.pause()
        assert lines_of(app)[0].startswith("line 0")


async def test_a_narrower_window_wraps_anew() -> None:
    view = LiveText()
    async with shown(view, (40, 6)) as (app, pilot):
        view.block("prompt", "Where should I stay in Rome?")
        await pilot.pause()
        assert lines_of(app)[0].startswith("▌ Where should I stay in Rome?")
        await pilot.resize_terminal(20, 6)
        await pilot.pause()
        assert [line.rstrip() for line in lines_of(app)[:2]] == [
            "▌ Where should I",
            "▌ stay in Rome?",
        ]


async def test_a_growing_text_ends_in_a_caret() -> None:
    view = LiveText()
    async with shown(view) as (app, pilot):
        view.block("text", "but tell me")
        view.growing = True
        await pilot.pause()
        assert lines_of(app)[0].startswith("but tell me▌")


async def test_a_log_keeps_its_newest_lines_and_the_last_state_of_a_progress_bar() -> None:
    view = LogView()
    async with shown(view, (40, 4)) as (app, pilot):
        view.show_lines([*(f"line {i}" for i in range(5000)), "10%\r50%\r100%", "[red]x\x1b[2J"])
        await pilot.pause()
        lines = [line.rstrip() for line in lines_of(app)]
        assert lines == ["line 4998", "line 4999", "100%", "[red]x␛[2J"]
        assert "line 3001" not in view.plain
