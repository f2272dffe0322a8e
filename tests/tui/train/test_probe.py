"""The probe in the Train pane: watched, cancelled, its figures in the plan, its fixes taken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.config import Config
from core.hardware import read_device
from core.plan import probe as probes
from core.plan import probe_cache
from core.plan.probe_result import Fix, Point, Probe
from tests.tui.homes import write_run
from tests.tui.pilots import byte_model, changed, config_of, lines_of, text_of, until, write_weights
from tui.app import AfinaApp
from tui.widgets.form_lines import FormLines

WIDE, SMALL = (160, 45), (80, 24)
GIB = 2**30
FIXES = [
    Fix({"train.gradient_checkpointing": True}, "gradient checkpointing", 6 * GIB, True),
    Fix(
        {"train.per_device_train_batch_size": 4, "train.gradient_accumulation_steps": 2},
        "4 rows a pass, twice as many passes",
        4 * GIB,
        False,
    ),
]


def measured(config: Config, fits: bool = True) -> Probe:
    return Probe(
        device="cpu",
        peak_bytes=15 * GIB,
        free_bytes=(80 if fits else 12) * GIB,
        fits=fits,
        tokens_per_s=31_200.0,
        seconds=1_020.0,
        largest_batch=32 if fits else 4,
        points=[Point(8, 512, 15 * GIB, 1.5)],
        fixes=[] if fits else FIXES,
        made=0.0,
    )


class FakeProbing:
    """A probe that goes on as the test says, and keeps its result for the plan."""

    fits = True

    def __init__(self, config: Config, home: Path) -> None:
        self.config = config
        self.home = home
        self.go_on = threading.Event()
        self.cancelled = False
        newest.append(self)

    def events(self) -> Iterator[dict[str, Any]]:
        yield {"kind": "phase", "name": "loading model"}
        yield {"kind": "point", "point": Point(4, 256, 9 * GIB, 0.8)}
        self.go_on.wait(30)
        if self.cancelled:
            return
        result = measured(self.config, self.fits)
        probe_cache.keep(self.home, self.config, read_device("auto"), result)
        yield {"kind": "probe", "result": result}

    def cancel(self) -> None:
        self.cancelled = True
        self.go_on.set()


newest: list[FakeProbing] = []


@pytest.fixture
def config(rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A configuration with weights, whose probes are the test's."""
    newest.clear()
    monkeypatch.setattr(FakeProbing, "fits", True)
    monkeypatch.setattr(probes, "Probing", FakeProbing)
    model = byte_model(tmp_path / "with-weights")
    write_weights(model)
    return config_of(rows_file, model, max_length=64)


def showing(app: AfinaApp, size: tuple[int, int] = WIDE):  # noqa: ANN201 - Textual's pilot
    app.first_pane = "train"
    return app.run_test(size=size, notifications=True)


async def probed(pilot, app: AfinaApp) -> None:  # noqa: ANN001 - Pilot
    """Presses p and lets the probe come to its end."""
    await until(pilot, lambda: "memory, estimated" in text_of(app))
    await pilot.press("p")
    await until(pilot, lambda: newest)
    newest[-1].go_on.set()
    await until(pilot, lambda: "memory, measured" in text_of(app))


async def test_a_probe_is_watched_and_its_figures_stand_in_the_plan(
    home: Path, config: Config
) -> None:
    app = AfinaApp(home, config=config)
    async with showing(app) as pilot:
        await until(pilot, lambda: "memory, estimated at 8 × 64 tokens" in text_of(app))
        await pilot.press("p")
        await until(pilot, lambda: "● probe loading model   esc cancels" in text_of(app))
        await until(pilot, lambda: "4 × 64 tokens" in text_of(app))
        assert "9.0 GiB  0.80 s a step" in text_of(app)
        newest[-1].go_on.set()
        await until(pilot, lambda: "memory, measured at 8 × 64 tokens" in text_of(app))
        assert "15.0 GiB of 80.0 GiB  fits" in text_of(app)
        await until(pilot, lambda: "0 s  31,200 tokens/s, measured" in text_of(app))
        assert "rows, up to 32 fit" in text_of(app)
        assert "esc cancels" not in text_of(app)


async def test_a_probe_of_another_configuration_is_not_shown(home: Path, config: Config) -> None:
    app = AfinaApp(home, config=config)
    async with showing(app) as pilot:
        await probed(pilot, app)
        app.set_config(changed(config, "data", max_length=32))
        await until(pilot, lambda: "memory, estimated at 8 × 32 tokens" in text_of(app))
        app.set_config(config)
        await until(pilot, lambda: "memory, measured at 8 × 64 tokens" in text_of(app))


async def test_esc_cancels_the_probe(home: Path, config: Config) -> None:
    app = AfinaApp(home, config=config)
    async with showing(app, SMALL) as pilot:
        await pilot.press("p")
        await until(pilot, lambda: "● probe loading model" in text_of(app))
        # without room for both frames the plan is brought in sight
        assert lines_of(app)[1].startswith("╭─ plan ──")
        await pilot.press("p")
        await until(pilot, lambda: "A probe is at work; esc cancels it." in text_of(app))
        await pilot.press("escape")
        await until(pilot, lambda: newest[-1].cancelled)
        await until(pilot, lambda: "The probe was cancelled." in text_of(app))
        assert "probe loading model" not in text_of(app)
        await pilot.press("escape")
        assert lines_of(app)[1].startswith("╭─ new run trial ──")


async def test_what_does_not_fit_has_fixes_and_u_takes_one_back(
    home: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeProbing, "fits", False)
    app = AfinaApp(home, config=config)
    async with showing(app, SMALL) as pilot:
        await pilot.press("v")
        await probed(pilot, app)
        assert "15.0 GiB of 12.0 GiB  does not fit" in text_of(app)
        assert "measured 15.0 GiB, does not fit" in text_of(app)
        assert "saves   6.0 GiB measured  gradient checkpointing" in text_of(app)
        assert "saves   4.0 GiB estimated 4 rows a pass, twice as" in text_of(app)
        await pilot.press("f")
        await until(pilot, lambda: "╭─ ways to less memory" in text_of(app))
        assert "gradient_checkpointing true" in text_of(app)
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.config.train.gradient_accumulation_steps == 2)
        assert app.config.train.per_device_train_batch_size == 4
        await pilot.press("f")
        await until(pilot, lambda: "No probe of this configuration" in text_of(app))
        await pilot.press("u")
        assert app.config == config


async def test_a_probe_that_fails_says_why(
    home: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = {"kind": "failure", "message": "The model has no weights.", "hint": "Copy it again."}
    monkeypatch.setattr(FakeProbing, "events", lambda probing: iter([failure]))
    app = AfinaApp(home, config=config)
    async with showing(app) as pilot:
        await pilot.press("p")
        words = "▲ the probe failed: The model has no weights. Copy it again."
        await until(pilot, lambda: words in " ".join(text_of(app).replace("│", "").split()))


async def test_a_probe_beside_a_run_is_asked_about_first(home: Path, config: Config) -> None:
    write_run(home, "earlier", "running", at=412)
    app = AfinaApp(home, config=config)
    async with showing(app) as pilot:
        await until(pilot, lambda: "earlier" in lines_of(app)[0])
        await pilot.press("p")
        await until(pilot, lambda: "earlier is at work and shares its device" in text_of(app))
        await pilot.press("n")
        assert newest == []


async def test_read_only_probes_nothing(home: Path, config: Config) -> None:
    app = AfinaApp(home, config=config, readonly=True)
    async with showing(app) as pilot:
        await pilot.press("p")
        await until(pilot, lambda: "to look only (--readonly)" in text_of(app))
        assert newest == []


async def test_a_probe_wants_a_configuration_without_problems(home: Path, config: Config) -> None:
    app = AfinaApp(home, config=changed(config, "data", path="gone.jsonl"))
    async with showing(app) as pilot:
        app.query_one(FormLines).focus()
        await pilot.press("p")
        await until(pilot, lambda: text_of(app).count("There is no file") >= 2)
        assert newest == []
