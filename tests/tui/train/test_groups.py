"""Which options the form of a run shows, and where."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core.config import Config, config_io
from core.errors import FieldProblem
from tests.tui.pilots import changed
from tui import options
from tui.train.groups import GROUPS


def test_every_option_of_the_configuration_has_its_place_in_the_form() -> None:
    placed = [name for _, names in GROUPS for name in names]
    assert sorted(placed) == sorted(name for name, _ in config_io.fields())


def names_in(config: Config, shape: str = "", wrong: Sequence[str] = ()) -> set[str]:
    problems = [FieldProblem(name, "Wrong.") for name in wrong]
    groups = options.groups_of(config, problems, {}, {}, shape)
    return {option.name.partition(".")[2] for group in groups for option in group.options}


@pytest.mark.parametrize(
    "kind, there, not_there",
    [
        ("lora", {"rank", "alpha_pattern", "quantization"}, {"trainable_layers"}),
        ("full", {"trainable_layers"}, {"rank", "quantization", "dora", "num_virtual_tokens"}),
        ("ia3", {"target_modules", "modules_to_save", "quantization"}, {"rank", "dora"}),
        ("prompt", {"num_virtual_tokens", "prompt_tuning_init_text"}, {"target_modules", "rank"}),
    ],
)
def test_a_method_shows_its_own_options_only(
    kind: str, there: set[str], not_there: set[str]
) -> None:
    names = names_in(changed(Config(), "method", kind=kind))
    assert there <= names and not names & not_there


@pytest.mark.parametrize(
    "shape, there, not_there",
    [
        ("chat", {"supervise", "packing", "custom_loss"}, {"beta", "loss_type"}),
        ("preference", {"beta", "loss_type"}, {"supervise", "packing", "custom_loss"}),
        ("kto", {"beta"}, {"supervise", "loss_type"}),
        ("classification", set(), {"beta", "supervise", "watch_prompts"}),
    ],
)
def test_the_rows_decide_which_options_of_an_objective_are_shown(
    shape: str, there: set[str], not_there: set[str]
) -> None:
    names = names_in(Config(), shape)
    assert there <= names and not names & not_there


def test_an_option_with_a_problem_is_shown_whatever_else_is_set() -> None:
    assert "dora" not in names_in(changed(Config(), "method", kind="full"))
    assert "dora" in names_in(changed(Config(), "method", kind="full"), wrong=["method.dora"])
    assert "decay_ratio" not in names_in(Config())
    assert "decay_ratio" in names_in(changed(Config(), "train", lr_scheduler_type="wsd"))
