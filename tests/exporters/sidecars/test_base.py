"""What a base's own files say of its name and licence."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import Config, Model, config_io
from core.runs.target import Target
from exporters.sidecars.base import Base, Licence, base_of, front_matter


def target(folder: Path, run: Path | None = None) -> Target:
    return Target("word", "hf", str(folder), run=str(run) if run else None)


def test_a_folder_is_named_without_its_path_and_one_of_the_hubs_cache_by_its_id(
    tmp_path: Path,
) -> None:
    cached = tmp_path / "models--org--tiny" / "snapshots" / "abc"
    cached.mkdir(parents=True)
    assert base_of(target(tmp_path)) == Base(tmp_path.name, False, None)
    assert base_of(target(cached)) == Base("org/tiny", True, None)
    assert base_of(Target("org/tiny", "hf", "org/tiny")) == Base("org/tiny", True, None)


def test_a_run_tells_its_base_even_where_its_model_is_its_own(tmp_path: Path) -> None:
    config = Config(model=Model(name_or_path="org/tiny"))
    (tmp_path / "config.yaml").write_text(config_io.to_yaml(config))
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "LICENSE").write_text("Gemma Terms of Use\n")
    (tmp_path / "base.txt").write_text(str(tmp_path / "base"))
    found = base_of(target(tmp_path / "model", run=tmp_path))
    assert found == Base("org/tiny", True, Licence("gemma"))


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("license: mit\ntags: [a]", Licence("mit")),
        (
            "license: other\nlicense_name: own\nlicense_link: https://a.b/c",
            Licence("other", "own", "https://a.b/c"),
        ),
        ("license: [apache-2.0, mit]", Licence("apache-2.0")),
        ("license: 7", None),
        ("a: [", None),
        ("- a list", None),
    ],
)
def test_the_licence_is_read_from_the_model_card(
    tmp_path: Path, card: str, licence: Licence | None
) -> None:
    (tmp_path / "README.md").write_text(f"---\n{card}\n---\n# Tiny\n")
    assert base_of(target(tmp_path)).licence == licence


def test_a_licences_text_is_known_by_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# No front matter\n\n---\n")
    assert front_matter(tmp_path / "README.md") == {}
    path = tmp_path / "LICENSE.txt"
    path.write_text("                 Apache License\n           Version 2.0, January 2004\n")
    assert base_of(target(tmp_path)).licence == Licence("apache-2.0")
    path.write_text("LLAMA 3.2 COMMUNITY LICENSE AGREEMENT\n")
    assert base_of(target(tmp_path)).licence == Licence("llama3.2")
    path.write_text("All rights reserved.")
    assert base_of(target(tmp_path)).licence is None
    (tmp_path / "config.json").write_text('{"license": "mit"}')
    assert base_of(target(tmp_path)).licence == Licence("mit")


def test_a_base_that_is_gone_has_no_licence(tmp_path: Path) -> None:
    assert base_of(target(tmp_path / "gone")) == Base("gone", False, None)
