"""Models by name: folders, the local cache, downloads that were asked for and how they fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from core.errors import AfinaError
from core.hub import fetch, is_hub_id, model_folder


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local cache that holds some/model; the folder of its snapshot."""
    cache = tmp_path / "models--some--model"
    snapshot = cache / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return snapshot


@pytest.mark.parametrize("name", ["nobody/nothing", "./nothing", "/no/such/folder", "a/b/c", "x y"])
def test_a_model_that_is_not_there_is_one_sentence(name: str) -> None:
    with pytest.raises(AfinaError, match="There is no model"):
        model_folder(name)


def test_a_hub_id_stands_for_its_folder_in_the_local_cache(cached: Path) -> None:
    assert model_folder("some/model") == cached


def test_a_revision_that_is_not_cached_is_not_taken_for_another(cached: Path) -> None:
    with pytest.raises(AfinaError, match="There is no model"):
        model_folder("some/model", revision="v2")


def test_a_folder_is_never_looked_up_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    assert fetch(str(tmp_path)) == tmp_path


def test_what_is_fetched_is_the_revision_asked_for_and_safetensors_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def download(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert fetch("some/model", "v2") == tmp_path
    assert (asked["name"], asked["revision"]) == ("some/model", "v2")
    assert not any("bin" in pattern or pattern == "*" for pattern in asked["allow_patterns"])


def test_offline_a_hub_id_that_is_not_cached_names_the_switch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(AfinaError, match="HF_HUB_OFFLINE is set"):
        fetch("some/model")


def test_paths_are_no_hub_ids() -> None:
    assert is_hub_id("some/model")
    assert not any(is_hub_id(name) for name in ("/some/model", "./model", "~/model", "a/b/c"))
