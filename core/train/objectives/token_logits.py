"""A batch of sft as its loss is computed from: logits of the supervised tokens, and whose they are.

docs/custom-loss.md describes it to people who write a loss of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy


class Places(NamedTuple):
    """Where real tokens lie in a batch, row by row; (tokens,) each."""

    row: torch.Tensor
    column: torch.Tensor
    document: torch.Tensor  # from 0 within the batch
    position: torch.Tensor  # in its document, from 0


@dataclass
class Scored:
    """The supervised tokens of a batch, document by document, each with its logits."""

    logits: torch.Tensor  # (tokens, vocabulary), float32: what the model says before each token
    labels: torch.Tensor  # (tokens,), int64: the tokens themselves
    document: torch.Tensor  # (tokens,), int64: which document each belongs to, from 0
    position: torch.Tensor  # (tokens,), int64: its place in the document, from 0
    documents: int
    input_ids: torch.Tensor  # (all tokens,), int64: every token of the batch, prompts included
    input_document: torch.Tensor  # (all tokens,), int64: the document of each
    supervised: torch.Tensor  # (all tokens,), bool: which of them are learned
    hidden: torch.Tensor | None  # (all tokens, hidden), float32: the last hidden states, if wanted
    training: bool  # False while held-out rows are measured

    @cached_property
    def cross_entropy(self) -> torch.Tensor:
        """The plain loss of each supervised token, with its gradient. (tokens,), float32"""
        return cross_entropy(self.logits, self.labels, reduction="none")

    def smoothed(self, factor: float) -> torch.Tensor:
        """The sum of the tokens' losses, with a share of each target spread over all tokens."""
        return cross_entropy(self.logits, self.labels, reduction="sum", label_smoothing=factor)


def places_of(inputs: dict[str, Any]) -> Places:
    """The real tokens of a batch that lies flat (with cu_seq_lens_q) or is padded."""
    ids = inputs["input_ids"]  # (rows, longest)
    if "cu_seq_lens_q" in inputs:
        edges = inputs["cu_seq_lens_q"].to(ids.device, torch.int64)
        column = torch.arange(ids.shape[1], device=ids.device)
        document = torch.searchsorted(edges, column, right=True) - 1
        return Places(torch.zeros_like(column), column, document, column - edges[document])
    mask = inputs["attention_mask"] if "attention_mask" in inputs else torch.ones_like(ids)
    row, column = mask.nonzero(as_tuple=True)
    return Places(row, column, row, column - mask.argmax(dim=1)[row])


class Heard:
    """Keeps the last hidden states that a model's body gives. (rows, longest, hidden)"""

    def __init__(self, body: torch.nn.Module) -> None:
        self.states: torch.Tensor | None = None
        self._handle = body.register_forward_hook(self._hear)

    def _hear(self, module: torch.nn.Module, given: Any, out: Any) -> None:
        self.states = out.last_hidden_state

    def __enter__(self) -> Heard:
        return self

    def __exit__(self, *error: object) -> None:
        self._handle.remove()
