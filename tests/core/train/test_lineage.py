"""Going on from a run or an adapter: what it decides, what is kept, what is recorded."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from core.config import Config, Method, Model
from core.errors import AfinaError
from core.runs import continue_from, lineage
from core.runs.problems import run_problems
from core.runs.run import Run, create_run, delete_run, find_run, summary
from core.runs.target import of_run
from tests.core.train.conftest import Configure, NewWorker, losses, of_kind, write_rows
from tests.core.train.objectives.conftest import classes, preferences
from tests.core.train.test_methods import Assemble, assemble, logits_of

__all__ = ["assemble"]  # a fixture

FIRST = ("train.max_steps=4", "checkpoint.every_steps=2", "method.rank=4", "method.alpha=8")
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def first(finished: Callable[[Config], Run], configure: Configure) -> Run:
    """A LoRA of rank 4 on two kinds of layer, which others go on from."""
    return finished(configure(*FIRST, "method.target_modules=q_proj,v_proj", "name=first"))


@pytest.fixture
def there(first: Run, home: Path) -> Run:
    """The first run in the home of a test."""
    target = home / "runs" / first.id
    shutil.copytree(first.directory, target)
    return Run(target)


def going_on(configure: Configure, word: str, *words: str) -> Config:
    """A configuration that names no model and goes on from a word."""
    config = configure("train.max_steps=3", "checkpoint.every_steps=1", *words)
    return msgspec.structs.replace(config, model=Model(dtype="float32", continue_from=word))


def test_an_adapter_decides_the_method_and_the_base(
    there: Run, home: Path, configure: Configure
) -> None:
    wanted = going_on(configure, "first@2", "method.rank=32", "method.dropout=0.2")
    run = create_run(home, wanted)
    expected = Method(rank=4, alpha=8.0, target_modules="q_proj,v_proj", dropout=0.2)
    assert run.config.method == expected
    assert run.config.model.name_or_path == there.base
    assert run.config.model.continue_from == f"{there.id}@2"
    assert continue_from.resolve_config(home, run.config) == run.config  # settled once and for all


def test_the_best_step_and_a_folder_are_settled_too(
    there: Run, home: Path, configure: Configure
) -> None:
    state = there.recorded_state()
    there.write_state(msgspec.structs.replace(state, best_step=2))
    assert create_run(home, going_on(configure, "first@best")).config.model.continue_from == (
        f"{there.id}@2"
    )
    folder = there.directory / "adapter"
    run = create_run(home, going_on(configure, str(folder)))
    assert run.config.model.continue_from == str(folder)
    assert run.config.model.name_or_path == there.config.model.name_or_path


def test_where_the_form_says_otherwise_is_told_before(
    there: Run, home: Path, configure: Configure
) -> None:
    found = run_problems(home, going_on(configure, "first", "method.rank=32"))
    assert [(p.field, p.severity) for p in found] == [("method.rank", "warning")]
    assert 'The adapter that goes on has "4"' in found[0].message
    other = msgspec.structs.replace(
        going_on(configure, "first"), model=Model("/another/model", continue_from="first")
    )
    messages = {p.message for p in run_problems(home, other) if p.field == "model.continue_from"}
    assert any('model.name_or_path is "/another/model"' in message for message in messages)
    wrong = run_problems(home, going_on(configure, "frist"))
    missing = [p for p in wrong if p.severity == "error"]
    assert len(missing) == 1
    assert (missing[0].field, missing[0].hint) == (
        "model.continue_from",
        'Did you mean "first"?',
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"peft_type": "LOHA"}, "of the kind LOHA"),
        ({"init_lora_weights": "pissa"}, "began as pissa"),
    ],
)
def test_an_adapter_that_can_not_go_on_is_refused(
    settings: dict[str, Any], words: str, there: Run, home: Path
) -> None:
    path = there.directory / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    with pytest.raises(AfinaError, match=words):
        continue_from.find(home, "first")


def test_a_continued_run_begins_with_the_weights_and_outlives_the_earlier_one(
    there: Run, home: Path, new_worker: NewWorker, configure: Configure
) -> None:
    reached = of_kind(there, "eval")[-1]["eval_loss"]
    worker = new_worker(going_on(configure, "first", "train.max_steps=40")).start()
    worker.until_step(2)
    worker.kill()
    delete_run(there)
    assert worker.start().wait() == 0, worker.log()
    assert of_kind(worker.run, "eval")[0]["eval_loss"] == pytest.approx(reached, abs=1e-5)
    assert sorted(losses(worker.run)) == list(range(1, 41))
    found = lineage.of(worker.run)
    assert found is not None
    assert (found.continues, found.point, found.ancestors) == (there.id, "result", [there.id])
    start = worker.run.directory / "start" / WEIGHTS
    assert found.sha256 == hashlib.sha256(start.read_bytes()).hexdigest()
    note = f'The run goes on from "{there.id}".'
    assert note in {event["message"] for event in of_kind(worker.run, "finding")}
    assert of_run(worker.run).adapter == str(worker.run.directory / "adapter")
    assert summary(worker.run).continues == there.id
    plan = of_kind(worker.run, "plan")[0]
    assert (plan["continues"], plan["method"]) == (f"{there.id}@result", "lora")
    settings = json.loads((worker.run.directory / "adapter" / "adapter_config.json").read_text())
    assert (settings["r"], settings["base_model_name_or_path"]) == (4, found.base)


def test_a_fully_tuned_model_is_the_base_and_is_not_deleted_under_an_adapter(
    home: Path, new_worker: NewWorker, configure: Configure
) -> None:
    whole = new_worker(configure("method.kind=full", "train.max_steps=1", "name=whole")).start()
    assert whole.wait() == 0, whole.log()
    run = create_run(home, going_on(configure, "whole", "method.rank=2"))
    assert run.config.model.name_or_path == str(whole.run.directory / "model")
    assert run.config.method.rank == 2
    named = configure("model.continue_from=whole", "method.rank=2")  # and the base of that run
    assert continue_from.resolve_config(home, named).model == run.config.model
    found = lineage.record(run, home)
    assert found is not None and found.base == run.base
    assert not (run.directory / "start").exists()
    with pytest.raises(AfinaError, match=f'is the base of "{run.id}"'):
        delete_run(find_run(home, "whole"))


LN_2 = 0.693147


@pytest.fixture
def preferring(configure: Configure, tmp_path: Path) -> Callable[..., Config]:
    path = write_rows(tmp_path / "pairs.jsonl", preferences(16))
    return lambda *words: configure(f"data.path={path}", "train.max_steps=3", *words)


def logits_under(model: Any, adapter: str | None) -> torch.Tensor:
    from trl.trainer.utils import use_adapter

    with use_adapter(model, adapter):
        return logits_of(model)


def test_dpo_on_a_continued_adapter_is_held_near_that_adapter(
    there: Run,
    home: Path,
    assemble: Assemble,
    preferring: Callable[..., Config],
) -> None:
    config = preferring("train.learning_rate=1e-3", "checkpoint.every_steps=1")
    model = Model(dtype="float32", continue_from="first")
    run = create_run(home, msgspec.structs.replace(config, model=model))
    lineage.record(run, home)
    trainer = assemble(run.config, run)
    began = logits_of(trainer.model)
    base = logits_under(trainer.model, None)
    assert float((began - base).abs().max()) > 1e-3
    assert trainer.evaluate()["eval_loss"] == pytest.approx(LN_2, abs=1e-5)
    trainer.train()
    assert not torch.equal(logits_of(trainer.model), began)
    assert torch.equal(logits_under(trainer.model, "ref"), began)
    assert trainer.evaluate()["eval_loss"] < LN_2
    folder = run.checkpoints()[0]
    assert not [path for path in folder.iterdir() if path.is_dir() and path.name == "ref"]
    reached = losses(run)
    (run.directory / "events.jsonl").unlink()
    again = assemble(run.config, run)
    again.train(resume_from_checkpoint=str(folder))
    assert losses(run) == {step: reached[step] for step in (2, 3)}


def test_dpo_on_pissa_is_held_near_the_base_as_it_was(
    assemble: Assemble, preferring: Callable[..., Config]
) -> None:
    from transformers import AutoModelForCausalLM

    config = preferring("method.init_lora_weights=pissa", "method.rank=4")
    trainer = assemble(config)
    trainer.train()
    base = logits_of(AutoModelForCausalLM.from_pretrained(config.model.name_or_path))
    torch.testing.assert_close(logits_under(trainer.model, "ref"), base, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(logits_of(trainer.model), base, atol=1e-3)


def test_an_adapter_for_text_learns_no_classes(
    there: Run, home: Path, assemble: Assemble, configure: Configure, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "classes.jsonl", classes(12))
    run = create_run(home, going_on(configure, "first", f"data.path={path}"))
    lineage.record(run, home)
    with pytest.raises(AfinaError, match="is for CAUSAL_LM, and classification trains SEQ_CLS"):
        assemble(run.config, run)


@pytest.mark.parametrize("names", ["same", "other"])
def test_a_classifier_goes_on_with_its_classes_only(
    names: str, home: Path, assemble: Assemble, configure: Configure, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "classes.jsonl", classes(12))
    words = (f"data.path={path}", "train.max_steps=2", "name=telling")
    run = create_run(home, configure(*words))
    trainer = assemble(run.config, run)
    trainer.train()
    if names == "other":
        rows = [row | {"label": f"new {row['label']}"} for row in classes(12)]
        write_rows(path, rows)
    second = create_run(home, going_on(configure, f"{run.id}@2", f"data.path={path}"))
    lineage.record(second, home)
    if names == "other":
        with pytest.raises(AfinaError, match="cereal, grain, soup apart, and the rows have new"):
            assemble(second.config, second)
        return
    again = assemble(second.config, second)
    assert torch.equal(logits_of(again.model), logits_of(trainer.model))


def test_an_adapter_of_another_model_is_refused_with_the_way_out(
    there: Run, home: Path, assemble: Assemble, configure: Configure, tmp_path: Path
) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    other = tmp_path / "other"
    shutil.copytree(there.base, other)
    settings = LlamaConfig.from_pretrained(there.base)
    settings.update({"num_attention_heads": 2, "num_key_value_heads": 2, "hidden_size": 64})
    settings.head_dim = 32
    LlamaForCausalLM(settings).save_pretrained(other)
    run = create_run(home, going_on(configure, "first"))
    lineage.record(run, home)
    config = msgspec.structs.replace(run.config, model=Model(str(other), dtype="float32"))
    with pytest.raises(AfinaError, match="doesn't fit"):
        assemble(config, run)


@pytest.mark.parametrize("kind", ["lora", "ia3", "prompt"])
def test_a_new_adapter_needs_no_copy_to_be_compared_with(
    kind: str, assemble: Assemble, preferring: Callable[..., Config]
) -> None:
    trainer = assemble(preferring(f"method.kind={kind}", "train.learning_rate=1e-2"))
    assert list(trainer.model.peft_config) == ["default"]
    first = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < first
