"""The tokens that end an answer of a tuned model, for the files that other programs read."""

from __future__ import annotations

from core.data.encode.template import ChatTemplate, TemplateRefusal
from core.data.encode.tokenizer import Tokenizer
from core.errors import AfinaError


def stop_ids(tokenizer: Tokenizer, template: ChatTemplate, place: str) -> tuple[int, ...]:
    """All of them, the one with which the template ends a turn first.

    Raises AfinaError where the model at `place` names none.
    """
    ids = sorted(tokenizer.stop_ids)
    if not ids:
        raise AfinaError(
            f'The model in "{place}" names no stop token.',
            "Give eos_token_id in its generation_config.json.",
        )
    after = after_answer(template)
    texts = {token: tokenizer.token_text(token) for token in ids}
    ending = [token for token in ids if texts[token] and after.startswith(texts[token])]
    first = (ending or [tokenizer.eos_id if tokenizer.eos_id in ids else ids[0]])[0]
    assert first is not None
    return (first, *(token for token in ids if token != first))


def after_answer(template: ChatTemplate) -> str:
    """What a template writes right after an answer: the token that ends a turn, and the rest."""
    mark = "afina-answer"
    turns = [{"role": "user", "content": "afina-question"}, {"role": "assistant", "content": mark}]
    try:
        text = template.render(turns, add_generation_prompt=False).text
    except TemplateRefusal:  # it wants more than a question and an answer
        return ""
    return text.rpartition(mark)[2] if mark in text else ""
