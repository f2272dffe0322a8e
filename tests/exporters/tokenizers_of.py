"""Byte-level tokenizers of all known kinds, SentencePiece's, and a one-layer model; no torch."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from exporters.gguf.byte_level import (
    DEEPSEEK3_SPLITS,
    GPT2_SPLIT,
    LLAMA3_SPLIT,
    QWEN2_SPLIT,
    QWEN35_SPLIT,
    SEED_SPLIT,
)
from exporters.parity.snippets import PIECES
from tests.exporters.models import END, PAD, START, TEMPLATE, TEXT

TEXTS = [
    TEXT,
    "don't we'll 12345 2024-11-21 x=1; naïve mañana Привет 你好世界 مرحبا 😀👍🏽 \n\n  \t",
    *PIECES,  # so that words of every script are tokens, and a split inside of them shows
] * 4
BOS = "<|begin|>"


# kind: (expressions, how each splits, ignore_merges)
SPLIT_BY = {
    "gpt-2 by expression": ((GPT2_SPLIT,), "isolated", False),
    "llama-bpe": ((LLAMA3_SPLIT,), "isolated", True),
    "dbrx": ((LLAMA3_SPLIT,), "isolated", False),
    "dbrx as tiktoken has it": (
        (
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}"
            r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        ),
        "removed",
        False,
    ),
    "qwen2": ((QWEN2_SPLIT,), "isolated", False),
    "qwen35": ((QWEN35_SPLIT,), "isolated", False),
    "seed-coder": ((SEED_SPLIT,), "isolated", False),
    "deepseek-v3": (DEEPSEEK3_SPLITS, "isolated", False),
}
COMPOSING = ("qwen2", "qwen35")  # those that normalize to NFC


def train(kind: str, bos: bool = False) -> Any:
    """A `tokenizers.Tokenizer` that splits text as llama.cpp's pre type `kind` does."""
    from tokenizers import Regex, Tokenizer, models, normalizers, processors, trainers
    from tokenizers import pre_tokenizers as pre

    bare = pre.ByteLevel(add_prefix_space=False, use_regex=False)
    full = pre.ByteLevel(add_prefix_space=False, use_regex=True)
    expressions, behavior, ignore_merges = SPLIT_BY.get(kind, ((), "", False))
    steps = [pre.Split(Regex(e), behavior, invert=behavior == "removed") for e in expressions]
    digits = [pre.Digits(individual_digits=True)]
    whole = {"gpt-2": full, "smollm": pre.Sequence([*digits, full])}
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = whole.get(kind) or pre.Sequence([*steps, bare])
    if kind in COMPOSING:
        tokenizer.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
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


def train_sentencepiece(spaces: str) -> Any:
    """A BPE with byte fallback: a space in front of each part ("always", as Llama 2), of the text
    alone ("first", as Mistral), or nowhere ("never", as Gemma).
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    steps: list[Any] = [normalizers.Prepend("▁")] if spaces == "always" else []
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if spaces == "first":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.ByteFallback()
    special = ["<unk>", PAD, START, END, BOS]
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=[*special, *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    text = " ".join(TEXTS).replace("\0", "")  # llama.cpp would end a token there
    tokenizer.train_from_iterator(text.split(". "), trainer)
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
        "vocab_size": 1600,
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


def write_sentencepiece(path: Path, tokenizer: Any, **options: Any) -> None:
    """A tokenizer.model with the vocabulary of a tokenizer by `train_sentencepiece`.

    Written as sentencepiece 0.2 does; options: prefix, squeezes, charsmap, algorithm.
    """
    values = json.loads(tokenizer.to_str())
    vocabulary = sorted(values["model"]["vocab"], key=values["model"]["vocab"].get)
    control = {token["content"] for token in values["added_tokens"]} - {"<unk>"}
    data = b""
    for place, text in enumerate(vocabulary):
        kind = 2 if text == "<unk>" else 3 if text in control else 1
        kind = 6 if text.startswith("<0x") else kind
        score = struct.pack("<f", -float(place) if kind == 1 else 0.0)
        piece = _field(1, text.encode()) + b"\x15" + score + _field(3, kind)
        data += _field(1, piece)
    data += _field(2, _field(3, options.get("algorithm", 2)) + _field(35, 1))
    normalizer = _field(2, options.get("charsmap", b""))
    normalizer += _field(3, int(options.get("prefix", True)))
    normalizer += _field(4, int(options.get("squeezes", False)))
    path.write_bytes(data + _field(3, normalizer))


def _field(number: int, value: bytes | int) -> bytes:
    """A field of a protobuf message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    head = bytes([value & 0x7F | (0x80 if value > 0x7F else 0)])
    return head + _varint(value >> 7) if value > 0x7F else head
