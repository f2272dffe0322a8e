"""What the plan needs to know of the rows."""

from __future__ import annotations

import msgspec


class DataFacts(msgspec.Struct, frozen=True):
    """What the plan needs to know of the rows; estimated from some of them."""

    rows: int  # that are trained on in an epoch
    tokens: int  # of these, cut at max_length
    supervised_share: float
    objective: str = "sft"
    longest: int = 0  # tokens of the longest row that was seen; 0 is not known
