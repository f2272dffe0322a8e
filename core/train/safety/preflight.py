"""What would make a run fail or teach nothing, said before its first step.

Each check raises AfinaError with what is wrong and the way out; `warnings` are worth a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import Config
from core.data.encode.encoder import Encoder
from core.data.encode.tokenizer import read_json
from core.data.problems import NOTE, RowProblem
from core.errors import AfinaError, nearest
from core.figures import size
from core.hardware import read_device
from core.train.feed.dataset import LARGE_SHARE, Encoded, encoded_bytes
from core.train.feed.rows import Rows
from core.train.model import fit
from core.train.model.adapters import module_names
from core.train.objectives.weights import told_weights
from core.train.safety.findings import Finding

if TYPE_CHECKING:
    from core.train.feed.streamed import Streamed

FEW_ROWS = 10
HIGH_RATE = 5e-5  # for preferences


def check_data(config: Config, encoder: Encoder, encoded: Encoded) -> None:
    """The rows: that there are some, that they teach, and that what they teach ends."""
    rows = encoded.train
    if len(rows) == 0:
        raise AfinaError(
            f'No row of "{config.data.path}" can be trained on: {_why_left_out(rows)}.',
            "`afina data check` lists the problems row by row.",
        )
    if encoded.objective == "kto" and len(rows) == 1:
        raise AfinaError(
            "kto compares the rows of a batch, and there is one row to learn from.",
            "Give more rows.",
        )
    classes = encoded.classes
    if encoded.objective == "classification" and len(classes) < 2:
        raise AfinaError(
            f'Every row has the class "{classes[0]}", so there is nothing to tell apart.',
            "Give rows of at least two classes.",
        )
    spoken = encoded.shape not in ("text", "pretokenised", "classification")
    if spoken and rows.unstopped == len(rows):
        stops = ", ".join(map(str, sorted(encoder.tokenizer.stop_ids))) or "none"
        raise AfinaError(
            f"None of the {len(rows):,} answers ends in a token that generation stops on "
            f"(eos_token_id: {stops}), so the model would learn to talk on for ever.",
            "Give a template that ends answers with the stop token: data.chat_template=FILE.",
        )
    if config.checkpoint.early_stopping_patience and len(encoded.evaluation) == 0:
        raise AfinaError(
            "Early stopping needs evaluation rows, and none could be held out.",
            "Give data.eval_path, or set checkpoint.early_stopping_patience=null.",
        )


def data_warnings(config: Config, encoded: Encoded) -> Iterator[Finding]:
    """What the run can live with; of streamed rows, as far as the sample shows it."""
    rows = encoded.train
    yield from _of_files(encoded.of_files)
    yield from _losses(encoded.evaluation, "held-out row")
    if encoded.streamed:
        yield _estimate(encoded.streamed)
    else:
        yield from _losses(rows)
        yield from _size(config, encoded)
    if rows.unstopped and rows.unstopped < len(rows):
        yield Finding(
            "warning",
            f"{_rows(rows.unstopped)} without a stop token at the end of the answer.",
        )
    if len(rows) < FEW_ROWS:
        yield Finding("warning", f"Only {_rows(len(rows))} to learn from.", "10 is the least.")
    if encoded.objective in ("dpo", "kto", "orpo") and config.train.learning_rate > HIGH_RATE:
        yield Finding(
            "warning",
            f"train.learning_rate is {config.train.learning_rate:g}, which is high for "
            f"{encoded.objective}: models forget how to write.",
            "5e-7 to 5e-6 is usual for full tuning, up to 5e-5 for an adapter.",
        )
    if encoded.objective == "kto" and len(set(rows.judgements)) == 1:
        kind = "wanted" if rows.judgements[0] else "unwanted"
        yield Finding("warning", f"Every answer is {kind}: nothing shows the other kind.")
    if encoded.objective == "kto" and (finding := told_weights(rows.judgements)):
        yield finding
    if encoded.unknown_classes:
        names = ", ".join(f'"{label}"' for label in sorted(map(str, encoded.unknown_classes)))
        yield Finding(
            "warning",
            f"Held-out rows of the class {names} aren't measured: no training row has it.",
            "Give training rows of that class.",
        )


def _of_files(problems: Sequence[RowProblem]) -> Iterator[Finding]:
    """What of whole files is not trained on, or is read in another way: one finding a check."""
    found: dict[str, list[RowProblem]] = {}
    for item in problems:
        found.setdefault(item.check, []).append(item)
    for check, items in found.items():
        often = "once" if len(items) == 1 else f"{len(items):,} times"
        severity = "note" if items[0].severity == NOTE else "warning"
        yield Finding(severity, f"{check}, {often}: {items[0].found}.", items[0].fix)


def _losses(rows: Rows, kind: str = "row") -> Iterator[Finding]:
    if rows.left_out:
        yield Finding(
            "warning",
            f"{_rows(rows.left_out, kind)} left out: {_why_left_out(rows)}.",
            "`afina data check` lists the problems row by row.",
        )
    if rows.truncated:
        yield Finding(
            "warning",
            f"{_rows(rows.truncated, kind)} cut at data.max_length.",
            "Raise data.max_length, or shorten the rows.",
        )


def _size(config: Config, encoded: Encoded) -> Iterator[Finding]:
    """Encoded rows that take a large share of the memory that is free."""
    needed, free = encoded_bytes(encoded.tokens), read_device("cpu").memory_free_bytes
    if encoded.objective == "sft" and needed > LARGE_SHARE * free:
        yield Finding(
            "warning",
            f"The encoded rows take {size(needed)} of {size(free)} free memory.",
            "Set data.streaming=true: rows are encoded while the run goes on.",
        )


def _estimate(streamed: Streamed) -> Finding:
    sample = streamed.sample
    lost = f", {sample.left_out:,} left out" if sample.left_out else ""
    cut = f", {sample.truncated:,} cut at data.max_length" if sample.truncated else ""
    return Finding(
        "note",
        f"Rows are encoded while the run goes on; of {streamed.looked_at:,} looked at{lost}{cut}, "
        f"an epoch has about {streamed.rows:,} rows and {streamed.tokens:,} tokens.",
        "The number of steps follows from that and stays as it is.",
    )


def check_model_folder(folder: Path) -> None:
    """What the files of the base model say before anything is loaded."""
    values = read_json(folder, "config.json")
    if not values:
        raise AfinaError(
            f'There is no config.json in "{folder}".', "Name the folder of a base model."
        )
    if not list(folder.glob("*.safetensors")):
        raise AfinaError(
            f'There are no safetensors weights in "{folder}".',
            "Convert them: AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW).",
        )
    if "quantization_config" in values:
        kind = values["quantization_config"].get("quant_method", "unknown")
        raise AfinaError(
            f"The weights are quantized ({kind}), and Afina trains on plain ones.",
            "Use the model's unquantized weights.",
        )


def check_family(folder: Path, objective: str = "sft") -> None:
    """That transformers knows the family, and that it generates text or tells classes."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto import modeling_auto as known

    values = read_json(folder, "config.json")
    family = values.get("model_type", "")
    if family not in CONFIG_MAPPING:
        code = "It needs program code of its own, which Afina doesn't run. " * (
            "auto_map" in values
        )
        raise AfinaError(
            f'transformers doesn\'t know the model family "{family}". {code}'.rstrip(),
            nearest(family, CONFIG_MAPPING.keys()) or "Use a model of a known family, or upgrade.",
        )
    if objective == "classification":
        if family not in known.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
            raise AfinaError(
                f'transformers can\'t make a classifier of a "{family}" model.',
                "Use a model of another family.",
            )
        return
    if family not in known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise AfinaError(
            f"A \"{family}\" model doesn't generate text, so it can't learn to answer.",
            "Use a causal language model.",
        )


def check_model(config: Config, encoder: Encoder, encoded: Encoded, model: Any) -> None:
    """The model against the rows and the method."""
    embeddings = model.get_input_embeddings().weight.shape[0]
    highest = max(encoded.train.highest_id, encoded.evaluation.highest_id)
    if highest >= embeddings:
        raise AfinaError(
            f"The rows hold token {highest:,}, and the model has {embeddings:,} embeddings: "
            f"the tokenizer ({encoder.tokenizer.vocab_size:,} tokens) is not this model's.",
            "Use the tokenizer that came with the model.",
        )
    positions = getattr(model.config, "max_position_embeddings", None)
    longest = encoded.train.longest
    if positions and longest > positions:
        raise AfinaError(
            f"The longest row has {longest:,} tokens, and the model sees {positions:,}.",
            f"Set data.max_length to at most {positions}.",
        )
    if config.method.kind in ("lora", "ia3"):
        check_targets(config, model)
    fit.check(config, model, longest)


def check_targets(config: Config, model: Any) -> None:
    """That the layers that are to get an adapter exist."""
    import torch

    if config.method.target_modules == "all-linear":
        return
    head = model.get_output_embeddings() or getattr(model, "score", None)
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    ]
    words = module_names(config.method.target_modules)
    unknown = [
        word for word in words if not any(f".{name}".endswith(f".{word}") for name in linear)
    ]
    if unknown or not words:
        named = ", ".join(f'"{word}"' for word in unknown) or "Nothing"
        there = sorted({name.rpartition(".")[2] for name in linear})
        raise AfinaError(
            f"{named} in method.target_modules is no linear layer that can get an adapter.",
            f"There are: {', '.join(there)}; or write all-linear.",
        )


def _why_left_out(rows: Rows) -> str:
    if rows.left_out == 0:
        return "the file holds no rows"
    if rows.first_problem is None:
        return "they hold no supervised token"
    return f"the first is {rows.first_problem}"


def _rows(count: int, kind: str = "row") -> str:
    return f"1 {kind}" if count == 1 else f"{count:,} {kind}s"
