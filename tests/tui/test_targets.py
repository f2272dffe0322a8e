"""What there is to chat with: runs, their points, their exports."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.runs.run import Run
from tests.tui.homes import write_run
from tui.targets import EXPORTED, default_words, offers, words_of


@pytest.fixture
def run(home: Path) -> Run:
    return write_run(home, "travel-lora", at=40, checkpoints=(20, 40), result=True)


def test_the_newest_run_with_a_result_is_opened_beside_its_base(home: Path, run: Run) -> None:
    write_run(home, "younger", "running", at=3)
    assert default_words(home) == [f"{run.id}@base", run.id]


def test_an_export_is_opened_beside_the_tuned_model(home: Path, run: Run) -> None:
    path = run.directory / "exports" / "gguf" / "travel-lora-q4_k_m.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")
    assert words_of(home, str(path)) == [run.id, str(path)]
    assert words_of(home, f"{run.id}@20") == [f"{run.id}@base", f"{run.id}@20"]
    assert [offer.what for offer in offers(home)][:5] == [
        "tuned", "gguf", "checkpoint", "checkpoint", "base",
    ]  # fmt: skip
    earlier = run.directory / "exports" / "20" / "gguf" / "travel-lora-20-f16.gguf"
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b"GGUF")
    assert words_of(home, str(earlier)) == [f"{run.id}@20", str(earlier)]
    found = [offer.word for offer in offers(home) if offer.what == "gguf"]
    assert found == [str(path), str(earlier)]


def test_folders_of_exports_are_offered_by_kind_and_adapters_one_by_one(
    home: Path, run: Run
) -> None:
    exports = run.directory / "exports"
    for name in ("onnx/travel-lora-int4/genai_config.json", "merged/travel-lora-bf16/config.json",
                 "onnx/travel-lora-int8.failed/genai_config.json",
                 "onnx/travel-lora-fp32.part/genai_config.json",
                 "onnx/tiny-multi-fp32.building/genai_config.json",
                 "merged/travel-lora-f16.old/config.json",
                 "gguf/travel-lora-lora.gguf", "gguf/travel-lora-q4_0.failed.gguf"):  # fmt: skip
        (exports / name).parent.mkdir(parents=True, exist_ok=True)
        (exports / name).write_text("{}")
    shared = home / "exports" / "tiny" / "onnx" / "tiny-multi-int4"
    (shared / "adapters").mkdir(parents=True)
    (shared / "genai_config.json").write_text("{}")
    for name in ("cooking", "travel", "wrong.failed"):
        (shared / "adapters" / f"{name}.onnx_adapter").touch()
    found = [(offer.what, offer.name) for offer in offers(home)]
    exported = [each for each in found if each[0] in EXPORTED]  # whole, passed, no adapter alone
    assert exported == [
        ("onnx", "travel-lora-int4"), ("merged", "travel-lora-bf16"),
        ("onnx", "cooking"), ("onnx", "travel"),
    ]  # fmt: skip
    folder = str(exports / "onnx" / "travel-lora-int4")
    assert words_of(home, folder) == [run.id, folder]
