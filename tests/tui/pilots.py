"""Helpers of the screens' tests: a tiny tokenizer, what stands on the screen, waiting for it."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from textual.app import App
from textual.pilot import Pilot
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from core.config import Config, Data, Model
from tui.widgets.token_drawing import Drawing, Piece
from tui.widgets.token_view import TokenView

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}"
    "{% endgeneration %}{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
DEADLINE_S = 30.0


def byte_model(folder: Path) -> Path:
    """A model folder without weights, whose tokenizer makes one token of every byte."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    end = tokenizer.token_to_id("<|im_end|>")
    texts = {
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", **names},
        "generation_config.json": {"eos_token_id": [end]},
        "config.json": {"model_type": "llama", "eos_token_id": end},
    }
    for name, values in texts.items():
        (folder / name).write_text(json.dumps(values))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def write_weights(folder: Path, hidden: int = 8, layers: int = 2, vocabulary: int = 260) -> None:
    """Weights of a tiny Llama, all zero, and the config.json that describes them."""
    shapes = {"model.embed_tokens.weight": [vocabulary, hidden]}
    for layer in range(layers):
        for name in ("self_attn.q_proj", "self_attn.o_proj"):
            shapes[f"model.layers.{layer}.{name}.weight"] = [hidden, hidden]
    header, end = {}, 0
    for name, (rows, columns) in shapes.items():
        size = 2 * rows * columns
        header[name] = {
            "dtype": "BF16",
            "shape": [rows, columns],
            "data_offsets": [end, end + size],
        }
        end += size
    words = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(words)) + words + bytes(end))
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_size": hidden, "num_hidden_layers": layers, "vocab_size": vocabulary}
    (folder / "config.json").write_text(json.dumps(config | {"num_attention_heads": 2}))


def chat(question: str, answer: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def write_rows(path: Path, rows: list[Any]) -> Path:
    """A file of one JSON value per line; a str is a line as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def config_of(data: Path, model: Path, **data_options: Any) -> Config:
    """A configuration on this file and this model."""
    return Config(
        name="trial",
        model=Model(name_or_path=str(model)),
        data=Data(path=str(data), **data_options),
    )


def changed(config: Config, group: str, **values: Any) -> Config:
    part = msgspec.structs.replace(getattr(config, group), **values)
    return msgspec.structs.replace(config, **{group: part})


def lines_of(app: App) -> list[str]:
    """What stands on the screen, line by line."""
    strips = app.screen._compositor.render_strips()  # what Textual itself would write
    return ["".join(segment.text for segment in strip) for strip in strips]


def pieces_of(drawing: Drawing, width: int = 10_000) -> list[Piece]:
    """Everything that is drawn, stretch by stretch."""
    return [piece for y in range(drawing.wrap(width)) for piece in drawing.line(y)]


def styles_of(view: TokenView) -> dict[str, str]:
    """Style by words; of equal words the last."""
    width = view.scrollable_content_region.width
    return {piece.words: piece.style for piece in pieces_of(view.drawing, width)}


def text_of(app: App) -> str:
    return "\n".join(lines_of(app))


async def until(
    pilot: Pilot, condition: Callable[[], Any], what: str = "", deadline_s: float = DEADLINE_S
) -> Any:
    """Waits for a condition; shows the screen when it doesn't come true."""
    end = time.monotonic() + deadline_s
    while True:
        await pilot.pause()
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"never: {what or condition}\n{text_of(pilot.app)}")
        await asyncio.sleep(0.02)
