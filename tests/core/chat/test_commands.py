"""Lines of a chat: which are commands, and which are questions."""

from __future__ import annotations

import pytest

from core.chat.commands import Command, read_line


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/undo", Command("undo")),
        ("/set seed=3 top_p=0.5", Command("set", "seed=3 top_p=0.5")),
        ("/system  Be  brief. ", Command("system", "Be  brief.")),
        ("/system\nBe brief.\nBe kind.", Command("system", "Be brief.\nBe kind.")),
        ("/", Command("")),
        ("/ undo", Command("undo")),
    ],
)
def test_a_slash_begins_a_command(text: str, command: Command) -> None:
    assert read_line(text) == command


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Where?", "Where?"),
        ("a/b", "a/b"),
        ("//etc/hosts, what is it?", "/etc/hosts, what is it?"),
        ("///", "//"),
        ("", ""),
    ],
)
def test_anything_else_is_a_question_and_two_slashes_begin_one_with_a_slash(
    text: str, question: str
) -> None:
    assert read_line(text) == question
