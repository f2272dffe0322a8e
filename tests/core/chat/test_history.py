"""Ways back in a conversation, and the preference file."""

from __future__ import annotations

from pathlib import Path

import msgspec

from core.chat.history import History
from core.chat.preferences import count, prefer, preference_file


def talk() -> History:
    history = History("Be kind.")
    history.ask("Where?")
    history.answer("Rome.")
    history.ask("Why?")
    history.answer("It is old.")
    return history


def test_the_system_prompt_comes_first_and_only_when_there_is_one() -> None:
    assert talk().messages[0] == {"role": "system", "content": "Be kind."}
    plain = History()
    plain.ask("Where?")
    assert plain.messages == [{"role": "user", "content": "Where?"}]


def test_retry_leaves_the_last_question_open() -> None:
    history = talk()
    assert history.retry() == "Why?"
    assert history.messages[-1] == {"role": "user", "content": "Why?"}


def test_undo_goes_back_one_exchange_at_a_time() -> None:
    history = talk()
    assert [history.undo(), history.undo(), history.undo()] == ["Why?", "Where?", None]
    assert history.messages == [{"role": "system", "content": "Be kind."}]


def test_a_question_without_an_answer_is_replaced_by_the_next() -> None:
    history = talk()
    history.ask("How?")
    history.ask("When?")
    roles = [message["role"] for message in history.messages]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert history.messages[-1]["content"] == "When?"


def test_an_edited_answer_replaces_the_old_one() -> None:
    history = talk()
    history.answer("It is eternal.")
    assert history.messages[-1]["content"] == "It is eternal."
    assert len(history.messages) == 5


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
