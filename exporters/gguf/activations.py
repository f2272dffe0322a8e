"""Mean squares of what enters each matrix of a tuned model, by hooks in transformers.

The model is base plus adapter, unmerged: what enters an adapted layer is what enters the merged
matrix. On a GPU where one has room, else on the CPU in float32.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import AfinaError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from exporters.gguf.importance_order import Order

HEAD = "lm_head"
ROOM = 1.3  # of the weights' bytes, for what is between them


class Watched:
    """A model that keeps sums of squares of what its matrices read."""

    def __init__(self, order: Order) -> None:
        import torch

        torch.set_num_threads(order.threads)
        self._order = order
        self._sums: dict[str, np.ndarray] = {}  # float64, by GGUF name
        self._counts: dict[str, Any] = {}  # tokens, or tokens of each expert
        self._model, self._device = _open(order)
        modules = dict(self._model.named_modules())
        for name, path in order.matrices.items():
            if path != HEAD:
                _module(modules, path).register_forward_pre_hook(self._matrix_hook(name))
        stacks: dict[str, list[str]] = {}
        for name, path in order.experts.items():
            stacks.setdefault(path, []).append(name)
        for path, names in stacks.items():
            experts = _innermost(_module(modules, f"{path}.experts"))
            experts.register_forward_pre_hook(self._experts_hook(names))

    def read(self, texts: Iterable[list[int]], told: Callable[[int, int], None]) -> None:
        """Reads texts until there are tokens enough or the time is up; `told` hears how many."""
        import torch

        begin, tokens, count = time.monotonic(), 0, 0
        decoder = getattr(self._model, self._model.base_model_prefix)
        head = next((n for n, path in self._order.matrices.items() if path == HEAD), None)
        with torch.inference_mode():
            for ids in texts:
                out = decoder(torch.tensor([ids], device=self._device), use_cache=False)
                if head:
                    self._add(head, out.last_hidden_state)
                tokens, count = tokens + len(ids), count + 1
                told(tokens, count)
                late = time.monotonic() - begin > self._order.budget_s
                if tokens >= self._order.tokens or late:
                    break
        if not tokens:
            raise AfinaError("There is not one text to read.", "Give a text: --imatrix FILE.")

    def save(self, path: Path) -> None:
        """Means of squares by GGUF name, float32; of an expert that read nothing, zeros."""
        import numpy as np

        means = {
            name: sums / np.maximum(self._counts[name], 1) for name, sums in self._sums.items()
        }
        broken = next((name for name, mean in means.items() if not np.isfinite(mean).all()), None)
        if broken:
            raise AfinaError(
                f'What enters "{broken}" is not a number.',
                "The training diverged: export an earlier checkpoint (RUN@STEP).",
            )
        np.savez(path, **{name: mean.astype(np.float32) for name, mean in means.items()})

    def _add(self, name: str, inputs: torch.Tensor) -> None:
        """inputs: (..., columns)."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        squares = rows.float().square().sum(dim=0).double().cpu().numpy()
        self._sums[name] = self._sums.get(name, 0.0) + squares
        self._counts[name] = self._counts.get(name, 0) + rows.shape[0]

    def _matrix_hook(self, name: str) -> Callable[..., None]:
        return lambda module, inputs: self._add(name, inputs[0])

    def _experts_hook(self, names: list[str]) -> Callable[..., None]:
        """Of a layer's experts: what its tokens bring to each, and what each makes of them."""
        import numpy as np
        from torch.nn.functional import linear

        def hook(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            states, chosen = inputs[0].reshape(-1, inputs[0].shape[-1]), inputs[1]
            count = module.gate_up_proj.shape[0]
            into = np.zeros((count, states.shape[-1]))
            between = np.zeros((count, module.down_proj.shape[-1]))
            tokens = np.zeros((count, 1))
            for expert in chosen.unique().tolist():
                rows = states[(chosen == expert).any(dim=-1)]
                gate, up = linear(rows, module.gate_up_proj[expert]).chunk(2, dim=-1)
                made = module.act_fn(gate) * up
                into[expert] = rows.float().square().sum(dim=0).double().cpu().numpy()
                between[expert] = made.float().square().sum(dim=0).double().cpu().numpy()
                tokens[expert] = rows.shape[0]
            for name in names:
                sums = between if "ffn_down" in name else into
                self._sums[name] = self._sums.get(name, 0.0) + sums
                self._counts[name] = self._counts.get(name, 0) + tokens

        return hook


def _module(modules: dict[str, Any], path: str) -> Any:
    """A module by its name in a checkpoint, which older mixtures of experts spell otherwise."""
    for name in (path, path.replace(".block_sparse_moe.", ".mlp.")):
        if name in modules:
            return modules[name]
    raise AfinaError(
        f'The model has no layer "{path}".',
        "Its architecture is another than its config.json says.",
    )


def _innermost(experts: Any) -> Any:
    """The experts themselves, whose weights are the tuned ones while PEFT's shells call them."""
    while hasattr(experts, "base_layer"):
        experts = experts.base_layer
    return experts


def _open(order: Order) -> tuple[Any, str]:
    """The tuned model without PEFT's outermost shell, and where it is."""
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    device, dtype = _place(Path(order.folder))
    model: Any = AutoModelForCausalLM.from_pretrained(
        order.folder,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
    )
    if order.target.adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, order.target.adapter).get_base_model()
    return model.to(device).eval(), device


def _place(folder: Path) -> tuple[str, torch.dtype]:
    """A GPU with room for the weights, in float32 or half of it; else the CPU."""
    import torch

    from exporters.weights.safetensors_reader import open_weights

    if torch.cuda.is_available():
        free = torch.cuda.mem_get_info()[0]
        parameters = open_weights(folder).parameters
        for dtype in (torch.float32, torch.bfloat16):
            if parameters * dtype.itemsize * ROOM < free:
                return "cuda", dtype
    return "cpu", torch.float32
