"""What would make a run fail or teach nothing, said before its first step.

Each check raises AfinaError with what is wrong and the way out; `warnings` are worth a finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.config import Config
from core.data.encode.encoder import Encoder
from core.data.encode.tokenizer import read_json
from core.errors import AfinaError, nearest
from core.train.build import module_names
from core.train.dataset import Encoded, Rows
from core.train.findings import Finding

FEW_ROWS = 10


def check_data(config: Config, encoder: Encoder, encoded: Encoded) -> None:
    """The rows: that there are some, that they teach, and that what they teach ends."""
    rows = encoded.train
    if len(rows) == 0:
        raise AfinaError(
            f'No row of "{config.data.path}" can be trained on: {_why_left_out(rows)}.',
            "`afina data check` lists the problems row by row.",
        )
    spoken = encoded.shape != "text"
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


def data_warnings(encoded: Encoded) -> Iterator[Finding]:
    """What the run can live with."""
    rows = encoded.train
    if rows.left_out:
        yield Finding(
            "warning",
            f"{_rows(rows.left_out)} left out: {_why_left_out(rows)}.",
            "`afina data check` lists the problems row by row.",
        )
    if rows.truncated:
        yield Finding(
            "warning",
            f"{_rows(rows.truncated)} cut at data.max_length.",
            "Raise data.max_length, or shorten the rows.",
        )
    if rows.unstopped and rows.unstopped < len(rows):
        yield Finding(
            "warning",
            f"{_rows(rows.unstopped)} without a stop token at the end of the answer.",
        )
    if len(rows) < FEW_ROWS:
        yield Finding("warning", f"Only {_rows(len(rows))} to learn from.", "10 is the least.")


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


def check_family(folder: Path) -> None:
    """That transformers knows the family, and that it generates text."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

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
    if family not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise AfinaError(
            f"A \"{family}\" model doesn't generate text, so it can't learn to answer.",
            "Use a causal language model.",
        )


def check_model(config: Config, encoder: Encoder, encoded: Encoded, model: Any) -> None:
    """The model against the rows and the method."""
    embeddings = model.get_input_embeddings().weight.shape[0]
    highest = max(max(rows.ids) for rows in (encoded.train, encoded.evaluation) if len(rows))
    if highest >= embeddings:
        raise AfinaError(
            f"The rows hold token {highest:,}, and the model has {embeddings:,} embeddings: "
            f"the tokenizer ({encoder.tokenizer.vocab_size:,} tokens) is not this model's.",
            "Use the tokenizer that came with the model.",
        )
    positions = getattr(model.config, "max_position_embeddings", None)
    longest = max(encoded.train.lengths)
    if positions and longest > positions:
        raise AfinaError(
            f"The longest row has {longest:,} tokens, and the model sees {positions:,}.",
            f"Set data.max_length to at most {positions}.",
        )
    if config.method.kind == "lora":
        check_targets(config, model)


def check_targets(config: Config, model: Any) -> None:
    """That the layers that are to get an adapter exist."""
    import torch

    if config.method.target_modules == "all-linear":
        return
    head = model.get_output_embeddings()
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


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
