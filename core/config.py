"""The configuration of a run: every option once, with its meaning, unit, source and default.

The form, the YAML, `key=value` overrides and the reference in docs/ are drawn from these structs.
Reading and writing it is in core/config_io.py, what can be wrong in core/config_problems.py. Names
are those of TrainingArguments, PEFT and TRL.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
Minutes = Annotated[float, Meta(gt=0.0)]
Weight = Annotated[float, Meta(gt=0.0)]


def option(description: str, *, unit: str = "", source: str = "", **bounds: float) -> Meta:
    """What a person reads about an option: its meaning, unit and where its default comes from."""
    return Meta(description=description, extra={"unit": unit, "source": source}, **bounds)  # type: ignore[arg-type]


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base model."""

    name_or_path: Annotated[
        str,
        option("Folder of a model with safetensors weights, or a hub id where there is a network."),
    ] = ""
    revision: Annotated[str | None, option("Branch, tag or commit of a hub id.")] = None
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"],
        option(
            "Number type of the matrix products; auto measures what this device does well. "
            "Trained weights stay in float32."
        ),
    ] = "auto"


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The training data and how it is read."""

    path: Annotated[
        str,
        option(
            "The training rows: a file, a folder, a pattern such as data/*.jsonl, a saved dataset, "
            "or a hub id where there is a network."
        ),
    ] = ""
    mix: Annotated[
        dict[str, Weight],
        option(
            "Further files, and how often each of their rows is seen in an epoch: 2 is twice, 0.5 "
            "a seeded half (with streaming another half in the next epoch, else the same).",
        ),
    ] = {}
    eval_path: Annotated[
        str | None,
        option("The evaluation rows, named as path is; without it eval_fraction is split off."),
    ] = None
    eval_fraction: Annotated[
        float,
        option(
            "Share of the rows held out for evaluation; duplicates stay on one side.",
            source="hosted services advise 10 to 20 %",
            ge=0.0,
            le=0.5,
        ),
    ] = 0.1
    max_length: Annotated[
        int,
        option("Longest row that reaches the model; the rest is cut.", unit="tokens", ge=8),
    ] = 512
    format: Annotated[
        Literal[
            "auto",
            "chat",
            "sharegpt",
            "alpaca",
            "prompt_completion",
            "template",
            "text",
            "pretokenised",
            "preference",
            "kto",
            "classification",
        ],
        option("Shape of the rows; auto looks at 200 rows spread over the file."),
    ] = "auto"
    chat_template: Annotated[
        str | None,
        option("Used instead of the model's own: a Jinja file, or chatml, llama3 or alpaca."),
    ] = None
    prompt_template: Annotated[
        str | None,
        option(
            "Text made of the rows' columns, such as {question}; the last one is what is learned."
        ),
    ] = None
    streaming: Annotated[
        bool,
        option(
            "Read and encode the rows while the run goes on, instead of all of them before it: for "
            "files that are larger than memory. At most 2,000 rows are held out then."
        ),
    ] = False


class Method(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is trained: all weights, or an adapter beside frozen ones."""

    kind: Annotated[
        Literal["lora", "full"],
        option("lora trains a small adapter, full trains every weight."),
    ] = "lora"
    rank: Annotated[
        int,
        option(
            "Rank of the adapter's matrices.",
            source="LoRA (arXiv 2106.09685) 7.2: 4 to 64",
            ge=1,
        ),
    ] = 16
    alpha: Annotated[
        float,
        option(
            "Scale of the adapter: alpha / rank.",
            source="twice the rank, as in QLoRA's practice",
            gt=0.0,
        ),
    ] = 32.0
    dropout: Annotated[float, option("Dropout before the adapter.", ge=0.0, lt=1.0)] = 0.0
    target_modules: Annotated[
        str,
        option(
            "Layers that get an adapter: all-linear, or names with commas between.",
            source="all-linear: QLoRA (arXiv 2305.14314) 4.1",
        ),
    ] = "all-linear"
    rslora: Annotated[
        bool, option("Scale by alpha / sqrt(rank).", source="rsLoRA (arXiv 2312.03732)")
    ] = False
    dora: Annotated[
        bool,
        option("Learn magnitude and direction apart.", source="DoRA (arXiv 2402.09353)"),
    ] = False


class Train(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it is trained."""

    objective: Annotated[
        Literal["auto", "sft", "dpo", "kto", "classification"],
        option(
            "What is learned: the next token (sft), to prefer one answer (dpo), to tell wanted "
            "answers from unwanted ones (kto), or a class; auto goes by the shape of the rows.",
            source="DPO (arXiv 2305.18290), KTO (arXiv 2402.01306)",
        ),
    ] = "auto"
    beta: Annotated[
        float,
        option(
            "How strongly dpo and kto hold the model near where it began; less lets it go further.",
            source="DPO (arXiv 2305.18290) B: 0.1",
            gt=0.0,
        ),
    ] = 0.1
    supervise: Annotated[
        Literal["assistant", "last_assistant", "completion", "all"],
        option(
            "Tokens that count in the loss: every answer, the last answer, what comes after the "
            "prompt, or the whole text."
        ),
    ] = "assistant"
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
    lr_scheduler_type: Annotated[
        Literal["cosine", "linear", "constant", "constant_with_warmup"],
        option("Course of the learning rate after the warmup."),
    ] = "cosine"
    warmup_ratio: Annotated[
        float,
        option("Share of the steps in which the learning rate rises.", ge=0.0, lt=1.0),
    ] = 0.03
    weight_decay: Annotated[float, option("Decoupled weight decay of AdamW.", ge=0.0)] = 0.0
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
    seed: Annotated[
        int, option("Order of the data, initial adapter and dropout.", ge=0, le=2**32 - 1)
    ] = 42


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the whole state is saved."""

    every_steps: Annotated[int, option("Save each so many steps.", unit="steps", ge=1)] = 200
    every_minutes: Annotated[
        Minutes | None,
        option("Save also when this long has passed since the last.", unit="min"),
    ] = 15.0
    keep: Annotated[
        int,
        option("Checkpoints kept; the newest and the best are never deleted.", ge=1),
    ] = 3
    early_stopping_patience: Annotated[
        Count | None,
        option("End after so many evaluations without a better eval loss.", unit="evaluations"),
    ] = None


class Eval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is measured on the way."""

    every_steps: Annotated[int, option("Evaluate each so many steps.", unit="steps", ge=1)] = 100
    watch_prompts: Annotated[
        list[str],
        option(
            "Questions that the model answers at each evaluation, under the system prompt that "
            "most of the rows share."
        ),
    ] = []
    max_new_tokens: Annotated[
        int, option("Longest answer to a watch prompt.", unit="tokens", ge=1)
    ] = 96


class Launch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where it runs."""

    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        option("auto takes the GPU when torch sees one."),
    ] = "auto"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run."""

    name: Annotated[
        str | None,
        option("Name of the run; without one, the data's name and the method."),
    ] = None
    model: Model = Model()
    data: Data = Data()
    method: Method = Method()
    train: Train = Train()
    checkpoint: Checkpoint = Checkpoint()
    eval: Eval = Eval()
    launch: Launch = Launch()
