"""Ways back in a conversation, and the preference file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from core.chat.history import History
from core.chat.preferences import count, prefer, preference_file


def talk() -> History:
    history = History("Be kind.")
    history.answer(history.ask("Where?"), "Rome.")
    history.answer(history.ask("Why?"), "It is old.")
    return history


def test_the_system_prompt_comes_first_and_only_when_there_is_one() -> None:
    assert talk().messages[0] == {"role": "system", "content": "Be kind."}
    plain = History()
    plain.ask("Where?")
    assert plain.messages == [{"role": "user", "content": "Where?"}]


def test_retry_leaves_the_last_question_open() -> None:
    history = talk()
    assert history.retry() == {"role": "user", "content": "Why?"}
    assert history.messages[-1] == {"role": "user", "content": "Why?"}


def test_undo_goes_back_one_exchange_at_a_time() -> None:
    history = talk()
    first, second = history.undo(), history.undo()
    assert first and second
    assert [first["content"], second["content"], history.undo()] == ["Why?", "Where?", None]
    assert history.messages == [{"role": "system", "content": "Be kind."}]


def test_a_question_without_an_answer_is_replaced_by_the_next() -> None:
    history = talk()
    history.ask("How?")
    history.ask("When?")
    roles = [message["role"] for message in history.messages]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert history.messages[-1]["content"] == "When?"


@pytest.mark.parametrize("way", ["undo", "clear", "retry"])
def test_an_answer_whose_question_is_gone_is_dropped(way: str) -> None:
    history = talk()
    question = history.ask("How?")
    getattr(history, way)()
    before = history.messages
    assert not history.answer(question, "Somehow.")
    assert history.messages == before


def test_the_same_words_asked_again_are_another_question() -> None:
    history = talk()
    gone = history.ask("How?")
    history.undo()
    again = history.ask("How?")
    assert not history.answer(gone, "In the old way.")
    assert history.answer(again, "In the new way.")
    assert history.messages[-1]["content"] == "In the new way."


def test_a_question_has_one_answer() -> None:
    history = talk()
    question = history.ask("How?")
    assert history.answer(question, "Once.")
    assert not history.answer(question, "Twice.")
    assert history.messages[-1]["content"] == "Once."


def test_messages_that_were_handed_out_do_not_change_later() -> None:
    history = talk()
    sent = history.messages
    history.turns[0]["content"] = "changed"
    assert sent[1]["content"] == "Where?"


def test_a_vote_is_a_row_that_a_preference_trainer_reads(home: Path) -> None:
    prompt = talk().messages[:-1]
    assert prefer(home, prompt, "It is old.", "No \x1b[31midea.")
    assert prefer(home, prompt, "It is old.", "Because.")
    rows = [msgspec.json.decode(line) for line in preference_file(home).read_bytes().splitlines()]
    assert rows[0] == {
        "prompt": prompt,
        "chosen": [{"role": "assistant", "content": "It is old."}],
        "rejected": [{"role": "assistant", "content": "No \x1b[31midea."}],
    }
    assert count(home) == len(rows) == 2


def test_two_equal_answers_make_no_preference(home: Path) -> None:
    assert not prefer(home, talk().messages[:-1], "It is old.", "It is old. ")
    assert count(home) == 0
