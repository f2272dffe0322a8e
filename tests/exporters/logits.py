"""What a model says after each token, asked of transformers and of llama.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def transformers_log_p(model: Any, ids: list[int]) -> np.ndarray:
    """log p (tokens, vocabulary), float32."""
    import torch

    with torch.no_grad():
        logits = model.eval()(torch.tensor([ids])).logits[0]
    return torch.log_softmax(logits.float(), dim=-1).numpy()


def llama_cpp_log_p(path: Path, ids: list[int], context: int = 256) -> np.ndarray:
    """The same of a GGUF file, with a float32 key-value cache: the model alone is compared."""
    import llama_cpp
    import torch

    model = llama_cpp.Llama(
        str(path),
        n_ctx=context,
        n_batch=context,
        logits_all=True,
        verbose=False,
        n_threads=1,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
    )
    try:
        model.eval(ids)
        logits = torch.from_numpy(np.array(model.scores[: len(ids)]))
        return torch.log_softmax(logits, dim=-1).numpy()
    finally:
        model.close()
