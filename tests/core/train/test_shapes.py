"""For rows of every shape: what reaches the model is what `data show` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.config import Config
from core.data.encode.encoder import IGNORED
from core.data.files.source import open_source
from core.data.recipe import Recipe
from core.data.report import load_row, row_fields
from core.paths import ROOT
from core.samples import TINY_MODEL
from tests.core.train.conftest import Configure
from tests.core.train.test_build import Assemble, assemble, documents_of  # noqa: F401

FOLDER = ROOT / "sample_data" / "shapes"
TEMPLATE = "data.prompt_template='City: {city} Traveller: {asks} Guide: {says}'"
COMPARED = ("classification.jsonl", "kto.jsonl", "preference.jsonl")  # in test_objectives.py
FILES = sorted(path.name for path in FOLDER.iterdir() if path.name not in COMPARED)


def shown(config: Config) -> list[tuple[list[int], list[int]]]:
    """(ids, labels) of every row as `data show --json` has them, of rows that can be learned."""
    recipe, found = Recipe.of(config), []
    with open_source(config.data.path) as source:
        count = len(source)
    for number in range(1, count + 1):
        row = row_fields(load_row(Path(config.data.path), number, recipe))
        if any(row["supervised"]):
            pairs = zip(row["ids"], row["supervised"], strict=True)
            found.append((row["ids"], [token if learned else IGNORED for token, learned in pairs]))
    return found


@pytest.mark.parametrize("name", FILES)
def test_the_model_gets_what_is_shown(
    name: str,
    assemble: Assemble,  # noqa: F811
    configure: Configure,
) -> None:
    words = [f"data.path={FOLDER / name}", f"model.name_or_path={TINY_MODEL}"]
    words += [TEMPLATE] if name.startswith("template") else []
    config = configure(*words, "data.eval_fraction=0", "train.packing=off", "data.max_length=320")
    seen: list[Any] = []
    for batch in assemble(config).get_train_dataloader():
        seen += documents_of(batch)
    expected = [(ids, [IGNORED, *labels[1:]]) for ids, labels in shown(config)]
    assert expected
    assert sorted(seen) == sorted(expected)
