"""Ways to less memory: which are offered, in which order, and what is said to be measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from core.config import Config
from core.plan import memory, model_shape
from core.plan.probe_result import Fix, Point
from core.train.probe import fixes
from core.train.probe.children import NO_MEMORY, Outcome
from core.train.probe.linear_fit import Line
from core.train.probe.request import Measured, Order
from tests.core.train.conftest import Configure

MIB = 2**20
PEAK, FREE = 1_000 * MIB, 900 * MIB  # 810 MiB of these may be filled
NOTHING = dict.fromkeys(memory.Memory.__struct_fields__, 0)


def _parts(estimated: memory.Memory) -> list[tuple[str, int]]:
    return [part for part in estimated.parts() if part[0] != "libraries"]


class Session:
    """A probe's session whose children measure what they are told to."""

    def __init__(self, config: Config, base: Path, saves: int | None) -> None:
        self.config, self.base, self.free_bytes = config, base, FREE
        self.run = SimpleNamespace(directory=base)
        self.points = [Point(2, 100, 700 * MIB, 1.0, 700 * MIB)]
        self.encoded = SimpleNamespace(
            objective="sft", train=SimpleNamespace(lengths=[40] * 9 + [80])
        )
        self.slowest_s = 1.0
        self.saves = saves  # of each way; None where it doesn't fit
        self.orders: list[Order] = []

    def estimate(self, config: Config) -> memory.Memory:
        """The tiny model's parts, as if those of the run filled its peak."""
        shape = model_shape.read_shape(self.base)
        larger = PEAK / sum(size for _, size in _parts(memory.estimate(shape, self.config, True)))
        parts = _parts(memory.estimate(shape, config, True))
        return memory.Memory(**NOTHING | {name: round(larger * size) for name, size in parts})

    def child(self, order: Order) -> Outcome:
        self.orders.append(order)
        if self.saves is None:
            return Outcome(ended=NO_MEMORY)
        left = PEAK - self.saves
        return Outcome(msgspec.to_builtins(Measured(100, left, left, left, 1.0)))


def ways(session: Any) -> dict[str, Fix]:
    found = fixes.ways_out(session, PEAK, Line(400.0 * MIB, 150.0 * MIB, 400.0 * MIB, 150.0 * MIB))
    return {next(iter(fix.options)): fix for fix in found}


@pytest.fixture
def full(configure: Configure) -> Config:
    return configure("method.kind=full", "train.per_device_train_batch_size=4")


def test_what_two_steps_can_show_is_measured(full: Config, tiny_model: Path) -> None:
    session = Session(full, tiny_model, saves=300 * MIB)
    found = ways(session)
    halved = found["train.gradient_checkpointing"]
    assert (halved.measured, halved.saves_bytes) == (True, 300 * MIB)
    assert {"train.gradient_checkpointing": True} in [order.options for order in session.orders]
    assert len(session.orders) == sum(fix.measured for fix in found.values()) <= 3


def test_fewer_rows_follow_from_the_line_and_keep_the_rows_of_a_step(
    full: Config, tiny_model: Path
) -> None:
    session = Session(full, tiny_model, saves=300 * MIB)
    rows = ways(session)["train.per_device_train_batch_size"]
    assert rows.options[fixes.ROWS] * rows.options[fixes.PASSES] == 4 * (
        full.train.gradient_accumulation_steps
    )
    assert (rows.measured, rows.saves_bytes) == (False, 300 * MIB)  # 2 rows fewer of 150 each


def test_a_way_that_does_not_fit_stays_an_estimate(full: Config, tiny_model: Path) -> None:
    session = Session(full, tiny_model, saves=None)
    found = ways(session)
    assert session.orders and not any(fix.measured for fix in found.values())


def test_steps_that_take_long_are_not_repeated_for_each_way(full: Config, tiny_model: Path) -> None:
    session = Session(full, tiny_model, saves=300 * MIB)
    session.slowest_s = 2 * fixes.QUICK_S
    assert not any(fix.measured for fix in ways(session).values()) and not session.orders


def test_ways_that_fit_by_themselves_come_first(full: Config, tiny_model: Path) -> None:
    session = Session(full, tiny_model, saves=50 * MIB)
    found = list(ways(session).values())
    fitting = [PEAK - fix.saves_bytes <= 0.9 * FREE for fix in found]
    assert fitting == sorted(fitting, reverse=True) and any(fitting) and not all(fitting)
