"""Rows laid end to end: the same numbers as each row alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from core.train.model import attention

SMALL: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def build(config: transformers.PreTrainedConfig, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(3)
    attention.register()
    return transformers.AutoModelForCausalLM.from_config(config).to(dtype).eval()


@pytest.fixture(scope="module")
def llama() -> Any:
    return build(transformers.LlamaConfig(**SMALL))


DOCUMENTS = [[5, 9, 11, 3], [7, 8], [20, 21, 22, 23, 24, 25, 26], [4]]


def test_logits_of_packed_rows_equal_those_of_each_row_alone(llama: Any) -> None:
    with torch.no_grad(), attention.implementation(llama, attention.NAME):
        together = llama(**attention.laid_flat(DOCUMENTS)).logits[0]
    alone = torch.cat([llama(input_ids=torch.tensor([row])).logits[0] for row in DOCUMENTS])
    torch.testing.assert_close(together, alone, rtol=0, atol=2e-6)


def test_gradients_of_packed_rows_equal_the_sum_of_those_of_each_row(llama: Any) -> None:
    def gradient(batches: list[dict[str, Any]]) -> torch.Tensor:
        llama.zero_grad()
        for batch in batches:
            llama(**batch, use_cache=False).logits.square().sum().backward()
        return torch.cat([p.grad.flatten() for p in llama.parameters()])

    alone = gradient([{"input_ids": torch.tensor([row])} for row in DOCUMENTS])
    with attention.implementation(llama, attention.NAME):
        together = gradient([attention.laid_flat(DOCUMENTS)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_a_row_does_not_change_when_its_neighbour_does(llama: Any) -> None:
    with torch.no_grad(), attention.implementation(llama, attention.NAME):
        before = llama(**attention.laid_flat(DOCUMENTS)).logits[0, 4:]
        after = llama(**attention.laid_flat([[90, 91, 92, 93], *DOCUMENTS[1:]])).logits[0, 4:]
    assert torch.equal(before, after)


def test_bfloat16_products_agree_with_the_fused_kernel() -> None:
    torch.manual_seed(0)
    query = torch.randn(1, 4, 40, 16, dtype=torch.bfloat16)
    key, value = (torch.randn(1, 2, 40, 16, dtype=torch.bfloat16) for _ in range(2))
    module, edges = torch.nn.Module(), torch.tensor([0, 7, 8, 40])
    fast, _ = attention.attend(module, query, key, value, None, cu_seq_lens_q=edges)
    exact, _ = attention.attend(
        module, query.float(), key.float(), value.float(), None, cu_seq_lens_q=edges
    )
    torch.testing.assert_close(fast.float(), exact, rtol=0, atol=0.03)


def test_a_sliding_window_is_kept_inside_each_row() -> None:
    model = build(transformers.MistralConfig(**SMALL, sliding_window=3))
    with torch.no_grad(), attention.implementation(model, attention.NAME):
        together = model(**attention.laid_flat(DOCUMENTS)).logits[0, 6:13]
    alone = model(input_ids=torch.tensor([DOCUMENTS[2]])).logits[0]
    torch.testing.assert_close(together, alone, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "config",
    [
        transformers.LlamaConfig(**SMALL),
        transformers.MistralConfig(**SMALL, sliding_window=4),
        transformers.Qwen2Config(**SMALL),
        transformers.Qwen3Config(**SMALL, head_dim=8),
        transformers.GemmaConfig(**SMALL, head_dim=8),
        transformers.Gemma3TextConfig(**SMALL, head_dim=8, sliding_window=4),
        transformers.Phi3Config(**SMALL),
        transformers.GraniteConfig(**SMALL),
    ],
    ids=lambda config: config.model_type,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_proof_holds_for_families_that_attend(config: Any, dtype: torch.dtype) -> None:
    assert attention.isolates(build(config, dtype), attention.NAME)


def test_a_model_that_carries_state_along_the_row_is_not_trusted() -> None:
    model = build(transformers.MambaConfig(vocab_size=96, hidden_size=32, num_hidden_layers=2))
    assert not attention.isolates(model, attention.NAME)


def test_soft_capping_is_refused_by_ours_and_served_by_the_models_own_attention() -> None:
    model = build(transformers.Gemma2Config(**SMALL, head_dim=8))
    assert not attention.isolates(model, attention.NAME)
    assert attention.isolates(model, model.config._attn_implementation)


def test_an_attention_that_ignores_the_borders_is_found_out(llama: Any) -> None:
    def careless(module: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        return attention.attend(
            module, query, key, value, None, cu_seq_lens_q=torch.tensor([0, query.shape[2]])
        )

    transformers.AttentionInterface.register("careless", careless)
    transformers.AttentionMaskInterface.register("careless", attention.no_mask)
    assert not attention.isolates(llama, "careless")
    assert llama.config._attn_implementation == "sdpa"


def test_without_borders_ours_refuses_instead_of_guessing(llama: Any) -> None:
    with (
        attention.implementation(llama, attention.NAME),
        pytest.raises(ValueError, match="cu_seq_lens_q"),
    ):
        llama(input_ids=torch.tensor([[1, 2, 3]]))
