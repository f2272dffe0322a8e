"""What the benchmarks of training train: random Llamas and chats of the sample file's words."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import NamedTuple

from core.samples import TINY_MODEL, TRAVEL

ROWS = 1200


class Shape(NamedTuple):
    """The width and depth of a Llama."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int | None = None  # None: that of the sample tokenizer


def write_base(folder: Path, shape: Shape) -> int:
    """Writes a random Llama in bfloat16 with the sample model's tokenizer; its parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from core.data.encode.encoder import Encoder

    folder.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY_MODEL / name, folder / name)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=shape.vocabulary or Encoder.load(folder).tokenizer.vocab_size,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=True,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        model = LlamaForCausalLM(config)
        torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def write_chats(path: Path, middle: float = 3.85) -> Path:
    """Chats whose number of words is log-normal around exp(middle); half of each is the answer."""
    draw = random.Random(0)
    text = " ".join(
        message["content"]
        for line in TRAVEL.read_text(encoding="utf-8").splitlines()
        for message in json.loads(line)["messages"][1:]
    ).split()
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(ROWS):
            words = int(max(8, draw.lognormvariate(middle, 0.6)))
            asked, said = (" ".join(draw.choices(text, k=words // 2)) for _ in range(2))
            turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
            file.write(json.dumps({"messages": turns}) + "\n")
    return path
