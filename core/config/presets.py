"""Ready sets of options, laid over a configuration by one key: by method, data and model size.

Each value has its source. Where the literature has it by the size of the model (learning rates),
so has the preset. How a batch is cut into passes is kept as it is, but where memory is tight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from core.config import Config

COMPARING = ("dpo", "kto", "orpo")
# QLoRA's and Tülu 2's tables have one learning rate up to 13 B and half of it from 33 B and 70 B
LARGE_PARAMETERS = 20e9
# SmolLM2 (1.7 B) is aligned at twice the rate of Zephyr (7 B)
SMALL_PARAMETERS = 3e9


class Subject(NamedTuple):
    """What a preset goes by beside the configuration, as far as it is known."""

    parameters: int | None = None
    objective: str = ""  # what the rows train
    shape: str = ""  # of the rows


class Setting(NamedTuple):
    """A value, and who says so."""

    value: Any
    source: str


Settings = dict[str, Setting]  # by the dotted name
UNKNOWN = Subject()


class Preset(NamedTuple):
    """A name, what it is for, what it sets, and for which rows it is."""

    name: str
    purpose: str
    settings: Callable[[Config, Subject], Settings]
    fits: Callable[[Subject], bool]


def _generating(subject: Subject) -> bool:
    return subject.objective not in COMPARING


def _comparing(subject: Subject) -> bool:
    return subject.objective in (*COMPARING, "")


def _on_text(subject: Subject) -> bool:
    return subject.shape in ("text", "")


def _always(subject: Subject) -> bool:
    return True


def _rate(subject: Subject, full: bool) -> Setting:
    """The peak learning rate by method, objective and size."""
    size = subject.parameters or 0
    if subject.objective == "orpo":
        value, source = 8e-6, "ORPO (arXiv 2403.07691) 4.1"
    elif subject.objective in COMPARING and 0 < size <= SMALL_PARAMETERS:
        value, source = 1e-6, "SmolLM2 (arXiv 2502.02737) 5"
    elif subject.objective in COMPARING:
        value, source = 5e-7, "Zephyr (arXiv 2310.16944) 4"
    elif full:
        # the appendix on hyperparameters: 2e-5, and 1e-5 for 70 B
        return Setting(1e-5 if size > LARGE_PARAMETERS else 2e-5, "Tülu 2 (arXiv 2311.10702)")
    else:
        large = size > LARGE_PARAMETERS
        return Setting(1e-4 if large else 2e-4, "QLoRA (arXiv 2305.14314) B.2")
    if full:
        return Setting(value, source)
    return Setting(round(10 * value, 9), f"{source}, times ten: LoRA Without Regret (2025)")


def _adapter(subject: Subject, rank: int, source: str) -> Settings:
    """A LoRA of this rank with nothing unusual about it."""
    return {
        "method.kind": Setting("lora", "LoRA (arXiv 2106.09685)"),
        "method.rank": Setting(rank, source),
        "method.alpha": Setting(2.0 * rank, "twice the rank: arXiv 2405.09673"),
        "method.dropout": Setting(0.0, "the default"),
        "method.target_modules": Setting("all-linear", "QLoRA (arXiv 2305.14314) 4"),
        "method.init_lora_weights": Setting("default", "the default"),
        "method.rslora": Setting(False, "the default"),
        "method.dora": Setting(False, "the default"),
        "train.learning_rate": _rate(subject, full=False),
        "train.max_steps": Setting(None, "epochs count"),
        "train.neftune_noise_alpha": Setting(None, "the default"),
        "checkpoint.early_stopping_patience": Setting(None, "the default"),
    }


def _balanced(config: Config, subject: Subject) -> Settings:
    return _adapter(subject, 16, "LoRA (arXiv 2106.09685) 7.2: 4 to 64") | {
        "method.quantization": Setting("none", "the default"),
        "train.num_train_epochs": Setting(3.0, "Alpaca (2023): 3"),
        "train.lr_scheduler_type": Setting("cosine", "SGDR (arXiv 1608.03983)"),
        "train.warmup_ratio": Setting(0.03, "Tülu 2 (arXiv 2311.10702)"),
        "train.optim": Setting("adamw", "AdamW (arXiv 1711.05101)"),
        "train.gradient_checkpointing": Setting(False, "the default"),
    }


def _quick_look(config: Config, subject: Subject) -> Settings:
    return _adapter(subject, 8, "LoRA (arXiv 2106.09685) 7.2: 4 to 64") | {
        "train.max_steps": Setting(50, "enough to see the loss fall"),
    }


def _small_data(config: Config, subject: Subject) -> Settings:
    return _adapter(subject, 8, "LoRA (arXiv 2106.09685) 7.2: 4 to 64") | {
        "method.dropout": Setting(0.1, "QLoRA (arXiv 2305.14314) B.2"),
        # the best checkpoints stood between the 5th and the 10th pass over 1,000 rows
        "train.num_train_epochs": Setting(10.0, "LIMA (arXiv 2305.11206) 3"),
        "checkpoint.early_stopping_patience": Setting(3, "LIMA (arXiv 2305.11206) 3"),
        "train.neftune_noise_alpha": Setting(5.0, "NEFTune (arXiv 2310.05914) 4"),
    }


def _tight(config: Config, subject: Subject) -> Settings:
    """As little memory as there is a way to, at the same batch for each optimizer step."""
    train = config.train
    rows = train.per_device_train_batch_size * train.gradient_accumulation_steps
    # kto compares the rows of a batch
    together = 2 if subject.objective == "kto" and rows > 1 else 1
    settings = _adapter(subject, 16, "LoRA (arXiv 2106.09685) 7.2: 4 to 64")
    del settings["train.max_steps"], settings["checkpoint.early_stopping_patience"]
    return settings | {
        "method.quantization": Setting("nf4", "QLoRA (arXiv 2305.14314) 3"),
        "train.gradient_checkpointing": Setting(True, "arXiv 1604.06174"),
        "train.optim": Setting("adamw_8bit", "8-bit optimizers (arXiv 2110.02861)"),
        "train.per_device_train_batch_size": Setting(together, "the least"),
        "train.gradient_accumulation_steps": Setting(
            max(1, rows // together), "the same batch as before"
        ),
    }


def _fast(config: Config, subject: Subject) -> Settings:
    return _adapter(subject, 8, "LoRA (arXiv 2106.09685) 7.2: 4 to 64") | {
        "method.quantization": Setting("none", "nf4 costs time: QLoRA (arXiv 2305.14314)"),
        "train.num_train_epochs": Setting(1.0, "LoRA Without Regret (2025): one pass"),
        "train.packing": Setting("auto", "best-fit packing (arXiv 2404.10830)"),
        "train.gradient_checkpointing": Setting(False, "saves a forward pass: arXiv 1604.06174"),
    }


def _best(config: Config, subject: Subject) -> Settings:
    return _adapter(subject, 64, "QLoRA (arXiv 2305.14314) B.2") | {
        "method.quantization": Setting("none", "nothing is lost to rounding"),
        "method.dropout": Setting(0.05, "QLoRA (arXiv 2305.14314) B.2: 0.05 to 0.1"),
        # up to four passes are worth nearly as much as new rows
        "train.num_train_epochs": Setting(4.0, "arXiv 2305.16264; arXiv 2405.09673"),
        "train.lr_scheduler_type": Setting("cosine", "SGDR (arXiv 1608.03983)"),
        "train.warmup_ratio": Setting(0.03, "Tülu 2 (arXiv 2311.10702)"),
        "train.optim": Setting("adamw", "AdamW (arXiv 1711.05101)"),
        "checkpoint.early_stopping_patience": Setting(3, "the best checkpoint is kept"),
    }


def _preferences(config: Config, subject: Subject) -> Settings:
    known = subject if subject.objective else subject._replace(objective="dpo")
    return _adapter(known, 16, "LoRA (arXiv 2106.09685) 7.2: 4 to 64") | {
        "train.beta": Setting(0.1, "DPO (arXiv 2305.18290) B"),
        "train.num_train_epochs": Setting(1.0, "Zephyr (arXiv 2310.16944) 4: 1 to 3"),
        "train.lr_scheduler_type": Setting("linear", "Zephyr (arXiv 2310.16944) 4"),
        "train.warmup_ratio": Setting(0.1, "Zephyr (arXiv 2310.16944) 4"),
    }


def _full(config: Config, subject: Subject) -> Settings:
    return {
        "method.kind": Setting("full", "every weight learns"),
        "method.quantization": Setting("none", "only frozen weights are quantized"),
        "method.dora": Setting(False, "belongs to an adapter"),
        "method.rslora": Setting(False, "belongs to an adapter"),
        "method.init_lora_weights": Setting("default", "belongs to an adapter"),
        "train.learning_rate": _rate(subject, full=True),
        "train.num_train_epochs": Setting(2.0, "Llama 2 (arXiv 2307.09288) 3.1"),
        "train.max_steps": Setting(None, "epochs count"),
        "train.lr_scheduler_type": Setting("cosine", "Llama 2 (arXiv 2307.09288) 3.1"),
        "train.warmup_ratio": Setting(0.03, "Tülu 2 (arXiv 2311.10702)"),
        "train.neftune_noise_alpha": Setting(None, "the default"),
    }


def _continued(config: Config, subject: Subject) -> Settings:
    # the rank that came nearest to full tuning on new text
    return _adapter(subject, 256, "arXiv 2405.09673 4: 256 on new text") | {
        "train.supervise": Setting("all", "every token of a text is learned"),
        "train.num_train_epochs": Setting(1.0, "as in pre-training"),
        "train.lr_scheduler_type": Setting("cosine", "arXiv 2403.08763: warm up and decay again"),
        "train.warmup_ratio": Setting(0.01, "arXiv 2403.08763"),
        "train.packing": Setting("auto", "best-fit packing (arXiv 2404.10830)"),
    }


PRESETS = (
    Preset("balanced", "LoRA on every linear layer, three passes.", _balanced, _generating),
    Preset(
        "quick look", "Fifty steps, to see whether the loss falls at all.", _quick_look, _always
    ),
    Preset(
        "small data",
        "For some hundred rows: a small adapter with dropout and noise, and an early end.",
        _small_data,
        _generating,
    ),
    Preset(
        "memory is tight",
        "QLoRA: weights in 4 bits, row by row, the same batch for each step.",
        _tight,
        _always,
    ),
    Preset("fast", "One pass with a small adapter, nothing computed twice.", _fast, _generating),
    Preset("best", "A larger adapter, four passes, the best of them kept.", _best, _generating),
    Preset(
        "preferences",
        "For answers that are compared: one pass at a small rate.",
        _preferences,
        _comparing,
    ),
    Preset("full", "Every weight, two passes, a tenth of an adapter's rate.", _full, _always),
    Preset(
        "continued pre-training",
        "For plain text: every token, one pass, a large adapter.",
        _continued,
        _on_text,
    ),
)


def fitting(subject: Subject) -> list[Preset]:
    """The presets for these rows."""
    return [preset for preset in PRESETS if preset.fits(subject)]


def apply(config: Config, preset: Preset, subject: Subject = UNKNOWN) -> Config:
    """The configuration with the preset's options; the others stay."""
    settings = preset.settings(config, subject)
    return config.laid_over({name: setting.value for name, setting in settings.items()})


def matching(config: Config, subject: Subject = UNKNOWN) -> Preset | None:
    """The preset whose options the configuration has."""
    return next(
        (preset for preset in fitting(subject) if apply(config, preset, subject) == config), None
    )
