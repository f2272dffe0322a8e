"""NEFTune: uniform noise on the embeddings in training (arXiv 2310.05914, algorithm 1).

The noise of a token is at most alpha / sqrt(L d), with d the width of the embeddings and L the
length of the token's own document: rows that are laid end to end or packed get the noise that
each would get alone. The paper's code takes the padded length of the batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class Noise:
    """A hook on the embeddings of a model; silent outside of training."""

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha
        self._lengths: torch.Tensor | None = None  # of each token's document; (rows, tokens or 1)

    def attach(self, model: Any) -> None:
        model.get_input_embeddings().register_forward_hook(self._add)

    def look_at(self, inputs: dict[str, Any]) -> None:
        """Takes the lengths of the documents of the batch that comes next."""
        import torch

        edges, mask = inputs.get("cu_seq_lens_q"), inputs.get("attention_mask")
        if edges is not None:
            lengths = edges.diff()
            self._lengths = torch.repeat_interleave(lengths, lengths)[None]
        elif mask is not None:
            self._lengths = mask.sum(1, keepdim=True)
        else:
            ids = inputs["input_ids"]
            self._lengths = torch.full((len(ids), 1), ids.shape[1])

    def _add(self, module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> Any:
        """The embeddings with noise. output (rows, tokens, width)"""
        import torch

        if not module.training or self._lengths is None:
            return output
        lengths = self._lengths.to(output.device, torch.float32)
        most = self.alpha / (lengths * output.shape[-1]).sqrt()
        drawn = torch.empty_like(output).uniform_(-1.0, 1.0)
        return output + (drawn * most[..., None]).to(output.dtype)
