"""TRL's SFTTrainer as Afina runs it: rows laid flat, the loss of the supervised tokens only.

What a batch holds is decided in core/train/loader/dataset.py, or for streamed rows in batches.py.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from inspect import signature
from typing import Any

import torch
from peft import PeftModel
from trl.trainer.sft_trainer import SFTTrainer

from core.train.loader.stream_batches import Batches
from core.train.objectives.custom_loss import CustomLoss
from core.train.objectives.recorded import RecordedTrainer
from core.train.objectives.token_logits import Heard, Places, Scored, places_of

MAX_LOGITS = 2**27  # tokens times vocabulary: 0.5 GiB in float32; beyond, TRL's head works in tiles


class SFTRunTrainer(RecordedTrainer, SFTTrainer):
    """Trains a run to predict tokens. Flat batches lie end to end in one row; others are padded.

    smoothing: the share of each target that is spread over the vocabulary while it trains.
    custom: a loss of one's own in the place of the cross-entropy.
    """

    batches: Batches | None = None  # of streamed rows, in the place of the training dataset

    def __init__(
        self, smoothing: float = 0.0, custom: CustomLoss | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.smoothing = smoothing
        self.custom = custom
        base = self.accelerator.unwrap_model(self.model)
        adapted = isinstance(base, PeftModel)
        self._base: Any = base.get_base_model() if adapted else base
        config: Any = base.active_peft_config if adapted else None
        self._prompt_tokens = (
            config.num_virtual_tokens if config and config.is_prompt_learning else 0
        )
        self._keeps_logits = "logits_to_keep" in signature(type(self._base).forward).parameters
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
        """The supervised tokens' part in the mean loss of those of a whole optimizer step.

        TRL's loss, except where it can't be: under smoothing and a custom loss, and on a CPU, where
        TRL's fused head scores every position, and their entropy, which nobody asked for.
        """
        labels = inputs["labels"]
        smoothing = self.smoothing if self.model.training else 0.0
        ours = self.custom or smoothing or self._fits_supervised_logits(labels)
        if return_outputs or not ours:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        scored, balance = self.score(model, inputs)
        count = len(scored.labels)
        custom = self.custom if count else None
        total = custom(scored) * count if custom else scored.smoothed(smoothing)
        loss = total / (max(1, count) if num_items_in_batch is None else num_items_in_batch)
        if balance is None:
            return loss
        steps = 1 if num_items_in_batch is None else self.current_gradient_accumulation_steps
        return loss + balance / steps  # a mean over the passes of a step, as TRL has it

    def score(self, model: Any, inputs: dict[str, Any]) -> tuple[Scored, torch.Tensor | None]:
        """The logits of a batch's supervised tokens, and the loss of experts' routing if wanted."""
        labels, places = inputs["labels"], places_of(inputs)
        target = labels[places.row, places.column]
        learned = (target != -100) & (places.column > 0)
        rest = {name: value for name, value in inputs.items() if name != "labels"}
        if self.aux_loss_enabled:
            rest["output_router_logits"] = True
        wants_hidden = self.custom is not None and self.custom.needs_hidden_states
        with Heard(self._base.base_model) if wants_hidden else nullcontext() as heard:
            # each token is scored where the one before it stands
            out, logits = self._forward(
                model, rest, places.row[learned], places.column[learned] - 1
            )
        scored = Scored(
            logits.float(),
            target[learned],
            places.document[learned],
            places.position[learned],
            int(places.document.max()) + 1,
            inputs["input_ids"][places.row, places.column],
            places.document,
            learned,
            self._hidden(heard, places) if heard else None,
            self.model.training,
        )
        balance = self.router_aux_loss_coef * out.aux_loss if self.aux_loss_enabled else None
        return scored, balance

    def _forward(
        self, model: Any, given: dict[str, Any], row: torch.Tensor, column: torch.Tensor
    ) -> tuple[Any, torch.Tensor]:
        """What the model gives, and the logits at some places of its batch. (places, vocabulary)"""
        if not self._keeps_logits:
            out = model(**given, use_cache=False)
            return out, out.logits[row, column + self._prompt_tokens]
        one_row = len(given["input_ids"]) == 1
        kept = column if one_row else column.unique()
        out = model(**given, logits_to_keep=kept + self._prompt_tokens, use_cache=False)
        logits = out.logits[0] if one_row else out.logits[row, torch.searchsorted(kept, column)]
        return out, logits

    def _hidden(self, heard: Heard, places: Places) -> torch.Tensor:
        assert heard.states is not None
        states = heard.states[:, self._prompt_tokens :]
        return states[places.row, places.column].float()

    def _fits_supervised_logits(self, labels: torch.Tensor) -> bool:
        if not self.layout.flat or labels.device.type != "cpu" or not self._keeps_logits:
            return False
        vocabulary = self.model.config.get_text_config().vocab_size
        return 0 < int((labels[0, 1:] != -100).sum()) * vocabulary <= MAX_LOGITS

    def measure(self) -> dict[str, float]:
        """The mean cross-entropy over every supervised token of the held-out rows.

        transformers averages over batches, which weighs a short batch like a long one. A custom
        loss is measured beside it: the mean over batches by their supervised tokens.
        """
        total, own, count = 0.0, 0.0, 0
        for inputs in self.eval_batches():
            supervised = int((inputs["labels"][:, 1:] != -100).sum())
            count += supervised
            if self.custom and supervised:
                scored, _ = self.score(self.model, inputs)
                total += float(scored.cross_entropy.sum())
                own += float(self.custom(scored)) * supervised
            else:
                loss = self.compute_loss(self.model, inputs, num_items_in_batch=torch.tensor(1))
                total += float(loss)
        self._metrics["eval"].clear()
        if not count:
            return {"eval_loss": math.nan}
        means = {"eval_loss": total / count}
        return means | {"custom_loss": own / count} if self.custom else means
