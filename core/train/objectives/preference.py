"""Learning from preferences: TRL's DPO and KTO trainers on Afina's own encodings.

Their collators would join a prompt with an answer; ours takes whole rows and the mask of what is
learned, so the ids are those that `data show` shows. No template and no tokenizer is used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer

from core.train.objectives.recorded import RecordedTrainer

Example = dict[str, Any]


class _ComparingTrainer(RecordedTrainer):
    """What DPO and KTO share: rows that are prepared already, and how they are measured."""

    collate: Any  # examples to a batch
    _metrics: dict[str, dict[str, list[float]]]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(data_collator=self.collate, **kwargs)

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset

    def measure(self) -> dict[str, float]:
        """The mean loss over the held-out rows, and the means of what TRL measures beside it."""
        found = self._metrics["eval"]
        found.clear()
        sums: dict[str, float] = {}
        weights: dict[str, int] = {}
        for inputs in self.eval_batches():
            loss = self.compute_loss(self.model, inputs)
            assert isinstance(loss, torch.Tensor)
            measured = {name: values[-1] for name, values in found.items()}
            measured["eval_loss"] = float(loss)
            found.clear()
            for name, value in measured.items():
                rows = _rows_behind(name, inputs)
                sums[name] = sums.get(name, 0.0) + value * rows
                weights[name] = weights.get(name, 0) + rows
        means = {name: total / weights[name] for name, total in sums.items()}
        if {"rewards/chosen", "rewards/rejected"} <= means.keys():
            # TRL leaves the margin out of a batch of judged answers that are all of one kind
            means["rewards/margins"] = means["rewards/chosen"] - means["rewards/rejected"]
        return means


def _rows_behind(name: str, inputs: dict[str, torch.Tensor]) -> int:
    """How many rows of a batch a measure is the mean of; of pairs, as many each time."""
    if "label" not in inputs or not name.endswith(("chosen", "rejected")):
        return len(inputs["input_ids"])
    wanted = int(inputs["label"].sum())
    return wanted if name.endswith("chosen") else len(inputs["label"]) - wanted


class PairCollator:
    """Preferences as TRL's DPO wants them: every chosen side, then every rejected one."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        chosen = [(example["input_ids"], example["labels"]) for example in examples]
        rejected = [
            (example["rejected_input_ids"], example["rejected_labels"]) for example in examples
        ]
        return padded([*chosen, *rejected], self.pad_id)


class JudgedCollator:
    """Judged answers as TRL's KTO wants them, each prompt also with another row's answer.

    These mismatched pairs estimate how far the model has moved (KTO, arXiv 2402.01306, 4.1).
    """

    def __init__(self, pad_id: int, max_length: int) -> None:
        self.pad_id = pad_id
        self.max_length = max_length

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        rows = [(example["input_ids"], example["labels"]) for example in examples]
        prompts, answers = zip(*(_parts(ids, labels) for ids, labels in rows), strict=True)
        others = [answers[-1], *answers[:-1]]
        mismatched = [
            tuple((a + b)[: self.max_length] for a, b in zip(prompt, answer, strict=True))
            for prompt, answer in zip(prompts, others, strict=True)
        ]
        batch = padded(rows, self.pad_id)
        batch |= {f"KL_{name}": value for name, value in padded(mismatched, self.pad_id).items()}
        batch["label"] = torch.tensor([bool(example["judgement"]) for example in examples])
        return batch


def padded(rows: Sequence[Any], pad_id: int) -> dict[str, torch.Tensor]:
    """(ids, labels) of rows as input_ids, attention_mask and completion_mask. (rows, longest)"""
    ids = [torch.tensor(row[0], dtype=torch.int64) for row in rows]
    learned = [torch.tensor([label != -100 for label in row[1]], dtype=torch.int64) for row in rows]
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad_id),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        "completion_mask": pad_sequence(learned, batch_first=True),
    }


def _parts(ids: list[int], labels: list[int]) -> tuple[tuple[list[int], list[int]], ...]:
    """Prompt and answer of a row, each as (ids, labels); the first learned token parts them."""
    cut = next((place for place, label in enumerate(labels) if label != -100), len(labels))
    return (ids[:cut], labels[:cut]), (ids[cut:], labels[cut:])


class PairTrainer(_ComparingTrainer, DPOTrainer):
    """Direct preference optimization (arXiv 2305.18290)."""

    def __init__(self, pad_id: int, **kwargs: Any) -> None:
        self.collate = PairCollator(pad_id)
        super().__init__(**kwargs)


class JudgedTrainer(_ComparingTrainer, KTOTrainer):
    """Kahneman-Tversky optimization (arXiv 2402.01306)."""

    def __init__(self, pad_id: int, max_length: int, **kwargs: Any) -> None:
        self.collate = JudgedCollator(pad_id, max_length)
        super().__init__(**kwargs)
        # TRL pairs neighbours before training and so needs their order; ours are paired in a batch
        self.args.train_sampling_strategy = "random"

    def get_train_dataloader(self) -> DataLoader[Any]:
        """As ever, without a last batch of a single row, which has no other answer beside it."""
        size = self.args.per_device_train_batch_size
        self.args.dataloader_drop_last = len(self.train_dataset) % size == 1  # type: ignore[arg-type]
        return super().get_train_dataloader()
