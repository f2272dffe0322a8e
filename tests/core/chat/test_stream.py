"""Text out of tokens: characters that span tokens come whole, and nothing is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.chat.stream import LONGEST_WAIT, TextStream


def decode_bytes(ids: list[int]) -> str:
    """A tokenizer whose tokens are bytes."""
    return bytes(ids).decode("utf-8", errors="replace")


def pieces_of(data: bytes) -> list[str]:
    stream = TextStream(decode_bytes)
    pieces = [stream.push(byte) for byte in data]
    return [*pieces, stream.finish()]


@given(st.text())
def test_any_text_comes_back_whole(text: str) -> None:
    assert (
        "".join(pieces_of(text.encode("utf-8", errors="ignore")))
        == text.encode("utf-8", errors="ignore").decode()
    )


@given(st.text(alphabet="aé日🙂"))
def test_no_piece_holds_a_part_of_a_character(text: str) -> None:
    assert all("\ufffd" not in piece for piece in pieces_of(text.encode()))


def test_a_character_comes_with_its_last_token() -> None:
    assert pieces_of("🙂".encode()) == ["", "", "", "🙂", ""]


def test_an_answer_cut_inside_a_character_ends_in_a_replacement() -> None:
    assert "".join(pieces_of("día".encode()[:2])) == "d\ufffd"


def test_bytes_that_are_no_text_do_not_wait_for_ever() -> None:
    pieces = pieces_of(b"\x80" * (LONGEST_WAIT + 1))
    assert pieces[LONGEST_WAIT - 1] == "\ufffd" * LONGEST_WAIT


def test_a_token_that_is_written_differently_at_the_start_keeps_its_space() -> None:
    words = ["Rome", "is", "old"]

    def decode(ids: list[int]) -> str:  # as SentencePiece: a space before each word but the first
        return " ".join(words[token] for token in ids)

    stream = TextStream(decode)
    assert [stream.push(token) for token in range(3)] == ["Rome", " is", " old"]
