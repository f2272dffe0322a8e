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


def attended(
    kind: torch.dtype, edges: list[int], heads: int, window: int | None = None
) -> list[torch.Tensor]:
    """What comes out of random queries, keys and values, and the gradients of these."""
    torch.manual_seed(0)
    drawn = [torch.randn(1, count, edges[-1], 16).bfloat16() for count in (4, heads, heads)]
    leaves = [tensor.to(kind).requires_grad_() for tensor in drawn]
    lengths = torch.tensor(edges)
    query, key, value = leaves
    out, _ = attention.attend(
        torch.nn.Module(), query, key, value, None, cu_seq_lens_q=lengths, sliding_window=window
    )
    out.backward(torch.randn(out.shape).bfloat16().to(kind))
    return [out.detach().float(), *(leaf.grad.float() for leaf in leaves if leaf.grad is not None)]


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_bfloat16_products_agree_with_the_fused_kernel_to_the_gradients(heads: int) -> None:
    edges = [0, 7, 8, 40, 640, 653, 743, 823, 1093, 1193]  # one is too long for the products
    fast, exact = (attended(kind, edges, heads) for kind in (torch.bfloat16, torch.float32))
    for ours, theirs in zip(fast, exact, strict=True):
        error = (ours - theirs).square().mean().sqrt() / theirs.square().mean().sqrt()
        assert float(error) < 0.01


def test_documents_longer_than_the_window_are_not_taken_for_short_ones() -> None:
    edges = [0, 20, 25, 31, 60]
    fast, exact = (attended(kind, edges, 2, window=9) for kind in (torch.bfloat16, torch.float32))
    for ours, theirs in zip(fast, exact, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0.06)


def test_under_autocast_attention_multiplies_in_its_type() -> None:
    torch.manual_seed(0)
    leaves = [torch.randn(1, 2, 12, 8, requires_grad=True) for _ in range(3)]
    query, key, value = leaves
    edges = torch.tensor([0, 5, 12])
    with torch.autocast("cpu", torch.bfloat16):
        out, _ = attention.attend(torch.nn.Module(), query, key, value, None, cu_seq_lens_q=edges)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert all(leaf.grad is not None and leaf.grad.dtype == torch.float32 for leaf in leaves)


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


def test_the_proof_holds_under_autocast_of_float32_weights(llama: Any) -> None:
    assert attention.isolates(llama, attention.NAME, autocast=True)


def test_flash_attention_is_tried_where_it_is_installed_and_ours_can_not_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert attention.candidates("sdpa", "cpu") == [attention.NAME, "sdpa"]
    available = "transformers.utils.import_utils.is_flash_attn_2_available"
    monkeypatch.setattr(available, lambda: True)
    assert attention.candidates("sdpa", "cpu") == [attention.NAME, "sdpa"]
    assert attention.candidates("sdpa", "cuda") == [attention.NAME, attention.FLASH, "sdpa"]
    assert attention.candidates("eager", "cuda", dropout=0.1) == [
        attention.FLASH,  # torch's kernel for documents knows no dropout
        attention.NAME,
        "eager",
    ]
    assert attention.candidates(attention.FLASH, "cuda") == [attention.NAME, attention.FLASH]
    monkeypatch.setattr(available, lambda: False)
    assert attention.candidates("sdpa", "cuda") == [attention.NAME, "sdpa"]


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
