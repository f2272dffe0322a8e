"""ONNX models of every family and rotation beside transformers, and all types of them.

Not among the usual tests, which have some of these: python -m pytest tests/reference/check_onnx.py
"""

from __future__ import annotations

import numpy as np
import pytest

from exporters.onnx.types import TYPES
from tests.exporters.onnx import built
from tests.exporters.onnx.built import Built

MOST = {"int8": 0.002, "int4": 0.12, "int4-quality": 0.08}  # KL of random weights


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    folder = tmp_path_factory.mktemp("onnx")
    return built.build_all(folder, dict.fromkeys(built.MODELS, tuple(TYPES)))


@pytest.mark.parametrize("name", built.MODELS)
def test_a_model_has_the_logits_of_transformers(found: dict[str, Built], name: str) -> None:
    one = found[name]
    expected = built.log_p(one.model)
    log_p = {each: built.folder_log_p(folder) for each, folder in one.types.items()}
    assert np.abs(log_p["fp32"] - expected).max() < 1e-4
    lost = {each: built.kl(expected, log_p[each]) for each in MOST}
    assert all(lost[each] < most for each, most in MOST.items()), lost
