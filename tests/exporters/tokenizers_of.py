"""Byte-level tokenizers of the four known kinds, and a one-layer model around each; no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exporters.gguf.byte_level import LLAMA3_SPLIT, QWEN2_SPLIT
from tests.exporters.models import END, PAD, START, TEMPLATE, TEXT

TEXTS = [
    TEXT,
    "don't we'll 12345 2024-11-21 x=1; naïve mañana Привет 你好世界 مرحبا 😀👍🏽 \n\n  \t",
] * 4
BOS = "<|begin|>"


def train(kind: str, bos: bool = False) -> Any:
    """A `tokenizers.Tokenizer` that splits text as llama.cpp's pre type `kind` does."""
    from tokenizers import Regex, Tokenizer, models, normalizers, processors, trainers
    from tokenizers import pre_tokenizers as pre

    bare = pre.ByteLevel(add_prefix_space=False, use_regex=False)
    full = pre.ByteLevel(add_prefix_space=False, use_regex=True)

    def split(expression: str) -> Any:
        return pre.Sequence([pre.Split(Regex(expression), "isolated"), bare])

    steps = {
        "gpt-2": full,
        "llama-bpe": split(LLAMA3_SPLIT),
        "dbrx": split(LLAMA3_SPLIT),
        "qwen2": split(QWEN2_SPLIT),
        "smollm": pre.Sequence([pre.Digits(individual_digits=True), full]),
    }
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "llama-bpe"))
    tokenizer.pre_tokenizer = steps[kind]
    if kind == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=560,
        special_tokens=[PAD, START, END, BOS],
        initial_alphabet=pre.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
        )
    return tokenizer


def train_sentencepiece(prefix: bool) -> Any:
    """A BPE with byte fallback, as Llama 2's (with a space in front) or Gemma's (without)."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    steps: list[Any] = [normalizers.Prepend("▁")] if prefix else []
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.ByteFallback()
    special = ["<unk>", PAD, START, END, BOS]
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=[*special, *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    tokenizer.train_from_iterator(" ".join(TEXTS).split(". "), trainer)
    values = json.loads(tokenizer.to_str())  # bytes are ordinary tokens, not added ones
    values["added_tokens"] = [t for t in values["added_tokens"] if t["content"] in special]
    return Tokenizer.from_str(json.dumps(values))


def write_model(folder: Path, tokenizer: Any, template: str = TEMPLATE, **options: Any) -> None:
    """A random one-layer Llama of hidden size 32 with this tokenizer, written by hand."""
    import numpy as np
    from safetensors.numpy import save_file

    from exporters.gguf.families.llama import LLAMA_NAMES

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    end = tokenizer.token_to_id(END)
    settings = {"eos_token": END, "pad_token": PAD, "chat_template": template}
    if options.pop("names_bos", False):
        settings["bos_token"] = BOS
    write_json(folder / "tokenizer_config.json", settings)
    write_json(folder / "generation_config.json", {"eos_token_id": options.pop("stops", [end])})
    config = {
        "model_type": "llama",
        "vocab_size": 600,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 256,
        "rope_theta": 10000.0,
    } | options
    write_json(folder / "config.json", config)
    rows = config["vocab_size"]
    shapes = {"embed_tokens": (rows, 32), "lm_head": (rows, 32), "norm": (32,), "layernorm": (32,)}
    shapes |= {"q_proj": (32, 32), "k_proj": (16, 32), "v_proj": (16, 32), "o_proj": (32, 32)}
    shapes |= {"gate_proj": (64, 32), "up_proj": (64, 32), "down_proj": (32, 64)}
    random = np.random.default_rng(0)
    tensors = {}
    for pattern in LLAMA_NAMES:
        shape = next(size for ending, size in shapes.items() if pattern.endswith(ending))
        name = f"{pattern.replace('#', '0')}.weight"
        tensors[name] = random.normal(0, 0.3, shape).astype(np.float32)
    save_file(tensors, folder / "model.safetensors")


def write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values))
