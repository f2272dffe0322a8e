"""Whether the numbers in an export are those of the tuned model, whatever the type rounds away.

What a model of few bits says differs so much from the tuned one that a tensor in the wrong place
can hide in it. In the weights themselves it can't: rounding to b bits is off by some 1.3 / 2^b of a
tensor's size (seen for every GGUF type), another tensor by more than the whole. And rounding is
not along what training changed, so how much of that is there shows through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from exporters.contract import Excerpt
from exporters.parity.measured import Weights

if TYPE_CHECKING:
    import numpy as np

ROUNDING = 4.0  # times 2^-bits: three times what is seen
FOREIGN = 0.7  # of a tensor's size: no rounding takes as much, and another tensor 1.4


def weigh(found: Iterator[Excerpt], check: Callable[[], None]) -> Weights:
    """Compares all of them. `check` is called at each and may raise."""
    import numpy as np

    tensors, largest, off = set(), 0.0, {}
    along = whole = 0.0
    for excerpt in found:
        check()
        tensors.add(excerpt.name)
        wanted = excerpt.tuned.astype(np.float64)
        if excerpt.found is None:
            off[excerpt.name], largest = 1.0, max(largest, 1.0)
            continue
        error = _size(excerpt.found - wanted) / (_size(wanted) or 1.0)
        largest = max(largest, error)
        if not error <= min(ROUNDING * 2.0**-excerpt.bits, FOREIGN):  # a NaN is off too
            off[excerpt.name] = max(error, off.get(excerpt.name, 0.0))
        if excerpt.base is not None:
            step = wanted - excerpt.base
            along += float(np.sum(step * (excerpt.found - excerpt.base)))
            whole += float(np.sum(step * step))
    first = next(iter(off), "")
    return Weights(
        tensors=len(tensors),
        off=len(off),
        first_off=first,
        first_error=off.get(first, 0.0),
        largest_error=largest,
        carried=along / whole if whole > 0 else None,
    )


def _size(values: np.ndarray) -> float:
    import numpy as np

    return float(np.sqrt(np.sum(np.square(values, dtype=np.float64))))
