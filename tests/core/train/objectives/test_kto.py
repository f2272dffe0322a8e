"""KTO: what reaches the model of judged answers, and what is learned of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.config import Config
from core.data.recipe import Recipe
from core.errors import AfinaError
from tests.core.train.conftest import (
    Configure,
)
from tests.core.train.objectives.conftest import encodings, rows_of


def test_kto_gets_each_answer_once_and_each_prompt_with_another_answer(
    assemble: Callable[[Config], Any], configure: Configure, files: dict[str, Path]
) -> None:
    config = configure(f"data.path={files['kto']}", "data.eval_fraction=0")
    seen = []
    for batch in assemble(config).get_train_dataloader():
        rows = rows_of(batch)
        seen += list(zip(rows, batch["label"].tolist(), strict=True))
        parts = [(ids[: learned.index(True)], ids[learned.index(True) :]) for ids, learned in rows]
        answers = [answer for _, answer in parts]
        others = [answers[-1], *answers[:-1]]
        mismatched = [prompt + other for (prompt, _), other in zip(parts, others, strict=True)]
        assert [ids for ids, _ in rows_of(batch, "KL_")] == mismatched
    expected = [((item.ids, item.supervised), item.label) for item in encodings(config)]
    assert sorted(seen) == sorted(expected)


def test_kto_learns_which_answers_are_wanted(
    assemble: Callable[[Config], Any], configure: Configure, files: dict[str, Path]
) -> None:
    words = (f"data.path={files['kto']}", "train.max_steps=14", "eval.every_steps=99")
    more = ("train.per_device_train_batch_size=6", "data.eval_fraction=0.4")
    trainer = assemble(configure(*words, *more))
    trainer.train()
    measured = trainer.evaluate()
    assert measured["rewards/margins"] > 0.1
    assert measured["eval_loss"] < 0.5


def test_rows_of_one_do_not_train_kto(configure: Configure, files: dict[str, Path]) -> None:
    config = configure(f"data.path={files['kto']}", "train.per_device_train_batch_size=1")
    from core.train.loader import dataset

    with pytest.raises(AfinaError, match="the batches have one row"):
        dataset.load(config, Recipe.of(config).encoder(), lambda done, total: None)
