"""Learning classes: transformers' Trainer with a head of one output a class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from core.train.objectives.recorded import RecordedTrainer

MOST_CONFUSED = 50  # classes of a confusion matrix: 2,500 counts in an event


class ClassCollator:
    """Rows padded to the longest of their batch, with the places of their classes."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids = [torch.tensor(example["input_ids"], dtype=torch.int64) for example in examples]
        return {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self.pad_id),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
            "labels": torch.tensor([example["judgement"] for example in examples]),
        }


class ClassTrainer(RecordedTrainer):
    """Trains a run to tell classes.

    smoothing: the share of each target that is spread over the classes while it trains.
    """

    def __init__(self, pad_id: int, smoothing: float = 0.0, **kwargs: Any) -> None:
        super().__init__(data_collator=ClassCollator(pad_id), **kwargs)
        self.smoothing = smoothing

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The rows' part in the mean cross-entropy of those of a whole optimizer step."""
        labels = inputs["labels"]
        rest = {name: value for name, value in inputs.items() if name != "labels"}
        logits = model(**rest).logits.float()  # (rows, classes)
        total = cross_entropy(logits, labels, reduction="sum", label_smoothing=self.smoothing)
        return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    def measure(self) -> dict[str, Any]:
        """The mean loss of the held-out rows, their accuracy, macro F1 and confusion matrix."""
        total, truths, answers = 0.0, [], []
        for inputs in self.eval_batches():
            labels = inputs.pop("labels")
            logits = self.model(**inputs).logits.float()
            total += float(cross_entropy(logits, labels, reduction="sum"))
            truths += labels.tolist()
            answers += logits.argmax(-1).tolist()
        if not truths:
            return {"eval_loss": math.nan}
        right = sum(truth == answer for truth, answer in zip(truths, answers, strict=True))
        found: dict[str, Any] = {
            "eval_loss": total / len(truths),
            "accuracy": right / len(truths),
            "macro_f1": macro_f1(truths, answers),
        }
        classes = self.model.config.num_labels
        if classes <= MOST_CONFUSED:
            found["confusion"] = confusion(truths, answers, classes)
        return found

    def save_weights(self, folder: Path) -> None:
        """The weights; beside an adapter also the configuration that names its classes."""
        super().save_weights(folder)
        model = self.accelerator.unwrap_model(self.model)
        if isinstance(model, PeftModel):
            model.get_base_model().config.save_pretrained(str(folder))  # type: ignore[union-attr]


def confusion(truths: Sequence[int], answers: Sequence[int], classes: int) -> list[list[int]]:
    """How many rows of each class were given each class. [class of the row][class given]"""
    table = [[0] * classes for _ in range(classes)]
    for truth, answer in zip(truths, answers, strict=True):
        table[truth][answer] += 1
    return table


def macro_f1(truths: Sequence[int], answers: Sequence[int]) -> float:
    """The mean of the F1 of every class that there is or that was answered."""
    scores = []
    for name in set(truths) | set(answers):
        pairs = list(zip(truths, answers, strict=True))
        hits = sum(truth == answer == name for truth, answer in pairs)
        said = sum(answer == name for answer in answers) + sum(truth == name for truth in truths)
        scores.append(2 * hits / said)
    return sum(scores) / len(scores)
