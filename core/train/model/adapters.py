"""What learns: an adapter laid over a frozen base by PEFT, or weights of the model itself.

Also how an adapter's weights go into a folder and come back. Every weight that learns is float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import Config
from core.errors import AfinaError
from core.model_files.json_file import read_json
from core.plan.counting import FEEDFORWARD
from core.runs.lineage import START
from core.train.model import layers, pissa
from core.train.setup import Setup

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

NAME, REFERENCE = "default", "ref"  # PEFT's name of an adapter, TRL's of the one compared with
TASKS = {"classification": "SEQ_CLS"}


def attach(setup: Setup, model: Any, objective: str = "sft") -> Any:
    """The model with what is to learn of it, ready for a trainer; random weights go by the seed."""
    from peft import get_peft_model
    from transformers import set_seed

    method = setup.config.method
    if setup.full:
        if method.trainable_layers is not None:
            layers.freeze_all_but_last(model, method.trainable_layers, setup.precision)
        return model
    set_seed(setup.config.train.seed)
    if (setup.run / START).is_dir():
        wrapped = _continued(setup, model, objective)
    else:
        wrapped = get_peft_model(model, adapter(setup.config, objective, setup.base))
        if method.kind == "ia3":
            _name_inner_layers(wrapped.peft_config[NAME])
        if method.init_lora_weights == "pissa":
            pissa.begin(wrapped, setup.run)
    for weight in wrapped.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()  # modules_to_save come in the base's type
    # by these TRL would round the adapter to bfloat16, where small updates are lost
    wrapped.is_loaded_in_4bit = wrapped.is_loaded_in_8bit = False  # type: ignore[assignment]
    return wrapped


def adapter(config: Config, objective: str = "sft", base: Path | None = None) -> PeftConfig:
    """PEFT's configuration of a new adapter; `base` has the tokenizer for a prompt's first text."""
    from peft import IA3Config, LoraConfig, PromptTuningConfig

    method = config.method
    given: dict[str, Any] = {"task_type": TASKS.get(objective, "CAUSAL_LM")}
    if method.kind == "prompt":
        if method.prompt_tuning_init_text:
            given |= {"prompt_tuning_init": "TEXT", "tokenizer_name_or_path": str(base)}
            given["prompt_tuning_init_text"] = method.prompt_tuning_init_text
        else:
            given["prompt_tuning_init"] = "SAMPLE_VOCAB"
        return PromptTuningConfig(num_virtual_tokens=method.num_virtual_tokens, **given)
    words = method.target_modules
    targets = words if words == "all-linear" else module_names(words)
    given |= {"target_modules": targets}
    given["modules_to_save"] = module_names(method.modules_to_save or "") or None
    if method.kind == "ia3":
        inner = FEEDFORWARD if targets == "all-linear" else targets
        inner = [name for name in inner if name.rpartition(".")[2] in FEEDFORWARD]
        return IA3Config(feedforward_modules=inner, **given)
    return LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,  # type: ignore[arg-type] - PEFT divides it by the rank
        lora_dropout=method.dropout,
        rank_pattern=dict(method.rank_pattern),
        alpha_pattern=dict(method.alpha_pattern),
        use_rslora=method.rslora,
        use_dora=method.dora,
        **given,
    )


def _name_inner_layers(config: Any) -> None:
    """PEFT writes all-linear as its layers, and reads only what is some of them."""
    names = config.target_modules
    config.feedforward_modules = {n for n in names if n.rpartition(".")[2] in FEEDFORWARD}


def module_names(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def _continued(setup: Setup, model: Any, objective: str) -> PeftModel:
    """The adapter that the run goes on from, with its own rank and targets.

    Raises AfinaError where it doesn't fit the model or the objective.
    """
    from peft import PeftConfig, PeftModel

    folder = str(setup.run / START)
    config: Any = PeftConfig.from_pretrained(folder)
    _check_task(config.task_type, setup.run / START, model, objective)
    config.inference_mode = False
    if hasattr(config, "lora_dropout"):
        config.lora_dropout = setup.config.method.dropout
    if hasattr(config, "prompt_tuning_init"):
        config.prompt_tuning_init = "RANDOM"  # the weights are there: no text to begin from
    config.base_model_name_or_path = str(setup.base)
    try:
        return PeftModel.from_pretrained(model, folder, is_trainable=True, config=config)
    except (RuntimeError, ValueError, KeyError) as error:
        raise AfinaError(
            f'The adapter that goes on doesn\'t fit "{setup.base}": {_first_line(error)}.',
            "Set model.name_or_path to the model that it was trained on.",
        ) from error


def _check_task(task: str | None, start: Path, model: Any, objective: str) -> None:
    """That an adapter for text goes on with text, and one for classes with the same classes."""
    wanted = TASKS.get(objective, "CAUSAL_LM")
    if task is not None and task != wanted:
        raise AfinaError(
            f"The adapter that goes on is for {task}, and {objective} trains {wanted}.",
            "Set train.objective to what it was trained by, or begin a new adapter.",
        )
    if objective == "classification":
        before = list(read_json(start, "config.json").get("id2label", {}).values())
        now = list(model.config.id2label.values())
        if before != now:
            raise AfinaError(
                f"The adapter that goes on tells {', '.join(before)} apart, and the rows have "
                f"{', '.join(now)}.",
                "Give rows of the same classes, or begin a new adapter.",
            )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(".:")


def drop_needless_reference(setup: Setup, model: Any) -> None:
    """Removes TRL's copy of an adapter as it began, where it began without changing anything.

    The base with the adapter switched off is the same, and takes no memory.
    """
    peft_config = getattr(model, "peft_config", {})
    began_neutral = not (setup.run / START).is_dir() and not pissa.is_under(model)
    if REFERENCE in peft_config and began_neutral:
        model.delete_adapter(REFERENCE)


def save(model: PeftModel, folder: Path) -> None:
    """Writes the adapter, for the base model as it was."""
    model.save_pretrained(str(folder), save_embedding_layers=False, selected_adapters=[NAME])
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
    if pissa.is_under(model):
        pissa.make_plain(model, folder)


def load(model: PeftModel, folder: Path) -> None:
    """Puts the weights of a folder into the adapter, bit by bit."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    weights = load_file(folder / "adapter_model.safetensors")
    if pissa.is_under(model):
        weights = pissa.learned_half(model, weights)
    set_peft_model_state_dict(model, weights, adapter_name=NAME)


def leave_casts_to_autocast(model: Any) -> None:
    """Autocast already casts the adapter's float32 weights; PEFT would cast every input, and back.

    The weights stay float32, so small updates aren't lost to rounding.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False  # type: ignore[attr-defined] - PEFT asks for it
