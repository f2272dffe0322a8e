"""Samples in the form that another tool reads, and what that form has no place for.

A loss is named and counted, and the row is written without it; a row whose sense would change with
it (tools in Alpaca, a text as turns) does not fit and is not written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from core.data.edit.chat_formats import (
    Unfit,
    Value,
    alpaca_prompt,
    last_answer,
    openai_messages,
    sharegpt_head,
    sharegpt_turns,
    trl_messages,
)
from core.data.sample import (
    Conversation,
    Labelled,
    Message,
    Preference,
    Sample,
    Text,
    Tokens,
    UnpairedPreference,
)
from core.data.shapes.detect import TEXT_KEYS
from core.data.shapes.instruction import SPELLINGS, SYSTEM_KEYS, spelling
from core.data.shapes.turns import CONTENT_KEYS, REASONING_KEYS, ROLE_KEYS, TURN_KEYS, find_turns
from core.errors import AfinaError, nearest

LOSSES = {  # what is left behind, and what that means
    "weight": "the weight of turns: those with weight 0 will be learned",
    "name": "the names of speakers",
    "thinking": "the thinking beside answers",
    "call_id": "the ids of tool calls",
    "developer": "the role developer, which becomes system",
    "prompt": "where the prompt ends: earlier answers will be learned too",
}
UNFIT = {  # why a row has no place in a form
    "tools": "the form has no place for tools and their calls",
    "text_beside_call": "the form has no place for a text beside a tool call",
    "turn_order": "the form wants a user's turn and an answer, in turn, ending with an answer",
    "several_answers": "the form has one turn for each answer, and this one has several",
    "text": "a text has no turns",
    "classification": "the form has no place for classes",
    "tokens": "token ids have no text",
}


class Converted(msgspec.Struct):
    """A row in its new form, or a name of UNFIT; names of LOSSES, each once."""

    value: Value | None
    losses: list[str]
    refusal: str = ""


class Target(msgspec.Struct, frozen=True):
    """One form to write: how each kind of sample looks in it; kinds it lacks do not fit."""

    name: str
    kinds: dict[type, Callable[[Any, list[str]], Value]]
    other_fields: bool = True  # whether rows may have fields of any other name

    def convert(self, sample: Sample) -> Converted:
        """The sample in this form."""
        lost: list[str] = []
        make = self.kinds.get(type(sample))
        try:
            if make is None:
                raise Unfit(_KINDS[type(sample)])
            value = make(sample, lost)
        except Unfit as error:
            return Converted(None, [], str(error))
        return Converted(value, list(dict.fromkeys(lost)))

    def carry(self, value: Any, shape: str, converted: Value) -> list[str]:
        """Takes a row's other fields over, such as "id" or "meta"; returns those that are lost.

        A field whose name would mean something in the new form is left behind.
        """
        if not isinstance(value, dict):
            return []
        read = _READ.get(shape, set())
        if shape == "prompt_completion" and (columns := spelling(value)):
            read = {columns.prompt, columns.answer, *columns.contexts, *SYSTEM_KEYS, "tools"}
        lost = [f'field "{key}" of a turn' for key in _said_in_turns(value)]
        for key, content in value.items():
            if key in read:
                continue
            if key in _MEANT or key in converted or not self.other_fields:
                lost.append(f'field "{key}"')
            else:
                converted[key] = content
        return lost


_KINDS = {Text: "text", Labelled: "classification", Tokens: "tokens"}


def target(name: str) -> Target:
    """The form with that name; raises AfinaError for one that is not there."""
    if name in TARGETS:
        return TARGETS[name]
    known = ", ".join(TARGETS)
    raise AfinaError(
        f'There is no form "{name}".', f"{nearest(name, TARGETS)} Forms: {known}.".lstrip()
    )


def _tools(turns: Conversation) -> Value:
    return {"tools": turns.tools} if turns.tools else {}


def _openai(turns: Conversation, lost: list[str]) -> Value:
    return {"messages": openai_messages(turns, turns.messages), **_tools(turns)}


def _openai_preference(pair: Preference, lost: list[str]) -> Value:
    prompt, chosen, rejected = _sides(pair)
    start = len(prompt)
    bare = msgspec.structs.replace(pair.chosen, learn_from=0)
    return {
        "input": {"messages": openai_messages(bare, prompt), **_tools(pair.chosen)},
        "preferred_output": openai_messages(bare, chosen, start),
        "non_preferred_output": openai_messages(
            msgspec.structs.replace(pair.rejected, learn_from=0), rejected, start
        ),
    }


def _openai_judged(judged: UnpairedPreference, lost: list[str]) -> Value:
    bare = _whole(judged, lost)
    return {**_openai(bare, lost), "label": judged.good}


def _sharegpt(turns: Conversation, lost: list[str]) -> Value:
    _note_weights(turns, lost)
    head, taken = sharegpt_head(turns, lost)
    return {"conversations": sharegpt_turns(turns.messages[taken:], lost), **head}


def _sharegpt_preference(pair: Preference, lost: list[str]) -> Value:
    prompt, chosen, rejected = _sides(pair)
    head, taken = sharegpt_head(msgspec.structs.replace(pair.chosen, messages=prompt), lost)
    return {
        "conversations": sharegpt_turns(prompt[taken:], lost),
        "chosen": sharegpt_turns(_single(chosen), lost)[0],
        "rejected": sharegpt_turns(_single(rejected), lost)[0],
        **head,
    }


def _sharegpt_judged(judged: UnpairedPreference, lost: list[str]) -> Value:
    bare = _whole(judged, lost)
    return {**_sharegpt(bare, lost), "kto_tag": judged.good}


def _alpaca(turns: Conversation, lost: list[str]) -> Value:
    _note_weights(turns, lost)
    end = last_answer(turns)
    return {**alpaca_prompt(turns, end, lost), "output": turns.messages[end]["content"]}


def _alpaca_preference(pair: Preference, lost: list[str]) -> Value:
    prompt, chosen, rejected = _sides(pair)
    value = alpaca_prompt(pair.chosen, len(prompt), lost)
    sides = _single(chosen)[0], _single(rejected)[0]
    return {**value, "chosen": sides[0]["content"], "rejected": sides[1]["content"]}


def _alpaca_judged(judged: UnpairedPreference, lost: list[str]) -> Value:
    bare = _whole(judged, lost)
    return {**_alpaca(bare, lost), "kto_tag": judged.good}


def _trl(turns: Conversation, lost: list[str]) -> Value:
    if turns.unlearned:
        lost.append("weight")
    if turns.plain is not None and _is_plain(turns):
        return {"prompt": turns.plain[0], "completion": turns.plain[1]}
    messages, cut = trl_messages(turns.messages), turns.learn_from
    if cut:
        return {"prompt": messages[:cut], "completion": messages[cut:], **_tools(turns)}
    return {"messages": messages, **_tools(turns)}


def _trl_preference(pair: Preference, lost: list[str]) -> Value:
    prompt, chosen, rejected = _sides(pair)
    if pair.chosen.unlearned or pair.rejected.unlearned:
        lost.append("weight")
    if pair.chosen.plain and pair.rejected.plain and _is_plain(pair.chosen):
        asked, good = pair.chosen.plain
        return {"prompt": asked, "chosen": good, "rejected": pair.rejected.plain[1]}
    value = {"prompt": trl_messages(prompt)} if prompt else {}
    value |= {"chosen": trl_messages(chosen), "rejected": trl_messages(rejected)}
    return {**value, **_tools(pair.chosen)}


def _trl_judged(judged: UnpairedPreference, lost: list[str]) -> Value:
    turns = judged.answer
    if turns.unlearned:
        lost.append("weight")
    if turns.plain is not None and _is_plain(turns):
        prompt, completion = turns.plain
        return {"prompt": prompt, "completion": completion, "label": judged.good}
    messages, cut = trl_messages(turns.messages), turns.learn_from
    value = {"prompt": messages[:cut], "completion": messages[cut:], "label": judged.good}
    return {**value, **_tools(turns)}


def _trl_tokens(row: Tokens, lost: list[str]) -> Value:
    return {"input_ids": row.ids, **({} if row.labels is None else {"labels": row.labels})}


def _sides(pair: Preference) -> tuple[list[Message], list[Message], list[Message]]:
    """The prompt that both share, the chosen answer and the rejected one."""
    cut = pair.chosen.learn_from
    return pair.chosen.messages[:cut], pair.chosen.messages[cut:], pair.rejected.messages[cut:]


def _single(answer: list[Message]) -> list[Message]:
    if len(answer) != 1:
        raise Unfit("several_answers")
    return answer


def _is_plain(turns: Conversation) -> bool:
    """Whether two texts say all of it: no system prompt beside them, no tools."""
    return len(turns.messages) == 2 and not turns.tools


def _whole(judged: UnpairedPreference, lost: list[str]) -> Conversation:
    """The judged conversation, for forms in which the verdict is about the last answer."""
    if judged.answer.learn_from != len(judged.answer.messages) - 1:
        lost.append("prompt")
    return msgspec.structs.replace(judged.answer, learn_from=0)


def _note_weights(turns: Conversation, lost: list[str]) -> None:
    if turns.unlearned:
        lost.append("weight")
    if any(message["role"] == "assistant" for message in turns.messages[: turns.learn_from]):
        lost.append("prompt")


TARGETS = {
    "openai": Target(
        "openai",
        {Conversation: _openai, Preference: _openai_preference, UnpairedPreference: _openai_judged},
        other_fields=False,  # hosted services refuse keys that they don't know
    ),
    "sharegpt": Target(
        "sharegpt",
        {
            Conversation: _sharegpt,
            Preference: _sharegpt_preference,
            UnpairedPreference: _sharegpt_judged,
        },
    ),
    "alpaca": Target(
        "alpaca",
        {Conversation: _alpaca, Preference: _alpaca_preference, UnpairedPreference: _alpaca_judged},
    ),
    "trl": Target(
        "trl",
        {
            Conversation: _trl,
            Preference: _trl_preference,
            UnpairedPreference: _trl_judged,
            Text: lambda text, lost: {"text": text.text},
            Tokens: _trl_tokens,
        },
    ),
}

_ALPACA = {"instruction", "input", "output", "history", *SYSTEM_KEYS}
_BESIDE = {*SYSTEM_KEYS, "tools", "functions"}
_PAIRS = {"prompt", "chosen", "rejected", "preferred_output", "non_preferred_output"}
_COLUMNS = {name for item in SPELLINGS for name in (item.prompt, item.answer, *item.contexts)}
_TOKENS = {"input_ids", "labels", "attention_mask"}
_READ = {  # keys that stand for the sample of each shape
    "chat": {*TURN_KEYS, *_BESIDE},
    "sharegpt": {*TURN_KEYS, *_BESIDE},
    "alpaca": {*_ALPACA, "tools"},
    "text": set(TEXT_KEYS),
    "pretokenised": _TOKENS,
    "preference": {*TURN_KEYS, *_BESIDE, *_PAIRS, *_ALPACA},
    "kto": {*TURN_KEYS, *_BESIDE, *_COLUMNS, *_ALPACA, "label", "kto_tag"},
}
_TURN = {
    *(*ROLE_KEYS, *CONTENT_KEYS, *REASONING_KEYS),
    *("name", "weight", "tool_calls", "tool_call_id", "function_call"),
}
_MEANT = {*set().union(*_READ.values()), *_COLUMNS, "label"}


def _said_in_turns(value: dict[str, Any]) -> list[str]:
    """The keys of a row's turns that no sample has."""
    found = find_turns(value)
    turns = found[1] if found and isinstance(found[1], list) else []
    keys = {key: None for turn in turns if isinstance(turn, dict) for key in turn}
    return [key for key in keys if key not in _TURN]
