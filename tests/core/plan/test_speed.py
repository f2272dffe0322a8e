"""Who says how fast a run will go."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from core.config import Config, Method, Train
from core.events import EventWriter
from core.plan import speed
from core.plan.data_facts import DataFacts
from core.plan.model_shape import read_shape
from core.plan.plan import make_plan
from core.runs.run import create_run
from tests.core.plan.test_plan import CPU, config_of, device, model  # noqa: F401

DATA = DataFacts(100, 5_000, 0.5)


def ended(home: Path, config: Config, tokens_per_s: float, on: str = CPU.name) -> str:
    """A run that came to its end at this speed."""
    run = create_run(home, config)
    writer = EventWriter(run.events_path)
    writer.write("plan", rows=100, tokens_per_epoch=5_000, supervised_tokens=2_500, objective="sft")
    writer.write("result", tokens_per_s=tokens_per_s, device_name=on)
    writer.write("state", state="done")
    return run.id


def test_without_a_run_the_operations_and_an_assumed_peak_tell(
    model: Path,  # noqa: F811
    home: Path,
) -> None:
    first = make_plan(home, config_of(model), DATA)
    assert (first.speed_source, first.earlier_run) == ("assumed", "")
    assert first.tokens_per_s and first.seconds
    frugal = config_of(model, train=Train(gradient_checkpointing=True))
    slower = make_plan(home, frugal, DATA).tokens_per_s
    assert slower and slower < first.tokens_per_s


def test_a_run_like_it_on_this_device_tells_better(
    model: Path,  # noqa: F811
    home: Path,
) -> None:
    config = config_of(model)
    ended(home, config, 100.0, on="another device")
    assert make_plan(home, config, DATA).speed_source == "assumed"
    run = ended(home, config, 500.0)
    plan = make_plan(home, config, DATA)
    assert (plan.tokens_per_s, plan.earlier_run, plan.speed_source) == (500.0, run, "run")
    assert plan.seconds == pytest.approx((plan.tokens or 0) / 500.0)


def test_a_run_that_learned_something_else_from_its_rows_is_not_like_it(
    model: Path,  # noqa: F811
    home: Path,
) -> None:
    config = config_of(model)
    ended(home, config, 500.0)
    preferences = msgspec.structs.replace(DATA, objective="dpo")
    assert make_plan(home, config, preferences).speed_source == "scaled"


@pytest.mark.parametrize(
    "other",
    [
        {"method": Method("full")},
        {"method": Method(quantization="nf4")},
        {"train": Train(optim="adafactor")},
        {"train": Train(packing="off")},
        {"train": Train(gradient_checkpointing=True)},
    ],
)
def test_another_method_is_scaled_by_its_operations(
    model: Path,  # noqa: F811
    home: Path,
    other: dict,
) -> None:
    ended(home, config_of(model), 500.0)
    config = config_of(model, **other)
    plan, shape = make_plan(home, config, DATA), read_shape(model)
    assert plan.speed_source == "scaled"
    load = speed.Load(50.0, 0.5)
    ratio = speed._operations(shape, config_of(model), load) / speed._operations(
        shape, config, load
    )
    assert plan.tokens_per_s == pytest.approx(500.0 * ratio)


def test_rows_much_longer_than_those_of_the_run_are_scaled(
    model: Path,  # noqa: F811
    home: Path,
) -> None:
    config = config_of(model)
    ended(home, config, 500.0)
    near, far = (
        msgspec.structs.replace(
            config, data=msgspec.structs.replace(config.data, max_length=length)
        )
        for length in (1024, 2048)
    )
    assert make_plan(home, near, DATA).speed_source == "run"
    assert make_plan(home, far, DATA).speed_source == "scaled"


def test_a_gpu_is_known_by_its_name() -> None:
    gpu = msgspec.structs.replace(CPU, kind="cuda", name="NVIDIA H100 80GB HBM3")
    unknown = msgspec.structs.replace(gpu, name="NVIDIA Something")
    assert speed._assumed(Config(), gpu) == pytest.approx(0.35 * 989e12)
    assert speed._assumed(Config(), unknown) == pytest.approx(0.35 * 60e12)
