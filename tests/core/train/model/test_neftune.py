"""Noise on the embeddings: how much, where, and when."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.train.model.attention import laid_flat
from core.train.model.neftune import Noise

WIDTH, ALPHA = 16, 5.0


class Embedding(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(50, WIDTH)

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.table


def noise_of(inputs: dict[str, Any]) -> torch.Tensor:
    """What is added to each token. (rows, tokens, width)"""
    torch.manual_seed(0)
    model, noise = Embedding(), Noise(ALPHA)
    plain = model.table(inputs["input_ids"])
    noise.attach(model)
    noise.look_at(inputs)
    return (model.table(inputs["input_ids"]) - plain).detach()


def most(length: int) -> float:
    return ALPHA / (length * WIDTH) ** 0.5


def test_documents_of_one_row_get_the_noise_of_their_own_length() -> None:
    documents = [[1] * 40, [2] * 4, [3] * 10]
    added = noise_of(laid_flat(documents))[0].abs()
    for start, end in ((0, 40), (40, 44), (44, 54)):
        largest = float(added[start:end].max())
        assert 0.8 * most(end - start) < largest <= most(end - start) * 1.001


def test_padded_rows_get_the_noise_of_their_own_length() -> None:
    mask = torch.tensor([[1] * 12, [1] * 3 + [0] * 9])
    added = noise_of({"input_ids": torch.ones(2, 12, dtype=torch.long), "attention_mask": mask})
    for row, length in ((0, 12), (1, 3)):
        assert 0.8 * most(length) < float(added[row].abs().max()) <= most(length) * 1.001


@pytest.mark.parametrize("training", [True, False])
def test_noise_is_for_training_only(training: bool) -> None:
    model, noise = Embedding(), Noise(ALPHA)
    ids = torch.arange(6)[None]
    plain = model.table(ids)
    noise.attach(model)
    noise.look_at({"input_ids": ids})
    model.train(training)
    assert torch.equal(model.table(ids), plain) == (not training)
