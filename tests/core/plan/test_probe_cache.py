"""Probes that are kept and found again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from core.config import Config, Data, Method, Train
from core.plan import probe_cache
from core.plan.data_facts import DataFacts
from core.plan.plan import make_plan
from core.plan.probe_result import Point, Probe
from tests.core.plan.test_plan import CPU, config_of, device, model  # noqa: F401

PROBE = Probe(
    CPU.name, 2**30, 2**32, True, 250.0, 12.0, 9, [Point(8, 512, 2**30, 2.0, 2**30)], [], 1.0
)


@pytest.fixture
def config(model: Path, tmp_path: Path) -> Config:  # noqa: F811
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    return config_of(model, data=Data(str(rows)))


def test_a_probe_is_found_by_what_its_figures_depend_on(config: Config, home: Path) -> None:
    assert probe_cache.read(home, config, CPU) is None
    probe_cache.keep(home, config, CPU, PROBE)
    assert probe_cache.read(home, config, CPU) == PROBE
    same = msgspec.structs.replace(config, name="else", train=Train(learning_rate=1e-5))
    assert probe_cache.read(home, same, CPU) == PROBE
    busy = msgspec.structs.replace(CPU, memory_used_bytes=CPU.memory_used_bytes + 2**30)
    assert probe_cache.read(home, config, busy) == PROBE


@pytest.mark.parametrize(
    "other",
    [
        {"method": Method("full")},
        {"train": Train(per_device_train_batch_size=4)},
        {"train": Train(optim="adafactor")},
        {"train": Train(gradient_checkpointing=True)},
        {"train": Train(num_train_epochs=1.0)},  # auto packs by the number of steps
    ],
)
def test_another_run_has_no_probe(config: Config, home: Path, other: dict) -> None:
    probe_cache.keep(home, config, CPU, PROBE)
    assert probe_cache.read(home, msgspec.structs.replace(config, **other), CPU) is None


def test_another_model_other_rows_and_another_device_have_none(config: Config, home: Path) -> None:
    probe_cache.keep(home, config, CPU, PROBE)
    faster = msgspec.structs.replace(CPU, name="another processor")
    assert probe_cache.read(home, config, faster) is None
    Path(config.data.path).write_text("{}\n{}\n")
    assert probe_cache.read(home, config, CPU) is None
    probe_cache.keep(home, config, CPU, PROBE)
    settings = Path(config.model.name_or_path) / "config.json"
    settings.write_text(settings.read_text() + " ")
    assert probe_cache.read(home, config, CPU) is None


def test_what_is_damaged_counts_as_none_and_the_oldest_go(
    config: Config, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_cache, "KEPT", 2)
    for rows in (1, 2, 3):
        train = Train(per_device_train_batch_size=rows)
        probe_cache.keep(home, msgspec.structs.replace(config, train=train), CPU, PROBE)
    files = list((home / "probes").iterdir())
    assert len(files) == 2
    for path in files:
        path.write_text("{")
    last = msgspec.structs.replace(config, train=Train(per_device_train_batch_size=3))
    assert probe_cache.read(home, last, CPU) is None


def test_the_plan_takes_over_what_was_measured(config: Config, home: Path) -> None:
    probe_cache.keep(home, config, CPU, PROBE)
    plan = make_plan(home, config, DataFacts(100, 5_000, 0.5))
    assert plan.speed_source == "probe"
    assert plan.probe is not None
    assert plan.tokens_per_s == 250.0
    assert plan.probe.seconds == plan.seconds == pytest.approx((plan.tokens or 0) / 250.0)
    assert (plan.peak_bytes, plan.fits) == (2**30, True)
