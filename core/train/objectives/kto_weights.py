"""How much each kind of judged answer counts in KTO, where one is rarer. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence

from core.runs.finding import Finding

BALANCED = (1.0, 4 / 3)  # KTO (arXiv 2402.01306) eq. 8: weight times count, wanted over unwanted


def kto_weights(judgements: Sequence[bool | int | str]) -> tuple[float, float]:
    """The weights of the losses of wanted and of unwanted answers; 1 where they are balanced.

    The rarer kind counts so much more that both count alike together.
    """
    wanted = sum(map(bool, judgements))
    unwanted = len(judgements) - wanted
    if not wanted or not unwanted or BALANCED[0] <= wanted / unwanted <= BALANCED[1]:
        return 1.0, 1.0
    return max(1.0, unwanted / wanted), max(1.0, wanted / unwanted)


def told_weights(judgements: Sequence[bool | int | str]) -> Finding | None:
    """What is said of weights that are not 1."""
    weights = kto_weights(judgements)
    if weights == (1.0, 1.0):
        return None
    wanted = sum(map(bool, judgements))
    rare, often = ("wanted", "unwanted") if weights[0] > 1 else ("unwanted", "wanted")
    return Finding(
        "note",
        f"{wanted:,} answers are wanted and {len(judgements) - wanted:,} unwanted: the loss of "
        f"each {rare} one counts {max(weights):.3g} times, so that both kinds count alike.",
        f"Give more {rare} answers, or fewer {often} ones, if the steps become unsteady.",
    )
