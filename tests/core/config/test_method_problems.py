"""Methods that can't be combined are refused, with the field and a way out."""

from __future__ import annotations

import pytest

from core.config import config_io
from core.config.method_problems import method_problems


def found(*words: str) -> dict[str, str]:
    """Severity by field."""
    problems = list(method_problems(config_io.parse("", list(words))))
    assert all(problem.hint for problem in problems)
    return {problem.field: problem.severity for problem in problems}


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("method.kind=full", "method.quantization=nf4"), "method.quantization"),
        (("method.trainable_layers=2",), "method.trainable_layers"),
        (("method.kind=ia3", "method.dora=true"), "method.dora"),
        (("method.kind=ia3", "method.init_lora_weights=pissa"), "method.init_lora_weights"),
        (("method.kind=ia3", 'method.rank_pattern={"q_proj": 4}'), "method.rank_pattern"),
        (("method.kind=prompt", "method.modules_to_save=lm_head"), "method.modules_to_save"),
        (("method.prompt_tuning_init_text=Hello",), "method.prompt_tuning_init_text"),
        (
            ("method.kind=prompt", 'method.prompt_tuning_init_text=" "'),
            "method.prompt_tuning_init_text",
        ),
        (("method.quantization=nf4", "method.init_lora_weights=pissa"), "method.init_lora_weights"),
        (("method.dora=true", "method.init_lora_weights=pissa"), "method.init_lora_weights"),
        (('method.rank_pattern={"(q_proj": 4}',), "method.rank_pattern"),
        (("method.kind=prompt", "train.packing=on"), "train.packing"),
    ],
)
def test_what_can_not_be_done_together_is_refused(words: tuple[str, ...], field: str) -> None:
    assert found(*words) == {field: "error"}


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("method.quantization=int8", "method.dora=true", "method.rslora=true"),
        ("method.kind=ia3", "method.quantization=nf4", "method.modules_to_save=lm_head"),
        ("method.kind=prompt", "method.quantization=nf4"),
        ("method.kind=full", "method.trainable_layers=2", "train.learning_rate=1e-5"),
        ("method.init_lora_weights=pissa", "method.rslora=true"),
    ],
)
def test_what_can_be_done_together_is_not(words: tuple[str, ...]) -> None:
    assert found(*words) == {}


def test_a_number_that_another_method_would_use_is_only_told() -> None:
    assert found("method.kind=ia3", "method.rank=8") == {"method.rank": "warning"}
    assert found("method.num_virtual_tokens=7") == {"method.num_virtual_tokens": "warning"}


@pytest.mark.parametrize("alpha", ["1e9", "0.01"])
def test_an_alpha_that_nobody_reports_is_only_told(alpha: str) -> None:
    assert found(f"method.alpha={alpha}", "method.rank=8") == {"method.alpha": "warning"}
    assert found("method.alpha=32", "method.rank=1") == {}
