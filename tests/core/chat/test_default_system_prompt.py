"""A talk begins as the run's rows do."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from core.chat.default_system_prompt import system_prompt_of
from core.config import Config, Data, Model
from core.runs.run import create_run
from core.runs.target import Target, of_run


def target_over(home: Path, first_row: object, template: str | None = None) -> Target:
    path = home / "rows.jsonl"
    path.write_text(json.dumps(first_row) + "\n")
    data = Data(path=str(path), prompt_template=template)
    config = Config(model=Model(name_or_path=str(home)), data=data)
    return of_run(create_run(home, config), "base")


def test_a_runs_models_are_asked_under_the_system_prompt_of_its_rows(home: Path) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    answered = [*messages, {"role": "assistant", "content": "Hello"}]
    target = target_over(home, {"messages": answered})
    other = msgspec.structs.replace(target, run=None)
    assert system_prompt_of([other, target]) == "Be kind."


def test_an_export_of_a_run_is_asked_as_the_run_is(home: Path) -> None:
    row = {"system": "Be kind.", "prompt": "Hi", "completion": "Hello"}
    run = Path(str(target_over(home, row).run))
    file = run / "exports" / "20" / "gguf" / "x.gguf"
    shared = home / "exports" / "base" / "onnx" / "base-multi-int4"
    adapter = shared / "adapters" / f"{run.name}.onnx_adapter"
    for target in (
        Target(str(file), "gguf", str(file)),
        Target(str(adapter), "onnx", str(shared), adapter=str(adapter)),
    ):
        assert system_prompt_of([target]) == "Be kind."
    assert system_prompt_of([Target(str(shared), "onnx", str(shared))]) == ""


@pytest.mark.parametrize(
    "answers",
    [{"chosen": "Hello", "rejected": "Go"}, {"completion": "Hello", "label": True}],
)
def test_pairs_and_judged_answers_have_it_in_their_prompt(
    home: Path, answers: dict[str, object]
) -> None:
    assert system_prompt_of([target_over(home, {"system": "S", "prompt": "Hi", **answers})]) == "S"


def test_tables_and_folders_have_it_as_lines_do(home: Path) -> None:
    folder = home / "rows"
    folder.mkdir()
    (folder / "rows.csv").write_text("system,prompt,completion\nBe kind.,Hi,Hello\n")
    for path in (folder, folder / "rows.csv"):
        data = Data(path=str(path))
        config = Config(model=Model(name_or_path=str(home)), data=data)
        assert system_prompt_of([of_run(create_run(home, config), "base")]) == "Be kind."


def test_a_text_of_the_users_own_template_has_no_roles_and_so_no_system_prompt(home: Path) -> None:
    row = {"system": "S", "prompt": "Hi", "completion": "Hello"}
    assert system_prompt_of([target_over(home, row)]) == "S"
    assert system_prompt_of([target_over(home, row, "{prompt} {completion}")]) == ""


@pytest.mark.parametrize("row", [{"text": "Once"}, [], "words", {"messages": []}, 3])
def test_rows_without_one_give_none(home: Path, row: object) -> None:
    assert system_prompt_of([target_over(home, row)]) == ""


def test_a_model_that_is_no_runs_has_none() -> None:
    assert system_prompt_of([Target("model", "hf", "model")]) == ""
