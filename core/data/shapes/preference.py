"""Two answers to one prompt: OpenAI's pairs, TRL's with the prompt beside or within, ShareGPT's,
Alpaca's."""

from __future__ import annotations

from typing import Any

import msgspec

from core.data.problems import RowProblem, kind_of, problem, shorten
from core.data.sample import Conversation, Message, Preference, Reading
from core.data.shapes.conduct import conduct_problems
from core.data.shapes.conversations import Value, read_listed, turns_shape, wrong_shape
from core.data.shapes.instruction import SPELLINGS, Columns, read_instruction, read_prompt
from core.data.shapes.tools import Tool, read_tools
from core.data.shapes.turns import Turns, find_turns, read_turns

OPENAI_KEYS = ("preferred_output", "non_preferred_output")
TRL_KEYS = ("chosen", "rejected")
_PROMPTS = tuple(
    {
        item.prompt: Columns(item.prompt, "", item.context, item.system) for item in SPELLINGS
    }.values()
)


class Prompt(msgspec.Struct):
    """What both answers answer; `text` where it is one text, `tools` that the row declares."""

    turns: Turns
    text: str | None = None
    tools: list[Tool] | None = None


def answer_keys(value: Value) -> tuple[str, str] | None:
    """The columns of the wanted answer and of the other one."""
    for keys in (OPENAI_KEYS, TRL_KEYS):
        if isinstance(value, dict) and keys[0] in value and keys[1] in value:
            return keys
    return None


def read_preference(value: Value, into: Turns) -> Reading:
    """The pair in a row; `into` may hold what stands in its way already."""
    keys = answer_keys(value)
    if keys is None or not isinstance(value, dict):
        into.fatal.append(wrong_shape("a prompt with chosen and rejected", value))
        return Reading(None, into.fatal)
    prompt = _read_prompt(value, keys, into)
    sides = [_read_side(value[key], key) for key in keys]
    for side, key in zip(sides, keys, strict=True):
        into.fatal.extend(side.fatal)
        into.problems.extend(side.problems)
        if not side.fatal and not any(map(_says_something, side.messages)):
            into.fatal.append(_empty_side(key, value[key]))
    if not into.fatal:
        texts = (value[keys[0]], value[keys[1]])
        _part(prompt, sides, keys, texts, into)
    if into.fatal:
        return Reading(None, into.fatal + into.problems)
    chosen, rejected = (_joined(prompt, side) for side in sides)
    odd = [*_conduct(chosen, prompt, sides[0]), *_conduct(rejected, prompt, sides[1])]
    # What is odd about the prompt is so on both sides.
    return Reading(Preference(chosen, rejected), [*into.problems, *dict.fromkeys(odd)])


def _read_prompt(value: dict[str, Any], keys: tuple[str, str], into: Turns) -> Prompt:
    """The prompt that stands beside the answers; without turns where there is none."""
    prompt = Prompt(into)
    if keys == OPENAI_KEYS:
        asked = value.get("input")
        if isinstance(asked, dict):
            prompt.tools = read_listed("chat", asked, into, "input.")
        else:
            found = kind_of(asked) if "input" in value else "no input"
            fix = "Give the row its input."
            into.fatal.append(
                problem("missing_messages", "input", found, '{"messages": [...]}', fix)
            )
        return prompt
    columns = next((item for item in _PROMPTS if item.prompt in value), None)
    listed = find_turns(value)
    if "instruction" in value:
        read_instruction(value, into)
    elif columns is not None:
        prompt.text = read_prompt(value, columns, into)
    elif listed is not None:
        prompt.tools = read_listed(turns_shape(*listed), value, into)
        return prompt
    prompt.tools = read_tools(value.get("tools"), "tools", into.fatal)
    return prompt


def _read_side(value: Any, key: str) -> Turns:
    """One answer: a text, a message, or a list of messages."""
    side = Turns()
    if isinstance(value, str):
        side.add({"role": "assistant", "content": value}, key)
    elif isinstance(value, dict):
        read_turns([value], key, turns_shape("", [value]) == "chat", side)
        side.places[:] = [key] * len(side.places)
    elif isinstance(value, list):
        if value:
            read_turns(value, key, turns_shape("", value) == "chat", side)
    elif value is not None:
        fix = "Write the answer as text or as messages."
        side.fatal.append(problem("non_string_content", key, kind_of(value), "an answer", fix))
    return side


def _says_something(message: Message) -> bool:
    return message["role"] == "assistant" and bool(
        message["content"].strip() or message.get("tool_calls")
    )


def _part(
    prompt: Prompt, sides: list[Turns], keys: tuple[str, str], raw: tuple[Any, Any], into: Turns
) -> None:
    """Moves what both sides begin with to the prompt; says so where they have none in common."""
    if isinstance(raw[0], str) and isinstance(raw[1], str):
        if not prompt.turns.messages:
            _part_texts(prompt, sides, raw, keys, into)
    elif sides[0].messages[0]["role"] != "assistant" or sides[1].messages[0]["role"] != "assistant":
        _part_turns(prompt, sides, keys, into)
    elif not prompt.turns.messages:
        into.fatal.append(_mismatch(f"{keys[0]}[0]", "two answers without a prompt", "a prompt"))
    if not into.fatal and _bare(sides[0].messages) == _bare(sides[1].messages):
        fix = "Write another answer, or drop the row."
        found = "the same answer on both sides"
        into.fatal.append(problem("identical_pair", keys[1], found, "two answers that differ", fix))


def _part_turns(prompt: Prompt, sides: list[Turns], keys: tuple[str, str], into: Turns) -> None:
    """Sides that are whole conversations: what they share is the prompt."""
    first, second = (side.messages for side in sides)
    most = min(len(first), len(second)) - 1
    shared = next((n for n in range(most) if first[n] != second[n]), most)
    for side, key in zip(sides, keys, strict=True):
        if (role := side.messages[shared]["role"]) != "assistant":
            found = f'a turn by "{role}" that the other side does not have'
            place = f"{key}[{shared}]"
            into.fatal.append(_mismatch(place, found, "the same prompt on both sides"))
            return
    common, places = first[:shared], sides[0].places[:shared]
    asked = [message["content"].strip() for message in common]
    for message in into.messages:
        if message["role"] == "user" and message["content"].strip() not in asked:
            found = f"a prompt that neither answer begins with, {shorten(message['content'])}"
            into.fatal.append(_mismatch(keys[0], found, "answers that begin with the prompt"))
            return
    system = [message for message in into.messages if message["role"] == "system"][:1]
    kept = 0 if common and common[0]["role"] == "system" else len(system)
    into.messages[:] = system[:kept] + common
    into.places[:] = into.places[:kept] + places
    prompt.text = None
    for side in sides:
        del side.messages[:shared], side.places[:shared]
        side.unlearned = {index - shared for index in side.unlearned if index >= shared}


def _part_texts(
    prompt: Prompt, sides: list[Turns], raw: Any, keys: tuple[str, str], into: Turns
) -> None:
    """Two texts: the prompt is what they share, up to the end of a word."""
    first, second = raw
    if first.strip() == second.strip():
        return
    shared = _shared_length(first, second)
    while shared and not (
        first[shared - 1 : shared].isspace() or first[shared : shared + 1].isspace()
    ):
        shared -= 1
    # A word is tokenized with the space before it, so that space belongs to the answer.
    while shared and first[shared - 1] == " ":
        shared -= 1
    if not first[:shared].strip():
        into.fatal.append(
            _mismatch(keys[1], "texts that begin differently", "a prompt on both sides")
        )
        return
    prompt.text = first[:shared]
    into.add({"role": "user", "content": prompt.text}, keys[0])
    for side, text in zip(sides, raw, strict=True):
        side.messages[0]["content"] = text[shared:]


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


def _joined(prompt: Prompt, side: Turns) -> Conversation:
    start = len(prompt.turns.messages)
    unlearned = prompt.turns.unlearned | {start + index for index in side.unlearned}
    plain = None
    if prompt.text is not None and len(side.messages) == 1 and "tool_calls" not in side.messages[0]:
        plain = (prompt.text, side.messages[0]["content"])
    messages = prompt.turns.messages + side.messages
    return Conversation(messages, prompt.tools, frozenset(unlearned), start, plain)


def _conduct(sample: Conversation, prompt: Prompt, side: Turns) -> list[RowProblem]:
    return conduct_problems(sample, prompt.turns.places + side.places)


def _bare(messages: list[Message]) -> list[Message]:
    return [{**message, "content": message["content"].strip()} for message in messages]


def _empty_side(key: str, value: Any) -> RowProblem:
    found = "no answer" if value in (None, "", []) else "an answer without text"
    return problem("empty_side", key, found, "an answer", "Write the answer, or drop the row.")


def _mismatch(place: str, found: str, expected: str) -> RowProblem:
    return problem("prompt_mismatch", place, found, expected, "Give both answers one prompt.")
