"""The base model against the run: its files, its family, its layers. Raises AfinaError."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.config import Config
from core.data.encode.encoder import Encoder
from core.errors import AfinaError, nearest
from core.model_files.json_file import read_json
from core.train.loader.dataset import Encoded
from core.train.model import target_modules
from core.train.model.adapters import module_names


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
    target_modules.check(config, model, longest)


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
