"""The end of a run: the adapter or the model, with all that is needed to talk to it, verified."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from core.data.encode.template import template_text
from core.errors import AfinaError
from core.paths import write_atomic
from core.runs.run import is_complete
from core.runs.target import is_classifier
from core.train.checkpoint import manifest, readback
from core.train.checkpoint.manifest import MANIFEST
from core.train.checkpoint.progress import Progress
from core.train.setup import Setup

if TYPE_CHECKING:
    import torch

    from core.train.objectives.recorded import RecordedTrainer

COMPANIONS_FOLDER = "base"  # in a run: what its result needs of its base beside the weights
TEMPLATES = "additional_chat_templates"
# What a folder needs besides weights so that its prompts are those of the training
COMPANIONS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "generation_config.json",
    "chat_template.jinja",
    "LICENSE",
)
CLASSIFIER = ("architectures", "id2label", "label2id", "pad_token_id", "problem_type")


def save(
    setup: Setup, trainer: RecordedTrainer, progress: Progress, step: int, weights: Path | None
) -> Path:
    """Writes `adapter/` or `model/`, from the trainer or a checkpoint, and verifies it."""
    folder = setup.run / ("model" if setup.full else "adapter")

    def fill(target: Path) -> None:
        if weights is None:
            trainer.save_weights(target)
        else:
            _copy_weights(weights, target)
        if setup.full and setup.precision.autocast:
            _to_bfloat16(target)
        copy_companions(setup, target)
        verify(target)

    manifest.write(folder, step, fill, progress.to_values())
    return folder


def keep_companions(setup: Setup) -> None:
    """Copies what a result needs of its base when the run begins: later the base may be gone.

    A resumed run copies it anew where what it kept is damaged.
    """
    folder = setup.run / COMPANIONS_FOLDER
    if manifest.damage(folder) is None:
        return

    def fill(target: Path) -> None:
        for name in ("config.json", *COMPANIONS):
            if (setup.base / name).is_file():
                shutil.copyfile(setup.base / name, target / name)
        if (setup.base / TEMPLATES).is_dir():
            shutil.copytree(setup.base / TEMPLATES, target / TEMPLATES)
        if setup.config.data.chat_template:
            text = template_text(setup.config.data.chat_template)
            (target / "chat_template.jinja").write_text(text, encoding="utf-8")

    manifest.write(folder, 0, fill, {})


def copy_companions(setup: Setup, target: Path) -> None:
    """The base model's files as they are, and the chat template the run was trained with.

    Libraries rewrite what they load and save: a tokenizer's settings, a template, end tokens.
    """
    kept = setup.run / COMPANIONS_FOLDER
    if not is_complete(kept):
        keep_companions(setup)
    for name in COMPANIONS:
        if (kept / name).is_file():
            shutil.copyfile(kept / name, target / name)
    if (kept / TEMPLATES).is_dir():
        shutil.copytree(kept / TEMPLATES, target / TEMPLATES)
    if setup.full:
        values = msgspec.json.decode((kept / "config.json").read_bytes())
        saved = msgspec.json.decode((target / "config.json").read_bytes())
        values.pop("torch_dtype", None)
        values["dtype"] = saved["dtype"]
        if is_classifier(saved):
            values |= {name: saved[name] for name in CLASSIFIER if name in saved}
        write_atomic(target / "config.json", msgspec.json.format(msgspec.json.encode(values)))


def verify(folder: Path) -> None:
    """Raises AfinaError when a weight is not finite, or an adapter is zero and changes nothing."""
    for name, tensor in readback.tensors(folder):
        if not readback.is_finite(tensor):
            raise AfinaError(
                f'The trained weight "{name}" holds values that are not numbers.',
                "Resume from a checkpoint with a smaller train.learning_rate.",
            )
    if (folder / "adapter_config.json").is_file() and readback.is_zero(folder):
        raise AfinaError(
            "The adapter is all zero: the run changed nothing.",
            "Raise train.learning_rate, or check that the rows have supervised tokens.",
        )


def _copy_weights(checkpoint: Path, target: Path) -> None:
    trainer_files = {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"}
    for path in checkpoint.iterdir():
        if path.is_file() and path.name not in trainer_files | {MANIFEST}:
            shutil.copyfile(path, target / path.name)


def _to_bfloat16(folder: Path) -> None:
    """Rounds the weights to the type that the products were computed in, as training saw them.

    File by file, each removed before it is written anew: the disk never holds one twice.
    """
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    for path in sorted(folder.glob(readback.WEIGHTS)):
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors: dict[str, torch.Tensor] = {
                name: file.get_tensor(name).to(torch.bfloat16)
                for name in file.keys()  # noqa: SIM118
            }
        path.unlink()  # the folder doesn't count yet, and the trainer or the checkpoint has them
        save_file(tensors, path, metadata)
    path = folder / "config.json"
    values = msgspec.json.decode(path.read_bytes()) | {"dtype": "bfloat16"}
    write_atomic(path, msgspec.json.encode(values))
