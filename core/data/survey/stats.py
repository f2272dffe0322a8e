"""Statistics of tokens over rows, one row at a time, so that they can be shown while they grow."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from core.data.encode.encoder import Encoding

BINS = 24


class TokenStats:
    """Exact statistics; a length is a row's whole one, before the cut at max_length."""

    def __init__(self) -> None:
        self.rows = 0
        self.empty = 0  # rows without tokens: they could not be read or used
        self.tokens = 0  # of all rows, cut ones not counted
        self.supervised_tokens = 0
        self.truncated = 0  # rows that were cut
        self.truncated_tokens = 0
        self._lengths: Counter[int] = Counter()

    def add(self, encoding: Encoding) -> None:
        """Counts one row."""
        self.rows += 1
        if not encoding.ids:
            self.empty += 1
            return
        kept, cut = len(encoding.ids), encoding.truncated_tokens
        self.tokens += kept
        self.supervised_tokens += encoding.supervised_tokens
        self.truncated += cut > 0
        self.truncated_tokens += cut
        self._lengths[kept + cut] += 1

    def percentile(self, percent: float) -> int:
        """The length that `percent` of the rows do not exceed (nearest rank); 0 without rows."""
        total = self._lengths.total()
        rank = max(1, math.ceil(total * percent / 100))
        seen = 0
        for length in sorted(self._lengths):
            seen += self._lengths[length]
            if seen >= rank:
                return length
        return 0

    def histogram(self, bins: int = BINS) -> list[int]:
        """Rows per bin of equal width from 0 to the longest row; the last bin includes it."""
        longest = max(self._lengths, default=0)
        counts = [0] * bins
        for length, rows in self._lengths.items():
            counts[min(bins - 1, length * bins // max(1, longest))] += rows
        return counts

    def snapshot(self) -> dict[str, Any]:
        """Everything as plain numbers. Lengths in tokens, supervised_share from 0 to 1."""
        return {
            "rows": self.rows,
            "empty": self.empty,
            "tokens": self.tokens,
            "supervised_tokens": self.supervised_tokens,
            "supervised_share": self.supervised_tokens / self.tokens if self.tokens else 0.0,
            "truncated": self.truncated,
            "truncated_tokens": self.truncated_tokens,
            "p50": self.percentile(50),
            "p95": self.percentile(95),
            "p99": self.percentile(99),
            "max": max(self._lengths, default=0),
            "histogram": self.histogram(),
        }
