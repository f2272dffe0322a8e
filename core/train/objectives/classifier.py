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
    """Trains a run to tell classes."""

    def __init__(self, pad_id: int, **kwargs: Any) -> None:
        super().__init__(data_collator=ClassCollator(pad_id), **kwargs)

    def measure(self) -> dict[str, float]:
        """The mean loss of the held-out rows, their accuracy and macro F1."""
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
        return {
            "eval_loss": total / len(truths),
            "accuracy": right / len(truths),
            "macro_f1": macro_f1(truths, answers),
        }

    def save_weights(self, folder: Path) -> None:
        """The weights; beside an adapter also the configuration that names its classes."""
        super().save_weights(folder)
        model = self.accelerator.unwrap_model(self.model)
        if isinstance(model, PeftModel):
            model.get_base_model().config.save_pretrained(str(folder))  # type: ignore[union-attr]


def macro_f1(truths: Sequence[int], answers: Sequence[int]) -> float:
    """The mean of the F1 of every class that there is or that was answered."""
    scores = []
    for name in set(truths) | set(answers):
        pairs = list(zip(truths, answers, strict=True))
        hits = sum(truth == answer == name for truth, answer in pairs)
        said = sum(answer == name for answer in answers) + sum(truth == name for truth in truths)
        scores.append(2 * hits / said)
    return sum(scores) / len(scores)
