"""The environment of our processes, set before their Python starts: packages, threads, allocators.

What a person has set stays as it is. TF32 stays off: model.dtype=float32 means float32, and the
products of other runs are bfloat16.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from core.paths import ROOT

_CPUS = Path("/sys/devices/system/cpu")
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def worker_environment() -> dict[str, str]:
    """Our packages first, one thread a core that hardly spins, and memory that doesn't shatter."""
    environment = dict(os.environ)
    inherited = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([inherited] if inherited else [])])
    defaults = {
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": str(usable_cores()),
        # How long libgomp's threads spin for the next piece of work: some 10 microseconds. Training
        # 7 M parameters on an idle machine of 2 cores is 1.3 times as fast as without (a sleeping
        # thread has to be woken for every product), and 18 % slower beside one busy process.
        # Without the bound, some steps beside one took 15 times as long.
        "OMP_WAIT_POLICY": "ACTIVE",
        "GOMP_SPINCOUNT": "1000",
        # oneDNN and what torch lays over it each keep 1,024 prepared products, one for each length
        # of a batch and shape of a weight. With batches of many lengths a run grew at each step (6
        # blocks of width 256, 60 steps: 1,395 MiB, and 757 with 64 of each, which are more than a
        # step has); the processor's time was the same (17.3 s and 16.8 s).
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
        "LRU_CACHE_CAPACITY": "64",
        # rows of many lengths leave holes between blocks of a fixed size
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # the same sums in the same order (cuBLAS, 2.1.4)
    }
    if "OMP_WAIT_POLICY" in environment:
        del defaults["GOMP_SPINCOUNT"]  # it would overrule what was asked for
    if "PYTORCH_CUDA_ALLOC_CONF" in environment or not sys.platform.startswith("linux"):
        del defaults["PYTORCH_ALLOC_CONF"]  # the name before torch 2.9; or no such allocator
    return defaults | environment


def usable_cores() -> int:
    """Physical cores that this process may use: by its affinity, and by its cgroup's quota.

    A container with 2 processors on a machine of 64 gets 2.
    """
    if not hasattr(os, "sched_getaffinity"):  # macOS
        return os.cpu_count() or 1
    cores = _physical_cores(os.sched_getaffinity(0))
    quota = _quota()
    return cores if quota is None else max(1, min(cores, round(quota)))


def _physical_cores(processors: set[int]) -> int:
    """Cores behind some logical processors; two threads of one core are one."""
    siblings = set()
    for processor in processors:
        path = _CPUS / f"cpu{processor}" / "topology" / "thread_siblings_list"
        try:
            siblings.add(path.read_text().strip())
        except OSError:
            return len(processors)
    return len(siblings)


def _quota() -> float | None:
    """Processors that the cgroup and those above it may keep busy; None without a limit."""
    found = [limit for folder in _cgroup_folders() if (limit := _limit_of(folder)) is not None]
    return min(found) if found else None


def _cgroup_folders() -> list[Path]:
    """The folders of this process's cgroup and of those above it, in both versions of cgroups."""
    try:
        lines = _OWN_CGROUP.read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        names = controllers.split(",")
        if controllers and "cpu" not in names:
            continue
        root = _CGROUPS / controllers if controllers else _CGROUPS
        parts = [part for part in name.split("/") if part]
        # a container may show the path that its cgroup has outside: only its root is there then
        folders += [root.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
    return folders


def _limit_of(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no file, or "max"
        return None
