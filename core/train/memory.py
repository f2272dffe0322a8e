"""The most memory that this process has held: on a GPU what torch allocated there, else RSS.

RSS counts what the libraries take too, pages that are shared with other processes included.
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path

_mapped = 0  # see count_mapped
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_bytes(device: str) -> int:
    """The high-water mark since the process began, or since `forget`."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    return (resident_bytes("VmHWM") or _largest_ever()) + unmapped_bytes()


def count_mapped(mapped: int) -> None:
    """Called in a forked child: pages of libraries that its parent holds count as its own.

    After a fork they are not in the child's memory until it touches them; in a process that loads
    the libraries itself, they are.
    """
    global _mapped
    _mapped = mapped


def unmapped_bytes() -> int:
    """What the parent holds of files and this child doesn't, yet."""
    return max(0, _mapped - (resident_bytes("RssFile") or 0)) if _mapped else 0


def forget(device: str) -> None:
    """Starts the high-water mark anew, from what is held now; where the system can."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):
        _CLEAR.write_text("5")  # proc(5): resets VmHWM to the resident set of this moment


def resident_bytes(name: str = "VmRSS", status: Path = _STATUS) -> int | None:
    """A figure of /proc/PID/status; None where the system has no such file."""
    try:
        text = status.read_text()
    except OSError:
        return None
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _largest_ever() -> int:
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # macOS counts bytes, others KiB
