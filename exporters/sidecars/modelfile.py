"""The Modelfile beside a GGUF: how Ollama is to render a conversation, stop and sample.

Ollama renders with Go templates of its own and doesn't run the Jinja template in the file: without
a TEMPLATE it takes one of its own that looks like it, or none. Syntax: ollama's docs/modelfile.md
and parser/parser.go; variables: template/template.go (.System holds all system messages, messages
of one role that follow each other are joined, a tool's are apart).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from core.data.escape import visible
from exporters.sidecars.turns import Turns

WIDTH = 100  # characters of a comment's line
# generation_config.json's names and Ollama's
SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repeat_penalty",
}
# How a template says what a literal can't hold: the opening brace of an action, the quotes that end
# it for Ollama, and what Ollama's parser drops because it is not printable.
_ACTION = '{{ "%s" }}'


class Modelfile(msgspec.Struct, frozen=True):
    """What one says."""

    model: str  # a path from its own folder on
    adapter: str | None = None
    turns: Turns | None = None  # None: the chat template could not be translated
    system: str = ""  # what the rows it was trained on begin with; an answer without it is another
    stops: tuple[str, ...] = ()
    parameters: Mapping[str, float] = {}
    comments: tuple[str, ...] = ()

    def text(self) -> str:
        lines = [*_comments(self.comments), f"FROM {self.model}"]
        if self.adapter is not None:
            lines.append(f"ADAPTER {self.adapter}")
        if self.turns is not None:
            lines += [*_comments(self.turns.notes), f'TEMPLATE """{go_template(self.turns)}"""']
        if self.turns is not None and can_quote(self.system):
            lines.append(f'SYSTEM """{self.system}"""')
        lines += [f"PARAMETER stop {quoted(stop)}" for stop in self.stops]
        lines += [f"PARAMETER {name} {_number(value)}" for name, value in self.parameters.items()]
        return "\n".join(lines) + "\n"


def go_template(turns: Turns) -> str:
    """The same conversation in Go's syntax, in one stream without cosmetic white space."""
    led = f"{literal(turns.before_system)}{{{{ $.System }}}}{literal(turns.after_system)}"
    start, user = literal(turns.start), "{{ $m.Content }}"
    if turns.knows_system and turns.system_last:
        last = "{{ if and $.System (eq (len (slice $.Messages $i)) 1) }}"
        user = f"{last}{led}{{{{ end }}}}{user}"
    elif turns.knows_system:
        start = f"{{{{ if $.System }}}}{led}{{{{ else }}}}{start}{{{{ end }}}}"
    answer = f"{literal(turns.answer)}{{{{ $m.Content }}}}{literal(turns.next)}"
    return (
        f'{start}{{{{ range $i, $m := $.Messages }}}}{{{{ if eq $m.Role "user" }}}}{user}'
        f'{{{{ else if eq $m.Role "assistant" }}}}{answer}{{{{ end }}}}{{{{ end }}}}'
        f"{literal(turns.open)}"
    )


def literal(text: str) -> str:
    """Text that Ollama's parser and Go's hand on as it is."""
    return re.sub(r'"""|[^ \n]', lambda found: _escaped(found[0]), text)


def _escaped(piece: str) -> str:
    if piece == '"""':
        return _ACTION % r"\"\"\""
    if piece == "{":
        return _ACTION % piece
    if piece.isprintable():
        return piece
    code = ord(piece)
    return _ACTION % (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def quoted(text: str) -> str:
    """A value of a parameter; in it quotes need no escape, for only the outer ones count."""
    return f'"""{text}"""' if "\n" in text else f'"{text}"'


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def can_quote(text: str) -> bool:
    """Whether Ollama's parser hands a value on as it is: it drops what is not printable."""
    printable = all(c.isprintable() or c == "\n" for c in text)
    return bool(text) and printable and '"""' not in text and not text.startswith('""')


def parameters_of(generation: Mapping[str, Any], context: int | None) -> dict[str, float]:
    """Ollama's parameters from generation_config.json; `context` in tokens."""
    found = {}
    if generation.get("do_sample") is False:
        found["temperature"] = 0.0
    else:
        for name, theirs in SAMPLING.items():
            value = generation.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[theirs] = float(value)
    if context is not None:
        found["num_ctx"] = float(context)
    return found


def _comments(sentences: tuple[str, ...]) -> list[str]:
    """Lines that Ollama passes over, whatever is in them."""
    import textwrap

    lines = []
    for sentence in sentences:
        plain = visible(sentence, newlines=False)
        lines += textwrap.wrap(plain, WIDTH, initial_indent="# ", subsequent_indent="# ")
    return lines


def modelfile_path(gguf: Path) -> Path:
    """Beside the file that it is about."""
    return gguf.with_suffix(".Modelfile")
