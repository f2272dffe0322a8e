"""The chat templates that an exported file carries for other programs.

`{% generation %}` marks what is learned; transformers knows that tag, and implementations of
Jinja in other programs stop at it. It becomes `{% if true %}` with the same dashes, so that the
whitespace around it comes out the same everywhere.
"""

from __future__ import annotations

import re

from core.data.encode.template import ChatTemplate, TemplateRefusal

_TAG = re.compile(r"\{%([-+]?)\s*(generation|endgeneration)\s*([-+]?)%\}")
_PLAIN = {"generation": "if true", "endgeneration": "endif"}
# GGUF can't say "no BOS": llama.cpp then hands token 11 to the template as bos_token
_NO_BOS = "{%- set bos_token = '' -%}"


def portable(source: str, has_bos: bool) -> str:
    """A template without generation markers that renders the same text in every program."""
    plain = _TAG.sub(lambda tag: f"{{%{tag[1]} {_PLAIN[tag[2]]} {tag[3]}%}}", source)
    return plain if has_bos or "bos_token" not in plain else _NO_BOS + plain


def writes_bos(template: ChatTemplate, bos: str) -> bool:
    """Whether a prompt begins with the BOS token's own text."""
    turns = [{"role": "user", "content": "afina-question"}]
    return _prompt(template, turns).startswith(bos)


def sample_prompt(template: ChatTemplate) -> str:
    """A prompt of three turns as it is fed; empty for a template that wants more than that."""
    turns = [{"role": "user", "content": "afina-question"}]
    turns += [{"role": "assistant", "content": "afina-answer"}, *turns]
    return _prompt(template, turns)


def _prompt(template: ChatTemplate, turns: list[dict[str, str]]) -> str:
    try:
        return template.render(turns, add_generation_prompt=True).text
    except TemplateRefusal:  # it wants more than a question and an answer
        return ""
