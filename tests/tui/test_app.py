"""The workbench around its panes: keys, top line, footer, palette, help, session, sizes."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from core.config import Config
from tests.tui.homes import write_run
from tests.tui.pilots import config_of, lines_of, text_of, until
from tui.actions import ACTIONS, SCOPE_TITLES, Scoped, of_scope
from tui.app import PANES, AfinaApp
from tui.widgets.footer import Footer
from tui.widgets.row_list import RowList

SMALL = (80, 24)
TITLES = " afina   1 Data  2 Train  3 Runs  4 Chat  5 Export"


def opened(home: Path, **options) -> AfinaApp:  # noqa: ANN003
    return AfinaApp(home, config=options.pop("config", Config()), **options)


def scoped_classes() -> dict[str, type[Scoped]]:
    """Every class with keys, by its scope."""
    for name in PANES.values():
        importlib.import_module(name.partition(":")[0])
    own = ("tui.data.dialogs.search", "tui.data.dialogs.filter")
    for name in ("tui.dialogs.palette", "tui.dialogs.help", "tui.dialogs.path", *own):
        importlib.import_module(name)
    found: dict[str, type[Scoped]] = {}
    waiting = list(Scoped.__subclasses__())
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        found.setdefault(cls.scope, cls)
    return found


def test_every_action_of_the_registry_is_done_by_the_widget_of_its_scope() -> None:
    classes = scoped_classes()
    for action in ACTIONS:
        assert hasattr(classes[action.scope], f"action_{action.id}"), action.name
        assert action.scope in SCOPE_TITLES, action.scope


def test_no_two_actions_share_a_name_and_no_scope_has_a_key_twice() -> None:
    assert len({action.name for action in ACTIONS}) == len(ACTIONS)
    for scope in {action.scope for action in ACTIONS}:
        keys = [key for action in of_scope(scope) for key in action.keys.split(",")]
        assert len(set(keys)) == len(keys), scope


def test_no_action_hangs_on_a_key_that_many_terminals_swallow() -> None:
    unreliable = {"ctrl+enter", "shift+enter", "alt+enter", "f1", "f2", "f3", "f4", "ctrl+s"}
    unreliable |= {"ctrl+a", "ctrl+b"}
    for action in ACTIONS:
        assert set(action.keys.split(",")) - unreliable, action.name


async def test_number_keys_switch_panes_and_alt_numbers_do_while_typing(home: Path) -> None:
    app = opened(home)
    async with app.run_test(size=SMALL) as pilot:
        assert lines_of(app)[0].startswith(TITLES)
        for key, pane in (("2", "train"), ("3", "runs"), ("4", "chat"), ("alt+5", "export")):
            await pilot.press(key)
            await until(pilot, lambda pane=pane: app.pane is not None and app.pane.id == pane)
        await pilot.press("alt+2")
        await until(pilot, lambda: app.pane is not None and app.pane.id == "train")
        await pilot.press("enter", "5")
        assert app.pane is not None and app.pane.id == "train"
        assert app.focused is not None and app.focused.value.endswith("5")  # type: ignore[attr-defined]
        await pilot.press("alt+1")
        await until(pilot, lambda: app.pane is not None and app.pane.id == "data")


async def test_the_focus_returns_to_where_it_was_in_a_pane(home: Path) -> None:
    app = opened(home)
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: app.focused is not None and app.focused.id == "rows")
        await pilot.press("tab")
        before = app.focused
        assert before is not None and before.id == "row"
        await pilot.press("2")
        await until(pilot, lambda: app.focused is not before)
        await pilot.press("1")
        await until(pilot, lambda: app.focused is before)


async def test_the_footer_begins_with_help_and_quit_and_has_seven_keys_at_most(home: Path) -> None:
    app = opened(home)
    async with app.run_test(size=SMALL) as pilot:
        for pane in ("1", "2", "3", "alt+5"):
            await pilot.press(pane)
            await pilot.pause()
            entries = app.query_one(Footer).entries()
            assert [entry[1].id for entry in entries][:2] == ["help", "quit"]
            assert 3 <= len(entries) <= 7


async def test_while_a_text_is_typed_the_footer_shows_keys_that_work(home: Path) -> None:
    app = opened(home)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: app.pane is not None and app.pane.id == "train")
        await pilot.press("enter")
        await pilot.pause()
        assert lines_of(app)[-1].startswith(" f1 help   ctrl+q quit   enter keep   esc leave")


async def test_a_key_that_can_not_be_used_now_says_why(home: Path) -> None:
    app = opened(home)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: "Nothing was searched for yet" in text_of(app))


async def test_the_palette_finds_an_action_by_its_words_and_does_it(home: Path) -> None:
    app = opened(home)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "╭─ actions ──" in text_of(app))
        await pilot.press(*"configure")
        await until(pilot, lambda: len(app.screen.query_one(RowList).rows) == 1)
        await pilot.press("enter")
        await until(pilot, lambda: app.pane is not None and app.pane.id == "train")


async def test_help_shows_every_action_with_its_keys(home: Path) -> None:
    app = opened(home)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("question_mark")
        from tui.dialogs.help import Help

        await until(pilot, lambda: isinstance(app.screen, Help))
        words = " ".join(app.screen.words().plain.split())  # type: ignore[attr-defined]
        for action in ACTIONS:
            assert action.tooltip in words, action.name
        assert str(home) in words
        await pilot.press("escape")
        assert not isinstance(app.screen, Help)


async def test_ctrl_q_leaves_from_a_dialog_too(home: Path) -> None:
    app = opened(home)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("question_mark")
        await pilot.press("ctrl+q")
        await pilot.pause()
    assert app._exit


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (130, "● travel-lora 412/900 loss "),
        (90, "● travel-lora 45% "),
        (80, "● travel-lora 45% "),
        (72, "● 45% 8 min"),
    ],
)
async def test_the_top_line_shows_the_active_run_as_far_as_it_fits(
    home: Path, width: int, words: str
) -> None:
    write_run(home, "travel-lora", "running", at=412)
    write_run(home, "older", "done")
    app = opened(home)
    async with app.run_test(size=(width, 30)) as pilot:
        await until(pilot, lambda: "●" in lines_of(app)[0])
        assert words in lines_of(app)[0]
        assert len(lines_of(app)[0]) == width


@pytest.mark.parametrize("size", [(59, 30), (100, 15)])
async def test_a_terminal_that_is_too_small_gets_one_sentence_and_the_number(
    home: Path, size: tuple[int, int]
) -> None:
    write_run(home, "travel-lora", "running", at=412)
    app = opened(home)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "travel-lora" in text_of(app))
        words = " ".join(text_of(app).split())
        assert words.startswith(f"Afina needs 60x16, and this terminal has {size[0]}x{size[1]}.")
        assert "412/900 loss" in words
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: lines_of(app)[0].startswith(TITLES))


async def test_ascii_draws_nothing_else(home: Path, model: Path, rows_file: Path) -> None:
    app = opened(home, config=config_of(rows_file, model), ascii_only=True)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: "p50" in text_of(app))
        for keys in ("t", "enter", "n", "2", "]", "p"):
            await pilot.press(keys)
            await pilot.pause()
            strange = set(text_of(app)) - set(map(chr, range(32, 127))) - {"\n"}
            assert not strange, (keys, strange)


async def test_the_last_pane_is_open_at_the_next_start(home: Path) -> None:
    app = AfinaApp(home)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: app.pane is not None and app.pane.id == "train")
    assert AfinaApp(home).first_pane == "train"


async def test_a_broken_session_file_opens_the_sample_journey(home: Path) -> None:
    (home / "session.json").write_text('{"pane": "dat')
    app = AfinaApp(home)
    assert app.config.data.path.endswith("travel.jsonl")
    assert app.first_pane == "data"


async def test_the_persons_keys_are_used_and_shown(home: Path) -> None:
    (home / "keymap.yaml").write_text("app.pane_train: [f9, 0]\napp.quit: Q\n")
    app = opened(home)
    async with app.run_test(size=SMALL) as pilot:
        assert lines_of(app)[-1].startswith(" ? help   Q quit")
        await pilot.press("2")
        await pilot.pause()
        assert app.pane is not None and app.pane.id == "data"
        await pilot.press("0")
        await until(pilot, lambda: app.pane is not None and app.pane.id == "train")
        await pilot.press("q")
        await pilot.pause()
        assert not app._exit
        await pilot.press("Q")
        await pilot.pause()
    assert app._exit


async def test_a_keymap_with_a_mistake_is_said_and_the_default_keys_stay(home: Path) -> None:
    (home / "keymap.yaml").write_text("data.search: s\ndata.serch: x\n")
    app = opened(home)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(
            pilot, lambda: 'keymap.yaml line 2: There is no action "data.serch"' in text_of(app)
        )
        assert "/ search" in lines_of(app)[-1]


async def test_what_is_copied_goes_to_the_terminal_and_to_a_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TMUX", "STY"):
        monkeypatch.delenv(name, raising=False)
    written: list[str] = []
    app = opened(home)
    async with app.run_test(size=SMALL, notifications=True):
        assert app._driver is not None
        monkeypatch.setattr(app._driver, "write", written.append)
        app.copy("¿Roma?")
    assert "\x1b]52;c;wr9Sb21hPw==\x07" in written
    assert (home / "clipboard.txt").read_text(encoding="utf-8") == "¿Roma?"


async def test_keys_typed_in_one_go_are_for_the_pane_that_the_first_opens(home: Path) -> None:
    app = opened(home)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("2", "j", "j")
        await pilot.pause()
        from tui.widgets.form_lines import FormLines

        assert app.query_one(FormLines).cursor == 2


async def test_ctrl_c_says_how_to_leave(home: Path) -> None:
    app = opened(home)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("ctrl+c")
        await until(pilot, lambda: "q or ctrl+q leaves the workbench" in text_of(app))
