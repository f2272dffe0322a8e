"""Layers and blocks that the method names, against the names of the base model's stored tensors.

transformers may call a layer otherwise than the file does, so only the last word of a name is
compared, and models with experts, whose layers it joins, are left to the run
(core/train/model/target_modules.py looks at the model that is loaded). Loads no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from core.config import Config
from core.errors import AfinaError, FieldProblem, nearest
from core.plan.model_shape import read_shape


def problems(config: Config, folder: Path) -> list[FieldProblem]:
    """What the options of the group method name, and the model in a folder has not."""
    try:
        shape = read_shape(folder)
    except AfinaError:
        return []  # said by the plan
    method = config.method
    if method.kind == "full":
        return list(_blocks(method.trainable_layers, shape.layers))
    if method.kind == "prompt" or any(".experts." in name for name in shape.tensors):
        return []
    linear = {name.rpartition(".")[2] for name in shape.linear}
    # a module that holds no tensor of its own can be named too: every part of a path counts
    parts = {part for name in shape.tensors for part in name.split(".")[:-1]} | {"lm_head"}
    found = [
        *_unknown("target_modules", _words(method.target_modules, "all-linear"), linear),
        *_unknown("modules_to_save", _words(method.modules_to_save or ""), parts),
    ]
    if method.kind == "lora":
        found += _unknown("rank_pattern", _plain(method.rank_pattern), linear)
        found += _unknown("alpha_pattern", _plain(method.alpha_pattern), linear)
    return found


def _blocks(wanted: int | None, blocks: int) -> Iterator[FieldProblem]:
    if wanted is not None and 0 < blocks < wanted:
        yield FieldProblem(
            "method.trainable_layers",
            f"It is {wanted}, and the model has {blocks} blocks.",
            f"Set it to {blocks} at most; to train all of it, leave it out.",
        )


def _words(names: str, without: str = "") -> list[str]:
    return [word for name in names.split(",") if (word := name.strip()) and word != without]


def _plain(patterns: Iterable[str]) -> list[str]:
    """The patterns that are plain names."""
    return [pattern for pattern in patterns if re.fullmatch(r"[\w.]+", pattern)]


def _unknown(option: str, words: Sequence[str], known: set[str]) -> Iterator[FieldProblem]:
    """Names whose last word no layer of the model has."""
    names = {name for name in known if not name.isdigit()}
    for word in words:
        last = word.rpartition(".")[2]
        if known and last not in known and not any(name.endswith(last) for name in known):
            there = f"The model has {', '.join(sorted(names))}."
            yield FieldProblem(
                f"method.{option}", f'No layer is called "{word}".', nearest(last, names) or there
            )
