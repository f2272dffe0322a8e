"""Views of rows as files, hits beside them, the words of a filter, the number of a row."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from core.data.analysis.query.grammar import FACTS, parse
from tui.data.dialogs.goto import row_number
from tui.data.filter_words import EXAMPLES, mistake, offers
from tui.data.search import read_search, toggled
from tui.data.stats_text import percent
from tui.data.view import Hits, View


def view_of(path: Path, rows: list[int], ordered: bool = True) -> View:
    path.write_bytes(array("I", rows).tobytes())
    view = View(ordered)
    view.grow(path, len(rows))
    return view


def test_a_view_finds_the_place_of_a_row_in_any_order(tmp_path: Path) -> None:
    ordered = view_of(tmp_path / "a", [2, 5, 7, 70_000])
    assert [ordered.place(row) for row in (2, 7, 6, 70_000)] == [0, 2, None, 3]
    assert ordered.nearest(6) == 2 and ordered.nearest(80_000) == 3
    # 0x010203 stands across the bytes of its neighbours too: only whole numbers count
    rows = [0x01020304, 0x05010203, 0x010203, 9]
    mixed = view_of(tmp_path / "b", rows, ordered=False)
    assert [mixed.place(row) for row in rows] == [0, 1, 2, 3]
    assert mixed.place(0x0203) is None


def test_a_view_grows_and_can_be_let_go(tmp_path: Path) -> None:
    view = view_of(tmp_path / "a", [1, 2])
    with (tmp_path / "a").open("ab") as file:
        file.write(array("I", [9]).tobytes())
    view.grow(tmp_path / "a", 3)
    assert list(map(view.__getitem__, range(3))) == [1, 2, 9]
    view.close()
    assert len(view) == 0 and view.place(9) is None


def test_hits_are_found_from_a_position_of_the_list_in_its_own_order(tmp_path: Path) -> None:
    hits = Hits(view_of(tmp_path / "hits", [30, 44]))
    assert [hits.next(place, None) for place in (0, 30, 31, 45)] == [30, 30, 44, None]
    assert [hits.previous(place, None) for place in (30, 44, 50)] == [None, 30, 44]
    shown = view_of(tmp_path / "shown", [44, 7, 30, 8], ordered=False)
    sorted_hits = Hits(view_of(tmp_path / "sorted", [44, 30], ordered=False))
    assert [sorted_hits.next(place, shown) for place in (0, 1, 3)] == [0, 2, None]
    assert sorted_hits.previous(2, shown) == 0
    assert sorted_hits.ordinal(30) == 2 and sorted_hits.ordinal(7) is None


def test_every_example_is_a_filter_and_every_fact_is_offered() -> None:
    for example, _ in EXAMPLES:
        parse(example)
    offered = {offer.word.partition("(")[0] for offer in offers("not ", ())}
    assert set(FACTS) <= offered


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tok", ["tokens"]),
        ("tokens ", [">", ">=", "<", "<=", "==", "!="]),
        ("marked ", ["and", "or"]),
        ("marked and trunc", ["truncated"]),
        ('"truncated" ', ["in"]),
        ('"truncated" in ', ["problems"]),
        ("text contains 'a and b' ", ["and", "or"]),
        ("not near", []),
        ('"exact_dup', ['"exact_duplicate" in problems']),
    ],
)
def test_what_can_come_next_is_offered(text: str, words: list[str]) -> None:
    found = offers(text, ["exact_duplicate"])
    assert [offer.word for offer in found] == words
    assert all(offer.text.startswith(text[:1]) for offer in found)


def test_a_mistake_has_its_column() -> None:
    wrong = mistake("tokens > 20 and tokns < 3")
    assert wrong is not None and wrong.column == 16
    assert wrong.message == 'There is no fact "tokns". Did you mean "tokens"?'
    assert mistake("tokens > 20") is None and mistake("  ") is None


def test_a_search_reads_plain_words_or_an_expression() -> None:
    assert read_search("A.c").pattern.search("xa.Cx") and not read_search("a.c").regex
    assert read_search("re:a.c").pattern.search("abc") and read_search("re:a.c").words == "a.c"
    assert toggled(toggled("a.c")) == "a.c"
    with pytest.raises(ValueError, match=r"Unterminated character set at column 2\."):
        read_search("re:a[")


def test_a_row_number_may_have_commas_or_be_a_share() -> None:
    assert row_number("12,480", 20_000) == 12_480
    assert row_number("50%", 9) == 4 and row_number("0%", 9) == 1
    assert [row_number(text, 9) for text in ("0", "10", "x", "101%", "²", "")] == [None] * 6


def test_a_small_share_does_not_vanish() -> None:
    assert [percent(share) for share in (0, 0.00001, 0.012, 0.43, 1)] == [
        *("0%", "<0.1%", "1.2%", "43%", "100%")
    ]
