"""What llama.cpp says: kept out of the terminal, and made into the reason of an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

ERROR = 4  # ggml_log_level, ggml.h


class Log:
    """llama.cpp's own words: kept out of the terminal, its errors remembered, lines handed on."""

    def __init__(self, c: Any, on_line: Callable[[str], None] = lambda line: None) -> None:
        self._errors: list[str] = []
        self._on_line = on_line
        self._callback = c.llama_log_callback(self._take)
        c.llama_log_set(self._callback, None)

    def clear(self) -> None:
        self._errors.clear()

    def reason(self, otherwise: str = "it gives no reason") -> str:
        """The first error since it was cleared, which is the exact one, without its function."""
        first = next(iter(self._errors), otherwise)
        return re.sub(r"^\w+: ", "", first).rstrip(".")

    def _take(self, level: int, text: bytes, _: Any) -> None:
        words = text.decode("utf-8", errors="replace").strip()
        if level == ERROR and words:
            self._errors.append(words)
        self._on_line(words)


@lru_cache(maxsize=1)
def log() -> Log:
    """The one log of this process; llama.cpp holds a pointer to it and may write at any time."""
    import llama_cpp

    return Log(llama_cpp)
