"""The operations of a step, beside those that torch counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from core.plan.flops import Batch, step_flops
from core.plan.model_shape import ModelShape, read_shape
from core.train.model.adapters import adapter
from tests.core.train.conftest import Configure

TOKENS = 24


@pytest.fixture(scope="module")
def shape(tiny_model: Path) -> ModelShape:
    return read_shape(tiny_model)


def counted(tiny_model: Path, configure: Configure, *words: str) -> float:
    """What torch counts in a forward and a backward; half of the attention, for it is causal."""
    from peft import get_peft_model

    model = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation="eager")
    config = configure(*words)
    if config.method.kind != "full":
        model = get_peft_model(model, adapter(config))
        model.enable_input_require_grads()
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.arange(TOKENS)[None], use_cache=False).logits.sum().backward()
    by_name = counter.get_flop_counts()["Global"]
    products = {str(name): count for name, count in by_name.items()}
    return sum(count / 2 if "bmm" in name else count for name, count in products.items())


def test_full_tuning_needs_what_torch_counts(
    tiny_model: Path, shape: ModelShape, configure: Configure
) -> None:
    words = ("method.kind=full",)
    # torch counts the product of the rotation's angles too, some 4 operations a token and angle
    assert step_flops(shape, configure(*words), TOKENS).needed == pytest.approx(
        counted(tiny_model, configure, *words), rel=1e-3
    )


def test_an_adapter_spares_the_gradients_of_frozen_weights(
    tiny_model: Path, shape: ModelShape, configure: Configure
) -> None:
    lora = step_flops(shape, configure(), TOKENS).needed
    assert lora == pytest.approx(counted(tiny_model, configure), rel=1e-3)
    plain = configure("method.kind=full")
    few = configure("method.rank=1")
    assert step_flops(shape, few, TOKENS).needed < 0.75 * step_flops(shape, plain, TOKENS).needed


def test_documents_of_a_packed_row_need_less_than_one_long_row(
    shape: ModelShape, configure: Configure
) -> None:
    packed, whole = Batch(96, 4 * 24**2, 96), Batch(96, 96**2, 96)
    full = configure("method.kind=full")
    spared = step_flops(shape, full, whole).needed - step_flops(shape, full, packed).needed
    assert spared == 6 * 2 * 32 * (96**2 - 4 * 24**2)  # 2 blocks of width 32


def test_checkpointing_computes_the_forward_again_but_does_not_need_it(
    shape: ModelShape, configure: Configure
) -> None:
    plain = step_flops(shape, configure("method.kind=full"), TOKENS)
    thrifty = configure("method.kind=full", "train.gradient_checkpointing=true")
    saved = step_flops(shape, thrifty, TOKENS)
    assert saved.needed == plain.needed == plain.done
    assert saved.done == plain.done + plain.forward


def test_the_last_blocks_alone_need_no_backward_below_them(
    shape: ModelShape, configure: Configure
) -> None:
    every = step_flops(shape, configure("method.kind=full"), TOKENS)
    last = step_flops(shape, configure("method.kind=full", "method.trainable_layers=1"), TOKENS)
    assert last.forward == every.forward
    head = 4 * TOKENS * shape.vocabulary * shape.hidden
    assert last.backward - head == pytest.approx((every.backward - head) / 2)


def test_preferences_pay_for_the_model_as_it_was(shape: ModelShape, configure: Configure) -> None:
    config = configure("method.kind=full")
    plain, compared = (step_flops(shape, config, TOKENS, name) for name in ("sft", "dpo"))
    assert compared.needed == plain.needed + plain.forward
