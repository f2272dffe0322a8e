"""Quantizing a GGUF file with llama.cpp's own quantizer, in a process that can be killed."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

from core.chat.llamacpp import Log
from core.errors import AfinaError
from exporters.aside import Send, run_aside
from exporters.gguf.types import TYPES
from exporters.gguf.write import Progress

_COUNT = re.compile(r"\[\s*(\d+)/\s*(\d+)\]\s+(\S+)")  # "[   3/ 147]  blk.0.attn_k.weight - ..."


def quantize(source: Path, destination: Path, type_name: str, progress: Progress) -> None:
    """Writes `destination` from an f16 or f32 file. Raises AfinaError with llama.cpp's reason.

    What `progress` raises ends the process first and leaves `destination` half done.
    """
    at: tuple[str, int, int] = ("starting", 0, 0)

    def note(name: str, done: int, total: int) -> None:
        nonlocal at
        at = (name, done, total)

    try:
        run_aside(
            _quantize,
            (str(source), str(destination), TYPES[type_name].file_type),
            note,
            lambda: progress(*at, "tensors"),
        )
    except AfinaError as error:
        raise AfinaError(f"{type_name} can't be made: {error.message}", error.hint) from error
    if at[2]:
        progress(at[0], at[2], at[2], "tensors")


def _quantize(send: Send, source: str, destination: str, file_type: int) -> None:
    import llama_cpp

    def count(line: str) -> None:
        found = _COUNT.search(line)
        if found:
            send(found[3], int(found[1]), int(found[2]))

    log = Log(llama_cpp, count)
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = file_type
    params.nthread = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    code = llama_cpp.llama_model_quantize(
        source.encode(),
        destination.encode(),
        ctypes.pointer(params),
    )
    if code != 0:
        raise AfinaError(
            f"llama.cpp's quantizer says: {log.reason(f'code {code}')}.",
            "Look at the free disk space and memory, or choose another type.",
        )
