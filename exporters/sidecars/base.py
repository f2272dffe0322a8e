"""What is known of the base model for those who get an export: its public name and its licence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from core.errors import AfinaError
from core.hub import is_hub_id, model_folder
from core.model_files.json_file import read_json
from core.runs.run import Run
from core.runs.target import Target

START = 4000  # characters of a licence's text, in which it says what it is
# hub identifier: words that stand at the start of the licence's text, all of them
TEXTS = {
    "apache-2.0": ("apache license", "version 2.0"),
    "mit": ("permission is hereby granted, free of charge", '"as is"'),
    "llama3.3": ("llama 3.3 community license",),
    "llama3.2": ("llama 3.2 community license",),
    "llama3.1": ("llama 3.1 community license",),
    "llama3": ("llama 3 community license",),
    "llama2": ("llama 2 community license",),
    "gemma": ("gemma terms of use",),
    "bsd-3-clause": ("redistribution and use in source and binary forms", "neither the name"),
}


class Licence(msgspec.Struct, frozen=True):
    """What the base says of its licence."""

    id: str  # the hub's identifier, "other" for one of its own
    name: str = ""
    link: str = ""


class Base(msgspec.Struct, frozen=True):
    """The model that was tuned."""

    name: str  # a hub id, or its folder's name
    is_public: bool  # whether the name is a hub id
    licence: Licence | None  # None: its files don't say


def base_of(target: Target) -> Base:
    """The base of a target; a model without an adapter or a run is its own."""
    word = target.model
    if target.run is not None:
        run = Run(target.run)
        named = run.config.model.name_or_path
        word = run.base
        if is_hub_id(named) and "/" in named and not Path(named).exists():
            return Base(named, True, _licence(word))
    name = _hub_name(word)
    return Base(name or Path(word).name, name is not None, _licence(word))


def _hub_name(word: str) -> str | None:
    """The hub id that a folder of the hub's cache stands for, or the word is."""
    for part in Path(word).parts:
        if part.startswith("models--") and part.count("--") == 2:
            return "/".join(part.split("--")[1:])
    return word if "/" in word and is_hub_id(word) and not Path(word).exists() else None


def _licence(word: str) -> Licence | None:
    """From the front matter of its README, its config.json, or the text of its licence."""
    try:
        folder = model_folder(word)
    except AfinaError:
        return None  # it is gone since
    said = front_matter(folder / "README.md")
    name = said.get("license")
    if isinstance(name, list):
        name = name[0] if name else None
    if isinstance(name, str) and name:
        own, link = (str(said.get(f"license_{key}") or "") for key in ("name", "link"))
        return Licence(name, own, link)
    named = read_json(folder, "config.json").get("license")
    if isinstance(named, str) and named:
        return Licence(named)
    for path in sorted(folder.glob("LICENSE*")):
        text = _read(path)[:START].lower()
        for known, words in TEXTS.items():
            if all(word in text for word in words):
                return Licence(known)
    return None


def front_matter(path: Path) -> dict[str, Any]:
    """The YAML at the start of a model card; empty where there is none that can be read."""
    import yaml

    found = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", _read(path), re.DOTALL)
    try:
        values = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
