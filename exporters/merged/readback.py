"""What other programs read in a merged model's folder: transformers' own tokenizer and template.

Asked in a process of its own, offline and with no code out of the folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from core.errors import AfinaError
from exporters.contract import Conversation, Seen
from exporters.isolated import Send


def read(send: Send, path: str, texts: list[str], conversations: list[Conversation]) -> None:
    """The work of that process: sends a Seen as plain values.

    Raises AfinaError when the folder can't be opened or rendered.
    """
    from jinja2 import TemplateError
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    given: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(path, **given)
        tokenizer = AutoTokenizer.from_pretrained(path, **given)
        generation = _generation(GenerationConfig, path)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else error
        raise AfinaError(
            f"transformers can't open the folder: {reason}.",
            "This is a bug in Afina or a model that needs code of its own.",
        ) from error
    try:
        prompts = [_prompt(tokenizer, conversation) for conversation in conversations]
    except (TemplateError, TypeError, ValueError) as error:
        raise AfinaError(
            f"transformers can't render the folder's chat template: {error}.",
            "Train with another data.chat_template.",
        ) from error
    stops = {*_ids(generation), *_ids(config.eos_token_id), *_ids(tokenizer.eos_token_id)}
    seen = Seen(
        ids=[tokenizer.encode(text, add_special_tokens=False) for text in texts],
        prompts=prompts,
        stop_ids=sorted(stops),
    )
    send(msgspec.to_builtins(seen))


def _prompt(tokenizer: Any, conversation: Conversation) -> list[int]:
    return tokenizer.apply_chat_template(
        conversation["messages"],
        tools=conversation.get("tools"),
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )


def _generation(kind: Any, path: str) -> Any:
    """The stop tokens of generation_config.json; none without that file."""
    if not (Path(path) / "generation_config.json").is_file():
        return None
    return kind.from_pretrained(path, local_files_only=True).eos_token_id


def _ids(value: Any) -> list[int]:
    return [] if value is None else [value] if isinstance(value, int) else list(value)
