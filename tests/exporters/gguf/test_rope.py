"""Rotary positions turn in llama.cpp as they do in transformers, beyond the first context too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import AfinaError
from exporters.gguf.families import family_of
from exporters.gguf.rope import read_rope
from tests.exporters.families import config, make_model
from tests.exporters.gguf.test_families import write
from tests.exporters.gguf.test_write import LLAMA3
from tests.exporters.logits import llama_cpp_log_p, transformers_log_p

LONGER = [3 + place * 11 % 240 for place in range(96)]  # tokens; the scaled models began with 32
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": 32,
}
FACTORS = {
    "long_factor": [1.0 + place / 4 for place in range(16)],
    "short_factor": [1.0 + place / 9 for place in range(16)],
}
LONG = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 32}
ROTATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("Llama", {"rope_type": "default", "rope_theta": 5e5}),
    "linear": ("Llama", {"rope_type": "linear", "rope_theta": 1e4, "factor": 3.0}),
    "llama3": ("Llama", LLAMA3 | {"original_max_position_embeddings": 32}),
    "yarn": ("Qwen3", YARN),
    "yarn with a factor of its own": ("Qwen2", YARN | {"attention_factor": 1.3}),
    "yarn with mscale": ("Llama", YARN | {"mscale": 0.7, "mscale_all_dim": 0.4}),
    "longrope": ("Phi3", LONG | FACTORS),
    "longrope with a factor of its own": ("Phi3", LONG | FACTORS | {"attention_factor": 1.2}),
}


@pytest.mark.parametrize("name", ROTATIONS)
def test_a_rotation_has_the_logits_of_transformers(tmp_path: Path, name: str) -> None:
    family, rope = ROTATIONS[name]
    options: dict[str, Any] = {"rope_parameters": dict(rope), "max_position_embeddings": 128}
    if family == "Phi3":
        options["original_max_position_embeddings"] = 32
    model = make_model(tmp_path, family, options)
    write(tmp_path, tmp_path / "x.gguf")
    expected = transformers_log_p(model, LONGER)
    assert np.abs(llama_cpp_log_p(tmp_path / "x.gguf", LONGER) - expected).max() < 1e-3


def test_the_tolerance_would_see_a_rotation_that_is_left_out(tmp_path: Path) -> None:
    model = make_model(tmp_path, "Llama", {"rope_parameters": dict(ROTATIONS["linear"][1])})
    write(tmp_path, tmp_path / "x.gguf")
    model.config.rope_parameters["factor"] = 1.0
    plain = type(model)(model.config)
    plain.load_state_dict(model.state_dict())
    found = llama_cpp_log_p(tmp_path / "x.gguf", LONGER)
    assert np.abs(found - transformers_log_p(plain, LONGER)).max() > 0.1


def test_short_texts_keep_the_short_factors_where_the_context_is_short(tmp_path: Path) -> None:
    original = {"original_max_position_embeddings": 256}  # the shortest context of llama.cpp
    options = {"rope_parameters": LONG | FACTORS | original, "max_position_embeddings": 512}
    model = make_model(tmp_path, "Phi3", options | original)
    write(tmp_path, tmp_path / "x.gguf")
    expected = transformers_log_p(model, LONGER)
    found = llama_cpp_log_p(tmp_path / "x.gguf", LONGER, context=256)
    assert np.abs(found - expected).max() < 1e-3
    wrong = llama_cpp_log_p(tmp_path / "x.gguf", LONGER, context=512)
    assert np.abs(wrong - expected).max() > 0.1  # its notes say so


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"beta_slow": 2.0}, "sets beta_slow"),
        ({"truncate": False}, "sets truncate"),
        ({"rope_type": "dynamic"}, 'of the type "dynamic"'),
        ({"rope_type": "longrope", "long_factor": [1.0]}, "has 1 long factors"),
    ],
)
def test_what_llama_cpp_would_turn_otherwise_is_refused(change: dict[str, Any], words: str) -> None:
    values = config("Llama", {}).to_dict() | {"rope_parameters": YARN | change}
    with pytest.raises(AfinaError, match=words):
        family_of(values)


def test_an_older_config_says_the_same(tmp_path: Path) -> None:
    older = {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_theta": 5e4}
    newer = {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e4}}
    context = {"max_position_embeddings": 512}
    assert read_rope(older | context, 32).values() == read_rope(newer | context, 32).values()
