"""The gate asks a base under an adapter file, and catches a wrong one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from core.runs.target import Target
from exporters.contract import Working
from exporters.gguf import exporter as gguf
from exporters.gguf.exporter import Gguf
from exporters.gguf.lora import Lora, prepare_lora
from exporters.gguf.prepare import Prepared
from exporters.parity.measure import measure
from exporters.parity.reference import Reference
from exporters.results import FAIL
from tests.exporters.parity.conftest import ASKED, Compare


def test_an_adapter_file_passes_over_its_base(
    tuned: Target, reference: Reference, tmp_path: Path, working: Working, compare: Compare
) -> None:
    exporter = Gguf(tuned)
    assert compare(exporter, "gguf:lora") == {}
    path = tmp_path / "x-lora.gguf"
    m = measure(exporter, "lora", path, reference, working, lambda *step: None)
    assert m.others is not None and m.others.prompts >= ASKED  # the base's template and vocabulary
    assert m.carried == pytest.approx(1.0, abs=0.02)


def test_an_adapter_file_with_a_wrong_scale_is_caught(
    tuned: Target, reference: Reference, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def doubled(prepared: Prepared) -> Lora:
        lora = prepare_lora(prepared)
        return msgspec.structs.replace(lora, alpha=lora.alpha * 2)

    monkeypatch.setattr(gguf, "prepare_lora", doubled)
    found = compare(Gguf(tuned), "gguf:lora")
    assert found["tuning"].verdict == FAIL and "scale is wrong" in found["tuning"].hint
    assert found["divergence"].verdict == FAIL
