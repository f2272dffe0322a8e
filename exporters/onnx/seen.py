"""What another program reads in an ONNX folder: onnxruntime-genai's own tokenizer and templates."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.errors import AfinaError
from exporters.exporter import Conversation, Seen
from exporters.job.aside import Send, run_aside
from exporters.onnx.config import GENAI


def read_folder(
    path: Path,
    texts: Sequence[str],
    conversations: Sequence[Conversation],
    check: Callable[[], None],
) -> Seen:
    """Asks in a process of its own. Raises AfinaError where the folder can't be read or rendered.

    What `check` raises ends that process.
    """
    found: list[Seen] = []
    run_aside(
        _read,
        (str(path), list(texts), list(conversations)),
        lambda values: found.append(msgspec.convert(values, Seen)),
        check,
    )
    return found[0]


def _read(send: Send, path: str, texts: list[str], conversations: list[Conversation]) -> None:
    og: Any = importlib.import_module("onnxruntime_genai")
    og.disable_telemetry_events()
    try:
        tokenizer = og.Tokenizer(og.Model(path))
        ids = [tokenizer.encode(text).tolist() for text in texts]
        prompts = [_prompt(tokenizer, each) for each in conversations]
    except RuntimeError as error:
        raise AfinaError(
            f"onnxruntime-genai can't read the folder: {error}.",
            "This is a fault of Afina or an option of the model that the library lacks.",
        ) from error
    config = json.loads((Path(path) / GENAI).read_bytes())["model"]
    stops = config["eos_token_id"]
    send(
        msgspec.to_builtins(
            Seen(
                ids=ids,
                prompts=prompts,
                stop_ids=stops if isinstance(stops, list) else [stops],
                add_bos=False,
                tokens=config["vocab_size"],
            )
        )
    )


def _prompt(tokenizer: Any, conversation: Conversation) -> list[int]:
    tools = conversation.get("tools")
    text = tokenizer.apply_chat_template(
        messages=json.dumps(conversation["messages"], ensure_ascii=False),
        tools=json.dumps(tools, ensure_ascii=False) if tools else None,
        add_generation_prompt=True,
    )
    return tokenizer.encode(text).tolist()
