"""Chat templates for onnxruntime-genai, whose Jinja drops no whitespace that is not marked.

transformers renders with trim_blocks and lstrip_blocks: a tag takes the spaces before it and the
line's end behind it along. Here those characters leave the source, and those that stay beside a
tag are written as expressions, so that it renders the same with and without the two settings.
"""

from __future__ import annotations

from collections.abc import Iterator

from exporters.chat_template import portable

Token = tuple[str, str]  # kind and source, as Jinja's lexer has them


def written_out(source: str, has_bos: bool) -> str:
    """A template that renders in every program what transformers renders of this one."""
    tokens = [("", ""), *_tokens(portable(source, has_bos)), ("end", "")]
    parts = []
    for before, (kind, value), after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if kind == "data":
            parts.append(_kept(value, before, after))
        elif kind not in ("raw_begin", "raw_end"):
            parts.append(_bare(kind, value))
    return "".join(parts)


def _tokens(source: str) -> Iterator[Token]:
    """Without comments; texts as the two settings leave them, neighbours joined."""
    from jinja2 import Environment

    text, comment, raw = "", False, False
    lexer = Environment(trim_blocks=True, lstrip_blocks=True).lexer
    for _, kind, value in lexer.tokeniter(source, None):
        if kind == "comment_begin":
            comment = True
        elif kind == "comment_end":
            comment = False
        elif kind == "data" and raw:
            yield "expression", _expression(value)
        elif kind == "data":
            text += value
        elif not comment:
            raw = kind == "raw_begin"
            if text:
                yield "data", text
                text = ""
            yield kind, value
    if text:
        yield "data", text


def _kept(text: str, before: Token, after: Token) -> str:
    """A text of which neither the two settings nor the dashes of its neighbours drop more.

    A dash can only find whitespace here that a comment stood before.
    """
    start, end = 0, len(text)
    if before[1].rstrip().endswith(("-%}", "-}}")):
        start = end - len(text.lstrip())
    elif before[0] == "block_end" and text.startswith("\n"):
        start = 1
    if after[1].lstrip().startswith(("{%-", "{{-")):
        end = len(text.rstrip())
    elif after[0] == "block_begin":
        end = len(text.rstrip(" \t"))
    elif after[0] == "end" and text.endswith("\n"):
        end -= 1
    end = max(start, end)
    first, last = text[:start], text[end:]
    return _expression(first) + text[start:end] + _expression(last)


def _bare(kind: str, value: str) -> str:
    """A tag's delimiters without the whitespace that it took along."""
    if kind == "block_end":
        return value.rstrip().replace("+%}", "%}")
    return value.lstrip().replace("{%+", "{%") if kind == "block_begin" else value


def _expression(text: str) -> str:
    if not text:
        return ""
    for plain, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    return f"{{{{ '{text}' }}}}"
