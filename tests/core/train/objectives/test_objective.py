"""A configuration that doesn't fit its rows is told before there is a run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import AfinaError
from core.paths import ROOT
from core.plan.objective import check_shape, objective_of
from core.train.objectives.kto_weights import kto_weights, told_weights
from tests.core.train.conftest import Configure, write_rows


@pytest.mark.parametrize(
    ("rows", "words", "field", "sentence"),
    [
        ("dpo", "train.objective=sft", "train.objective", "can't be trained on by sft"),
        ("dpo", "train.packing=on", "train.packing", "can't be packed under dpo"),
        ("dpo", "data.streaming=true", "data.streaming", "the objective is dpo"),
        ("kto", "train.per_device_train_batch_size=1", "train.per_device_train_batch_size", "one"),
        ("kto", "train.label_smoothing_factor=0.1", "train.label_smoothing_factor", "verdicts"),
        ("classification", "eval.watch_prompts=[Hm]", "eval.watch_prompts", "no prompts"),
        ("classification", "train.loss_type=ipo", "train.loss_type", "a loss of dpo"),
        ("chat", "train.objective=orpo", "train.objective", "It takes preference"),
    ],
)
def test_rows_that_do_not_fit_are_a_problem_of_their_option(
    rows: str,
    words: str,
    field: str,
    sentence: str,
    configure: Configure,
    files: dict[str, Path],
    chat_file: Path,
) -> None:
    path = chat_file if rows == "chat" else files[rows]
    (found,) = check_shape(configure(f"data.path={path}", words))
    assert found.field == field and sentence in str(found)


def test_rows_that_fit_are_no_problem(
    configure: Configure, files: dict[str, Path], chat_file: Path
) -> None:
    for path in (chat_file, *files.values()):
        assert check_shape(configure(f"data.path={path}")) == []
    orpo = configure(f"data.path={files['dpo']}", "train.objective=orpo")
    assert check_shape(orpo) == []
    assert objective_of(orpo, "preference") == "orpo"


def test_held_out_rows_of_another_shape_are_told(
    configure: Configure, files: dict[str, Path], chat_file: Path
) -> None:
    words = (f"data.path={files['dpo']}", f"data.eval_path={chat_file}")
    (found,) = check_shape(configure(*words))
    assert found.field == "data.eval_path"
    assert 'have the shape "chat", which can\'t measure dpo' in found.message


def test_rows_of_no_known_shape_are_told(configure: Configure, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "odd.jsonl", [{"foo": 1, "bar": 2}])
    (found,) = check_shape(configure(f"data.path={path}"))
    assert found.field == "data.path" and "no shape that Afina knows" in found.message


def test_the_sentence_of_a_run_names_the_option(configure: Configure) -> None:
    with pytest.raises(AfinaError, match="train.packing: Set it to auto or off"):
        objective_of(configure("train.packing=on"), "preference")


def test_looking_at_the_shape_loads_no_packages() -> None:
    heavy = ["torch", "transformers", "datasets", "peft", "trl", "pyarrow", "tokenizers"]
    code = (
        "import sys; from core.config import config_io;"
        "from core.plan.objective import check_shape;"
        "print(check_shape(config_io.parse('', ['data.path=sample_data/travel.jsonl'])));"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["[]", "[]"]


def test_the_command_ends_with_2_before_it_makes_a_run(
    configure: Configure, files: dict[str, Path], home: Path, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    from core.config import config_io
    from core.runs.run import all_runs
    from tui.cli.main import app

    path = tmp_path / "run.yaml"
    path.write_text(config_io.to_yaml(configure(f"data.path={files['dpo']}", "train.packing=on")))
    printed = CliRunner().invoke(app, ["--home", str(home), "train", str(path)])
    assert printed.exit_code == 2
    assert "train.packing: Rows can't be packed under dpo" in printed.stderr
    assert all_runs(home) == []


@pytest.mark.parametrize(
    ("wanted", "unwanted", "weights"),
    [
        (10, 10, (1.0, 1.0)),
        (13, 10, (1.0, 1.0)),  # KTO eq. 8 wants weight times count within 1 and 4/3
        (10, 30, (3.0, 1.0)),
        (30, 10, (1.0, 3.0)),
        (10, 0, (1.0, 1.0)),
    ],
)
def test_the_rarer_verdict_counts_as_much_as_the_other(
    wanted: int, unwanted: int, weights: tuple[float, float]
) -> None:
    verdicts = [True] * wanted + [False] * unwanted
    assert kto_weights(verdicts) == pytest.approx(weights)
    assert (told_weights(verdicts) is None) == (weights == (1.0, 1.0))


def test_kto_weighs_its_rows_and_measures_them_alike(
    assemble: Callable[..., Any], configure: Configure, tmp_path: Path
) -> None:
    rows = [
        {"prompt": f"What in {n}?", "completion": "Bread." if n % 4 else "No.", "label": n % 4 == 0}
        for n in range(24)
    ]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    trainer = assemble(configure(f"data.path={path}", "data.eval_fraction=0.25"))
    assert (trainer.desirable_weight, trainer.undesirable_weight) == (14 / 4, 1.0)
    held = trainer.evaluate()
    assert held["eval_loss"] == pytest.approx(0.5)  # nothing has moved: sigmoid(0) for every row
    batch = next(iter(trainer.get_train_dataloader()))
    kinds = batch["label"].tolist()
    mean = sum(3.5 if wanted else 1.0 for wanted in kinds) / len(kinds)
    loss = trainer.compute_loss(trainer.model, batch)
    assert float(loss) == pytest.approx(0.5 * mean, rel=1e-4)
