"""Learning from preferences: TRL's DPO trainer on Afina's own encodings.

Its collator would join a prompt with an answer; ours takes whole rows and the mask of what is
learned, so the ids are those that `data show` shows. No template and no tokenizer is used here.
KTO is in judged.py, ORPO in odds.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from trl.trainer.dpo_trainer import DPOTrainer

from core.train.objectives.recorded import RecordedTrainer

Example = dict[str, Any]


class ComparingTrainer(RecordedTrainer):
    """What DPO, ORPO and KTO share: rows that are prepared, and how they are measured."""

    collate: Any  # examples to a batch
    _metrics: dict[str, dict[str, list[float]]]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(data_collator=self.collate, **kwargs)

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset

    def measure(self) -> dict[str, float]:
        """The mean loss over the held-out pairs, and the means of what is measured beside it."""
        found = self._metrics["eval"]
        found.clear()
        sums: dict[str, float] = {}
        pairs = 0
        for inputs in self.eval_batches():
            loss = self.compute_loss(self.model, inputs)
            assert isinstance(loss, torch.Tensor)
            measured = {name: values[-1] for name, values in found.items()}
            measured["eval_loss"] = float(loss)
            found.clear()
            here = len(inputs["input_ids"]) // 2
            pairs += here
            for name, value in measured.items():
                sums[name] = sums.get(name, 0.0) + value * here
        return {name: total / pairs for name, total in sums.items()} or {"eval_loss": math.nan}


class DPOCollator:
    """Preferences as TRL's DPO wants them: every chosen side, then every rejected one."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        chosen = [(example["input_ids"], example["labels"]) for example in examples]
        rejected = [
            (example["rejected_input_ids"], example["rejected_labels"]) for example in examples
        ]
        return padded([*chosen, *rejected], self.pad_id)


def padded(rows: Sequence[Any], pad_id: int) -> dict[str, torch.Tensor]:
    """(ids, labels) of rows as input_ids, attention_mask and completion_mask. (rows, longest)"""
    ids = [torch.tensor(row[0], dtype=torch.int64) for row in rows]
    learned = [torch.tensor([label != -100 for label in row[1]], dtype=torch.int64) for row in rows]
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad_id),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        "completion_mask": pad_sequence(learned, batch_first=True),
    }


class DPORunTrainer(ComparingTrainer, DPOTrainer):
    """Direct preference optimization (arXiv 2305.18290), or with loss_type ipo arXiv 2310.12036.

    smoothing: the share e of pairs that are judged the wrong way round, below 0.5: conservative
    DPO (Mitchell 2023), -(1 - e) log sigmoid(m) - e log sigmoid(-m) of the margin m. It is not
    TRL's own `label_smoothing`, which is that of robust DPO (arXiv 2403.00409): there the margin
    grows without end, here it is held where the pair has the probability 1 - e.
    """

    def __init__(self, pad_id: int, smoothing: float = 0.0, **kwargs: Any) -> None:
        self.collate = DPOCollator(pad_id)
        super().__init__(**kwargs)
        self.plain_types = self.loss_types
        if smoothing:
            # robust DPO is -log sigmoid(m) - r m / (1 - 2 r), conservative DPO is
            # -log sigmoid(m) + e m: the same for r = -e / (1 - 2 e)
            self.loss_types = ["robust"]
            self.label_smoothing = -smoothing / (1 - 2 * smoothing)

    @contextmanager
    def plain_loss(self) -> Iterator[None]:
        smoothed, self.loss_types = self.loss_types, self.plain_types
        try:
            with super().plain_loss():
                yield
        finally:
            self.loss_types = smoothed
