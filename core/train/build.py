"""From a model and encoded rows to a trainer: layout of the batches, trainer, arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from core.config import Config
from core.errors import AfinaError
from core.plan.layout import should_pack
from core.train.loader.dataset import Encoded
from core.train.loader.packing import pack
from core.train.model import attention
from core.train.model.adapters import attach, drop_needless_reference, leave_casts_to_autocast
from core.train.model.load import load_model
from core.train.objectives.kto_weights import kto_weights
from core.train.optim.arguments import arguments
from core.train.setup import Setup

if TYPE_CHECKING:
    from core.train.callback import RunCallback
    from core.train.objectives.custom_loss import CustomLoss
    from core.train.objectives.recorded import RecordedTrainer
    from core.train.objectives.sft import SFTRunTrainer


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
    callback: RunCallback


def choose_layout(model: Any, config: Config, encoded: Encoded, autocast: bool = False) -> Layout:
    """The fastest way that is proven on this model; leaves its attention set.

    Rows end to end, each seeing only itself, then padding. Rows that are compared, judged or
    classed, or that have a learned prompt before them, are padded.
    """
    own = model.config._attn_implementation
    # the tokens of a learned prompt stand before every row, so each needs a row of its own
    if encoded.objective != "sft" or config.method.kind == "prompt":
        return Layout(False, False, own, own)
    attention.register()
    dropout = getattr(model.config.get_text_config(), "attention_dropout", None) or 0.0
    for name in attention.candidates(own, model.device.type, dropout):
        if attention.isolates(model, name, autocast):
            model.set_attn_implementation(name)
            return Layout(True, should_pack(config, encoded.tokens), name, own)
    if config.train.packing == "on":
        raise AfinaError(
            f'Rows of a "{model.config.model_type}" model can\'t be packed: its layers look from '
            "one row into the next.",
            "Set train.packing to auto or off.",
        )
    return Layout(False, False, own, own)


def build_trainer(parts: Parts, layout: Layout) -> RecordedTrainer:
    """The trainer, ready for `train`; the adapter's first weights follow from the seed."""
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    config, encoded = parts.setup.config, parts.encoded
    train = encoded.train.to_dataset(encoded.classes)
    if layout.packed and not encoded.streamed:
        train = pack(train, config.data.max_length)
    evaluation = encoded.evaluation
    if encoded.objective == "classification":
        _make_classifier(parts)
    given: dict[str, Any] = {
        "setup": parts.setup,
        "layout": layout,
        "callback": parts.callback,
        "model": attach(parts.setup, parts.model, encoded.objective),
        "train_dataset": train,
        "eval_dataset": evaluation.to_dataset(encoded.classes) if len(evaluation) else None,
        "processing_class": parts.tokenizer,
        "callbacks": [parts.callback],
    }
    makers = {
        "sft": _sft,
        "dpo": _dpo,
        "kto": _kto,
        "orpo": _orpo,
        "classification": _classification,
    }
    trainer = makers[encoded.objective](parts, given)
    drop_needless_reference(parts.setup, trainer.model)
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    if not parts.setup.full and not config.method.dora and parts.setup.precision.autocast:
        leave_casts_to_autocast(trainer.model)
    return trainer


def _sft(parts: Parts, given: dict[str, Any]) -> SFTRunTrainer:
    from trl.trainer.sft_config import SFTConfig

    from core.train.objectives.sft import SFTRunTrainer

    config = parts.setup.config
    args = arguments(
        SFTConfig,
        parts,
        max_length=config.data.max_length,
        packing=False,  # the rows are packed already
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    trainer = SFTRunTrainer(
        smoothing=config.train.label_smoothing_factor,
        custom=_custom_loss(parts),
        args=args,
        **given,
    )
    if parts.encoded.streamed:
        _stream(trainer, parts)
    return trainer


def _custom_loss(parts: Parts) -> CustomLoss | None:
    """The loss of the user's own, from the run's copy of its code."""
    from core.runs import custom_loss_file
    from core.train.objectives import custom_loss

    config, run = parts.setup.config, parts.setup.run
    word = config.train.custom_loss
    if word is None:
        return None
    loss = custom_loss.load(custom_loss_file.kept(run), word, config)
    if finding := custom_loss_file.changed(word, run):
        parts.callback.finding(finding, None)
    return loss


def _stream(trainer: SFTRunTrainer, parts: Parts) -> None:
    """Gives a trainer the streamed rows in the place of its dataset, and settles its steps."""
    from core.train.loader.stream import Laying
    from core.train.loader.stream_batches import Batches

    streamed, args, data = parts.encoded.streamed, trainer.args, parts.setup.config.data
    assert streamed is not None
    laying = Laying(data.max_length, args.per_device_train_batch_size, trainer.layout.packed)
    passed = parts.callback.progress.streamed
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

    from core.train.objectives.dpo import DPORunTrainer

    train = parts.setup.config.train
    return DPORunTrainer(
        pad_id=pad_id(parts.tokenizer),
        smoothing=train.label_smoothing_factor,
        args=arguments(DPOConfig, parts, **_comparing(parts), loss_type=[train.loss_type]),
        ref_model=_reference(parts),
        **given,
    )


def _kto(parts: Parts, given: dict[str, Any]) -> RecordedTrainer:
    from trl.trainer.kto_config import KTOConfig

    from core.train.objectives.kto import KTORunTrainer

    wanted, unwanted = kto_weights(parts.encoded.train.judgements)
    weights = {"desirable_weight": wanted, "undesirable_weight": unwanted}
    sequential = {"train_sampling_strategy": "sequential"}  # KTOTrainer insists; see JudgedTrainer
    return KTORunTrainer(
        pad_id=pad_id(parts.tokenizer),
        max_length=parts.setup.config.data.max_length,
        args=arguments(KTOConfig, parts, **_comparing(parts), **weights, **sequential),
        ref_model=_reference(parts),
        **given,
    )


def _orpo(parts: Parts, given: dict[str, Any]) -> RecordedTrainer:
    from transformers import TrainingArguments
    from trl.trainer.utils import add_fused_lm_head, disable_dropout_in_model

    from core.train.objectives.orpo import ORPORunTrainer

    config, model = parts.setup.config, given["model"]
    add_fused_lm_head(parts.model)  # an adapter's forward calls the model's
    if config.method.dropout == 0:
        disable_dropout_in_model(model)
    _let_gradients_in(parts, model)
    args = arguments(TrainingArguments, parts, remove_unused_columns=False)
    return ORPORunTrainer(
        pad_id=pad_id(parts.tokenizer), beta=config.train.beta, args=args, **given
    )


def _comparing(parts: Parts) -> dict[str, Any]:
    """What TRL's DPO and KTO are told alike."""
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


def _make_classifier(parts: Parts) -> None:
    settings = parts.model.config
    settings.get_text_config().pad_token_id = pad_id(parts.tokenizer)  # the last token is before it
    settings.architectures = [type(parts.model).__name__]  # an adapter's folder says it


def _classification(parts: Parts, given: dict[str, Any]) -> RecordedTrainer:
    from transformers import TrainingArguments

    from core.train.objectives.classification import ClassTrainer

    _let_gradients_in(parts, given["model"])
    args = arguments(TrainingArguments, parts, remove_unused_columns=False)
    smoothing = parts.setup.config.train.label_smoothing_factor
    return ClassTrainer(pad_id=pad_id(parts.tokenizer), smoothing=smoothing, args=args, **given)


def _let_gradients_in(parts: Parts, model: Any) -> None:
    """As TRL does: what a checkpointed layer recomputes must come from something that learns."""
    if parts.setup.config.train.gradient_checkpointing and not parts.setup.full:
        model.enable_input_require_grads()


def pad_id(tokenizer: Any) -> int:
    """The token that fills up short rows; the end token where there is none for it."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return token
    return 0
