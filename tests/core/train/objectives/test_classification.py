"""Classes: what reaches the model, and what it tells of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config import Config
from core.errors import AfinaError
from core.runs.target import of_run
from core.train.checkpoint import manifest
from core.train.objectives.classification import confusion, macro_f1
from tests.core.train.conftest import (
    Configure,
    NewWorker,
    of_kind,
    write_rows,
)
from tests.core.train.objectives.conftest import encodings


def test_a_classifier_gets_the_ids_and_the_places_of_the_classes(
    assemble: Callable[[Config], Any], configure: Configure, files: dict[str, Path]
) -> None:
    config = configure(f"data.path={files['classification']}", "data.eval_fraction=0")
    trainer = assemble(config)
    names = trainer.model.config.id2label
    assert names == {0: "cereal", 1: "grain", 2: "soup"}
    seen = []
    for batch in trainer.get_train_dataloader():
        pairs = zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True)
        seen += [(ids[: int(m.sum())].tolist(), names[int(label)]) for ids, m, label in pairs]
    assert sorted(seen) == sorted((item.ids, item.label) for item in encodings(config))


def test_f1_is_the_mean_over_classes() -> None:
    assert macro_f1([0, 0, 1, 1], [0, 0, 1, 1]) == 1.0
    assert macro_f1([0, 0, 0, 1], [0, 0, 0, 0]) == pytest.approx((6 / 7 + 0) / 2)
    assert macro_f1([0, 1], [2, 1]) == pytest.approx(1 / 3)


def test_a_confusion_matrix_counts_answers_by_the_class_of_the_row() -> None:
    assert confusion([0, 0, 1, 2], [0, 2, 1, 0], 3) == [[1, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_many_classes_have_no_confusion_matrix(
    assemble: Callable[[Config], Any], configure: Configure, tmp_path: Path
) -> None:
    rows = [{"text": f"Text {n}", "label": f"c{n % 51}"} for n in range(102)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    measured = assemble(configure(f"data.path={path}", "data.eval_fraction=0.5")).evaluate()
    assert "accuracy" in measured and "confusion" not in measured


def test_a_single_class_is_told(
    assemble: Callable[[Config], Any], configure: Configure, tmp_path: Path
) -> None:
    rows = [{"text": f"Text {index}", "label": "same"} for index in range(12)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    with pytest.raises(AfinaError, match='Every row has the class "same"'):
        assemble(configure(f"data.path={path}"))


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_classifier_tells_its_classes_and_is_loaded_with_them(
    kind: str, new_worker: NewWorker, configure: Configure, files: dict[str, Path]
) -> None:
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification

    words = (f"data.path={files['classification']}", f"method.kind={kind}", "train.max_steps=30")
    worker = new_worker(configure(*words, "eval.every_steps=30")).start()
    assert worker.wait() == 0, worker.log()
    last = of_kind(worker.run, "eval")[-1]
    assert last["accuracy"] == last["macro_f1"] == 1.0
    assert last["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]  # a held-out row of each class
    (plan,) = of_kind(worker.run, "plan")
    assert plan["classes"] == ["cereal", "grain", "soup"]
    result = worker.run.result
    assert result is not None and manifest.damage(result) is None
    names = {0: "cereal", 1: "grain", 2: "soup"}
    base = result if kind == "full" else Path(worker.run.config.model.name_or_path)
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        base, config=AutoConfig.from_pretrained(result)
    )
    if kind == "lora":
        model = PeftModel.from_pretrained(model, str(result))
    assert model.config.id2label == names
    ids = torch.tensor([encodings(worker.run.config)[1].ids])
    assert names[int(model(input_ids=ids).logits.argmax())] == "soup"
    with pytest.raises(AfinaError, match="is a classifier: it tells cereal, grain, soup apart"):
        of_run(worker.run)
    assert of_run(worker.run, "base").adapter is None
