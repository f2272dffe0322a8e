"""Text as content: nothing in it can control a terminal."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from core.data.escape import visible


def test_escape_sequences_are_shown_as_symbols() -> None:
    assert visible("\x1b[31mred\x07\x7f\x9b\r\n\t[b]") == "␛[31mred␇␡�␍\n\t[b]"
    assert visible("a\n\tb", newlines=False, tabs=False) == "a␊␉b"
    assert visible("¿é😀 中文 👨‍👩‍👧") == "¿é😀 中文 👨‍👩‍👧"
    assert visible("\u202eevil\ud800") == "⸱evil�"


@given(st.text())
def test_no_control_character_is_left_and_the_length_stays(text: str) -> None:
    shown = visible(text, newlines=False, tabs=False)
    assert len(shown) == len(text)
    assert not [mark for mark in shown if unicodedata.category(mark) in ("Cc", "Cs")]
