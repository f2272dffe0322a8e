"""Full tuning of the last blocks only: which weights learn, and which stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from core.train.model.precision import Precision


def freeze_all_but_last(model: Any, count: int, precision: Precision) -> None:
    """Leaves the last blocks to learn, and what follows them: the final norm and an untied head.

    A head that is tied to the embeddings stays frozen with them. Frozen weights take the type of
    the products, which is how they are used anyway.
    """
    import torch

    model.requires_grad_(False)
    path, blocks = find_blocks(model)
    embeddings = set(model.get_input_embeddings().parameters())
    learning = [*blocks[-count:], *_after(model, path)]
    for module in learning:
        for weight in module.parameters():
            weight.requires_grad_(weight not in embeddings)
    if precision.autocast:
        for weight in model.parameters():
            if not weight.requires_grad:
                weight.data = weight.data.to(torch.bfloat16)


def find_blocks(model: Any) -> tuple[str, Any]:
    """The name of the list of a model's blocks, and the list."""
    import torch

    count = model.config.get_text_config().num_hidden_layers
    return next(
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == count
    )


def _after(model: Any, path: str) -> list[torch.nn.Module]:
    """What is registered after a module, beside it and beside the modules that it lies in."""
    found, parent = [], model
    for step in path.split("."):
        children = dict(parent.named_children())
        names = list(children)
        found += [children[name] for name in names[names.index(step) + 1 :]]
        parent = children[step]
    return found
