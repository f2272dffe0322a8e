"""TRL's SFTTrainer as Afina runs it: rows laid flat, the loss of the supervised tokens only.

What a batch holds is decided in core/train/feed/dataset.py, or for streamed rows in batches.py.
"""

from __future__ import annotations

import math
from inspect import signature
from typing import Any

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from trl.trainer.sft_trainer import SFTTrainer

from core.train.feed.batches import Batches
from core.train.objectives.recorded import RecordedTrainer

MAX_LOGITS = 2**27  # tokens times vocabulary: 0.5 GiB in float32; beyond, TRL's head works in tiles


class RunTrainer(RecordedTrainer, SFTTrainer):
    """Trains a run to predict tokens. Flat batches lie end to end in one row; others are padded."""

    batches: Batches | None = None  # of streamed rows, in the place of the training dataset

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        base = self.accelerator.unwrap_model(self.model)
        base = base.get_base_model() if isinstance(base, PeftModel) else base
        self._keeps_logits = "logits_to_keep" in signature(type(base).forward).parameters
        if self.layout.flat:
            # set after SFTTrainer's own check, which wants max_length=None for rows that are
            # laid flat without packing; ours are cut already
            self.data_collator.padding_free = True  # type: ignore[union-attr]
            self.padding_free = True

    def get_train_dataloader(self) -> Any:
        return super().get_train_dataloader() if self.batches is None else self.batches

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if self.batches is not None:
            self.state.epoch = self.batches.epoch  # the loader's one epoch is the whole run
        super().log(logs, start_time)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """TRL's loss; on a CPU, from the logits of the supervised tokens only.

        TRL's fused head scores every position there, and their entropy, which nobody asked for.
        """
        labels = inputs["labels"]
        if not self._fits_supervised_logits(labels) or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        places = (labels[0, 1:] != -100).nonzero().flatten()  # the token before each supervised one
        rest = {name: value for name, value in inputs.items() if name != "labels"}
        logits = model(**rest, logits_to_keep=places, use_cache=False).logits[0]
        total = cross_entropy(logits.float(), labels[0, places + 1], reduction="sum")
        return total / (len(places) if num_items_in_batch is None else num_items_in_batch)

    def _fits_supervised_logits(self, labels: torch.Tensor) -> bool:
        if not self.layout.flat or labels.device.type != "cpu" or not self._keeps_logits:
            return False
        vocabulary = self.model.config.get_text_config().vocab_size
        return 0 < int((labels[0, 1:] != -100).sum()) * vocabulary <= MAX_LOGITS

    def measure(self) -> dict[str, float]:
        """The mean loss over every supervised token of the held-out rows.

        transformers averages over batches, which weighs a short batch like a long one.
        """
        total, count = 0.0, 0
        for inputs in self.eval_batches():
            supervised = int((inputs["labels"][:, 1:] != -100).sum())
            loss_sum = self.compute_loss(self.model, inputs, num_items_in_batch=torch.tensor(1))
            total, count = total + float(loss_sum), count + supervised
        self._metrics["eval"].clear()
        return {"eval_loss": total / count if count else math.nan}
