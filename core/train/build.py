"""From a configuration and encoded rows to a trainer: model, adapter, attention, arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from core.config import Config
from core.errors import AfinaError
from core.train import attention
from core.train.dataset import Encoded, pack, should_pack
from core.train.setup import Setup

if TYPE_CHECKING:
    from peft import LoraConfig
    from trl.trainer.sft_config import SFTConfig

    from core.train.recorder import Recorder
    from core.train.trainer import RunTrainer


class Layout(msgspec.Struct, frozen=True):
    """How rows lie in a batch."""

    flat: bool  # end to end in one row, each seeing only itself; else padded
    packed: bool  # bins of max_length made before training
    attention: str  # transformers' name of the implementation
    plain_attention: str  # the one that the model was loaded with


def load_model(setup: Setup) -> Any:
    """The base model; frozen weights in the type of the products, trained ones in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    rounded = setup.precision.autocast and not setup.full
    model: Any = AutoModelForCausalLM.from_pretrained(
        str(setup.base),
        dtype=torch.bfloat16 if rounded else torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
    )
    return model.to(setup.precision.device)


def choose_layout(model: Any, config: Config, encoded: Encoded) -> Layout:
    """The fastest way that is proven on this model; leaves its attention set.

    First ours, then the model's own with the boundaries in the positions, then padding.
    """
    attention.register()
    own = model.config._attn_implementation
    for name in (attention.NAME, own):
        if attention.isolates(model, name):
            model.set_attn_implementation(name)
            return Layout(True, should_pack(config, encoded.train.tokens), name, own)
    if config.train.packing == "on":
        raise AfinaError(
            f'Rows of a "{model.config.model_type}" model can\'t be packed: its layers look from '
            "one row into the next.",
            "Set train.packing to auto or off.",
        )
    return Layout(False, False, own, own)


def adapter(config: Config) -> LoraConfig | None:
    """PEFT's configuration of the adapter; None for full tuning."""
    from peft import LoraConfig

    method = config.method
    if method.kind == "full":
        return None
    words = method.target_modules
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=method.rank,
        lora_alpha=method.alpha,  # type: ignore[arg-type] - PEFT divides it by the rank
        lora_dropout=method.dropout,
        target_modules=words if words == "all-linear" else module_names(words),
        use_rslora=method.rslora,
        use_dora=method.dora,
    )


def module_names(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def build_trainer(
    setup: Setup,
    encoded: Encoded,
    model: Any,
    tokenizer: Any,
    layout: Layout,
    recorder: Recorder,
) -> RunTrainer:
    """The trainer, ready for `train`; the adapter's first weights follow from the seed."""
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    from core.train.trainer import RunTrainer

    config, train = setup.config, encoded.train.to_dataset()
    if layout.packed:
        train = pack(train, config.data.max_length)
    has_eval = len(encoded.evaluation) > 0
    trainer = RunTrainer(
        setup=setup,
        layout=layout,
        recorder=recorder,
        model=model,
        args=arguments(setup, starts_with_eval=not recorder.progress.losses),
        train_dataset=train,
        eval_dataset=encoded.evaluation.to_dataset() if has_eval else None,
        processing_class=tokenizer,
        peft_config=adapter(config),
        callbacks=[recorder],
    )
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    if config.method.kind == "lora" and not config.method.dora and setup.precision.autocast:
        _leave_casts_to_autocast(trainer.model)
    return trainer


def arguments(setup: Setup, starts_with_eval: bool) -> SFTConfig:
    """TRL's arguments. When to evaluate, save and stop is the recorder's: no strategies here."""
    from trl.trainer.sft_config import SFTConfig

    config, precision = setup.config, setup.precision
    train = config.train
    return SFTConfig(
        output_dir=str(setup.run / "checkpoints"),
        use_cpu=precision.device == "cpu",
        bf16=precision.autocast,
        num_train_epochs=train.num_train_epochs,
        max_steps=train.max_steps or -1,
        per_device_train_batch_size=train.per_device_train_batch_size,
        per_device_eval_batch_size=train.per_device_train_batch_size,
        gradient_accumulation_steps=train.gradient_accumulation_steps,
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.lr_scheduler_type,
        warmup_steps=train.warmup_ratio,  # below 1 it is a share of the steps
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        gradient_checkpointing=train.gradient_checkpointing,  # SFTConfig would turn it on
        seed=train.seed,
        data_seed=train.seed,
        max_length=config.data.max_length,
        packing=False,  # the rows are packed already
        dataset_kwargs={"skip_prepare_dataset": True},
        dataloader_pin_memory=precision.device == "cuda",
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would put an earlier loss in the place of a NaN
        eval_strategy="no",
        eval_on_start=starts_with_eval,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        log_level="error",
    )


def _leave_casts_to_autocast(model: Any) -> None:
    """Autocast already casts the adapter's float32 weights; PEFT would cast every input, and back.

    The weights stay float32, so small updates aren't lost to rounding.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False  # type: ignore[attr-defined] - PEFT asks for it
