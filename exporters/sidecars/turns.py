"""A chat template as plain text between messages, found by what it renders, not by its name.

Ollama's templates are Go's and know neither macros nor filters. Most chat templates are simple all
the same: the same text stands between a question and its answer wherever they are. The text is
found between marked messages, and proven on further conversations; a template that does anything
else is not translated.
"""

from __future__ import annotations

import msgspec

from core.data.encode.template import ChatTemplate, TemplateRefusal
from core.data.sample import Message

SYSTEM, USER, ANSWER = "system", "user", "assistant"
# Stands before a template in place of the function that tells the date of the day.
UNDATED = "{%- macro strftime_now(format) -%}Afina has no date{%- endmacro -%}"
PROOFS = (
    ((USER, "Name a river."),),
    ((SYSTEM, "You are terse."), (USER, "Hi! {{x}} {% y %}")),
    ((USER, "a"), (ANSWER, "b\n\n- c"), (USER, "d?"), (ANSWER, "e."), (USER, "«f» 你好 😀")),
    (
        (SYSTEM, "s"),
        (USER, "One\ntwo"),
        (ANSWER, "<b>3</b>"),
        (USER, "4"),
        (ANSWER, "5"),
        (USER, "6"),
    ),
)
SPACED = ((USER, "  a \n"), (ANSWER, " b "), (USER, " c\n"))
THOUGHT = ((USER, "a"), (ANSWER, "<think>\nb\n</think>\n\nc"), (USER, "d"))
TOOL = {
    "type": "function",
    "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}},
}


class Turns(msgspec.Struct, frozen=True):
    """The text between messages; a conversation begins and ends with a user's."""

    start: str  # before the first user message, without a system message
    before_system: str
    after_system: str  # up to the user message
    answer: str  # between a user message and its answer
    next: str  # between an answer and the next user message
    open: str  # after the last user message: the model goes on here
    system_last: bool = False  # the system message stands before the last user message
    knows_system: bool = True
    notes: tuple[str, ...] = ()  # what the template does besides

    def render(self, messages: list[Message]) -> str:
        """The prompt; a template that doesn't know a system message passes it over."""
        system = [m["content"] for m in messages if m["role"] == SYSTEM]
        spoken = [m for m in messages if m["role"] != SYSTEM]
        led = self.before_system + "".join(system) + self.after_system
        has_system = bool(system) and self.knows_system
        text = led if has_system and not self.system_last else self.start
        for place, message in enumerate(spoken):
            if message["role"] == ANSWER:
                text += self.answer + message["content"] + self.next
            else:
                last = place == len(spoken) - 1
                text += led * (has_system and self.system_last and last) + message["content"]
        return text + self.open


def turns_of(template: ChatTemplate) -> Turns | None:
    """The template's text between messages; None where there is more to it."""
    try:
        turns = _found(template)
        if turns is None or not all(_proves(template, turns, proof) for proof in PROOFS):
            return None
    except TemplateRefusal:  # it wants more than questions and answers
        return None
    return msgspec.structs.replace(turns, notes=tuple(_notes(template, turns)))


def _found(template: ChatTemplate) -> Turns | None:
    between = _between(template, (USER, ANSWER, USER, ANSWER, USER))
    alone = _between(template, (USER,))
    if between is None or alone is None:
        return None
    start, answer, following, answer_2, following_2, after = between
    if (answer, following) != (answer_2, following_2) or alone != [start, after]:
        return None
    turns = Turns(start, "", "", answer, following, after)
    return _with_system(template, turns)


def _with_system(template: ChatTemplate, turns: Turns) -> Turns | None:
    """Where the system message stands: first, before the last user message, or nowhere."""
    roles = (SYSTEM, USER, ANSWER, USER)
    try:
        first = _between(template, roles)
        last = _between(template, roles, (1, 2, 0, 3))
        nowhere = _between(template, roles, (1, 2, 3))
    except TemplateRefusal:
        return msgspec.structs.replace(turns, knows_system=False)
    if first is not None:
        return msgspec.structs.replace(turns, before_system=first[0], after_system=first[1])
    if last is not None and last[2].startswith(turns.next):
        before = last[2].removeprefix(turns.next)
        return msgspec.structs.replace(
            turns, before_system=before, after_system=last[3], system_last=True
        )
    return msgspec.structs.replace(turns, knows_system=False) if nowhere is not None else None


def _between(
    template: ChatTemplate, roles: tuple[str, ...], order: tuple[int, ...] = ()
) -> list[str] | None:
    """The texts around marked messages of these roles, one more than there are messages.

    order: the messages as they follow each other in the text; as given without one. None where
    the text holds others, or holds them otherwise.
    """
    marks = [f"Afina{role}mark{place}end" for place, role in enumerate(roles)]
    messages = [{"role": r, "content": mark} for r, mark in zip(roles, marks, strict=True)]
    rest = template.render(messages, add_generation_prompt=True).text
    found = []
    for place in order or range(len(roles)):
        before, there, rest = rest.partition(marks[place])
        if not there:
            return None
        found.append(before)
    found.append(rest)
    return None if any(mark in part for mark in marks for part in found) else found


def _proves(template: ChatTemplate, turns: Turns, proof: tuple[tuple[str, str], ...]) -> bool:
    if not turns.knows_system and any(role == SYSTEM for role, _ in proof):
        return True  # refused or passed over, as it was found
    messages = _messages(proof)
    return turns.render(messages) == template.render(messages, add_generation_prompt=True).text


def _notes(template: ChatTemplate, turns: Turns) -> list[str]:
    """What the template does that plain text can't."""
    notes = []
    if not turns.knows_system:
        notes.append("The chat template has no place for a system message.")
    if not _proves(template, turns, SPACED):
        notes.append("The chat template trims the space around messages; Ollama leaves it.")
    if not _proves(template, turns, THOUGHT):
        notes.append("The chat template changes thoughts in earlier answers; Ollama doesn't.")
    if _uses_tools(template):
        notes.append("Tools are not translated: Ollama offers the model none.")
    if _tells_date(template):
        notes.append("The chat template tells the date of the day; here it is that of the export.")
    return notes


def _uses_tools(template: ChatTemplate) -> bool:
    messages = _messages(PROOFS[0])
    try:
        plain, tooled = (template.render(messages, tools, True).text for tools in (None, [TOOL]))
    except TemplateRefusal:
        return True
    return plain != tooled


def _tells_date(template: ChatTemplate) -> bool:
    source = template.source()
    if "strftime_now" not in source:
        return False
    undated = ChatTemplate({"default": UNDATED + source}, template.special)
    messages = _messages(PROOFS[0])
    one, other = (each.render(messages, None, True).text for each in (template, undated))
    return one != other


def _messages(turns: tuple[tuple[str, str], ...]) -> list[Message]:
    return [{"role": role, "content": content} for role, content in turns]
