"""Learning rates by method and objective: what is usual, and from where on a rate is told."""

from __future__ import annotations

from typing import NamedTuple

from core.config import Config
from core.errors import FieldProblem

COMPARING = ("dpo", "kto")


class Range(NamedTuple):
    """Rates below `least` teach next to nothing, rates above `most` break what was learned."""

    least: float
    most: float
    usual: str
    source: str


ADAPTER = "LoRA Without Regret (2025): ten times that of full tuning"
RANGES: dict[tuple[str, str], Range] = {  # method, kind of objective
    ("full", "writing"): Range(1e-7, 2e-4, "1e-5 to 5e-5", "Tülu 2 (arXiv 2311.10702)"),
    ("lora", "writing"): Range(1e-6, 1e-2, "1e-4 to 1e-3", "QLoRA (arXiv 2305.14314) B.2"),
    ("ia3", "writing"): Range(1e-5, 1e-1, "3e-3", "IA3 (arXiv 2205.05638) 3.3"),
    ("prompt", "writing"): Range(1e-4, 0.9, "3e-2 to 3e-1", "prompt tuning (arXiv 2104.08691) A.1"),
    ("full", "comparing"): Range(1e-9, 2e-5, "5e-7 to 5e-6", "Zephyr (arXiv 2310.16944) 4"),
    ("lora", "comparing"): Range(1e-8, 5e-5, "5e-6 to 5e-5", ADAPTER),
    ("full", "orpo"): Range(1e-8, 1e-4, "5e-6 to 1e-5", "ORPO (arXiv 2403.07691) 4.1"),
    ("lora", "orpo"): Range(1e-7, 1e-3, "5e-5 to 1e-4", ADAPTER),
}


def rate_problem(config: Config, objective: str) -> FieldProblem | None:
    """A warning where the learning rate is far outside of what is usual; objective is not auto."""
    kind = "comparing" if objective in COMPARING else "orpo" if objective == "orpo" else "writing"
    method, rate = config.method.kind, config.train.learning_rate
    known = RANGES.get((method, kind)) or RANGES[(method, "writing")]
    if known.least <= rate <= known.most:
        return None
    what = "full tuning" if method == "full" else method
    if kind != "writing":
        what += f" under {objective}"
    word = "high" if rate > known.most else "low"
    return FieldProblem(
        "train.learning_rate",
        f"{rate:g} is {word} for {what}.",
        f"{known.usual} is usual: {known.source}.",
        severity="warning",
    )
