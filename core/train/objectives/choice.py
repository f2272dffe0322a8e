"""What a run learns, by its configuration and the shape of its rows."""

from __future__ import annotations

from core.config import Config
from core.data.shapes.detect import SHAPES, objectives_of
from core.errors import AfinaError


def objective_of(config: Config, shape: str) -> str:
    """sft, dpo, kto or classification; raises AfinaError where the rows can't train what is asked.

    Says also what an objective can't be combined with, where only the shape tells the objective.
    """
    able = objectives_of(shape)
    wanted = config.train.objective
    if wanted == "auto":
        wanted = able[0]
    if wanted not in able:
        shapes = ", ".join(name for name in SHAPES if wanted in objectives_of(name))
        raise AfinaError(
            f'Rows of the shape "{shape}" can\'t be trained on by {wanted}.',
            f"It takes {shapes}; or set train.objective to auto.",
        )
    if wanted == "sft":
        return wanted
    if config.train.packing == "on":
        raise AfinaError(
            f"Rows can't be packed under {wanted}: they are compared or judged one by one.",
            "Set train.packing to auto or off.",
        )
    if config.data.streaming:
        raise AfinaError(
            f"Only sft is streamed, and these rows train {wanted}.",
            "Set data.streaming to false.",
        )
    if wanted == "kto" and config.train.per_device_train_batch_size < 2:
        raise AfinaError(
            "kto compares the rows of a batch, and the batches have one row.",
            "Set train.per_device_train_batch_size to 2 or more.",
        )
    if wanted == "classification" and config.eval.watch_prompts:
        raise AfinaError("A classifier answers no prompts.", "Take eval.watch_prompts away.")
    return wanted
