"""The number type of a run, and what its choice was measured by."""

from __future__ import annotations

import pytest
import torch

from core.train.model import precision
from core.train.model.precision import Precision
from tests.core.train.conftest import Configure

AUTO = ("model.dtype=auto", "launch.device=cpu")


def seconds(monkeypatch: pytest.MonkeyPatch, of_float32: float, of_bfloat16: float) -> None:
    """Lets products take so long."""
    by_type = {torch.float32: of_float32, torch.bfloat16: of_bfloat16}
    monkeypatch.setattr(precision, "product_s", lambda device, dtype: by_type[dtype])


def test_bfloat16_is_taken_where_it_is_clearly_faster(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds(monkeypatch, 4.0, 1.0)
    assert precision.choose(configure(*AUTO)) == Precision("cpu", "bfloat16", 4.0, True)
    seconds(monkeypatch, 1.2, 1.0)
    assert precision.choose(configure(*AUTO)) == Precision("cpu", "float32", 1.2, True)


def test_what_is_said_or_was_recorded_is_not_measured_again(configure: Configure) -> None:
    assert precision.choose(configure("model.dtype=bfloat16")) == Precision("cpu", "bfloat16")
    assert precision.choose(configure(*AUTO), "float32") == Precision("cpu", "float32")


def test_a_gpu_without_bfloat16_computes_in_float32_and_says_so(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    chosen = precision.choose(configure("model.dtype=auto", "launch.device=auto"))
    assert chosen == Precision("cuda", "float32", chosen=True)
    (finding,) = precision.findings(chosen)
    assert "no bfloat16" in finding.message and "float16 is never taken" in finding.hint
    assert not list(precision.findings(Precision("cuda", "bfloat16", 8.0, True)))
    assert not list(precision.findings(Precision("cuda", "float32")))


def test_the_peak_is_that_of_a_large_product_in_the_runs_type() -> None:
    plain, rounded = (precision.peak_flops(Precision("cpu", t)) for t in ("float32", "bfloat16"))
    assert plain and rounded and 1e8 < plain < 1e14


def test_without_room_for_a_product_there_is_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> float:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(precision, "product_s", full)
    assert precision.peak_flops(Precision("cuda", "bfloat16")) is None
