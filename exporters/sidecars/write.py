"""What lies beside exports for those who run them: a model card, and a Modelfile for each GGUF.

Written anew after each result, from what counts then. A Modelfile that can't be made is left out
with the reason, and an export doesn't fail for it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.chat.default_system_prompt import system_prompt_of
from core.data.encode.template import ChatTemplate
from core.data.encode.tokenizer import Tokenizer
from core.disk import reason_of
from core.errors import AfinaError
from core.hub import model_folder
from core.model_files.json_file import read_json
from core.paths import write_atomic
from core.runs.run import Run, slug
from core.runs.target import Target
from exporters.gguf.prepare import prepare
from exporters.results import FAIL, Origin, Result
from exporters.results import results as results_in
from exporters.sidecars.base import Base, base_of
from exporters.sidecars.model_card import Card
from exporters.sidecars.modelfile import Modelfile, can_quote, modelfile_path, parameters_of
from exporters.sidecars.training import training_of
from exporters.sidecars.turns import Turns, turns_of

CARD = "README.md"
LEAST_CONTEXT = 4096  # tokens; Ollama's own choice. A model's whole context can fill the memory
UNTRANSLATED = (
    "The chat template does more than put text between messages, so it can't be written as one of "
    "Ollama's. Ollama takes one of its own that looks like it, or none: compare what "
    "`ollama show --template` says with the template in the file."
)


def write_sidecars(
    folder: Path, results: Sequence[Result], origin: Origin, target: Target
) -> list[Path]:
    """Writes README.md of the exports' folder and the Modelfiles; returns their paths.

    results: of this export, with absolute paths; those that count in the folder are added. Raises
    AfinaError where the target's own files can't be read, or the disk takes no more.
    """
    shown = {result.path: result for result in [*results_in(folder), *results]}
    base = base_of(target)
    card = Card(
        label=target.label or origin.target,
        base=base,
        results=[_relative(result, folder) for result in shown.values()],
        training=_training(target),
        adapter_sha256=origin.adapter_sha256,
        own_template=bool(target.chat_template),
    )
    try:
        write_atomic(folder / CARD, card.text())
        sound = [r for r in shown.values() if r.kind == "gguf" and r.verdict != FAIL]
        return [folder / CARD, *_write_modelfiles(sound, base, target)]
    except OSError as error:
        raise AfinaError(
            f'What lies beside the exports in "{folder}" can\'t be written: {reason_of(error)}.',
            "The exports themselves are complete.",
        ) from error


def _relative(result: Result, folder: Path) -> Result:
    place = Path(os.path.relpath(result.path, folder))  # some lie beside it
    return msgspec.structs.replace(result, path=place.as_posix())


def _training(target: Target) -> Any:
    if target.run is None:
        return None
    _, _, point = target.label.partition(" @ ")
    return None if point == "base" else training_of(Run(target.run), point)


def _write_modelfiles(results: list[Result], base: Base, target: Target) -> list[Path]:
    written = []
    common = _common(target) if results else Modelfile("")
    for result in results:
        path = modelfile_path(Path(result.path))
        write_atomic(path, _for(result, common, base, target).text())
        written.append(path)
    return written


def _for(result: Result, common: Modelfile, base: Base, target: Target) -> Modelfile:
    """The Modelfile of one file."""
    path = Path(result.path)
    name = slug(target.label or target.word)
    said = (f"ollama create {name} -f {modelfile_path(path).name}",)
    if result.type != "lora":
        return msgspec.structs.replace(
            common, model=f"./{path.name}", comments=said + common.comments
        )
    model = f"{slug(base.name)}.gguf"
    word = f"{Path(target.run).name}@base" if target.run else base.name
    said += (
        f"FROM is the base model as GGUF, which is to lie here as {model}: "
        f"afina export {word} --to gguf:q8_0 makes one.",
    )
    return msgspec.structs.replace(
        common, model=f"./{model}", adapter=f"./{path.name}", comments=said + common.comments
    )


def _common(target: Target) -> Modelfile:
    """What all Modelfiles of a target say."""
    folder = model_folder(target.model, target.revision)
    tokenizer = Tokenizer.load(folder)
    template = ChatTemplate.find(folder, target.chat_template)
    turns = turns_of(template) if template is not None else None
    if turns is not None:
        turns = _as_fed(turns, target, tokenizer.bos)
    stops = [tokenizer.token_text(token) for token in sorted(tokenizer.stop_ids)]
    return Modelfile(
        model="",
        turns=turns,
        system=system_prompt_of([target]),
        stops=tuple(stop for stop in stops if can_quote(stop)),
        parameters=parameters_of(read_json(folder, "generation_config.json"), _context(target)),
        comments=() if turns is not None else (UNTRANSLATED,),
    )


def _as_fed(turns: Turns, target: Target, bos: str | None) -> Turns | None:
    """Without the BOS token where the file says that programs are to add it; else it stands twice.

    None where it isn't known what the file says.
    """
    if not bos or not (turns.start.startswith(bos) or turns.before_system.startswith(bos)):
        return turns
    try:
        adds = prepare(target).add_bos
    except AfinaError:  # llama.cpp's own converter wrote it
        return None
    if not adds:
        return turns
    return msgspec.structs.replace(
        turns,
        start=turns.start.removeprefix(bos),
        before_system=turns.before_system.removeprefix(bos),
    )


def _context(target: Target) -> int | None:
    """As long as what was trained, Ollama's own choice at least, what the model has at most."""
    trained = Run(target.run).config.data.max_length if target.run is not None else 0
    positions = read_json(model_folder(target.model, target.revision), "config.json").get(
        "max_position_embeddings"
    )
    return min(positions, max(LEAST_CONTEXT, trained)) if isinstance(positions, int) else None
