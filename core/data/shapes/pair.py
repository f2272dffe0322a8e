"""Two answers on their way to a preference: what both begin with is their prompt."""

from __future__ import annotations

from typing import Any

import msgspec

from core.data.problems import RowProblem, problem, shorten
from core.data.sample import Conversation, Message, Preference
from core.data.shapes.tools import Tool
from core.data.shapes.turn_checks import conduct_problems
from core.data.shapes.turns import Turns


class Pair(msgspec.Struct):
    """The turns before the answers, and those of each answer; `prompt` also holds what is wrong."""

    keys: tuple[str, str]  # columns of the wanted answer and of the other one
    prompt: Turns
    sides: tuple[Turns, Turns]
    text: str | None = None  # the prompt, where it is one text
    tools: list[Tool] | None = None

    def preference(self) -> Preference:
        """The pair as two conversations."""
        return Preference(self._conversation(self.sides[0]), self._conversation(self.sides[1]))

    def conduct_problems(self, sample: Preference) -> list[RowProblem]:
        """How the turns follow each other; what is odd about the prompt is said once."""
        pairs = zip((sample.chosen, sample.rejected), self.sides, strict=True)
        found = [conduct_problems(talk, self.prompt.places + side.places) for talk, side in pairs]
        return list(dict.fromkeys([*found[0], *found[1]]))

    def _conversation(self, side: Turns) -> Conversation:
        start = len(self.prompt.messages)
        unlearned = self.prompt.unlearned | {start + index for index in side.unlearned}
        plain = None
        if self.text is not None and [message.keys() for message in side.messages] == [_PLAIN]:
            plain = (self.text, side.messages[0]["content"])
        messages = self.prompt.messages + side.messages
        return Conversation(messages, self.tools, frozenset(unlearned), start, plain)


_PLAIN = {"role", "content"}


def share_prompt(pair: Pair, answers: tuple[Any, Any]) -> None:
    """Moves what both answers begin with to the prompt; says so where they have none in common.

    `answers` are the two as they stand in the row; each has a message by now.
    """
    fatal, sides = pair.prompt.fatal, pair.sides
    if isinstance(answers[0], str) and isinstance(answers[1], str):
        if not pair.prompt.messages:
            _share_text(pair, *answers)
    elif any(side.messages[0]["role"] != "assistant" for side in sides):
        _share_turns(pair)
    elif not pair.prompt.messages:
        fatal.append(_mismatch(f"{pair.keys[0]}[0]", "two answers without a prompt", "a prompt"))
    if not fatal and _bare(sides[0].messages) == _bare(sides[1].messages):
        fix = "Write another answer, or drop the row."
        found = "the same answer on both sides"
        fatal.append(problem("identical_pair", pair.keys[1], found, "two answers that differ", fix))


def _share_turns(pair: Pair) -> None:
    """Answers that are whole conversations: the turns that they share are the prompt."""
    first, second = (side.messages for side in pair.sides)
    most = min(len(first), len(second)) - 1
    shared = next((n for n in range(most) if first[n] != second[n]), most)
    for side, key in zip(pair.sides, pair.keys, strict=True):
        if (role := side.messages[shared]["role"]) != "assistant":
            found = f'a turn by "{role}" that the other side does not have'
            expected = "the same prompt on both sides"
            pair.prompt.fatal.append(_mismatch(f"{key}[{shared}]", found, expected))
            return
    asked = [message["content"].strip() for message in first[:shared]]
    for message in pair.prompt.messages:
        if message["role"] == "user" and message["content"].strip() not in asked:
            found = f"a prompt that neither answer begins with, {shorten(message['content'])}"
            expected = "answers that begin with the prompt"
            pair.prompt.fatal.append(_mismatch(pair.keys[0], found, expected))
            return
    _take_prompt(pair, shared)


def _take_prompt(pair: Pair, shared: int) -> None:
    """The first turns of both sides become the prompt, under a system prompt that stood beside."""
    prompt, first = pair.prompt, pair.sides[0]
    roles = [message["role"] for message in first.messages[:shared]]
    beside = int("system" not in roles and _begins_with_system(prompt.messages))
    prompt.messages[beside:] = first.messages[:shared]
    prompt.places[beside:] = first.places[:shared]
    prompt.unlearned = {beside + index for index in first.unlearned if index < shared}
    pair.text = None
    for side in pair.sides:
        del side.messages[:shared], side.places[:shared]
        side.unlearned = {index - shared for index in side.unlearned if index >= shared}


def _begins_with_system(messages: list[Message]) -> bool:
    return bool(messages) and messages[0]["role"] == "system"


def _share_text(pair: Pair, first: str, second: str) -> None:
    """Two texts: the prompt is what they share, up to the end of a word."""
    if first.strip() == second.strip():
        return  # an identical pair, and nothing else to say about it
    shared = _shared_length(first, second)
    while shared and not (_word_ends(first, shared) and _word_ends(second, shared)):
        shared -= 1
    # A word is tokenized with the space before it, so that space belongs to the answer.
    while shared and first[shared - 1] == " ":
        shared -= 1
    if not first[:shared].strip():
        expected = "a prompt on both sides"
        found = "texts that begin differently"
        pair.prompt.fatal.append(_mismatch(pair.keys[1], found, expected))
        return
    pair.text = first[:shared]
    pair.prompt.add({"role": "user", "content": pair.text}, pair.keys[0])
    for side, text in zip(pair.sides, (first, second), strict=True):
        side.messages[0]["content"] = text[shared:]


def _word_ends(text: str, at: int) -> bool:
    return text[at - 1].isspace() or text[at : at + 1].isspace()


def _shared_length(first: str, second: str) -> int:
    """How many characters two texts begin with alike: by halves, for they can be long."""
    known, most = 0, min(len(first), len(second))
    while known < most:
        middle = (known + most + 1) // 2
        if first[known:middle] == second[known:middle]:
            known = middle
        else:
            most = middle - 1
    return known


def _bare(messages: list[Message]) -> list[Message]:
    return [{**message, "content": message["content"].strip()} for message in messages]


def _mismatch(place: str, found: str, expected: str) -> RowProblem:
    return problem("prompt_mismatch", place, found, expected, "Give both answers one prompt.")
