"""How much each input column of a matrix matters: its mean squared input in the tuned model.

Types of few bits round by it: an error in a column whose inputs are large costs most. llama.cpp's
imatrix is the same figure. Collected in a process of its own over texts of the run's training rows,
or over a text file; what decides there: calibration.py, activations.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from core.errors import AfinaError
from core.runs.target import Target
from exporters.contract import Working
from exporters.gguf.importance_order import TOKENS, Order
from exporters.gguf.mixes import INPUT
from exporters.gguf.prepare import Prepared
from exporters.gguf.types import ROUTER
from exporters.isolated import Send, run_aside

if TYPE_CHECKING:
    import numpy as np

FLOOR = 1e-6  # of a matrix's mean: what ggml searches with must not be nothing at all
WITHOUT = "Choose q2_k or a larger type, which needs none."


class Importance(NamedTuple):
    """Importance of the columns of a model's matrices."""

    columns: dict[str, np.ndarray]  # float32 (columns,) or (experts, columns), by GGUF name
    everywhere: bool  # used by the types too that don't need it
    tokens: int
    texts: int
    origin: str  # what the texts are

    @property
    def words(self) -> str:
        """One sentence for a person."""
        return (
            f"The importance of columns is from {self.tokens:,} tokens in {self.texts:,} texts, "
            f"{self.origin}."
        )


def require_texts(target: Target, text: str | None) -> None:
    """Raises AfinaError where `collect` would have nothing to read."""
    if text and not Path(text).expanduser().is_file():
        raise AfinaError(f'There is no file "{text}".', "--imatrix takes a text file.")
    if not text and target.run is None:
        without = WITHOUT if text is None else ""
        raise AfinaError(
            f'"{target.word}" is no run, so no training rows are known to collect the importance '
            "of columns on.",
            f"Give a text like those it will read: --imatrix FILE. {without}".strip(),
        )


def collect(prepared: Prepared, text: str | None, working: Working) -> Importance:
    """Runs the tuned model over texts: `text` is a file; None or "" means the training rows.

    Raises AfinaError, with what to do instead, where there are no texts or the model can't run.
    """
    import numpy as np

    require_texts(prepared.target, text)
    order = order_for(prepared, text or "", working)
    found: dict[str, Any] = {}

    def hear(tokens: int, texts: int, origin: str) -> None:
        found.update(tokens=tokens, texts=texts, origin=origin)
        working.progress("importance of columns", min(tokens, TOKENS), TOKENS, "tokens")

    try:
        run_aside(_aside, (order,), hear, working.check)
    except AfinaError as error:
        raise AfinaError(
            f"The importance of columns can't be collected. {error.message}",
            f"{error.hint} {WITHOUT}".strip(),
        ) from error
    with np.load(order.out) as means:
        columns = {name: floored(means[name]) for name in means.files}
    return Importance(columns, text is not None, **found)


def floored(means: np.ndarray) -> np.ndarray:
    """Importance out of means of squares, float32: nowhere nothing, and even where nothing came.

    A row of zeros is an expert that no text was sent to.
    """
    import numpy as np

    mean = means.mean(axis=-1, keepdims=True)
    return np.where(mean > 0, np.maximum(means, FLOOR * mean), 1.0).astype(np.float32)


def order_for(prepared: Prepared, text: str, working: Working) -> Order:
    matrices, experts = {}, {}
    for tensor in prepared.tensors:
        if len(tensor.shape) == 1 or tensor.name == INPUT or tensor.name.endswith(ROUTER):
            continue
        module = tensor.source.removesuffix(".weight")
        if len(tensor.shape) > 2:
            experts[tensor.name] = module.partition(".experts.")[0]
        else:
            matrices[tensor.name] = module
    return Order(
        prepared.target,
        str(prepared.merged.folder),
        text,
        prepared.vocabulary.bos if prepared.add_bos else None,
        matrices,
        experts,
        str(working.scratch / "importance.npz"),
        working.threads,
    )


def _aside(send: Send, order: Order) -> None:
    """In the other process."""
    from exporters.gguf.activations import Watched
    from exporters.gguf.calibration import texts_for

    with texts_for(order) as (origin, texts):
        watched = Watched(order)
        watched.read(texts, lambda tokens, count: send(tokens, count, origin))
    watched.save(Path(order.out))
