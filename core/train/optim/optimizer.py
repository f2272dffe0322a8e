"""The optimizer of a run, and which of its weights decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from core.config import Config
from core.errors import AfinaError

if TYPE_CHECKING:
    import torch
    from torch.optim import Optimizer

    Parameters = list[torch.nn.Parameter]

BETAS, EPSILON = (0.9, 0.999), 1e-8  # AdamW's own (arXiv 1711.05101); transformers' defaults too


def optimizer(model: Any, config: Config, decaying: Iterable[str]) -> Optimizer:
    """The optimizer that train.optim names; `decaying` are the weights that transformers decays.

    Of these, vectors are left out: factors (IA3) and magnitudes (DoRA) are scales, as norms are.
    """
    train, names = config.train, set(decaying)
    given: dict[str, Any] = {"lr": train.learning_rate, "weight_decay": train.weight_decay}
    learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    decays = [p for name, p in learning if name in names and is_matrix(p)]
    others = [p for name, p in learning if not (name in names and is_matrix(p))]
    groups = [{"params": decays}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if train.optim == "muon":
        from core.train.optim.muon import MuonWithAdamW

        return MuonWithAdamW(groups, hidden_matrices(model), **given)
    if train.optim == "adafactor":
        return _adafactor(groups, given)
    given |= {"betas": BETAS, "eps": EPSILON}
    if train.optim == "adamw_8bit":
        return _eight_bit(model, groups, given)
    import torch

    return torch.optim.AdamW(groups, **given, fused=True)


def is_matrix(parameter: torch.Tensor) -> bool:
    """Whether it maps vectors to vectors; a matrix of one row or column is a vector."""
    return parameter.ndim >= 2 and min(parameter.shape) > 1


def hidden_matrices(model: Any) -> Parameters:
    """The matrices that learn inside the blocks: no embedding, no head, no module trained beside.

    Those of a LoRA are among them: the steps of A and B are made orthogonal each on its own.
    """
    import torch

    outside = {id(p) for p in _ends(model)}
    outside |= {
        id(p)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Embedding) or "modules_to_save" in name
        for p in module.parameters()
    }
    return [
        p
        for name, p in model.named_parameters()
        if p.requires_grad
        and p.ndim == 2
        and is_matrix(p)
        and id(p) not in outside
        and "embedding" not in name  # of LoRA on an embedding, and of learned prompts
    ]


def _ends(model: Any) -> Iterable[torch.nn.Parameter]:
    """The weights of the head: of the language model, or of a classifier."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    for head in (base.get_output_embeddings(), getattr(base, "score", None)):
        if head is not None:
            yield from head.parameters()


def _adafactor(groups: list[dict[str, Any]], given: dict[str, Any]) -> Optimizer:
    """Adafactor under the run's own learning rate, not its relative steps."""
    from transformers.optimization import Adafactor

    return Adafactor(groups, **given, scale_parameter=False, relative_step=False)


def _eight_bit(model: Any, groups: list[dict[str, Any]], given: dict[str, Any]) -> Optimizer:
    """AdamW with moments in 8 bits; those of embeddings stay in 32 (arXiv 2110.02861, 2.3)."""
    import torch

    try:
        from bitsandbytes.optim.adamw import AdamW8bit
        from bitsandbytes.optim.optimizer import GlobalOptimManager
    except ImportError as error:
        raise AfinaError(
            "train.optim is adamw_8bit, and bitsandbytes is not installed.",
            "Install it (pip install bitsandbytes), or set train.optim to adamw or adafactor.",
        ) from error
    made = AdamW8bit(groups, **given)
    manager = GlobalOptimManager.get_instance()
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            manager.register_module_override(module, "weight", {"optim_bits": 32})
    return made
