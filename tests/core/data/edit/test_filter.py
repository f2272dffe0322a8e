"""The filter of a new file: the pane's language, asked of a whole file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.edit.edits import Edits
from core.data.edit.filter import filter_rows, parse_filter
from core.data.files.source import open_source
from core.data.recipe import Recipe
from core.errors import AfinaError


def test_each_row_is_let_through_or_not(
    write_rows: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFINA_HOME", str(tmp_path / "home"))
    path = write_rows([{"text": "Rome"}, {"text": 1}, {"text": "Rome"}, {"text": "Oslo"}])
    edits = Edits.load(open_source(path))
    edits.edit(open_source(path), 3, {"text": "Rome"})

    def passed(text: str) -> list[int]:
        return list(filter_rows(str(path), Recipe(), text, edits))

    assert passed("text contains 'rome'") == [1, 0, 1, 0]
    assert passed('"exact_duplicate" in problems or row == 4') == [0, 0, 1, 1]
    assert passed("edited") == [0, 0, 0, 1]


def test_a_filter_that_makes_no_sense_is_refused_before_anything_is_read() -> None:
    with pytest.raises(AfinaError, match="column"):
        parse_filter("turns >", True)
    with pytest.raises(AfinaError, match="needs a model"):
        parse_filter("tokens > 3", False)
    assert not parse_filter("turns > 3", False)
