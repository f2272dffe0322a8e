"""Where the disk takes no more: the errors that say so, and a last word written in place."""

from __future__ import annotations

import errno
import os
from pathlib import Path

FULL = "The disk takes no more"  # so begins what a process of ours tells another about it
_TAKES_NO_MORE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def takes_no_more(error: BaseException) -> bool:
    """Whether an error is about the disk: full, over a quota, read-only or broken."""
    return isinstance(error, OSError) and error.errno in _TAKES_NO_MORE


def reason_of(error: OSError) -> str:
    """The system's own words: "No space left on device"."""
    return error.strerror or str(error)


def told(error: OSError) -> tuple[str, str]:
    """Message and hint about a disk that takes no more."""
    return f"{FULL}: {reason_of(error)}.", "Make room there, or make it writable."


def overwrite(path: Path, data: bytes) -> None:
    """Writes over a small JSON file where it lies, filled up with spaces to its old length.

    The block that it has is used again, so that this works on a disk without a free one. A crash
    in the middle can leave it half written: only for a last word that can't be written otherwise.
    """
    handle = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(handle, data.ljust(os.fstat(handle).st_size), 0)
        os.fsync(handle)
    finally:
        os.close(handle)
