"""What a command says of a job that it follows."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from core.jobs import State
from tests.tui.homes import write_run
from tui.cli.follow import HumanLines


@pytest.mark.parametrize("terminal", [True, False])
def test_why_a_run_failed_stands_once_on_a_terminal_and_in_what_a_script_reads(
    home: Path, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    run = write_run(home, "broken")
    lines = HumanLines()
    lines._console = Console(stderr=True, force_terminal=terminal)
    lines.show({"kind": "failure", "message": "No row teaches.", "hint": "Look at them."})
    lines.end(run, State("failed", reason="No row teaches. Look at them."))
    shown = capsys.readouterr()
    assert shown.err.count("No row teaches.") == 1
    assert shown.out.count("No row teaches.") == (0 if terminal else 1)
    assert "failed" in shown.out
