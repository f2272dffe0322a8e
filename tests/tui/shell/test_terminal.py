"""What the terminal sends arrives as the keys that the workbench names."""

from __future__ import annotations

import time

import pytest
from textual import _ansi_sequences
from textual._xterm_parser import XTermParser
from textual.events import Key

from tui.shell.terminal import free_alt_digits


@pytest.mark.parametrize("digit", "12345")
def test_alt_and_a_digit_is_a_key_and_no_sign(monkeypatch: pytest.MonkeyPatch, digit: str) -> None:
    table = dict(_ansi_sequences.ANSI_SEQUENCES_KEYS)
    monkeypatch.setattr(_ansi_sequences, "ANSI_SEQUENCES_KEYS", table)
    monkeypatch.setattr("textual._xterm_parser.ANSI_SEQUENCES_KEYS", table)
    free_alt_digits()
    parser = XTermParser()
    events = list(parser.feed(f"\x1b{digit}"))
    deadline = time.monotonic() + 5  # the parser waits a moment for the rest of a longer sequence
    while not events and time.monotonic() < deadline:
        events += parser.tick()
    assert [event.key for event in events if isinstance(event, Key)] == [f"alt+{digit}"]
