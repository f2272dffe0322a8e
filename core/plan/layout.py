"""How the rows of a run will lie in its batches, and what they take before the first step.

Plan and trainer ask here, so that both mean the same run. Loads no torch.
"""

from __future__ import annotations

from core.config import Config
from core.data.files.source import Source, open_source

LARGE_SHARE = 0.5  # of the free memory: encoded rows that take more are better streamed
MIN_PACKED_STEPS = 100  # what packing must leave of a run to be chosen by "auto"


def open_rows(config: Config) -> Source:
    """The rows that a configuration names, those of its mixture behind those of its path."""
    return open_source(config.data.path, config.data.mix)


def should_pack(config: Config, tokens: int) -> bool:
    """Whether the rows of sft are laid into bins of max_length; "auto" wants steps to remain.

    Rows that are not packed are laid end to end in their batch too, so nothing is padded either
    way: packing makes every step equally full, at the price of fewer of them.
    """
    train = config.train
    if train.packing != "auto":
        return train.packing == "on"
    bins = -(-tokens // config.data.max_length)
    per_step = train.per_device_train_batch_size * train.gradient_accumulation_steps
    return bins * train.num_train_epochs / per_step >= MIN_PACKED_STEPS


def encoded_bytes(tokens: int) -> int:
    """Memory for the encoded rows of a run: ids and labels, flat, as a table, and packed."""
    return 3 * 2 * 4 * tokens
