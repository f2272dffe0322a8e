"""TRL's SFTTrainer with Afina's own evaluation, checkpoints and count of tokens.

What happens at which step is decided in core/train/recorder.py; what a batch holds, in dataset.py.
"""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from trl.trainer.sft_trainer import SFTTrainer

from core.train import attention, checkpoints
from core.train.result import copy_companions

if TYPE_CHECKING:
    from core.train.build import Layout
    from core.train.recorder import Recorder
    from core.train.setup import Setup


MAX_LOGITS = 2**27  # tokens times vocabulary: 0.5 GiB in float32; beyond, TRL's head works in tiles


class Interrupted(Exception):
    """A stop was asked for in the middle of an evaluation, which is given up."""


class RunTrainer(SFTTrainer):
    """Trains one run. Flat batches lie end to end in one row; others are padded."""

    model: Any  # a causal model of transformers, under PEFT's wrapper if it has an adapter

    def __init__(self, setup: Setup, layout: Layout, recorder: Recorder, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.setup = setup
        self.layout = layout
        self.recorder = recorder
        base = self.accelerator.unwrap_model(self.model)
        base = base.get_base_model() if isinstance(base, PeftModel) else base
        self._keeps_logits = "logits_to_keep" in signature(type(base).forward).parameters
        if layout.flat:
            # set after SFTTrainer's own check, which wants max_length=None for rows that are
            # laid flat without packing; ours are cut already
            self.data_collator.padding_free = True  # type: ignore[union-attr]
            self.padding_free = True

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self.recorder.saw_tokens(real_tokens(inputs))
        return super().training_step(model, inputs, *args, **kwargs)

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

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The mean loss over every supervised token of the held-out rows.

        transformers averages over batches, which weighs a short batch like a long one. The
        generators stay as they were, so that evaluating more or less often changes no training.
        """
        metrics: dict[str, float] = {}
        state = torch.get_rng_state()
        started = time.monotonic()
        try:
            if self.eval_dataset is not None:
                metrics["eval_loss"] = self._mean_loss()
                metrics["eval_seconds"] = time.monotonic() - started
        except Interrupted:
            metrics = {}
        finally:
            torch.set_rng_state(state)
            self._metrics["eval"].clear()
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _mean_loss(self) -> float:
        self.model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for batch in self.get_eval_dataloader():
                if self.recorder.requests.stop_asked():
                    raise Interrupted
                inputs = self._prepare_inputs(batch)
                supervised = int((inputs["labels"][:, 1:] != -100).sum())
                loss_sum = self.compute_loss(self.model, inputs, num_items_in_batch=torch.tensor(1))
                total, count = total + float(loss_sum), count + supervised
        return total / count if count else math.nan

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Writes a checkpoint with its manifest; a disk that is full costs the checkpoint only."""
        step = self.state.global_step
        folder = checkpoints.step_folder(self.setup.run, step)
        started = time.monotonic()
        try:
            manifest = checkpoints.write(
                folder, step, self._save_all, self.recorder.progress.to_values()
            )
        except OSError as error:
            self.recorder.not_saved(step, error)
            return
        self.recorder.saved(folder, manifest, time.monotonic() - started)

    def _save_all(self, folder: Path) -> None:
        self.save_weights(folder)
        self._save_optimizer_and_scheduler(str(folder))
        self._save_rng_state(str(folder))
        self.state.save_to_json(str(folder / "trainer_state.json"))
        copy_companions(self.setup, folder)

    def save_weights(self, folder: Path) -> None:
        """The adapter, or every weight of a fully tuned model, as safetensors."""
        model = self.accelerator.unwrap_model(self.model)
        if isinstance(model, PeftModel):
            model.save_pretrained(str(folder), save_embedding_layers=False)
            (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
        else:
            with self.plain_attention():  # the name of ours means nothing to who loads it
                model.save_pretrained(str(folder))

    def plain_attention(self) -> AbstractContextManager[None]:
        """The attention that the model was loaded with, for generation with a cache."""
        model = self.accelerator.unwrap_model(self.model)
        return attention.implementation(model, self.layout.plain_attention)


def real_tokens(inputs: dict[str, Any]) -> int:
    """Tokens of a batch that are not padding."""
    if "attention_mask" in inputs:
        return int(inputs["attention_mask"].sum())
    return inputs["input_ids"].numel()
