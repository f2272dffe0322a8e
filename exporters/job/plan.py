"""What an export will write and need, before anything starts; and every reason not to start it.

Light: reads headers and tokenizer files, loads no torch and no llama.cpp.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from core.errors import AfinaError, nearest
from core.figures import size
from core.targets import Target, resolve
from exporters.gguf.prepare import Prepared, prepare
from exporters.gguf.types import TYPES, fallbacks, file_bytes
from exporters.job.results import exports_folder, file_path
from exporters.parity.reference import reference_bytes

SPARE_BYTES = 64 * 2**20  # left free on the disk, for logs and events
LIBRARIES_BYTES = 700 * 2**20  # torch and transformers themselves
NOT_YET = ("onnx", "merged", "adapter")


class Wanted(msgspec.Struct, frozen=True):
    """One file that was asked for."""

    kind: str  # "gguf"
    type: str  # a name in TYPES

    def __str__(self) -> str:
        return f"{self.kind}:{self.type}"


class Item(msgspec.Struct):
    """One file that will be written."""

    kind: str
    type: str
    path: str
    bytes: int  # estimated
    replaces: bool  # whether an earlier export has this name
    notes: list[str]


class Problem(msgspec.Struct):
    """A reason not to start."""

    message: str
    hint: str = ""


class Plan(msgspec.Struct):
    """All of it; nothing is started while there are problems."""

    target: str
    folder: str
    items: list[Item] = []
    temporary_bytes: int = 0  # what is compared
    needed_bytes: int = 0  # of disk
    free_bytes: int = 0
    memory_bytes: int = 0  # peak, while the tuned model is compared in float32
    memory_free_bytes: int = 0
    notes: list[str] = []
    problems: list[Problem] = []


def type_choices() -> list[tuple[str, str]]:
    """What can be asked for, as ("gguf:q4_k_m", one line about it)."""
    return [(f"gguf:{type.name}", type.description) for type in TYPES.values()]


def parse_to(words: str | Sequence[str]) -> list[Wanted]:
    """The files behind words such as "gguf:q4_k_m,q8_0", in either case; each once, in order.

    Raises AfinaError with the nearest name.
    """
    found: dict[Wanted, None] = {}
    for word in [words] if isinstance(words, str) else words:
        kind, colon, types = word.strip().lower().partition(":")
        if kind != "gguf":
            raise _unknown_kind(word, kind)
        if not colon or not types.strip():
            raise AfinaError(f'"{word}" names no type.', f"{_types_hint()}")
        for name in (part.strip() for part in types.split(",")):
            if name not in TYPES:
                hint = f"{nearest(name, TYPES)} {_types_hint()}".strip()
                raise AfinaError(f'There is no GGUF type "{name}".', hint)
            found[Wanted(kind, name)] = None
    if not found:
        raise AfinaError("Nothing is to be exported.", _types_hint())
    return list(found)


def make_plan(home: Path, word: str, to: str | Sequence[str], adapter: str | None = None) -> Plan:
    """The plan for a TARGET. Raises AfinaError for words that mean nothing; what stands in the way
    of the export itself is in the plan's problems.
    """
    return plan_for(home, resolve(home, word, adapter), parse_to(to))


def plan_for(home: Path, target: Target, wanted: list[Wanted], folder: Path | None = None) -> Plan:
    """The plan for a target, into its own exports' folder or the one given."""
    folder = folder or exports_folder(home, target)
    plan = Plan(target.label or target.word, str(folder))
    try:
        prepared = prepare(target)
    except AfinaError as error:
        plan.problems.append(Problem(error.message, error.hint))
        return plan
    plan.notes.extend(prepared.notes)
    plan.items = [_item(prepared, target, folder, choice) for choice in wanted]
    plan.temporary_bytes = reference_bytes(len(prepared.vocabulary.tokens))
    plan.needed_bytes = plan.temporary_bytes + sum(item.bytes for item in plan.items)
    plan.free_bytes = shutil.disk_usage(_existing(folder)).free
    plan.memory_bytes = prepared.merged.parameters * 4 * 5 // 4 + LIBRARIES_BYTES
    _check_disk(plan)
    _check_memory(plan)
    return plan


def _item(prepared: Prepared, target: Target, folder: Path, wanted: Wanted) -> Item:
    chosen, shapes = TYPES[wanted.type], prepared.shapes
    path = file_path(folder, target, wanted.kind, wanted.type)
    notes = []
    other = fallbacks(shapes, chosen, prepared.traits) if chosen.quantized else 0
    if other:
        notes.append(
            f"{other} of {len(shapes)} tensors have rows that are not a multiple of 256 and get a "
            "larger type."
        )
    size = file_bytes(prepared.kinds(chosen), shapes, _header_bytes(prepared))
    return Item(wanted.kind, wanted.type, str(path), size, path.is_file(), notes)


def _header_bytes(prepared: Prepared) -> int:
    """Nearly: the vocabulary is most of it."""
    vocabulary = prepared.vocabulary
    texts = sum(len(token.encode()) + 8 for token in (*vocabulary.tokens, *vocabulary.merges))
    templates = sum(len(text) for text in prepared.templates.values())
    return texts + 4 * len(vocabulary.tokens) + templates + 64 * len(prepared.tensors) + 2048


def _check_disk(plan: Plan) -> None:
    if plan.needed_bytes + SPARE_BYTES > plan.free_bytes:
        plan.problems.append(
            Problem(
                f"The export needs {size(plan.needed_bytes)} of disk at "
                f'"{plan.folder}", and {size(plan.free_bytes)} are free.',
                "Free some, or choose fewer or smaller types.",
            )
        )


def _check_memory(plan: Plan) -> None:
    import psutil

    memory = psutil.virtual_memory()
    plan.memory_free_bytes = memory.available
    needed = f"Comparing with the tuned model needs {size(plan.memory_bytes)} of memory"
    if plan.memory_bytes > memory.total:
        plan.problems.append(
            Problem(
                f"{needed}, and this machine has {size(memory.total)}.",
                "Export on a larger one.",
            )
        )
    elif plan.memory_bytes > memory.available:
        plan.notes.append(f"{needed}, and {size(memory.available)} are free now.")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _types_hint() -> str:
    return f"Types: {', '.join(f'gguf:{name}' for name in TYPES)}."


def _unknown_kind(word: str, kind: str) -> AfinaError:
    if kind in NOT_YET:
        return AfinaError(f'"{word}" can\'t be exported yet.', _types_hint())
    if kind in TYPES:
        return AfinaError(f'"{word}" lacks its kind.', f"Write gguf:{kind}.")
    return AfinaError(f'There is no export "{word}".', _types_hint())
