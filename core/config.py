"""The configuration of a run: every option once, with its meaning, unit, source and default.

The form, the YAML, `key=value` overrides and the reference in docs/ are drawn from these structs.
Reading and writing it is in core/config_io.py. Names are those of TrainingArguments, PEFT and TRL.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from core.errors import FieldProblem

Count = Annotated[int, Meta(ge=1)]
Minutes = Annotated[float, Meta(gt=0.0)]


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

    path: Annotated[str, option("File with the training rows.")] = ""
    eval_path: Annotated[
        str | None,
        option("File with the evaluation rows; without it eval_fraction is split off."),
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
        Literal["auto", "chat", "sharegpt", "alpaca", "prompt_completion", "text"],
        option("Shape of the rows; auto looks at 200 rows spread over the file."),
    ] = "auto"
    chat_template: Annotated[
        str | None, option("Jinja file used instead of the model's own chat template.")
    ] = None


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

    supervise: Annotated[
        Literal["assistant", "last_assistant", "all"],
        option("Tokens that count in the loss: every answer, the last answer, or the whole text."),
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


def problems(config: Config) -> list[FieldProblem]:
    """Everything that is wrong, as far as it shows without loading the model or the data."""
    found: list[FieldProblem] = []
    if not config.model.name_or_path:
        found.append(
            FieldProblem("model.name_or_path", "No model is named.", "Give a folder or a hub id.")
        )
    if not config.data.path:
        found.append(FieldProblem("data.path", "No data file is named.", "Give a .jsonl file."))
    return found + _path_problems(config) + _method_problems(config)


def _path_problems(config: Config) -> list[FieldProblem]:
    from pathlib import Path

    found = []
    for field, value in [
        ("data.path", config.data.path),
        ("data.eval_path", config.data.eval_path),
        ("data.chat_template", config.data.chat_template),
    ]:
        if value and not Path(value).expanduser().is_file():
            found.append(
                FieldProblem(
                    field,
                    f'There is no file "{value}".',
                    "Check the path; it is taken from the working directory.",
                )
            )
    model = config.model.name_or_path
    folder = Path(model).expanduser()
    if model and folder.exists() and not (folder / "config.json").is_file():
        found.append(
            FieldProblem(
                "model.name_or_path",
                f'"{model}" has no config.json.',
                "Give the folder that has one.",
            )
        )
    elif model and not folder.exists() and model.count("/") != 1:
        found.append(
            FieldProblem(
                "model.name_or_path",
                f'There is no folder "{model}".',
                "Check the path, or give a hub id as owner/name.",
            )
        )
    return found


def _method_problems(config: Config) -> list[FieldProblem]:
    found = []
    method, train = config.method, config.train
    if method.kind == "full":
        for name in ("dora", "rslora"):
            if getattr(method, name):
                found.append(
                    FieldProblem(
                        f"method.{name}",
                        "This belongs to an adapter, and the method is full.",
                        "Set method.kind to lora, or switch it off.",
                    )
                )
        if train.learning_rate > 2e-4:
            found.append(
                FieldProblem(
                    "train.learning_rate",
                    f"{train.learning_rate:g} is high for full tuning.",
                    "1e-5 to 5e-5 is usual.",
                    severity="warning",
                )
            )
    if (
        config.data.eval_path is None
        and config.data.eval_fraction == 0
        and config.checkpoint.early_stopping_patience
    ):
        found.append(
            FieldProblem(
                "checkpoint.early_stopping_patience",
                "Early stopping needs evaluation rows, and none are held out.",
                "Set data.eval_fraction or data.eval_path.",
            )
        )
    return found
