"""Two answers to one prompt: OpenAI's and ShareGPT's, TRL's with the prompt beside or within."""

from __future__ import annotations

from typing import Any

from core.data.problems import RowProblem, kind_of, problem
from core.data.sample import Message, Reading
from core.data.shapes.conversations import Value, read_listed, turns_shape, wrong_shape
from core.data.shapes.instruction import PROMPTS, read_instruction, read_prompt
from core.data.shapes.pair import Pair, share_prompt
from core.data.shapes.tools import read_tools
from core.data.shapes.turns import Turns, find_turns, read_turns

OPENAI_KEYS = ("preferred_output", "non_preferred_output")
TRL_KEYS = ("chosen", "rejected")


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
    answers = (value[keys[0]], value[keys[1]])
    pair = Pair(keys, into, (_read_side(answers[0], keys[0]), _read_side(answers[1], keys[1])))
    _read_prompt(value, pair)
    for side, key, answer in zip(pair.sides, keys, answers, strict=True):
        into.fatal.extend(side.fatal)
        into.problems.extend(side.problems)
        if not side.fatal and not any(map(_says_something, side.messages)):
            into.fatal.append(_empty_side(key, answer))
    if not into.fatal:
        share_prompt(pair, answers)
    if into.fatal:
        return Reading(None, into.fatal + into.problems)
    sample = pair.preference()
    return Reading(sample, into.problems + pair.conduct_problems(sample))


def _read_prompt(value: dict[str, Any], pair: Pair) -> None:
    """The prompt that stands beside the answers; no turns where there is none."""
    if pair.keys == OPENAI_KEYS:
        _read_input(value.get("input"), pair)
        return
    columns = next((item for key, item in PROMPTS.items() if key in value), None)
    listed = find_turns(value)
    if "instruction" in value:
        read_instruction(value, pair.prompt)
    elif columns is not None:
        pair.text = read_prompt(value, columns, pair.prompt)
    elif listed is not None:
        pair.tools = read_listed(turns_shape(*listed), value, pair.prompt)
        return
    pair.tools = read_tools(value.get("tools"), "tools", pair.prompt.fatal)


def _read_input(asked: Any, pair: Pair) -> None:
    if isinstance(asked, dict):
        pair.tools = read_listed("chat", asked, pair.prompt, "input.")
        return
    found = "no input" if asked is None else kind_of(asked)
    fix = "Give the row its input."
    pair.prompt.fatal.append(
        problem("missing_messages", "input", found, '{"messages": [...]}', fix)
    )


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
    said = message["content"].strip() or message.get("tool_calls")
    return message["role"] == "assistant" and bool(said)


def _empty_side(key: str, value: Any) -> RowProblem:
    found = "no answer" if value in (None, "", []) else "an answer without text"
    return problem("empty_side", key, found, "an answer", "Write the answer, or drop the row.")
