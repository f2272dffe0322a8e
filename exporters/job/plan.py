"""What an export will write and need, before anything starts; and every reason not to start it.

Light: reads headers and tokenizer files, loads no torch, no llama.cpp and no onnxruntime.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from core.errors import AfinaError
from core.figures import size
from core.hub import model_folder
from core.runs.target import Target, resolve
from exporters.contract import EXACT, PLAIN, Exporter, Item, Options, exporter_class
from exporters.job.export_spec import Wanted, parse_to
from exporters.parity.reference import reference_bytes
from exporters.resources import (
    Phase,
    asking_bytes,
    disk_bytes,
    disk_shortage,
    free_disk,
    free_memory,
    memory_shortage,
    phases,
    reference_dtype,
)
from exporters.results import exports_folder
from exporters.weights.merge import INPUT, Merged


class Problem(msgspec.Struct):
    """A reason not to start."""

    message: str
    hint: str = ""
    kind: str = ""  # of export that can't be made; empty: none can
    type: str = ""  # empty: no type of the kind can


class Plan(msgspec.Struct):
    """All of it; nothing is started while there are problems."""

    target: str
    folder: str
    items: list[Item] = []
    temporary_bytes: int = 0  # of disk: what is compared, and the most that a kind needs besides
    needed_bytes: int = 0  # of disk
    free_bytes: int = 0
    memory_bytes: int = 0  # peak: that of the largest phase
    memory_free_bytes: int = 0
    parameters: int = 0  # of the tuned model
    compared_bytes: int = 0  # of disk, for what is compared
    reference: str = EXACT  # number type that the tuned model is asked in
    notes: list[str] = []
    problems: list[Problem] = []
    phases: list[Phase] = []


def make_plan(
    home: Path,
    word: str,
    to: str | Sequence[str],
    adapter: str | None = None,
    options: Options = PLAIN,
) -> Plan:
    """The plan for a TARGET. Raises AfinaError for words that mean nothing; what stands in the way
    of the export itself is in the plan's problems.
    """
    return plan_for(home, resolve(home, word, adapter), parse_to(to), options=options)


def plan_for(
    home: Path,
    target: Target,
    wanted: Sequence[Wanted],
    folder: Path | None = None,
    options: Options = PLAIN,
) -> Plan:
    """The plan for a target, into its own exports' folder or the one given."""
    return draw(target, wanted, folder or exports_folder(home, target), options).plan


class Drawn(NamedTuple):
    """A plan, and what it was drawn from."""

    target: Target
    plan: Plan
    exporters: dict[str, Exporter]  # by kind; those that are possible
    weights: Merged | None  # None: there is nothing to export


def draw(target: Target, wanted: Sequence[Wanted], folder: Path, options: Options = PLAIN) -> Drawn:
    """Opens each kind once. One that is impossible becomes a problem that names it; the others stay
    in the plan.
    """
    plan, exporters = Plan(target.label or target.word, str(folder)), {}
    try:
        merged = _weights(target)
    except AfinaError as error:
        plan.problems.append(Problem(error.message, error.hint))
        return Drawn(target, plan, exporters, None)
    kinds = dict.fromkeys(each.kind for each in wanted)
    plan.problems += _idle(options, kinds)
    for kind in kinds:
        try:
            exporters[kind] = exporter_class(kind)(target, options)
        except AfinaError as error:
            plan.problems.append(Problem(error.message, error.hint, kind))
    for each in wanted:
        if each.kind in exporters:
            _add_item(plan, exporters[each.kind], each, folder)
    for kind, exporter in exporters.items():
        named = f"{kind}: " if len(exporters) > 1 else ""
        plan.notes += [f"{named}{note}" for note in exporter.notes]
    if plan.items:
        _look_around(plan, merged)
        _count(plan)
    return Drawn(target, plan, exporters, merged)


def narrowed(plan: Plan, wanted: Collection[Wanted]) -> Plan:
    """The plan for some of its exports: what a person has chosen of all that could be made."""
    here = msgspec.structs.replace(
        plan,
        items=[item for item in plan.items if Wanted(item.kind, item.type) in wanted],
        problems=[
            problem
            for problem in plan.problems
            if any(problem.kind == one.kind and problem.type in ("", one.type) for one in wanted)
        ],
    )
    if here.items:
        _count(here)
    return here


def refuse(plan: Plan) -> None:
    """Raises AfinaError with every reason not to start."""
    if not plan.problems:
        return
    several = len(plan.problems) + len(plan.items) > 1  # then each says which export it is about
    messages = [(_name(problem) if several else "") + problem.message for problem in plan.problems]
    hints = dict.fromkeys(problem.hint for problem in plan.problems if problem.hint)
    raise AfinaError(" ".join(messages), " ".join(hints))


def _idle(options: Options, kinds: Collection[str]) -> list[Problem]:
    """Options that would do nothing."""
    found = []
    given = {"--imatrix": options.imatrix, "--llama-cpp": options.llama_cpp}
    for option, value in given.items():
        if value is not None and "gguf" not in kinds:
            found.append(Problem(f"{option} is for GGUF files.", f"Leave out {option}."))
    return found


def _name(problem: Problem) -> str:
    words = ":".join(word for word in (problem.kind, problem.type) if word)
    return f"{words}: " if words else ""


def _weights(target: Target) -> Merged:
    """The model's headers. Raises AfinaError for what is no model to export."""
    if target.kind != "hf":
        what = "a GGUF file" if target.kind == "gguf" else "an ONNX folder"
        raise AfinaError(
            f'"{target.word}" is {what} already.', "Name the run or the model it came from."
        )
    return Merged(
        model_folder(target.model, target.revision),
        Path(target.adapter) if target.adapter else None,
    )


def _add_item(plan: Plan, exporter: Exporter, wanted: Wanted, folder: Path) -> None:
    try:
        plan.items.append(exporter.item(wanted.type, folder))
    except AfinaError as error:
        plan.problems.append(Problem(error.message, error.hint, wanted.kind, wanted.type))


def _look_around(plan: Plan, merged: Merged) -> None:
    """What this machine has, and how the tuned model can be asked on it."""
    rows = merged.shapes.get(INPUT, (merged.config.get("vocab_size", 0),))[0]
    plan.parameters, plan.compared_bytes = merged.parameters, reference_bytes(rows)
    plan.free_bytes = free_disk(Path(plan.folder))
    plan.memory_free_bytes = free_memory()
    plan.reference = reference_dtype(merged.parameters, plan.memory_free_bytes)
    if plan.reference != EXACT:
        needed = asking_bytes(merged.parameters, EXACT)
        plan.notes.append(
            f"Asking the tuned model in {EXACT} needs {size(needed)} of memory, and "
            f"{size(plan.memory_free_bytes)} are free: it is asked in {plan.reference}, where "
            "small losses can't be seen."
        )


def _count(plan: Plan) -> None:
    """Disk and memory, needed and had."""
    plan.needed_bytes = disk_bytes(plan.items, plan.compared_bytes)
    plan.temporary_bytes = plan.needed_bytes - sum(item.bytes for item in plan.items)
    plan.phases = phases(plan.parameters, plan.items, plan.reference)
    largest = max(plan.phases, key=lambda phase: phase.bytes)
    plan.memory_bytes = largest.bytes
    for shortage in (
        disk_shortage(plan.needed_bytes, plan.free_bytes, plan.folder),
        memory_shortage(largest, plan.memory_free_bytes),
    ):
        if shortage:
            plan.problems.append(Problem(*shortage))
