"""Chat templates for onnxruntime-genai, whose Jinja drops no whitespace that is not marked.

transformers renders with trim_blocks and lstrip_blocks: a tag takes the spaces before it and the
line's end behind it along. Here those characters leave the source, so that it renders the same
where the two settings are unknown.
"""

from __future__ import annotations

from exporters.gguf.template import portable


def written_out(source: str, has_bos: bool) -> str:
    """A template that renders in every program what transformers renders of this one."""
    return _without_blanks(portable(source, has_bos))


def _without_blanks(source: str) -> str:
    """The source without comments and without the whitespace that the two settings drop."""
    from jinja2 import Environment

    parts = []
    comment = False
    for _, kind, value in Environment(trim_blocks=True, lstrip_blocks=True).lexer.tokeniter(
        source, None
    ):
        if kind == "comment_begin":
            comment = True
        elif kind == "comment_end":
            comment = False
        elif not comment:
            parts.append(_part(kind, value))
    return "".join(parts)


def _part(kind: str, value: str) -> str:
    if kind in ("block_end", "raw_end", "raw_begin"):
        value = value.rstrip().replace("+%}", "%}")
    if kind in ("block_begin", "raw_begin", "raw_end"):
        value = value.lstrip().replace("{%+", "{%")
    return value
