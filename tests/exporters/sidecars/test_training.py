"""What a card tells of a run: choices, data by name and hash, losses of the very weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.config import Config, Data, Method, Train, config_io
from core.events import EventWriter
from core.runs.run import Run
from core.train.checkpoint import provenance
from exporters.sidecars.training import training_of

CONFIG = Config(
    data=Data(path="/home/me/secret/travel.jsonl", max_length=256),
    method=Method(rank=4, dora=True, quantization="nf4", rank_pattern={"down_proj": 2}),
    train=Train(learning_rate=2e-4, seed=7),
)


def make_run(folder: Path, config: Config = CONFIG, evals: tuple[Any, ...] = ()) -> Run:
    (folder / "config.yaml").write_text(config_io.to_yaml(config))
    writer = EventWriter(folder / "events.jsonl")
    writer.write("plan", rows=1800, eval_rows=200)
    for step, loss in evals:
        writer.write("eval", step=step, eval_loss=loss)
    writer.write("result", train_loss=1.25, steps=1350, train_s=240.0, device_name="CPU")
    writer.close()
    return Run(folder)


def test_choices_and_data_are_told_and_where_things_lie_is_not(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    known = provenance.Facts(
        {}, {}, "cpu", "", {'data.path "/home/me/secret/travel.jsonl"': "abc"}, "", {}
    )
    provenance.keep(tmp_path, known)
    training = training_of(run)
    rows = dict(training.rows)
    assert training.method == rows["method.kind"] == "lora"
    assert rows["data.path"] == "travel.jsonl, sha256 abc"
    assert rows["rows"] == "1,800, 200 held out"
    assert (rows["method.rank"], rows["method.dora"]) == ("4", "yes")
    assert rows["method.quantization"] == "nf4" and rows["method.rank_pattern"] == "down_proj: 2"
    assert rows["train.learning_rate"] == "0.0002" and rows["train.seed"] == "7"
    assert rows["data.max_length"] == "256" and rows["method.target_modules"] == "all-linear"
    assert "train.optim" not in rows  # as usual
    assert (rows["train loss"], rows["steps"]) == ("1.25", "1,350 in 4 min")
    assert "secret" not in str(training.rows)


def test_without_facts_data_is_named_and_a_hub_id_is_whole(tmp_path: Path) -> None:
    assert dict(training_of(make_run(tmp_path)).rows)["data.path"] == "travel.jsonl"
    (tmp_path / "hub").mkdir()
    config = Config(data=Data(path="org/rows", chat_template="chatml"))
    rows = dict(training_of(make_run(tmp_path / "hub", config)).rows)
    assert (rows["data.path"], rows["data.chat_template"]) == ("org/rows", "chatml")


@pytest.mark.parametrize(
    ("point", "loss"),
    [
        ("", "1.1000 at step 200"),
        ("best", "1.1000 at step 200"),
        ("last", "1.3000 at step 300"),
        ("150", "1.5000 at step 100"),
    ],
)
def test_the_loss_is_that_of_the_weights(tmp_path: Path, point: str, loss: str) -> None:
    run = make_run(tmp_path, evals=((0, 2.5), (100, 1.5), (200, 1.1), (300, 1.3)))
    rows = dict(training_of(run, point).rows)
    assert (rows["eval loss of the base"], rows["eval loss"]) == ("2.5000", loss)


def test_a_run_that_never_evaluated_tells_no_loss(tmp_path: Path) -> None:
    assert not any(name.startswith("eval") for name, _ in training_of(make_run(tmp_path)).rows)
