"""How full bins of max_length become by best fit decreasing, from the counts of lengths alone.

The trainer packs with trl's `bfd`; this counts the bins it makes without the rows.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def packed_bins(counts: np.ndarray, size: int) -> int:
    """Bins of `size` tokens that hold all rows whole; counts[n] rows have n tokens, n <= size."""
    bins = 0
    spaces: list[int] = []  # ascending: free tokens that some bins have
    having: dict[int, int] = {}  # free tokens -> bins

    def put(space: int, number: int) -> None:
        if space and number:
            if space not in having:
                insort(spaces, space)
                having[space] = 0
            having[space] += number

    lengths = [length for length in counts.nonzero()[0].tolist() if length]
    for length in reversed(lengths):
        left = int(counts[length])
        while left:
            place = bisect_left(spaces, length)
            if place < len(spaces):
                space = spaces.pop(place)
                there = having.pop(space)
            else:
                space, there = size, -(-left // (size // length))
                bins += there
            each = space // length  # a bin is filled before the next best one is looked at
            full = min(there, left // each)
            rest = 0 if full == there else left - full * each
            left -= full * each + rest
            put(space - each * length, full)
            if rest:
                put(space - rest * length, 1)
            put(space, there - full - (1 if rest else 0))
    return bins
