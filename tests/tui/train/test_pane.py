"""The Train pane: the form, its problems, YAML, and the key that starts a run."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

from core.config import Config, config_io
from core.runs.run import Run, all_runs
from tests.tui.homes import write_adapter, write_checkpoint, write_run
from tests.tui.pilots import byte_model, changed, config_of, lines_of, text_of, until, write_weights
from tui.app import AfinaApp
from tui.train.pane import TrainPane
from tui.widgets.form_lines import FormLines
from tui.widgets.frame import Words

WIDE, SMALL = (160, 45), (80, 24)


@pytest.fixture
def config(model: Path, rows_file: Path) -> Config:
    return config_of(rows_file, model, max_length=64)


def opened(home: Path, config: Config, **options) -> AfinaApp:  # noqa: ANN003
    return AfinaApp(home, config=config, **options)


def showing(app: AfinaApp, size: tuple[int, int] = SMALL):  # noqa: ANN201 - Textual's pilot
    app.first_pane = "train"
    return app.run_test(size=size, notifications=True)


def value(app: AfinaApp, name: str) -> str:
    options = {option.name: option for option in app.query_one(FormLines).options}
    return options[name].value


async def go(pilot, name: str) -> None:  # noqa: ANN001 - Pilot
    pilot.app.query_one(FormLines).go(name)
    await pilot.pause()


async def test_groups_are_headings_and_the_plan_stands_beside(home: Path, config: Config) -> None:
    app = opened(home, config)
    async with showing(app, WIDE):
        lines = lines_of(app)
        assert lines[1].startswith("╭─ new run trial ──") and "╭─ plan ──" in lines[1]
        assert lines[2].startswith("│  Model and data ")
        form = [line[1:94].split() for line in lines[2:44]]
        assert ["max_length", "64", "tokens"] in form
        assert ["kind", "lora", "also", "ia3,", "full,", "prompt"] in form
        assert ["alpha", "32", "scale", "2"] in form
        assert ["learning_rate", "2e-4", "cosine,", "3%", "warmup"] in form
        assert "preset: balanced" in text_of(app)
        assert "ready   press r to run" in text_of(app)


async def test_enter_writes_a_value_and_esc_leaves_it(home: Path, config: Config) -> None:
    app = opened(home, config)
    async with showing(app) as pilot:
        await go(pilot, "method.rank")
        await pilot.press("enter", "q", "1", "escape")
        assert app.config.method.rank == 16
        await pilot.press("enter", "8", "enter")
        assert app.config.method.rank == 8
        assert value(app, "method.rank") == "8"
        await pilot.press("x")
        assert app.config.method.rank == 16


async def test_choices_are_stepped_through_with_the_arrows_and_space(
    home: Path, config: Config
) -> None:
    app = opened(home, config)
    async with showing(app) as pilot:
        await go(pilot, "train.supervise")
        await pilot.press("right")
        assert app.config.train.supervise == "last_assistant"
        await pilot.press("space", "space", "space")
        assert app.config.train.supervise == "assistant"
        await pilot.press("left")
        assert app.config.train.supervise == "all"
        await go(pilot, "method.rank")
        await pilot.press("right")
        await until(pilot, lambda: "enter changes it" in text_of(app))


async def test_a_value_of_the_wrong_kind_stays_in_the_form_and_blocks_the_run(
    home: Path, config: Config
) -> None:
    app = opened(home, config)
    async with showing(app) as pilot:
        await go(pilot, "train.num_train_epochs")
        await pilot.press("enter", *"many", "enter")
        assert value(app, "train.num_train_epochs") == "many"
        await until(pilot, lambda: '▲ "many" is not valid' in text_of(app))
        assert app.config.train.num_train_epochs == 3.0
        await pilot.press("r")
        await until(pilot, lambda: text_of(app).count('"many" is not valid') == 2)
        assert all_runs(home) == []
        await pilot.press("enter", "2", "enter")
        assert "is not valid" not in "\n".join(lines_of(app)[:18])
        assert app.config.train.num_train_epochs == 2.0


async def test_problems_stand_under_their_field_and_bracket_finds_them(
    home: Path, config: Config, tmp_path: Path
) -> None:
    app = opened(home, config_of(tmp_path / "gone.jsonl", tmp_path))
    async with showing(app) as pilot:
        lines = lines_of(app)
        place = next(number for number, line in enumerate(lines) if "   data   " in line)
        assert "▲ There is no file " in lines[place + 1]
        assert lines[-2].startswith(" ▲ 2 problems")
        await go(pilot, "train.seed")
        await pilot.press("]")
        assert app.query_one(FormLines).option.name == "model.name_or_path"  # type: ignore[union-attr]
        await pilot.press("]")
        assert app.query_one(FormLines).option.name == "data.path"  # type: ignore[union-attr]


async def test_r_starts_the_run_with_this_configuration_and_shows_it(
    home: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[Run, str]] = []
    monkeypatch.setattr(Run, "start", lambda run, worker: started.append((run, worker)))
    app = opened(home, config)
    async with showing(app) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: app.pane is not None and app.pane.id == "runs")
        (run, worker) = started[0]
        assert worker == "train"
        assert run.name == "trial" and run.config.data.max_length == 64
        assert [found.id for found in all_runs(home)] == [run.id]


async def test_a_second_run_is_asked_about_first(
    home: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(Run, "start", lambda run, worker: started.append(worker))
    write_run(home, "earlier", "running", at=412)
    app = opened(home, config)
    async with showing(app) as pilot:
        await until(pilot, lambda: "earlier" in lines_of(app)[0])
        await pilot.press("r")
        await until(pilot, lambda: "earlier is at work (412 of 900 steps)." in text_of(app))
        await pilot.press("n")
        await until(pilot, lambda: "is at work" not in text_of(app))
        assert started == []
        await pilot.press("r")
        await until(pilot, lambda: "is at work" in text_of(app))
        await pilot.press("y")
        await until(pilot, lambda: started == ["train"])


async def test_read_only_starts_nothing_and_says_so(home: Path, config: Config) -> None:
    app = opened(home, config, readonly=True)
    async with showing(app) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: "to look only (--readonly)" in text_of(app))
        assert all_runs(home) == [] and not (home / "session.json").exists()


async def test_the_yaml_comes_back_from_the_editor_checked(
    home: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "editor.py"
    script.write_text(
        "import pathlib, sys\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "old, new = pathlib.Path(__file__).with_name('swap').read_text().split('>')\n"
        "path.write_text(path.read_text().replace(old, new))\n"
    )
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    monkeypatch.delenv("VISUAL", raising=False)
    app = opened(home, config)
    async with showing(app) as pilot:
        monkeypatch.setattr(app, "suspend", contextlib.nullcontext)
        (tmp_path / "swap").write_text("rank: 16>rank: 4")
        await pilot.press("e")
        await until(pilot, lambda: app.config.method.rank == 4)
        (tmp_path / "swap").write_text("rank: 4>rnak: 4")
        await pilot.press("e")
        await until(pilot, lambda: "the YAML can't be used" in text_of(app))
        assert "method.rnak: There is no such option." in text_of(app)
        await pilot.press("n")
        assert app.config.method.rank == 4


async def test_a_saved_configuration_is_the_same_when_opened(
    home: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = opened(home, config)
    async with showing(app) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: "save the configuration" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: (tmp_path / "trial.yaml").is_file())
        assert config_io.load(tmp_path / "trial.yaml") == config
        await until(pilot, lambda: "`afina train trial.yaml` runs it" in text_of(app))
        await go(pilot, "method.rank")
        await pilot.press("enter", "2", "enter", "w", "enter")
        await until(pilot, lambda: "is there already" in text_of(app))
        await pilot.press("n", "o")
        await until(pilot, lambda: "open a configuration" in text_of(app))
        await pilot.press(*"tri", "tab", "enter")
        await until(pilot, lambda: app.config == config)


async def test_a_preset_shows_what_it_would_change_and_who_says_so(
    home: Path, config: Config
) -> None:
    app = opened(home, config)
    async with showing(app) as pilot:
        await pilot.press("P")
        await until(pilot, lambda: "╭─ presets" in text_of(app))
        await pilot.press(*"every weight")
        await until(pilot, lambda: "2e-4 -> 2e-5" in text_of(app))
        line = next(line for line in lines_of(app) if "2e-4 -> 2e-5" in line)
        assert line.split("│")[1].split() == [
            "learning_rate", "2e-4", "->", "2e-5", "Tülu", "2", "2311.10702"
        ]  # fmt: skip
        await pilot.press("enter")
        await until(pilot, lambda: "preset: full" in text_of(app))
        assert app.config.method.kind == "full" and app.config.train.learning_rate == 2e-5
        shown = [option.name for option in app.query_one(FormLines).options]
        assert "method.rank" not in shown


async def test_u_takes_changes_back_one_by_one(home: Path, config: Config) -> None:
    app = opened(home, config)
    async with showing(app) as pilot:
        await go(pilot, "method.rank")
        await pilot.press("enter", "8", "enter", "enter", "4", "enter")
        assert app.config.method.rank == 4
        await pilot.press("u")
        assert app.config.method.rank == 8
        await pilot.press("u", "u")
        await until(pilot, lambda: "Nothing was changed." in text_of(app))
        assert app.config == config


async def test_patterns_of_ranks_are_written_as_names_with_numbers(
    home: Path, config: Config
) -> None:
    app = opened(home, config)
    async with showing(app) as pilot:
        await go(pilot, "method.rank_pattern")
        await until(pilot, lambda: "Write it as down_proj: 8, q_proj: 4." in text_of(app))
        await pilot.press("enter", *["backspace"] * 4, *"down_proj: 8", "enter")
        assert app.config.method.rank_pattern == {"down_proj": 8}
        assert value(app, "method.rank_pattern") == "down_proj: 8"


async def test_what_to_go_on_from_is_chosen_among_the_runs(home: Path, config: Config) -> None:
    run = write_run(home, "travel-lora", "done", at=900, checkpoints=(900,), result=True)
    best = run.state().best_step
    assert best is not None
    write_adapter(write_checkpoint(run, best))
    app = opened(home, config)
    async with showing(app) as pilot:
        await go(pilot, "model.continue_from")
        await pilot.press("enter")
        await until(pilot, lambda: "╭─ go on from" in text_of(app))
        words = " ".join(text_of(app).split())
        assert f"{run.id} result" in words and f"best, {best}" in words and "step 900" in words
        await pilot.press(*"best")
        await pilot.press("enter")
        await until(pilot, lambda: app.config.model.continue_from == f"{run.id}@best")
        # the adapter decides its rank, and with it goes its base
        assert app.config.method.rank == 8
        assert app.config.model.name_or_path == run.base
        await pilot.press("v")
        await until(pilot, lambda: f"continues  {run.id}@best" in text_of(app))
        await pilot.press("escape", "enter", *"none", "enter")
        await until(pilot, lambda: app.config.model.continue_from is None)


async def test_the_file_of_a_loss_of_ones_own_is_shown_before_it_runs(
    home: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(Run, "start", lambda run, worker: started.append(worker))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loss.py").write_text("def mine(outputs, labels, items): ...\n")
    app = opened(home, changed(config, "train", custom_loss="loss.py:mine"))
    async with showing(app, WIDE) as pilot:
        monkeypatch.setattr(app.pane, "problems", lambda: [])
        await pilot.press("r")
        await until(pilot, lambda: "This file's code will run" in text_of(app))
        words = str(app.screen.query_one("#words", Words).content)
        assert f"{tmp_path / 'loss.py'}\nmine" in words
        await pilot.press("n")
        await until(pilot, lambda: "will run" not in text_of(app))
        assert started == []
        await pilot.press("r", "y")
        await until(pilot, lambda: started == ["train"])


async def test_the_form_knows_the_data_once_it_was_looked_at(home: Path, config: Config) -> None:
    app = AfinaApp(home, config=config_of(Path(config.data.path), Path(config.model.name_or_path)))
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, lambda: "steps/epoch" in text_of(app))
        await pilot.press("2")
        await until(pilot, lambda: isinstance(app.pane, TrainPane))
        await until(pilot, lambda: "40 rows, chat" in text_of(app))
        assert "4 rows held out" in text_of(app)


async def test_a_small_screen_shows_the_plan_instead_of_the_form(
    home: Path, config: Config
) -> None:
    app = opened(home, config)
    async with showing(app) as pilot:
        assert "╭─ plan" not in text_of(app)
        assert lines_of(app)[-2].startswith(" ready   lora r 16 · 3 epochs")
        await pilot.press("v")
        assert lines_of(app)[1].startswith("╭─ plan ──")
        await pilot.press("escape")
        assert lines_of(app)[1].startswith("╭─ new run trial ──")


async def test_the_last_configuration_is_there_at_the_next_start(
    home: Path, config: Config
) -> None:
    app = opened(home, config)
    async with showing(app) as pilot:
        await go(pilot, "method.rank")
        await pilot.press("enter", "4", "enter")
    again = AfinaApp(home)
    assert again.config == app.config and again.config.method.rank == 4
    assert again.first_pane == "train"


async def test_the_plan_tells_memory_parameters_and_steps_of_this_run(
    home: Path, rows_file: Path, tmp_path: Path
) -> None:
    model = byte_model(tmp_path / "with-weights")
    write_weights(model)
    app = opened(home, config_of(rows_file, model, max_length=64))
    async with showing(app, WIDE) as pilot:
        await until(pilot, lambda: "memory, estimated at 8 × 64 tokens" in text_of(app))
        # 2 layers of 2 linear layers: rank 16 times (8 + 8) numbers each
        assert "trains     1.02 k  of 2.34 k parameters, 44 %" in text_of(app)
        assert "1.02 k trainable, 44 %" in text_of(app)
        assert " weights " in text_of(app) and "fits" in text_of(app)
        assert "ready   press r to run, p to measure first" in text_of(app)
        # the Data pane counts 36 rows of 41 to 43 tokens to train on, though nobody opened it
        await until(pilot, lambda: "steps      15  about 3" in text_of(app))


async def test_without_weights_the_plan_says_so_and_the_run_stays_possible(
    home: Path, config: Config
) -> None:
    app = opened(home, config)
    async with showing(app, WIDE) as pilot:
        await until(pilot, lambda: "no estimate: There are no safetensors weights" in text_of(app))
        assert "ready   press r to run" in text_of(app)
