"""What an export needs of disk and memory, and what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters import resources
from exporters.contract import Item
from exporters.resources import (
    LIBRARIES_BYTES,
    RUNTIME_BYTES,
    Phase,
    disk_bytes,
    disk_shortage,
    free_memory,
    memory_shortage,
    phases,
)

MIB = 2**20
ITEMS = [
    Item("gguf", "f16", "/e/f16", 100, False, [], memory_bytes=7, temporary_bytes=3),
    Item("onnx", "int4", "/e/int4", 40, False, [], memory_bytes=9, temporary_bytes=50),
    Item("merged", "bf16", "/e/bf16", 30, False, [], memory_bytes=8),
]


def test_the_disk_holds_all_exports_and_the_largest_temporary_beside_what_is_compared() -> None:
    assert disk_bytes(ITEMS, compared=1000) == 100 + 40 + 30 + 50 + 1000


def test_the_memory_is_that_of_the_largest_phase() -> None:
    found = {phase.name: phase.bytes for phase in phases(1_000_000, ITEMS)}
    assert found == {
        "Asking the tuned model": 5_000_000 + LIBRARIES_BYTES,
        "Writing gguf:f16": 7,
        "Asking gguf:f16": 100 + RUNTIME_BYTES,
        "Writing onnx:int4": 9,
        "Asking onnx:int4": 40 + RUNTIME_BYTES,
        "Writing merged:bf16": 8,
        "Asking merged:bf16": 5_000_000 + LIBRARIES_BYTES,
    }


def test_what_is_short_is_said_with_both_numbers() -> None:
    assert disk_shortage(100 * MIB, 200 * MIB, "/e") is None
    told = disk_shortage(190 * MIB, 200 * MIB, "/e")  # nothing would be left for logs
    assert told and told[0] == 'The export needs 190.0 MiB of disk at "/e", and 200.0 MiB are free.'
    assert memory_shortage(Phase("Writing x", 5 * MIB), 5 * MIB) is None
    told = memory_shortage(Phase("Writing x", 6 * MIB), 5 * MIB)
    assert told and told[0] == "Writing x needs 6.0 MiB of memory, and 5.0 MiB are free."


def test_a_container_s_limit_counts_but_not_the_files_it_has_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = tmp_path / "memory.stat"
    stat.write_text(f"anon {30 * MIB}\nfile {500 * MIB}\nshmem {2 * MIB}\n")
    monkeypatch.setattr(resources, "_CGROUP_STAT", stat)
    monkeypatch.setattr(resources, "memory_limit", lambda: 50 * MIB)
    assert free_memory() == 18 * MIB
    monkeypatch.setattr(resources, "memory_limit", lambda: 2**60)
    import psutil

    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: type("Memory", (), {"available": 7 * MIB})
    )
    assert free_memory() == 7 * MIB
