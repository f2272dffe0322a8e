"""How often the system ended processes for lack of memory: they can't say it themselves."""

from __future__ import annotations

from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def counter() -> Path | None:
    """The file that counts them for this process: of its control group, else of the machine."""
    for path in (*_own_groups(), _CGROUPS / "memory/memory.oom_control", Path("/proc/vmstat")):
        if kills(path) is not None:
            return path
    return None


def kills(path: Path) -> int | None:
    """What a counter says now; None where it can't be read."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, count = line.partition(" ")
        if name == "oom_kill" and count.strip().isdigit():
            return int(count)
    return None


def _own_groups() -> list[Path]:
    """The control group of this process and the one that a container shows as its root."""
    found = [_CGROUPS / "memory.events"]
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return found
    own = [line[4:] for line in lines if line.startswith("0::/")]
    return [*(_CGROUPS / name / "memory.events" for name in own if name), *found]
