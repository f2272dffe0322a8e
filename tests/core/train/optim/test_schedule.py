"""The learning rate of each step."""

from __future__ import annotations

import math

import pytest
import torch

from core.plan.lr_schedule import course, warmup_steps
from core.train.optim.schedule import scheduler
from tests.core.train.conftest import Configure

KINDS = ["cosine", "linear", "constant", "constant_with_warmup", "wsd"]


def rates(configure: Configure, steps: int, *words: str) -> list[float]:
    share = course(configure(*words), steps)
    return [share(step) for step in range(steps)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 2, 3, 40])
def test_no_step_has_a_rate_of_zero_and_one_has_the_peak(
    kind: str, steps: int, configure: Configure
) -> None:
    for warmup in (0.0, 0.03, 0.9):
        found = rates(
            configure, steps, f"train.lr_scheduler_type={kind}", f"train.warmup_ratio={warmup}"
        )
        assert all(0 < rate <= 1 for rate in found)
        assert max(found) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_warmup_rises_evenly_from_the_first_step(kind: str, configure: Configure) -> None:
    words = (f"train.lr_scheduler_type={kind}", "train.warmup_ratio=0.2")
    found = rates(configure, 20, *words)
    if kind == "constant":
        assert found == [1.0] * 20
    else:
        assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_cosine_and_linear_fall_to_what_one_more_step_brings_to_zero(configure: Configure) -> None:
    plain = "train.warmup_ratio=0"
    assert rates(configure, 4, "train.lr_scheduler_type=linear", plain) == [1, 0.75, 0.5, 0.25]
    assert rates(configure, 4, "train.lr_scheduler_type=cosine", plain) == pytest.approx(
        [1, 0.5 + math.sqrt(0.5) / 2, 0.5, 0.5 - math.sqrt(0.5) / 2]
    )


def test_wsd_stays_up_and_falls_in_its_share_of_the_steps(configure: Configure) -> None:
    words = ("train.lr_scheduler_type=wsd", "train.warmup_ratio=0.1", "train.decay_ratio=0.4")
    found = rates(configure, 10, *words)
    assert found[0] == 0.5
    assert found[1:7] == [1.0] * 6
    assert found[7:] == pytest.approx([1 - math.sqrt(share) for share in (0.25, 0.5, 0.75)])


def test_wsd_with_more_fall_than_steps_falls_after_the_warmup(configure: Configure) -> None:
    words = ("train.lr_scheduler_type=wsd", "train.warmup_ratio=0.5", "train.decay_ratio=1.0")
    found = rates(configure, 8, *words)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[5] < 1


def test_a_run_of_one_step_takes_the_peak(configure: Configure) -> None:
    assert warmup_steps(configure("train.warmup_ratio=0.5"), 1) == 0
    assert rates(configure, 1) == [1.0]


def test_a_loaded_schedule_goes_on_under_the_peak_of_its_own_run(configure: Configure) -> None:
    def made(rate: float) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        config = configure(f"train.learning_rate={rate}", "train.max_steps=10")
        optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=rate)
        return optimizer, scheduler(optimizer, config, 10)

    first, schedule = made(0.2)
    for _ in range(4):
        first.step()
        schedule.step()
    same_optimizer, same = made(0.2)
    same_optimizer.load_state_dict(first.state_dict())
    same.load_state_dict(schedule.state_dict())
    assert same.get_last_lr() == schedule.get_last_lr()
    lower_optimizer, lower = made(0.1)
    lower_optimizer.load_state_dict(first.state_dict())
    lower.load_state_dict(schedule.state_dict())
    assert lower.get_last_lr() == [rate / 2 for rate in schedule.get_last_lr()]
    assert lower_optimizer.param_groups[0]["lr"] == lower.get_last_lr()[0]
    lower_optimizer.step()
    lower.step()
    schedule.step()
    assert lower.get_last_lr() == pytest.approx([rate / 2 for rate in schedule.get_last_lr()])
