"""Which characters of a rendered conversation each message wrote, and which tokens are learned.

From the template's own generation markers where it has them; else by rendering the conversation
prefix by prefix and comparing. A place that the comparison does not prove is not learned from, and
that is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from core.data.encode.spans import Span, TokenSpans
from core.data.encode.template import Rendered, TemplateRefusal
from core.data.problems import WARNING, RowProblem, problem
from core.data.sample import Conversation, Message

_PROBE = (
    "\u2060afina probe\u2060"  # stands in for an answer to see what the template puts around it
)


class Rendering(Protocol):
    """A chat template, or what stands for one."""

    def render(
        self,
        messages: list[Message],
        tools: list[dict[str, Any]] | None = None,
        add_generation_prompt: bool = False,
    ) -> Rendered: ...


class Answers(msgspec.Struct):
    """Where each message of the assistant stands in the text, as far as that is certain."""

    spans: dict[int, Span]  # message index -> characters
    rewritten: list[
        int
    ]  # answers that the template shows differently once the conversation goes on
    lost: list[int]  # of them, those whose place could not be proven


def learned_messages(sample: Conversation, supervise: str) -> list[int]:
    """The indexes of the messages to learn from: weight 0 and the prompt's messages left out.

    "assistant" is every message of the assistant, "last_assistant" the last of them. "completion"
    is what comes after the prompt: where the row itself parts them (prompt and completion, a
    template) every answer from there on; else the last run of answers, that is all messages of
    the assistant behind the last user message that one of them answers. It differs from
    "last_assistant" where that run calls tools: the calls are learned too.
    """
    roles = enumerate(message["role"] for message in sample.messages)
    answers = [index for index, role in roles if role == "assistant" and index >= sample.learn_from]
    if supervise == "last_assistant":
        answers = answers[-1:]
    if supervise == "completion" and not sample.learn_from:
        answers = _last_run(sample.messages, answers)
    return [index for index in answers if index not in sample.unlearned]


def _last_run(messages: list[Message], answers: list[int]) -> list[int]:
    """The answers behind the user message that the last answer follows."""
    asked = (
        [index for index in range(answers[-1]) if messages[index]["role"] == "user"]
        if answers
        else []
    )
    return [index for index in answers if index > max(asked, default=-1)]


def find_answers(
    template: Rendering,
    messages: list[Message],
    tools: list[dict[str, Any]] | None,
    rendered: Rendered,
    wanted: list[int],
) -> Answers:
    """The place of each wanted answer in the rendered text."""
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if rendered.has_generation_markers and len(rendered.generated) == len(answers):
        marked = dict(zip(answers, rendered.generated, strict=True))
        return Answers({index: marked[index] for index in wanted}, [], [])
    found = Answers({}, [], [])
    for index in wanted:
        span = _between_prefixes(template, messages, tools, rendered.text, index)
        if span is None:
            span = _by_probe(template, messages, tools, rendered.text, index)
            before = _as_last(template, messages, tools, rendered.text, index, span)
            if before is None:
                found.rewritten.append(index)
            elif span is not None:
                span = before, span[1]
        if span is None:
            found.lost.append(index)
        else:
            found.spans[index] = span
    return found


def find_segments(
    template: Rendering,
    messages: list[Message],
    tools: list[dict[str, Any]] | None,
    text: str,
) -> list[tuple[str, int, int]]:
    """(role, start, end) of each message, for people to look at: where one ends the next begins."""
    starts = [0]
    for index in range(1, len(messages)):
        before = _render(template, messages[:index], tools)
        if before is not None and starts[-1] <= len(before) and text.startswith(before):
            starts.append(len(before))
        else:
            place = text.find(messages[index].get("content") or "\0", starts[-1])
            starts.append(place if place >= 0 else starts[-1])
    ends = [*starts[1:], len(text)]
    roles = [message["role"] for message in messages]
    return list(zip(roles, starts, ends, strict=True))


def rewriting_problems(answers: Answers) -> Iterator[tuple[int, RowProblem]]:
    """What a template that changes earlier turns means for this row, at each message."""
    for index in answers.rewritten:
        lost = "; it can't be learned from" if index in answers.lost else ""
        yield (
            index,
            problem(
                "template_rewrites_history",
                f"messages[{index}]",
                f"an answer that the chat template shows differently once the conversation goes on"
                f"{lost}",
                "a template that only adds to the text",
                "Split the conversation so that each answer is the last, or use another template.",
                WARNING,
            ),
        )


def supervise_tokens(tokens: TokenSpans, spans: list[Span]) -> list[bool]:
    """One flag per token: whether it belongs to one of the spans, if only by one character."""
    flags = [False] * len(tokens.ids)
    for start, end in spans:
        first, stop = tokens.within(start, end)
        flags[first:stop] = [True] * (stop - first)
    return flags


def supervise_answers(
    tokens: TokenSpans, text: str, spans: list[Span], stop_ids: frozenset[int]
) -> list[bool]:
    """Like supervise_tokens, for spans that are answers.

    Each ends with the stop token that follows it, also where the span itself leaves that out, and
    white space behind the stop token is not learned.
    """
    flags = [False] * len(tokens.ids)
    for start, end in spans:
        if start == end:
            continue
        first, stop = tokens.within(start, end)
        stop = _close(tokens, text, first, stop, stop_ids)
        flags[first:stop] = [True] * (stop - first)
    return flags


def _close(tokens: TokenSpans, text: str, first: int, stop: int, stop_ids: frozenset[int]) -> int:
    """The end of an answer (a token index, not included), moved to just behind its stop token."""
    ids = tokens.ids

    def blank(index: int) -> bool:
        return ids[index] not in stop_ids and not text[slice(*tokens.span(index))].strip()

    last = stop - 1
    while last > first and blank(last):
        last -= 1
    if last >= first and ids[last] in stop_ids:
        return last + 1
    following = stop
    while following < len(ids) and blank(following):
        following += 1
    if following < len(ids) and ids[following] in stop_ids:
        return following + 1
    return stop


def _between_prefixes(
    template: Rendering,
    messages: list[Message],
    tools: list[dict[str, Any]] | None,
    text: str,
    index: int,
) -> Span | None:
    """From the generation prompt's end to the answer's end; None where they are no prefixes."""
    prompt = _render(template, messages[:index], tools, add_generation_prompt=True)
    if prompt is None or not text.startswith(prompt):
        return None
    if index == len(messages) - 1:
        return len(prompt), len(text)
    answered = _render(template, messages[: index + 1], tools)
    if answered is None or len(answered) < len(prompt) or not text.startswith(answered):
        return None
    return len(prompt), len(answered)


def _as_last(
    template: Rendering,
    messages: list[Message],
    tools: list[dict[str, Any]] | None,
    text: str,
    index: int,
    span: Span | None,
) -> int | None:
    """Where an answer begins that stands in the text as it stood when it was the last one.

    Then the template only closes a text in another way than it goes on. None where the answer is
    shown differently.
    """
    prompt = _render(template, messages[:index], tools, add_generation_prompt=True)
    last = _render(template, messages[: index + 1], tools)
    if span is None or prompt is None or last is None or not text.startswith(prompt):
        return None
    then = _by_probe(template, messages[: index + 1], tools, last, index)
    if then is None or then[0] < len(prompt) or text[: span[0]] != last[: then[0]]:
        return None
    return len(prompt) if text[slice(*span)] == last[slice(*then)] else None


def _by_probe(
    template: Rendering,
    messages: list[Message],
    tools: list[dict[str, Any]] | None,
    text: str,
    index: int,
) -> Span | None:
    """What stands in an answer's place: the text around it must equal that around a probe."""
    probe: Message = {"role": "assistant", "content": _PROBE}
    probed = _render(template, [*messages[:index], probe, *messages[index + 1 :]], tools)
    if probed is None or probed.count(_PROBE) != 1:
        return None
    before, after = probed.split(_PROBE)
    start, end = len(before), len(text) - len(after)
    return (
        (start, end) if start <= end and text.startswith(before) and text.endswith(after) else None
    )


def _render(
    template: Rendering,
    messages: list[Message],
    tools: list[dict[str, Any]] | None,
    add_generation_prompt: bool = False,
) -> str | None:
    """The text, or None where the template refuses such a beginning of a conversation."""
    if not messages:
        return None
    try:
        return template.render(messages, tools, add_generation_prompt).text
    except TemplateRefusal:
        return None
