"""Tiny models for the export tests: built by constructor, answering in a way that is known.

Token t is followed by next(t): lm_head's row next(t) is t's embedding. The layers are random and
loud enough to matter, so that a wrong tensor shows, and an answer is a chain that ends by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXT = "the sea is warm in may and old boats wait for people who ask where to go next"
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
ANSWER = ["The", " sea", " is", " warm", " in", " may", "."]  # how every answer goes
TEMPLATE = """{%- for message in messages -%}
  {{- '<|im_start|>' + message['role'] + '\\n' -}}
  {%- if message['role'] == 'assistant' -%}
    {%- generation -%}
      {{- message['content'] + '<|im_end|>' -}}
    {%- endgeneration -%}
  {%- else -%}
    {{- message['content'] + '<|im_end|>' -}}
  {%- endif -%}
  {{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


def make_tokenizer(folder: Path, template: str | None = TEMPLATE, vocabulary: int = 480) -> Any:
    """A byte-level BPE with three special tokens, saved with its template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT, "The sea is warm in may."] * 4, trainer)
    tokenizer.add_tokens([AddedToken("<tool_call>", special=False, normalized=False)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        clean_up_tokenization_spaces=False,
        chat_template=template,
    )
    fast.save_pretrained(folder)
    return fast


def make_model(folder: Path, seed: int = 0, dtype: str = "float32", **options: Any) -> Any:
    """A two-layer Llama in `folder` whose answers are ANSWER; `options` go to LlamaConfig."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    fast = make_tokenizer(folder)
    config = LlamaConfig(
        **{
            "vocab_size": 512,  # more rows than tokens
            "hidden_size": 256,
            "intermediate_size": 512,
            "num_hidden_layers": 2,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "max_position_embeddings": 512,
            "bos_token_id": None,
            "eos_token_id": fast.eos_token_id,
            "pad_token_id": fast.pad_token_id,
            **options,
        }
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        embedding = torch.randn(config.vocab_size, config.hidden_size)
        if config.tie_word_embeddings:  # the same rows make the logits, which must stay small
            embedding *= 0.1
        model.model.embed_tokens.weight.copy_(embedding)
        if not config.tie_word_embeddings:
            follows = successors(fast, config.vocab_size)
            model.lm_head.weight[follows] = embedding * 0.04
        for parameter in model.model.layers.parameters():
            if parameter.dim() == 2:
                parameter.mul_(3.0)  # as loud as the embedding, so that each tensor matters
    model.generation_config.eos_token_id = [fast.eos_token_id]
    model.generation_config.pad_token_id = fast.pad_token_id
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    return model


def successors(fast: Any, size: int) -> list[int]:
    """The token after each token: ANSWER after a line's end, then the stop token."""
    import torch

    chain = [fast("\n")["input_ids"][0]]
    for word in ANSWER:
        chain += fast(word, add_special_tokens=False)["input_ids"]
    chain = list(dict.fromkeys(chain)) + [fast.eos_token_id]
    rest = [token for token in torch.randperm(size).tolist() if token not in chain[:-1]]
    ends = [token for token in torch.randperm(size).tolist() if token not in chain[1:]]
    follows = dict(zip(rest, ends, strict=True)) | dict(zip(chain, chain[1:], strict=False))
    return [follows[token] for token in range(size)]


def make_adapter(
    folder: Path, base: Path, seed: int = 1, scale: float = 0.07, **options: Any
) -> Any:
    """A LoRA adapter over the model in `base` with random A and B; returns the PEFT model."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(
        **{"r": 8, "lora_alpha": 16, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
        | options
    )
    tuned = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_magnitude" in name:
                parameter.mul_(1 + 0.1 * torch.rand_like(parameter))
            elif "lora_" in name or "modules_to_save" in name:
                parameter.add_(torch.randn_like(parameter) * scale)
    tuned.save_pretrained(folder)
    return tuned.eval()
