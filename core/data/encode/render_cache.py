"""The text that a chat template puts around the contents, drawn once for conversations alike.

Rows of one structure (roles, and which contents are empty or have white space at their ends) share
a skeleton. It holds where template and contents are such that it is proven; see follow.py.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from core.data.encode.mask import (
    Rendering,
    find_answers,
    find_segments,
    learned_messages,
    rewriting_problems,
)
from core.data.encode.spans import Span
from core.data.encode.template import FAILURES, ChatTemplate, Rendered, TemplateRefusal
from core.data.problems import RowProblem
from core.data.sample import Conversation, Message

if TYPE_CHECKING:
    from core.data.encode.template_trace import Condition, Seen

KEPT = 512  # structures that are remembered
_UNKNOWN: Any = object()
Place = tuple[int, int]  # a literal, and a character in it


class Filled(NamedTuple):
    """A row as text, in characters of it: what is learned, and its problems with their places."""

    text: str
    learned: list[Span]
    problems: list[tuple[RowProblem, int]]


class RenderPlan(msgspec.Struct):
    """Literal text and the messages whose contents stand between: literals[0], order[0], ..."""

    literals: list[str]
    order: list[int]
    learned: list[tuple[Place, Place]] | None  # None learns everything
    conditions: list[Condition]
    clock: list[tuple[str, str]]  # (format of the time, what it must give)
    problems: list[tuple[RowProblem, Place]]  # of every row of this structure

    def fill(self, contents: list[str]) -> Filled | None:
        """The text of a row with what is learned of it; None where a condition fails."""
        for condition in self.conditions:
            if not condition.holds(contents[condition.message]):
                return None
        if self.clock and any(datetime.now().strftime(how) != then for how, then in self.clock):
            return None
        parts, starts = [self.literals[0]], [0]
        at = len(parts[0])
        for index, literal in zip(self.order, self.literals[1:], strict=True):
            content = contents[index]
            at += len(content)
            starts.append(at)
            at += len(literal)
            parts += (content, literal)
        if self.learned is None:
            return Filled("".join(parts), [(0, at)], [])
        spans = [(starts[a] + b, starts[c] + d) for (a, b), (c, d) in self.learned]
        problems = [(found, starts[a] + b) for found, (a, b) in self.problems]
        return Filled("".join(parts), spans, problems)


class RenderCache:
    """The skeletons of a template for one way to supervise, by structure."""

    def __init__(self, template: ChatTemplate, supervise: str) -> None:
        self._template = template
        self._supervise = supervise
        self._known: dict[Any, RenderPlan | None] = {}

    def fill(self, sample: Conversation) -> Filled | None:
        """The text of a conversation and what is learned; None where it has to be rendered."""
        if sample.tools or (sample.unlearned and self._supervise == "all"):
            return None
        contents: list[str] = []
        structure = []
        for message in sample.messages:
            content = message.get("content")
            if len(message) != 2 or type(content) is not str:
                return None  # calls, names, thinking
            contents.append(content)
            structure.append((message["role"], not content, content.strip() == content))
        key = (sample.learn_from, sample.unlearned, *structure)
        skeleton = self._known.get(key, _UNKNOWN)
        if skeleton is _UNKNOWN:
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[key] = skeleton = _draw(self._template, sample, self._supervise)
        return None if skeleton is None else skeleton.fill(contents)


class _Followed:
    """A chat template that is rendered with holes."""

    def __init__(self, template: ChatTemplate, seen: Seen) -> None:
        self._template = template
        self._seen = seen

    def render(
        self,
        messages: list[Message],
        tools: list[dict[str, Any]] | None = None,
        add_generation_prompt: bool = False,
    ) -> Rendered:
        import jinja2

        from core.data.encode.template_trace import following

        source = self._template.source()
        template, tracker, environment = following(source)
        fields = self._template.fields(messages, tools, add_generation_prompt)
        try:
            with tracker.alone:
                environment.seen = self._seen
                text, spans = tracker.follow(template.generate(**fields))
        except (jinja2.TemplateError, *FAILURES) as error:
            raise TemplateRefusal(str(error)) from error
        return Rendered.of(text, [(start, "".join((block,))) for start, block in spans], source)


def _draw(template: ChatTemplate, sample: Conversation, supervise: str) -> RenderPlan | None:
    from core.data.encode.template_trace import CLOSE, OPEN, Hole, NotFollowed, Seen

    messages = sample.messages
    solid = (i for i, m in enumerate(messages) if m["content"] == m["content"].strip())
    seen = Seen(frozenset(solid))
    holes = [
        {**message, "content": Hole(f"{OPEN}{index}{CLOSE}", seen) if message["content"] else ""}
        for index, message in enumerate(messages)
    ]
    followed: Rendering = _Followed(template, seen)
    try:
        rendered = followed.render(holes)
        wanted = learned_messages(sample, supervise)
        answers = find_answers(followed, holes, None, rendered, wanted)
        segments = find_segments(followed, holes, None, rendered.text) if answers.rewritten else []
    except (NotFollowed, TemplateRefusal):
        return None
    parts = re.split(f"{OPEN}([0-9]+){CLOSE}", rendered.text)
    order = [int(part) for part in parts[1::2]]
    written = {index for index, message in enumerate(messages) if message["content"]}
    if answers.lost or written != set(order):
        return None  # such a row is looked at closer
    spans = [answers.spans[index] for index in wanted if index in answers.spans]
    places = [(_place(rendered.text, start), _place(rendered.text, end)) for start, end in spans]
    learned = None if supervise == "all" else places
    problems = [
        (found, _place(rendered.text, segments[index][1]))
        for index, found in rewriting_problems(answers)
    ]
    conditions, clock = list(seen.conditions), list(seen.clock)
    return RenderPlan(parts[0::2], order, learned, conditions, clock, problems)


def _place(text: str, at: int) -> Place:
    """Where a character of a text with holes is: in which literal, and how far in."""
    from core.data.encode.template_trace import CLOSE

    holes = text.count(CLOSE, 0, at)
    return holes, at - (text.rfind(CLOSE, 0, at) + 1)
