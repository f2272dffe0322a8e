"""The group train: what is learned, in which steps."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from core.config.option import Alpha, Count, SpikeFactor, option


class Train(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it is trained."""

    objective: Annotated[
        Literal["auto", "sft", "dpo", "kto", "orpo", "classification"],
        option(
            "What is learned: the next token (sft), to prefer one answer to another (dpo, or orpo "
            "that learns to write it too), to tell wanted answers from unwanted ones (kto), or a "
            "class; auto goes by the shape of the rows.",
            source="DPO (arXiv 2305.18290), KTO (arXiv 2402.01306), ORPO (arXiv 2403.07691)",
        ),
    ] = "auto"
    loss_type: Annotated[
        Literal["sigmoid", "ipo"],
        option(
            "Under dpo: sigmoid is DPO's own; ipo overfits less where answers are always judged "
            "alike.",
            source="IPO (arXiv 2310.12036)",
        ),
    ] = "sigmoid"
    beta: Annotated[
        float,
        option(
            "How strongly dpo and kto hold the model near where it began (less lets it go "
            "further); under orpo, the weight of the preference beside the writing.",
            source="DPO (arXiv 2305.18290) B and ORPO (arXiv 2403.07691) 6.1: 0.1",
            gt=0.0,
        ),
    ] = 0.1
    custom_loss: Annotated[
        str | None,
        option(
            "A loss of your own for sft, as loss.py:function or loss.py:Class; the file is copied "
            "into the run, and run by the training process. docs/custom-loss.md says what it takes."
        ),
    ] = None
    supervise: Annotated[
        Literal["assistant", "last_assistant", "completion", "all"],
        option(
            "Tokens that count in the loss: every answer, the last answer, what comes after the "
            "prompt, or the whole text."
        ),
    ] = "assistant"
    label_smoothing_factor: Annotated[
        float,
        option(
            "Share of the certainty that is spread over all tokens or classes, so that the model "
            "grows less sure of itself; under dpo, the share of pairs that are judged the wrong "
            "way round. Evaluations measure without it.",
            source="arXiv 1512.00567: 0.1; under dpo, conservative DPO (Mitchell 2023)",
            ge=0.0,
            lt=1.0,
        ),
    ] = 0.0
    neftune_noise_alpha: Annotated[
        Alpha | None,
        option(
            "Noise on the embeddings in training, against learning by heart; less of it the longer "
            "the row.",
            source="NEFTune (arXiv 2310.05914): 5",
        ),
    ] = None
    num_train_epochs: Annotated[float, option("Passes over the data.", unit="epochs", gt=0.0)] = 3.0
    max_steps: Annotated[
        Count | None, option("Optimizer steps, instead of epochs.", unit="steps")
    ] = None
    per_device_train_batch_size: Annotated[
        int,
        option(
            "Rows of max_length tokens (packed) or rows (not packed) in one pass.",
            unit="rows",
            ge=1,
        ),
    ] = 8
    gradient_accumulation_steps: Annotated[
        int, option("Passes that make one optimizer step.", unit="passes", ge=1)
    ] = 1
    learning_rate: Annotated[
        float,
        option(
            "Peak learning rate.",
            source="LoRA: 1e-4 to 1e-3; full: 1e-5 to 5e-5",
            gt=0.0,
            lt=1.0,
        ),
    ] = 2e-4
    optim: Annotated[
        Literal["adamw", "adamw_8bit", "adafactor", "muon"],
        option(
            "Optimizer: adamw_8bit keeps its moments in 8 bits, adafactor sums over rows and "
            "columns, muon makes the steps of matrices orthogonal, at adamw's learning rate.",
            source="AdamW (arXiv 1711.05101), 8-bit (arXiv 2110.02861), Adafactor (arXiv "
            "1804.04235), Muon (arXiv 2502.16982)",
        ),
    ] = "adamw"
    lr_scheduler_type: Annotated[
        Literal["cosine", "linear", "constant", "constant_with_warmup", "wsd"],
        option(
            "Course of the learning rate after the warmup; wsd stays up and falls at the end.",
            source="cosine: SGDR (arXiv 1608.03983); wsd: MiniCPM (arXiv 2404.06395)",
        ),
    ] = "cosine"
    warmup_ratio: Annotated[
        float,
        option(
            "Share of the steps in which the learning rate rises, from the first step on; constant "
            "has none.",
            ge=0.0,
            lt=1.0,
        ),
    ] = 0.03
    decay_ratio: Annotated[
        float,
        option(
            "Under wsd: share of the steps in which the learning rate falls, by 1 - sqrt.",
            source="arXiv 2405.18392: 0.2, and the best of its falls",
            gt=0.0,
            le=1.0,
        ),
    ] = 0.2
    weight_decay: Annotated[float, option("Decoupled weight decay.", ge=0.0)] = 0.0
    max_grad_norm: Annotated[
        float, option("Gradients longer than this are scaled down to it.", gt=0.0)
    ] = 1.0
    packing: Annotated[
        Literal["auto", "on", "off"],
        option(
            "Fill every row of a batch up to max_length with whole rows that don't see each other; "
            "auto does so where at least 100 steps remain. Without it nothing is padded either.",
            source="best-fit decreasing, arXiv 2404.10830",
        ),
    ] = "auto"
    gradient_checkpointing: Annotated[
        bool, option("Less memory for activations, up to a third more time.")
    ] = False
    on_divergence: Annotated[
        Literal["stop", "rollback"],
        option(
            "When the loss or a gradient is no number: stop the run, or go back to the last good "
            "checkpoint, once, and on with half the learning rate."
        ),
    ] = "stop"
    spike_factor: Annotated[
        SpikeFactor | None,
        option(
            "A loss so many times the median of the steps before counts as divergence too; without "
            "it a spike is only told."
        ),
    ] = None
    seed: Annotated[
        int, option("Order of the data, initial adapter and dropout.", ge=0, le=2**32 - 1)
    ] = 42
