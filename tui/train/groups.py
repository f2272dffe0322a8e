"""Which options the form shows, in which group, and for whom: what matters to this run.

What is asked for often stands in its group, the rest under the details of its group.
"""

from __future__ import annotations

from collections.abc import Collection

from core.config import Config
from core.config.presets import COMPARING
from core.data.shapes.detect import SHAPES, objectives_of

ADAPTERS = ("lora", "ia3", "prompt")
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Model and data",
        (
            "model.name_or_path",
            "model.continue_from",
            "data.path",
            "data.eval_path",
            "data.eval_fraction",
            "data.max_length",
        ),
    ),
    (
        "Method",
        (
            "method.kind",
            "method.quantization",
            "method.rank",
            "method.alpha",
            "method.dropout",
            "method.target_modules",
            "method.num_virtual_tokens",
            "method.prompt_tuning_init_text",
            "method.trainable_layers",
        ),
    ),
    (
        "Training",
        (
            "train.objective",
            "train.loss_type",
            "train.beta",
            "train.supervise",
            "train.num_train_epochs",
            "train.max_steps",
            "train.per_device_train_batch_size",
            "train.gradient_accumulation_steps",
            "train.learning_rate",
            "train.optim",
            "train.lr_scheduler_type",
            "train.warmup_ratio",
            "train.decay_ratio",
            "train.packing",
            "train.gradient_checkpointing",
        ),
    ),
    (
        "Checkpoints",
        (
            "checkpoint.every_steps",
            "checkpoint.every_minutes",
            "checkpoint.keep",
            "checkpoint.early_stopping_patience",
        ),
    ),
    ("Evaluation", ("eval.every_steps", "eval.watch_prompts")),
    ("Run", ("name", "launch.device")),
    (
        "Details of model and data",
        (
            "model.dtype",
            "model.revision",
            "data.mix",
            "data.format",
            "data.chat_template",
            "data.prompt_template",
            "data.streaming",
        ),
    ),
    (
        "Details of the method",
        (
            "method.rank_pattern",
            "method.alpha_pattern",
            "method.modules_to_save",
            "method.init_lora_weights",
            "method.rslora",
            "method.dora",
        ),
    ),
    (
        "Details of training",
        (
            "train.custom_loss",
            "train.label_smoothing_factor",
            "train.neftune_noise_alpha",
            "train.weight_decay",
            "train.max_grad_norm",
            "train.on_divergence",
            "train.spike_factor",
            "train.seed",
            "eval.max_new_tokens",
        ),
    ),
)
# option: the methods under which it means something
OF_METHOD = {
    "method.quantization": ADAPTERS,
    "method.trainable_layers": ("full",),
    "method.rank": ("lora",),
    "method.alpha": ("lora",),
    "method.dropout": ("lora",),
    "method.target_modules": ("lora", "ia3"),
    "method.rank_pattern": ("lora",),
    "method.alpha_pattern": ("lora",),
    "method.modules_to_save": ("lora", "ia3"),
    "method.init_lora_weights": ("lora",),
    "method.rslora": ("lora",),
    "method.dora": ("lora",),
    "method.num_virtual_tokens": ("prompt",),
    "method.prompt_tuning_init_text": ("prompt",),
}
# option: the objectives under which it means something
OF_OBJECTIVE = {
    "train.loss_type": ("dpo",),
    "train.beta": COMPARING,
    "train.supervise": ("sft",),
    "train.custom_loss": ("sft",),
    "train.packing": ("sft",),
    "eval.watch_prompts": ("sft", *COMPARING),
    "eval.max_new_tokens": ("sft", *COMPARING),
}


def shown(names: Collection[str], config: Config, shape: str, wrong: Collection[str]) -> list[str]:
    """Those that matter to this run, and those that something is wrong with."""
    objective = objective_now(config, shape) or "sft"
    return [name for name in names if name in wrong or _matters(name, config, objective)]


def objective_now(config: Config, shape: str) -> str:
    """What is trained, as far as it is known; "" where only the rows could tell."""
    if config.train.objective != "auto":
        return config.train.objective
    known = shape if config.data.format == "auto" else config.data.format
    return objectives_of(known)[0] if known in SHAPES else ""


def _matters(name: str, config: Config, objective: str) -> bool:
    if name == "train.decay_ratio":
        return config.train.lr_scheduler_type == "wsd"
    if name == "train.warmup_ratio":
        return config.train.lr_scheduler_type != "constant"
    if name == "data.eval_fraction":
        return config.data.eval_path is None
    method_fits = config.method.kind in OF_METHOD.get(name, (config.method.kind,))
    return method_fits and objective in OF_OBJECTIVE.get(name, (objective,))
