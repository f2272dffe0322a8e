"""What a method names and the model lacks is said, with what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.config import Config, config_io
from core.errors import AfinaError
from core.train.model import target_modules


def config(*words: str) -> Config:
    return config_io.parse("", list(words))


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def tied() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 32}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "tie_word_embeddings": True}
    return LlamaForCausalLM(LlamaConfig(**size, **heads))


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ("method.kind=full", "method.trainable_layers=3"),
            "method.trainable_layers is 3, and the model has 2 blocks.",
            "Set it to 2 at most; to train all of it, leave it out.",
        ),
        (
            ("method.kind=prompt", "method.num_virtual_tokens=200"),
            "The longest row has 90 tokens, the learned prompt 200, and the model sees 256.",
            "Set data.max_length to at most 56.",
        ),
        (
            ("method.modules_to_save=embed_token",),
            'The model has no module "embed_token", which method.modules_to_save names.',
            'Did you mean "embed_tokens"?',
        ),
        (
            ('method.rank_pattern={"down_prj": 4}',),
            'No layer fits "down_prj", which method.rank_pattern names.',
            'Did you mean "down_proj"?',
        ),
    ],
)
def test_what_the_model_lacks_is_refused(
    words: tuple[str, ...], message: str, hint: str, model: Any
) -> None:
    with pytest.raises(AfinaError) as found:
        target_modules.check(config(*words), model, 90)
    assert (found.value.message, found.value.hint) == (message, hint)


def test_what_is_there_fits(model: Any) -> None:
    words = (
        "method.modules_to_save=embed_tokens, model.norm",
        'method.rank_pattern={"layers.0.mlp.down_proj": 4}',
    )
    target_modules.check(config(*words), model, 90)
    target_modules.check(config("method.kind=full", "method.trainable_layers=2"), model, 90)
    target_modules.check(config("method.kind=prompt", "method.num_virtual_tokens=166"), model, 90)
    assert list(target_modules.findings(config(*words), model)) == []


def test_a_quantized_layer_can_not_learn_as_a_whole(tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    four = BitsAndBytesConfig(load_in_4bit=True)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, quantization_config=four)
    with pytest.raises(AfinaError, match="is kept in nf4, so it can't learn whole"):
        target_modules.check(
            config("method.quantization=nf4", "method.modules_to_save=q_proj"), model, 9
        )
    target_modules.check(
        config("method.quantization=nf4", "method.modules_to_save=lm_head"), model, 9
    )


def test_tied_embeddings_are_told(tied: Any) -> None:
    def told(*words: str) -> list[str]:
        return [finding.message for finding in target_modules.findings(config(*words), tied)]

    (frozen,) = told("method.kind=full", "method.trainable_layers=1")
    assert "tied to the embeddings, which stay as they are" in frozen
    (apart,) = told("method.modules_to_save=lm_head")
    assert "lm_head learn as copies of their own" in apart
    assert told("method.kind=full") == told("method.kind=lora") == []


def test_bitsandbytes_that_can_not_run_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from bitsandbytes import functional

    from core.train.model import quantize

    quantize.check("nf4", "cpu")
    quantize.check("int8", "cpu")

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no kernel image")

    monkeypatch.setattr(functional, "quantize_4bit", fail)
    with pytest.raises(AfinaError, match="can't quantize to nf4 on cpu: no kernel image"):
        quantize.check("nf4", "cpu")
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(AfinaError, match="nf4 needs bitsandbytes") as found:
        quantize.check("nf4", "cpu")
    assert "method.quantization to none" in found.value.hint


@pytest.fixture(scope="module")
def mixture() -> Any:
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 32}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**size, **heads, **experts))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("method.dora=true",), "method.dora doesn't work on them"),
        (("method.dropout=0.1",), "method.dropout doesn't work on them"),
        (("method.target_modules=q_proj,gate_proj",), 'names "gate_proj" without "up_proj"'),
    ],
)
def test_what_does_not_work_on_experts_is_refused(
    mixture: Any, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(AfinaError) as caught:
        target_modules.check(config(*words), mixture, 64)
    assert message in caught.value.message


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("method.target_modules=gate_proj,up_proj",),
        ("method.target_modules=q_proj", "method.dora=true", "method.dropout=0.1"),
    ],
)
def test_what_works_on_experts_is_not(mixture: Any, words: tuple[str, ...]) -> None:
    target_modules.check(config(*words), mixture, 64)
