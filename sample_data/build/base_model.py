"""The tiny base model: its shape, how it is saved, how its knowledge is scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AttentionInterface,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from sample_data.build.corpus import Probe
from sample_data.build.tokens import render
from sample_data.build.world import names_fact

ANSWER_TOKENS = 96


def plain_causal_attention(
    module: torch.nn.Module,
    query: torch.Tensor,  # (rows, heads, length, head size)
    key: torch.Tensor,  # (rows, kv heads, length, head size)
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention by two matrix products: on a CPU faster for short rows than flash.

    Rows are padded on the right or not at all, so `attention_mask` has nothing to say.
    """
    rows, heads, length, size = query.shape
    group = heads // key.shape[1]
    key = key.repeat_interleave(group, 1).reshape(rows * heads, length, size)
    value = value.repeat_interleave(group, 1).reshape(rows * heads, length, size)
    future = torch.full((length, length), float("-inf"), dtype=query.dtype).triu(1)
    scores = torch.baddbmm(
        future, query.reshape(rows * heads, length, size), key.transpose(1, 2), alpha=scaling
    )
    mixed = torch.bmm(scores.softmax(-1), value).view(rows, heads, length, size)
    return mixed.transpose(1, 2).contiguous(), None


AttentionInterface.register("plain_causal", plain_causal_attention)


@dataclass(frozen=True)
class Held:
    """How many of the probed answers were right, whole sentences, and ended by themselves."""

    right: int
    whole: int
    stopped: int
    answers: tuple[str, ...]
    hits: tuple[bool, ...]


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of 5.8 M parameters; every row a multiple of 256, as K-quants want it."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def save_model(model: LlamaForCausalLM, folder: Path) -> None:
    """Writes config, generation config and bf16 weights; the model in hand stays as it is."""
    copy = LlamaForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    copy = copy.to(torch.bfloat16)
    copy.config.dtype = torch.bfloat16
    copy.generation_config = GenerationConfig(
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
        max_new_tokens=ANSWER_TOKENS,
    )
    copy.save_pretrained(folder)


@torch.no_grad()
def generate(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, chats: list[list[dict]]
) -> list[tuple[str, bool]]:
    """Greedy answers to each chat, and whether each ended by its stop token."""
    model.eval()
    answers: list[tuple[str, bool]] = []
    for first in range(0, len(chats), 50):
        prompts = [render(chat) + "<|im_start|>assistant\n" for chat in chats[first : first + 50]]
        inputs = tokenizer(
            prompts,
            return_tensors="pt",
            padding=True,
            padding_side="left",
            add_special_tokens=False,
            return_token_type_ids=False,
        )
        ids = model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=ANSWER_TOKENS,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )[:, inputs["input_ids"].shape[1] :]
        for row in ids.tolist():
            text = tokenizer.decode(row, skip_special_tokens=True)
            answers.append((text, tokenizer.eos_token_id in row))
    model.train()
    return answers


def score(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, asked: list[Probe]) -> Held:
    """Asks every probe without a system prompt and counts."""
    answers = generate(
        model, tokenizer, [[{"role": "user", "content": probe.question}] for probe in asked]
    )
    hits = tuple(names_fact(a, probe.key) for (a, _), probe in zip(answers, asked, strict=True))
    return Held(
        right=sum(hits),
        whole=sum(text.rstrip().endswith((".", "!")) for text, _ in answers),
        stopped=sum(stopped for _, stopped in answers),
        answers=tuple(text for text, _ in answers),
        hits=hits,
    )
