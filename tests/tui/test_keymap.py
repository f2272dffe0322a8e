"""The person's own keys: every mistake is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.binding import Binding
from textual.events import Key

from tests.tui.pilots import until
from tui import keymap
from tui.keymap import CHARACTERS


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("data.search: s\ndata.serch: x\n", 2, 'Did you mean "data.search"?'),
        ("data.search: hyper+x\n", 1, 'There is no key "hyper+x".'),
        ("data.search: pagedwn\n", 1, 'Did you mean "pagedown"?'),
        ("\n\ndata.search: q\n", 3, '"q" is the key of "app.quit" already.'),
        ("data.search: j\n", 1, '"j" is the key of "list.down" already.'),
        ("list.up: w\nlist.down: w\n", 1, '"w" is the key of "list.down" already.'),
        ("data.search: ctrl+s\n", 1, "Many terminals don't send ctrl+s."),
        ("data.search: []\n", 1, '"data.search" has no key.'),
        ("data.search: {a: b}\n", 1, "Give one key, or a list of keys."),
        ("data.search: s\ndata.search: x\n", 2, '"data.search" is there twice.'),
        ("- data.search\n", 1, 'Write lines such as "data.search: /".'),
        ("data.search: [D, '']\n", 1, 'There is no key "".'),
        ("data.search: 'D,Z'\n", 1, 'There is no key "D,Z". Write a list: [D, Z].'),
        ("data.search: 'D,,Z'\n", 1, "Write a list: [D, Z]."),
        ("data.search: ',,'\n", 1, 'There is no key ",,".'),
        ("data.search: ' D '\n", 1, "Take the spaces away."),
        ("data.search: '  '\n", 1, 'There is no key "  ".'),
        ('data.search: "\\t"\n', 1, "There is no key"),
        ("data.search: Enter\n", 1, 'Did you mean "enter"?'),
        ("data.search: return\n", 1, 'There is no key "return".'),
        ("data.search: CTRL+x\n", 1, 'There is no key "CTRL+x".'),
        ("data.search: ctrl+ctrl+x\n", 1, 'There is no key "ctrl+ctrl+x".'),
        ("data.search: ctrl+\n", 1, 'There is no key "ctrl+".'),
        ("data.search: +x\n", 1, 'There is no key "+x".'),
        ("data.search: shift+d\n", 1, 'There is no key "shift+d". Write "D".'),
        ("data.search: alt+D\n", 1, 'Write "alt+shift+d".'),
        ("data.search: ctrl+i\n", 1, "Many terminals don't send ctrl+i."),
        ("data.search: [alt+1, alt+f]\n", 1, "Many terminals don't send alt+1 or alt+f."),
        ("data.search: ctrl+/\n", 1, "Many terminals don't send ctrl+/."),
        ("data.search: shift+f1\ntrain.run: slash\ntrain.probe: /\n", 2, '"/" is the key of'),
        ("data.search: 's\n", 2, "found unexpected end of stream"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_default_keys_stay(
    text: str, line: int, words: str
) -> None:
    read = keymap.parse(text)
    assert read.keys == {}
    assert any(problem.line == line and words in problem.message for problem in read.problems), (
        read.problems
    )


def test_actions_can_swap_their_keys() -> None:
    read = keymap.parse("data.search: n\ndata.next_match: /\n")
    assert read.problems == []
    assert read.for_textual() == {"data.search": "n", "data.next_match": "slash"}


def test_the_same_key_may_mean_other_things_in_other_panes() -> None:
    assert keymap.parse("data.search: D\ntrain.run: D\n").problems == []


def test_quit_help_and_palette_stay_reachable_whatever_the_file_says() -> None:
    read = keymap.parse("app.quit: Z\napp.help: H\napp.palette: A\n")
    assert read.problems == []
    assert read.keys["app.quit"] == ["Z", "ctrl+q"]
    assert read.keys["app.help"] == ["H", "f1"]
    assert read.keys["app.palette"] == ["A", "ctrl+p"]
    taken = keymap.parse("data.search: ctrl+q\napp.quit: Z\n")
    assert '"ctrl+q" is the key of "app.quit" already.' in taken.problems[0].message


def test_an_empty_file_and_none_are_the_default_keys(tmp_path: Path) -> None:
    assert keymap.load(tmp_path) == keymap.Keymap({}, [])
    (tmp_path / keymap.FILE).write_text("# nothing yet\n")
    assert keymap.load(tmp_path) == keymap.Keymap({}, [])


# a terminal's bytes by the words that a person may write for the key
PRESSES = {
    ",": ",", "comma": ",", "?": "?", "question_mark": "?", "/": "/", "slash": "/", "+": "+",
    "plus": "+", "-": "-", "minus": "-", "_": "_", "@": "@", "at": "@", " ": " ", "space": " ",
    "x": "x", "X": "X", "0": "0", "ö": "ö", "§": "§", "enter": "\r", "tab": "\t", "f5": "\x1b[15~",
    "escape": "\x1b", "backspace": "\x7f", "shift+tab": "\x1b[Z", "pageup": "\x1b[5~",
    "ctrl+x": "\x18", "ctrl+j": "\n", "ctrl+underscore": "\x1f", "ctrl+_": "\x1f",
    "alt+1": "\x1b[49;3u", "alt+x": "\x1bx", "alt+shift+x": "\x1bX", "shift+alt+x": "\x1bX",
    "shift+left": "\x1b[1;2D", "alt+left": "\x1b[1;3D", "shift+ctrl+left": "\x1b[1;6D",
    "ctrl+alt+f5": "\x1b[15;7~", "ctrl+,": "\x1b[44;5u", "ctrl++": "\x1b[43;5u",
    "ctrl+slash": "\x1b[47;5u", "ctrl+space": "\x1b[32;5u", "ctrl+enter": "\x1b[13;5u",
    "ctrl+i": "\x1b[105;5u", "shift+ctrl+x": "\x1b[120;6u", "alt+/": "\x1b[47;3u",
}  # fmt: skip


def sent(data: str) -> list[Key]:
    """What Textual's parser makes of a terminal's bytes once nothing follows them."""
    parser = XTermParser()
    read = [*parser.feed(data), *parser.feed("")]
    return [event for event in read if isinstance(event, Key)]


@pytest.mark.parametrize(("word", "data"), PRESSES.items())
async def test_a_key_that_is_taken_works_when_it_is_pressed(word: str, data: str) -> None:
    assert keymap.is_key(word)
    read = keymap.Keymap({"data.search": [word]}, [])
    pressed: list[str] = []

    class Small(App[None]):
        BINDINGS = [Binding("f12", "search", id="data.search", priority=True)]

        def action_search(self) -> None:
            pressed.append(word)

    app = Small()
    app.set_keymap(read.for_textual())
    async with app.run_test() as pilot:
        (event,) = sent(data)
        app.post_message(event)
        await until(pilot, lambda: pressed, "the action")


def test_what_counts_as_sent_by_all_terminals_is_sent_without_a_protocol_of_its_own() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    plain = [chr(code) for code in range(128)]
    alt = [f"\x1b{character}" for character in letters + letters.upper() + "0123456789"]
    known = {event.key for data in (*plain, *alt) for event in sent(data)}
    words = [f"{modifier}{c}" for modifier in ("", "ctrl+", "alt+") for c in CHARACTERS.values()]
    words += [f"alt+shift+{letter}" for letter in letters]
    for word in filter(keymap.is_key, words):
        if keymap.is_reliable(word):
            assert keymap.canonical(word) in known, word


def test_a_comma_is_a_key() -> None:
    for text in ('data.search: ","\n', "data.search: comma\n", 'data.search: [",", D]\n'):
        read = keymap.parse(text)
        assert read.problems == []
        assert read.keys["data.search"][0] == ","
        assert read.for_textual()["data.search"].split(",")[0] == "comma"


def test_a_name_and_its_character_are_one_key() -> None:
    read = keymap.parse("data.search: [question_mark, '!', exclamation_mark]\napp.help: H\n")
    assert read.problems == []
    assert read.keys["data.search"] == ["?", "!"]
    assert read.for_textual()["data.search"] == "question_mark,exclamation_mark"
