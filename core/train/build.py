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
    from transformers import TrainingArguments

    from core.train.recorded import RecordedTrainer
    from core.train.recorder import Recorder
    from core.train.trainer import RunTrainer


class Layout(msgspec.Struct, frozen=True):
    """How rows lie in a batch."""

    flat: bool  # end to end in one row, each seeing only itself; else padded
    packed: bool  # bins of max_length made before training
    attention: str  # transformers' name of the implementation
    plain_attention: str  # the one that the model was loaded with


class Parts(msgspec.Struct, frozen=True):
    """What a trainer is built of."""

    setup: Setup
    encoded: Encoded
    model: Any
    tokenizer: Any  # transformers' one, of which TRL asks the padding only
    recorder: Recorder


def load_model(setup: Setup, encoded: Encoded) -> Any:
    """The base model; frozen weights in the type of the products, trained ones in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    rounded = setup.precision.autocast and not setup.full
    dtype = torch.bfloat16 if rounded else torch.float32
    given: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "trust_remote_code": False}
    kind: Any = AutoModelForCausalLM
    if encoded.objective == "classification":
        kind = AutoModelForSequenceClassification
        names = [str(label) for label in encoded.classes]
        given |= {"id2label": dict(enumerate(names)), "num_labels": len(names)}
        given["label2id"] = {name: place for place, name in enumerate(names)}
        torch.manual_seed(setup.config.train.seed)  # the head's first weights follow from it
    return kind.from_pretrained(str(setup.base), **given).to(setup.precision.device)


def choose_layout(model: Any, config: Config, encoded: Encoded) -> Layout:
    """The fastest way that is proven on this model; leaves its attention set.

    First ours, then the model's own with the boundaries in the positions, then padding. Rows that
    are compared, judged or classed are padded.
    """
    own = model.config._attn_implementation
    if encoded.objective != "sft":
        return Layout(False, False, own, own)
    attention.register()
    for name in (attention.NAME, own):
        if attention.isolates(model, name):
            model.set_attn_implementation(name)
            return Layout(True, should_pack(config, encoded.tokens), name, own)
    if config.train.packing == "on":
        raise AfinaError(
            f'Rows of a "{model.config.model_type}" model can\'t be packed: its layers look from '
            "one row into the next.",
            "Set train.packing to auto or off.",
        )
    return Layout(False, False, own, own)


def adapter(config: Config, objective: str = "sft") -> LoraConfig | None:
    """PEFT's configuration of the adapter; None for full tuning."""
    from peft import LoraConfig

    method = config.method
    if method.kind == "full":
        return None
    words = method.target_modules
    return LoraConfig(
        task_type="SEQ_CLS" if objective == "classification" else "CAUSAL_LM",
        r=method.rank,
        lora_alpha=method.alpha,  # type: ignore[arg-type] - PEFT divides it by the rank
        lora_dropout=method.dropout,
        target_modules=words if words == "all-linear" else module_names(words),
        use_rslora=method.rslora,
        use_dora=method.dora,
    )


def module_names(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def build_trainer(parts: Parts, layout: Layout) -> RecordedTrainer:
    """The trainer, ready for `train`; the adapter's first weights follow from the seed."""
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    config, encoded = parts.setup.config, parts.encoded
    train = encoded.train.to_dataset(encoded.classes)
    if layout.packed and not encoded.streamed:
        train = pack(train, config.data.max_length)
    evaluation = encoded.evaluation
    given: dict[str, Any] = {
        "setup": parts.setup,
        "layout": layout,
        "recorder": parts.recorder,
        "model": parts.model,
        "train_dataset": train,
        "eval_dataset": evaluation.to_dataset(encoded.classes) if len(evaluation) else None,
        "processing_class": parts.tokenizer,
        "callbacks": [parts.recorder],
    }
    makers = {"sft": _sft, "dpo": _dpo, "kto": _kto, "classification": _classification}
    trainer = makers[encoded.objective](parts, given)
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    if not parts.setup.full and not config.method.dora and parts.setup.precision.autocast:
        _leave_casts_to_autocast(trainer.model)
    return trainer


def _sft(parts: Parts, given: dict[str, Any]) -> RunTrainer:
    from trl.trainer.sft_config import SFTConfig

    from core.train.trainer import RunTrainer

    config = parts.setup.config
    args = arguments(
        SFTConfig,
        parts,
        max_length=config.data.max_length,
        packing=False,  # the rows are packed already
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    trainer = RunTrainer(args=args, peft_config=adapter(config), **given)
    if parts.encoded.streamed:
        _stream(trainer, parts)
    return trainer


def _stream(trainer: RunTrainer, parts: Parts) -> None:
    """Gives a trainer the streamed rows in the place of its dataset, and settles its steps."""
    from core.train.batches import Batches
    from core.train.stream import Laying

    streamed, args, data = parts.encoded.streamed, trainer.args, parts.setup.config.data
    assert streamed is not None
    laying = Laying(data.max_length, args.per_device_train_batch_size, trainer.layout.packed)
    passed = parts.recorder.progress.streamed
    accumulation = args.gradient_accumulation_steps
    if not passed.steps:
        epochs = streamed.batches(laying) * args.num_train_epochs
        most = args.max_steps if args.max_steps > 0 else None
        passed.steps = most or max(1, round(epochs / accumulation))
    args.max_steps = passed.steps
    args.ignore_data_skip = True  # the stream itself knows where a resumed run goes on
    collate = trainer.data_collator
    trainer.batches = Batches(streamed.stream, laying, passed, collate, passed.steps * accumulation)


def _dpo(parts: Parts, given: dict[str, Any]) -> RecordedTrainer:
    from trl.trainer.dpo_config import DPOConfig

    from core.train.preference import PairTrainer

    return PairTrainer(
        pad_id=pad_id(parts.tokenizer),
        args=arguments(DPOConfig, parts, **_comparing(parts)),
        peft_config=adapter(parts.setup.config),
        ref_model=_reference(parts),
        **given,
    )


def _kto(parts: Parts, given: dict[str, Any]) -> RecordedTrainer:
    from trl.trainer.kto_config import KTOConfig

    from core.train.preference import JudgedTrainer

    sequential = {"train_sampling_strategy": "sequential"}  # KTOTrainer insists; see JudgedTrainer
    return JudgedTrainer(
        pad_id=pad_id(parts.tokenizer),
        max_length=parts.setup.config.data.max_length,
        args=arguments(KTOConfig, parts, **_comparing(parts), **sequential),
        peft_config=adapter(parts.setup.config),
        ref_model=_reference(parts),
        **given,
    )


def _comparing(parts: Parts) -> dict[str, Any]:
    """What DPO and KTO are told alike."""
    config = parts.setup.config
    return {
        "beta": config.train.beta,
        "max_length": None,  # the rows are cut already
        "disable_dropout": config.method.dropout == 0,
        "remove_unused_columns": False,
    }


def _reference(parts: Parts) -> Any:
    """The model as it was, which full tuning is held near to; an adapter is just switched off."""
    return load_model(parts.setup, parts.encoded) if parts.setup.full else None


def _classification(parts: Parts, given: dict[str, Any]) -> RecordedTrainer:
    from peft import get_peft_model
    from transformers import TrainingArguments, set_seed

    from core.train.classifier import ClassTrainer

    config, pad = parts.setup.config, pad_id(parts.tokenizer)
    parts.model.config.get_text_config().pad_token_id = pad  # by it the head finds the last token
    parts.model.config.architectures = [type(parts.model).__name__]  # an adapter's folder says it
    chosen = adapter(config, "classification")
    if chosen is not None:
        set_seed(config.train.seed)
        given["model"] = get_peft_model(parts.model, chosen)
        if config.train.gradient_checkpointing:
            given["model"].enable_input_require_grads()
    args = arguments(TrainingArguments, parts, remove_unused_columns=False)
    return ClassTrainer(pad_id=pad, args=args, **given)


def pad_id(tokenizer: Any) -> int:
    """The token that fills up short rows; the end token where there is none for it."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return token
    return 0


def arguments(kind: type[TrainingArguments], parts: Parts, **more: Any) -> Any:
    """The trainer's arguments. When to evaluate, save and stop is the recorder's: no strategies."""
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
        lr_scheduler_type=train.lr_scheduler_type,
        warmup_steps=train.warmup_ratio,  # below 1 it is a share of the steps
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        gradient_checkpointing=train.gradient_checkpointing,  # TRL would turn it on
        seed=train.seed,
        data_seed=train.seed,
        dataloader_pin_memory=precision.device == "cuda",
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would put an earlier loss in the place of a NaN
        eval_strategy="no",
        eval_on_start=not parts.recorder.progress.losses,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        **more,
    )


def _leave_casts_to_autocast(model: Any) -> None:
    """Autocast already casts the adapter's float32 weights; PEFT would cast every input, and back.

    The weights stay float32, so small updates aren't lost to rounding.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False  # type: ignore[attr-defined] - PEFT asks for it
