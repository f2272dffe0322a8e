"""The conversation of one column: what was said, and the ways back."""

from __future__ import annotations

import msgspec

Message = dict[str, str]


class History(msgspec.Struct):
    """Alternating user and assistant messages under a system prompt, which may be empty.

    A question is the message that `ask` or `retry` returned, not its words: once it was taken
    back, no answer can be added to it.
    """

    system: str = ""
    turns: list[Message] = []

    @property
    def messages(self) -> list[Message]:
        """What a model is asked with; the system prompt only where there is one."""
        first = [{"role": "system", "content": self.system}] if self.system else []
        return first + [dict(turn) for turn in self.turns]

    @property
    def question(self) -> Message | None:
        """The last question while it has no answer."""
        return self.turns[-1] if self.turns and self.turns[-1]["role"] == "user" else None

    def ask(self, text: str) -> Message:
        """Adds a question; one that got no answer is replaced."""
        self._drop("user")
        self.turns.append({"role": "user", "content": text})
        return self.turns[-1]

    def answer(self, question: Message, text: str) -> bool:
        """Adds the answer to a question; returns False, and adds nothing, when that is gone."""
        if self.question is not question:
            return False
        self.turns.append({"role": "assistant", "content": text})
        return True

    def retry(self) -> Message | None:
        """Takes the last answer back; returns the question that is open again, if there is one.

        An answer that is still to come to it is one to the question before.
        """
        self._drop("assistant")
        if self.turns:
            self.turns[-1] = dict(self.turns[-1])
        return self.question

    def undo(self) -> Message | None:
        """Takes the last question and its answer back; returns the question."""
        self._drop("assistant")
        return self.turns.pop() if self.turns else None

    def clear(self) -> None:
        """Starts over under the same system prompt."""
        self.turns.clear()

    def _drop(self, role: str) -> None:
        if self.turns and self.turns[-1]["role"] == role:
            self.turns.pop()
