"""Learning rates far outside of what is usual."""

from __future__ import annotations

import pytest

from core.config import Config, Method, Train
from core.config.rates import rate_problem


@pytest.mark.parametrize(
    ("kind", "objective", "rate", "word"),
    [
        ("full", "sft", 2e-5, ""),
        ("full", "sft", 5e-4, "high for full tuning."),
        ("full", "sft", 1e-8, "low for full tuning."),
        ("full", "dpo", 5e-7, ""),
        ("full", "dpo", 5e-5, "high for full tuning under dpo."),
        ("lora", "sft", 2e-4, ""),
        ("lora", "sft", 5e-2, "high for lora."),
        ("lora", "kto", 2e-4, "high for lora under kto."),
        ("lora", "orpo", 8e-5, ""),
        ("ia3", "sft", 3e-3, ""),
        ("prompt", "sft", 0.3, ""),
        ("prompt", "sft", 1e-5, "low for prompt."),
    ],
)
def test_a_rate_is_judged_by_method_and_objective(
    kind: str, objective: str, rate: float, word: str
) -> None:
    config = Config(method=Method(kind=kind), train=Train(learning_rate=rate))  # type: ignore[arg-type]
    problem = rate_problem(config, objective)
    assert (problem is None) == (not word)
    if problem is not None:
        assert problem.message == f"{rate:g} is {word}" and problem.severity == "warning"
        assert "usual: " in problem.hint
