"""The person's own keys: every mistake is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui import keymap


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
    assert read.for_textual() == {"data.search": "n", "data.next_match": "/"}


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
