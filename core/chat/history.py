"""The conversation of one column: what was said, and the ways back."""

from __future__ import annotations

import msgspec

Message = dict[str, str]


class History(msgspec.Struct):
    """Alternating user and assistant messages under a system prompt, which may be empty."""

    system: str = ""
    turns: list[Message] = []

    @property
    def messages(self) -> list[Message]:
        """What a model is asked with; the system prompt only where there is one."""
        first = [{"role": "system", "content": self.system}] if self.system else []
        return first + [dict(turn) for turn in self.turns]

    def ask(self, text: str) -> None:
        """Adds a question; one that got no answer is replaced."""
        self._drop("user")
        self.turns.append({"role": "user", "content": text})

    def answer(self, text: str) -> None:
        """Adds the answer to the last question, or replaces it."""
        self._drop("assistant")
        self.turns.append({"role": "assistant", "content": text})

    def retry(self) -> str | None:
        """Takes the last answer back; returns the question that is open again, if there is one."""
        self._drop("assistant")
        return self.turns[-1]["content"] if self.turns else None

    def undo(self) -> str | None:
        """Takes the last question and its answer back; returns the question."""
        self._drop("assistant")
        return self.turns.pop()["content"] if self.turns else None

    def clear(self) -> None:
        """Starts over under the same system prompt."""
        self.turns.clear()

    def _drop(self, role: str) -> None:
        if self.turns and self.turns[-1]["role"] == role:
            self.turns.pop()
