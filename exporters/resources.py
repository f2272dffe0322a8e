"""What an export needs of disk and memory, and what there is: enough, or refused with the numbers.

The phases of a job follow one another: its memory is that of the largest. On the disk its exports
lie side by side until the last is checked, with what is compared and one kind's temporary files.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from core.figures import size
from core.hardware import memory_limit
from exporters.contract import EXACT, Item

SPARE_BYTES = 64 * 2**20  # left free on the disk, for logs and events
NUMBER_BYTES = {EXACT: 4, "bfloat16": 2}
LIBRARIES_BYTES = 700 * 2**20  # torch and transformers themselves
RUNTIME_BYTES = 300 * 2**20  # of llama.cpp or onnxruntime beside the weights: Python, a cache
LIKE_THE_TUNED = ("merged",)  # kinds that transformers loads
_CGROUP_STAT = Path("/sys/fs/cgroup/memory.stat")


class Phase(msgspec.Struct):
    """What one part of the job needs of memory."""

    name: str  # as it follows on "... needs": "Writing gguf:f16"
    bytes: int


def reference_dtype(parameters: int, free: int) -> str:
    """What the tuned model is asked in: float32, or bfloat16 where the memory is for that alone."""
    return EXACT if asking_bytes(parameters, EXACT) <= free else "bfloat16"


def asking_bytes(parameters: int, dtype: str) -> int:
    """Memory that transformers needs to answer with a model."""
    return parameters * NUMBER_BYTES[dtype] * 5 // 4 + LIBRARIES_BYTES


def phases(parameters: int, items: Sequence[Item], dtype: str = EXACT) -> list[Phase]:
    """Asking the tuned model, writing each export, asking it."""
    whole = asking_bytes(parameters, dtype)
    found = [Phase("Asking the tuned model", whole)]
    for item in items:
        name, asking = f"{item.kind}:{item.type}", item.bytes + RUNTIME_BYTES
        found.append(Phase(f"Writing {name}", item.memory_bytes))
        found.append(Phase(f"Asking {name}", whole if item.kind in LIKE_THE_TUNED else asking))
    return found


def disk_bytes(items: Sequence[Item], compared: int) -> int:
    """Disk at the worst moment, beside what lies there already."""
    temporary = max((item.temporary_bytes for item in items), default=0)
    return sum(item.bytes for item in items) + temporary + compared


def free_disk(folder: Path) -> int:
    """Free bytes where a folder is, or will be."""
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    return shutil.disk_usage(there).free


def free_memory() -> int:
    """Bytes that can be had now: the machine's, or what its container leaves."""
    import psutil

    available, limit = psutil.virtual_memory().available, memory_limit()
    return available if limit is None else min(available, max(0, limit - _held()))


def _held() -> int:
    """What the container holds and can't give back: files that were read count as free."""
    try:
        lines = _CGROUP_STAT.read_text().splitlines()
        values = {name: int(value) for name, value in (line.split() for line in lines)}
    except (OSError, ValueError):
        return 0
    return values.get("anon", 0) + values.get("shmem", 0) + values.get("kernel", 0)


def disk_shortage(needed: int, free: int, folder: str) -> tuple[str, str] | None:
    """Message and hint where the disk is too small."""
    if needed + SPARE_BYTES <= free:
        return None
    return (
        f'The export needs {size(needed)} of disk at "{folder}", and {size(free)} are free.',
        "Free some, or choose fewer or smaller types.",
    )


def memory_shortage(largest: Phase, free: int) -> tuple[str, str] | None:
    """Message and hint where the memory is too small."""
    if largest.bytes <= free:
        return None
    return (
        f"{largest.name} needs {size(largest.bytes)} of memory, and {size(free)} are free.",
        "End other programs that hold memory, or export on a larger machine.",
    )
