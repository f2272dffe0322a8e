"""Matrix products of numpy on the thread that asks for them.

Where several threads multiply at once, the threads that OpenBLAS adds wait for each other in a
loop: a merge took six times the processor's time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

# as numpy's own packages build it, and as others do
_NAMES = (
    "scipy_openblas_{}_num_threads64_",
    "openblas_{}_num_threads64_",
    "openblas_{}_num_threads",
)


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Until it is left; where numpy has another BLAS, that one goes on as it likes."""
    found = _functions()
    if found is None:
        yield
        return
    get, put = found
    before = get()
    put(1)
    try:
        yield
    finally:
        put(before)


@cache
def _functions() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """How many threads OpenBLAS uses, and how to say how many."""
    import numpy as np

    folder = Path(np.__file__).parent
    for path in [*folder.parent.glob("numpy.libs/*openblas*"), *folder.glob(".dylibs/*openblas*")]:
        library = ctypes.CDLL(str(path))
        for name in _NAMES:
            if hasattr(library, name.format("set")):
                return getattr(library, name.format("get")), getattr(library, name.format("set"))
    return None
