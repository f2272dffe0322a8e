"""The trainer's arguments: batches, clipping, and what is left to the callback.

Optimizer and schedule are made beside it, in optimizer.py and schedule.py.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from core.train.build import Parts


def arguments(kind: type[TrainingArguments], parts: Parts, **more: Any) -> Any:
    """The trainer's arguments. When to evaluate, save and stop is the callback's: no strategies."""
    setup = parts.setup
    config, precision = setup.config, setup.precision
    train = config.train
    return kind(
        output_dir=str(setup.run / "checkpoints"),
        use_cpu=precision.device == "cpu",
        bf16=precision.autocast,
        num_train_epochs=train.num_train_epochs,
        max_steps=train.max_steps or -1,
        per_device_train_batch_size=train.per_device_train_batch_size,
        per_device_eval_batch_size=train.per_device_train_batch_size,
        gradient_accumulation_steps=train.gradient_accumulation_steps,
        learning_rate=train.learning_rate,
        max_grad_norm=train.max_grad_norm,
        **_checkpointing(kind, train.gradient_checkpointing),
        seed=train.seed,
        data_seed=train.seed,
        dataloader_pin_memory=precision.device == "cuda",
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would put an earlier loss in the place of a NaN
        eval_strategy="no",
        eval_on_start=not parts.callback.progress.losses,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        **more,
    )


def _checkpointing(kind: type[TrainingArguments], on: bool) -> dict[str, Any]:
    """Activation checkpointing under the name that this transformers has; TRL would turn it on.

    transformers takes torch's way without reentrance, so a frozen base with an adapter needs no
    gradient at its embeddings.
    """
    known = {field.name for field in fields(kind)}
    new, old = "activation_checkpointing", "gradient_checkpointing"  # the newer name first
    return {new if new in known else old: on}
