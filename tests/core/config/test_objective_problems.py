"""What an objective can't be combined with is told by its field, and only then."""

from __future__ import annotations

import pytest

from core.config import config_io
from core.config.problems import problems


def told(words: str) -> dict[str, str]:
    """The sentences of the train group and its neighbours, by field."""
    config = config_io.parse("", words.split())
    return {
        item.field: str(item)
        for item in problems(config)
        if item.severity == "error" and item.field not in ("model.name_or_path", "data.path")
    }


REFUSED = {
    "data.format=classification method.kind=prompt": ("method.kind", "the padding behind a row"),
    "train.objective=orpo data.format=chat": ("train.objective", "can't be trained on by orpo"),
    "train.objective=kto data.format=preference": ("train.objective", "can't be trained on by kto"),
    "train.objective=orpo train.packing=on": ("train.packing", "can't be packed under orpo"),
    "train.objective=orpo data.streaming=true": ("data.streaming", "the objective is orpo"),
    "data.format=preference data.streaming=true": ("data.streaming", "the objective is dpo"),
    "train.objective=dpo train.custom_loss=core/pipe.py:serve": (
        "train.custom_loss",
        "Only sft",
    ),
    "train.objective=sft train.loss_type=ipo": ("train.loss_type", "the objective is sft"),
    "train.objective=orpo train.loss_type=ipo": ("train.loss_type", "ipo is a loss of dpo"),
    "train.objective=kto train.per_device_train_batch_size=1": (
        "train.per_device_train_batch_size",
        "the batches have one row",
    ),
    "train.objective=classification eval.watch_prompts=[Hm]": (
        "eval.watch_prompts",
        "answers no prompts",
    ),
    "train.objective=kto train.label_smoothing_factor=0.1": (
        "train.label_smoothing_factor",
        "kto learns from single verdicts",
    ),
    "train.objective=orpo train.label_smoothing_factor=0.1": (
        "train.label_smoothing_factor",
        "the odds ratio of orpo",
    ),
    "train.objective=dpo train.loss_type=ipo train.label_smoothing_factor=0.1": (
        "train.label_smoothing_factor",
        "the margin that ipo aims at",
    ),
    "train.objective=dpo train.label_smoothing_factor=0.5": (
        "train.label_smoothing_factor",
        "Set it below 0.5",
    ),
    "train.objective=sft train.custom_loss=core/pipe.py:serve train.label_smoothing_factor=0.1": (
        "train.label_smoothing_factor",
        "the loss is train.custom_loss",
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_does_not_go_together_is_told_by_its_field(words: str) -> None:
    field, sentence = REFUSED[words]
    found = told(words)
    assert list(found) == [field]
    assert sentence in found[field]


@pytest.mark.parametrize(
    "words",
    [
        "train.label_smoothing_factor=0.1",
        "train.objective=sft train.label_smoothing_factor=0.9 train.packing=on",
        "train.objective=dpo train.label_smoothing_factor=0.49",
        "train.objective=dpo train.loss_type=ipo",
        "data.format=preference train.objective=orpo",
        "train.objective=classification train.label_smoothing_factor=0.1",
        "train.loss_type=ipo",  # the rows may be preferences
        "train.custom_loss=core/pipe.py:serve",
    ],
)
def test_what_goes_together_is_not_told(words: str) -> None:
    assert told(words) == {}
