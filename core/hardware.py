"""The machine in figures: the GPU through NVML where there is one, else processor and memory.

Loads no torch: what it says is what the driver says, whoever uses the device.
"""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

GIB = 2**30
_CGROUP = Path("/sys/fs/cgroup")


class Device(msgspec.Struct, frozen=True):
    """What a run would use, at this moment."""

    kind: str  # "cuda" or "cpu"
    name: str
    used_pct: float
    memory_used_bytes: int
    memory_bytes: int
    temperature_c: float | None = None

    @property
    def memory_free_bytes(self) -> int:
        return max(0, self.memory_bytes - self.memory_used_bytes)

    def line(self) -> str:
        """Few words for the top bar: "gpu 93% 61/80 GiB 71°C"."""
        short = "gpu" if self.kind == "cuda" else "cpu"
        used, total = self.memory_used_bytes / GIB, self.memory_bytes / GIB
        words = f"{short} {self.used_pct:.0f}% {used:.0f}/{total:.0f} GiB"
        heat = "" if self.temperature_c is None else f" {self.temperature_c:.0f}°C"
        return words + heat


def device_line() -> str:
    """The device in few words, read now."""
    return read_device().line()


def read_device(kind: str = "auto") -> Device:
    """The first GPU that CUDA_VISIBLE_DEVICES leaves, else the processor; "cpu" is always that."""
    return _cpu() if kind == "cpu" else _gpu() or _cpu()


def _cpu() -> Device:
    import psutil

    memory = psutil.virtual_memory()
    used, total = memory.total - memory.available, memory.total
    limit = memory_limit()
    if limit is not None and limit < total:
        used, total = min(_cgroup_number("memory.current") or used, limit), limit
    # since the call before; the first one has nothing to compare with and says 0
    return Device("cpu", processor_name(), psutil.cpu_percent(interval=None), used, total)


def memory_limit() -> int | None:
    """What the container may use, in bytes; None where nothing limits it."""
    return _cgroup_number("memory.max")


def _cgroup_number(name: str) -> int | None:
    try:
        text = (_CGROUP / name).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


@lru_cache
def processor_name() -> str:
    """The processor's name, with its number of cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def has_fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 by itself; a guess until a run measures it."""
    return not processor_flags().isdisjoint(("avx512_bf16", "amx_bf16", "bf16"))


@lru_cache
def processor_flags() -> frozenset[str]:
    """What the first core can do, in the words of /proc/cpuinfo; empty where it can't be read."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(flags.partition(":")[2].split())


def _gpu() -> Device | None:
    """The GPU's figures; None where there is no GPU, no driver or no right to ask it."""
    nvml = _nvml()
    index = _visible_index()
    if nvml is None or index is None:
        return None
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        name = nvml.nvmlDeviceGetName(handle)
        used_pct = _asked(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        heat = _asked(nvml, lambda: nvml.nvmlDeviceGetTemperature(handle, 0))  # 0: the chip
    except nvml.NVMLError:
        return None
    return Device("cuda", str(name), used_pct or 0.0, int(memory.used), int(memory.total), heat)


def _asked(nvml: Any, question: Any) -> float | None:
    """An answer that not every device gives."""
    try:
        return float(question())
    except nvml.NVMLError:
        return None


@lru_cache
def _nvml() -> Any:
    """NVIDIA's library, opened once for the life of the process; None where there is none."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _visible_index() -> int | None:
    """The driver's number of the first GPU that this process may use; None when it may use none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return 0
    first = visible.split(",")[0].strip()
    if first.isdigit():
        return int(first)
    return 0 if first.startswith(("GPU-", "MIG-")) else None
