"""A sample as text, before it is tokenized: what is learned of it, in characters."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

import msgspec

from core.data.encode.dropped_by_template import left_out
from core.data.encode.mask import (
    find_answers,
    find_segments,
    learned_messages,
    rewriting_problems,
)
from core.data.encode.render_cache import RenderCache
from core.data.encode.spans import Span
from core.data.encode.template import ChatTemplate, TemplateRefusal
from core.data.encode.tokenizer import Tokenizer
from core.data.problems import WARNING, RowProblem, problem, shorten
from core.data.sample import Conversation, Message, Text
from core.errors import AfinaError

Segment = tuple[str, int, int]  # role, and characters


class RenderedSample(msgspec.Struct):
    """A sample as text, with what to learn; the ids before and after it are not in the text."""

    text: str
    learned: list[Span]
    segments: list[Segment]
    problems: list[tuple[RowProblem, int | None]]  # with the character where each sits
    before: list[int] = msgspec.field(default_factory=list)
    after: list[int] = msgspec.field(default_factory=list)


class SampleRenderer:
    """Writes samples down for one tokenizer, template and way to supervise."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate | None, supervise: str) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.supervise = supervise
        self._skeletons = RenderCache(template, supervise) if template else None

    def draft(self, sample: Conversation | Text, segments: bool) -> RenderedSample:
        """The text of a sample; segments cost renderings and are for looking at."""
        if isinstance(sample, Text):
            return self._text(sample.text)
        if self.template is not None and not sample.as_written:
            messages = self.known_roles(sample.messages)
            if messages is not sample.messages:
                sample = msgspec.structs.replace(sample, messages=messages)
            return self._conversation(self.template, sample, segments)
        if sample.plain is None:
            raise AfinaError(
                "The model has no chat template, and these rows are conversations.",
                "Give it a template with data.chat_template: a file, or chatml, llama3 or alpaca.",
            )
        return self._completion(*sample.plain)

    def leading(self, text: str) -> list[int]:
        """The tokenizer's own beginning, unless the text has it already."""
        bos = self.tokenizer.bos
        return [] if bos and text.startswith(bos) else self.tokenizer.single.before

    def known_roles(self, messages: list[Message]) -> list[Message]:
        """The messages with the role "developer" as "system" if the template doesn't know it."""
        template = self.template
        if template is None or all(message["role"] != "developer" for message in messages):
            return messages
        if "developer" in template.source():
            return messages
        return [
            {**message, "role": "system"} if message["role"] == "developer" else message
            for message in messages
        ]

    def _text(self, text: str) -> RenderedSample:
        draft = self._plain("", text, [("text", 0, len(text))])
        if draft.text and self._may_hold_special(text):
            draft.problems += self._specials("text", text, 0, draft)
        return draft

    def _completion(self, prompt: str, completion: str) -> RenderedSample:
        cut, end = len(prompt), len(prompt) + len(completion)
        draft = self._plain(prompt, completion, [("user", 0, cut), ("assistant", cut, end)])
        for name, text, start in (("prompt", prompt, 0), ("completion", completion, cut)):
            if draft.text and self._may_hold_special(text):
                draft.problems += self._specials(name, text, start, draft)
        return draft

    def _plain(self, prompt: str, learned: str, segments: list[Segment]) -> RenderedSample:
        """Text without a template: the tokenizer's own beginning, the text, the end token."""
        text = prompt + learned
        start = 0 if self.supervise == "all" else len(prompt)
        draft = RenderedSample(text, [(start, len(text))], segments, [], self.leading(text))
        eos, eos_id = self.tokenizer.eos, self.tokenizer.eos_id
        if eos and eos_id is not None and not text.endswith(eos):
            draft.after = [eos_id]
        return draft

    def _conversation(
        self, template: ChatTemplate, sample: Conversation, segments: bool
    ) -> RenderedSample:
        special = any(self._may_hold_special(message["content"]) for message in sample.messages)
        if not segments and not special and self._skeletons is not None:
            filled = self._skeletons.fill(sample)
            if filled is not None:
                return RenderedSample(filled.text, filled.learned, [], [*filled.problems])
        messages, tools = sample.messages, sample.tools
        try:
            rendered = template.render(messages, tools)
        except TemplateRefusal as error:
            refused = _template_problem(template, error, messages, tools)
            return RenderedSample("", [], [], [(refused, None)])
        text = rendered.text
        draft = RenderedSample(text, [], find_segments(template, messages, tools, text), [])
        starts = [start for _, start, _ in draft.segments]
        wanted = learned_messages(sample, self.supervise)
        answers = find_answers(template, messages, tools, rendered, wanted)
        if self.supervise == "all":
            draft.learned = _all_but(sample.unlearned, draft)
        else:
            draft.learned = [answers.spans[index] for index in wanted if index in answers.spans]
            for index, found in rewriting_problems(answers):
                draft.problems.append((found, starts[index]))
        for index, found in left_out(template, messages, tools, text, set(answers.rewritten)):
            draft.problems.append((found, None if index is None else starts[index]))
        if special:
            for index, message in enumerate(messages):
                place = f"messages[{index}].content"
                start = text.find(message["content"], starts[index])
                draft.problems += self._specials(place, message["content"], start, draft)
        return draft

    @cached_property
    def _openings(self) -> tuple[str, ...]:
        """What the special tokens begin with; few, so that most texts are soon done with."""
        return tuple({name[:2] for name in self.tokenizer.specials if name})

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        names = sorted(self.tokenizer.specials, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, filter(None, names))))

    def _may_hold_special(self, text: str) -> bool:
        return any(opening in text for opening in self._openings)

    def _specials(
        self, field: str, text: str, start: int, draft: RenderedSample
    ) -> list[tuple[RowProblem, int | None]]:
        """Special tokens that somebody wrote into a content: they act, they are not read.

        The one that begins a plain text, and the one that ends it, are where they belong.
        """
        found = []
        for match in self._special_pattern.finditer(text):
            at = start + match.start() if start >= 0 else None
            name = match.group()
            begins = name == self.tokenizer.bos and at == 0
            ends = self.tokenizer.specials[name] in self.tokenizer.stop_ids and (
                at is not None and at + len(name) == len(draft.text) and not draft.after
            )
            if not begins and not ends:
                found.append((_special_problem(field, name, match.start()), at))
        return found


def _special_problem(field: str, name: str, at: int) -> RowProblem:
    return problem(
        "special_token_in_content",
        field,
        f"{shorten(name)} at character {at + 1}, which the model sees as its special token",
        "text without special tokens",
        "Take it out or spell it otherwise, unless the model is to see the token.",
        WARNING,
    )


def _template_problem(
    template: ChatTemplate,
    error: TemplateRefusal,
    messages: list[Message],
    tools: list[dict[str, Any]] | None,
) -> RowProblem:
    """A conversation that the chat template does not take, in the template's own words."""
    field, fix = "messages", "Change the turns, or use another template."
    if len(messages) > 1 and messages[0]["role"] == "system":
        try:
            template.render(messages[1:], tools)
        except TemplateRefusal:
            pass
        else:
            field = "messages[0]"
            fix = "Write it at the beginning of the first user message, or use another template."
    expected = "a conversation that the model's chat template takes"
    return problem("template_error", field, error.message, expected, fix)


def _all_but(unlearned: frozenset[int], draft: RenderedSample) -> list[Span]:
    """The whole text without the segments of some messages."""
    if not unlearned:
        return [(0, len(draft.text))]
    kept = (item for index, item in enumerate(draft.segments) if index not in unlearned)
    return [(start, end) for _, start, end in kept]
