"""llama.cpp's own converter, for families and tokenizers that ours refuses.

It is a script in a checkout of llama.cpp, which nobody ships as a package: a person names the
folder. It reads a merged model, knows four types itself, and llama.cpp's quantizer makes the rest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from core.data.escape import visible
from core.environment import usable_cores
from core.errors import AfinaError
from exporters.gguf.types import TYPES

VARIABLE = "LLAMA_CPP_DIR"
WAY = (
    f"Or let llama.cpp's own converter try: --llama-cpp DIR or ${VARIABLE}, a folder with "
    "llama.cpp's source."
)
SCRIPT, LIBRARY = "convert_hf_to_gguf.py", "gguf-py/gguf"
WRITES = ("f32", "f16", "bf16", "q8_0")  # its --outtype
POLL_S = 0.1  # how long a cancel may wait
LAST_WORDS = 600  # characters of what it said
# runs a script that ends when its input does: with the process that started it, however that ended
_RUNNER = """
import os, runpy, sys, threading
def end():
    os.read(0, 1)
    os._exit(1)
threading.Thread(target=end, daemon=True).start()
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
_MISSING = "No module named"


class Refused(AfinaError):
    """A model that can't become GGUF by our own way; llama.cpp's converter may know it."""

    def __init__(self, reason: str, known: str) -> None:
        super().__init__(f"This model can't become GGUF. {reason}", f"{known} {WAY}")


def find(given: str | None) -> Path | None:
    """The folder that a person named, by option or environment; None where there is none.

    Raises AfinaError, with what is missing, for a folder that isn't llama.cpp's source.
    """
    named = given or os.environ.get(VARIABLE)
    if not named:
        return None
    folder = Path(named).expanduser()
    missing = [name for name in (SCRIPT, LIBRARY) if not (folder / name).exists()]
    if missing:
        raise AfinaError(
            f'"{visible(str(folder))}" lacks {" and ".join(missing)}.',
            "Name a folder with llama.cpp's source: a clone of its repository, or vendor/llama.cpp "
            "in llama-cpp-python's source package.",
        )
    return folder


def convert(
    merged: Path,
    out: Path,
    llama_cpp: Path,
    type_name: str,
    check: Callable[[], None],
    threads: int | None = None,
) -> None:
    """Writes a merged safetensors folder as a GGUF file of a type to `out`.

    The folder is ours to change: its chat templates lose what other programs stop at, and its
    settings say whether there is a BOS in front of prompts.
    `check` is called several times a second, and what it raises ends the work. threads: of
    llama.cpp's quantizer, all cores by default. Raises AfinaError with the converter's last words
    when it fails. Needs as much disk again as the merged model
    where the type is one that the converter doesn't write itself.
    """
    _adapt(merged)
    if type_name in WRITES:
        _run(merged, out, llama_cpp, type_name, check)
        return
    refuse_unquantizable(type_name)
    whole = out.with_name(f"{out.name}.whole")
    try:
        _run(merged, whole, llama_cpp, _stored(merged), check)
        _quantize(whole, out, type_name, threads or usable_cores(), check)
    finally:
        whole.unlink(missing_ok=True)


def refuse_unquantizable(type_name: str) -> None:
    """Raises AfinaError for a type that needs more than the weights."""
    if TYPES[type_name].needs_importance:
        raise AfinaError(
            f"{type_name} needs an importance matrix, and there is none for a model that llama.cpp "
            "converts itself.",
            "Choose a type from iq4_xs or q2_k upwards.",
        )


def _adapt(merged: Path) -> None:
    """Rewrites templates and settings for other programs; the converter copies them as they are."""
    from core.data.encode.template import ChatTemplate
    from core.data.encode.tokenizer import Tokenizer
    from core.model_files.json_file import read_json
    from exporters.chat_template import portable, writes_bos

    try:
        tokenizer = Tokenizer.load(merged)
        written = writes_bos(ChatTemplate.load(merged), tokenizer.bos or "")
    except AfinaError:
        return  # nothing that was trained by us
    has_bos = tokenizer.bos is not None
    adds_bos = has_bos and tokenizer.bos_id in tokenizer.single.before
    more = (merged / "additional_chat_templates").glob("*.jinja")
    for path in (merged / "chat_template.jinja", *more):
        if path.is_file():
            path.write_text(portable(path.read_text(), has_bos))
    settings = read_json(merged, "tokenizer_config.json")
    given = settings.get("chat_template")
    if isinstance(given, str):
        settings["chat_template"] = portable(given, has_bos)
    elif given:
        for each in given:
            each["template"] = portable(each["template"], has_bos)
    settings |= {"add_bos_token": adds_bos and written, "add_eos_token": False}
    (merged / "tokenizer_config.json").write_bytes(msgspec.json.encode(settings))


def _stored(merged: Path) -> str:
    """The type that keeps every bit of a merged folder."""
    from exporters.weights.safetensors_reader import open_weights

    kinds = {entry.dtype for entry in open_weights(merged).entries.values()}
    return {frozenset({"BF16"}): "bf16", frozenset({"F16"}): "f16"}.get(frozenset(kinds), "f32")


def _run(
    merged: Path, out: Path, llama_cpp: Path, type_name: str, check: Callable[[], None]
) -> None:
    """The script in a process of its own, which goes with whatever ends the waiting."""
    order = [sys.executable, "-c", _RUNNER, str((llama_cpp / SCRIPT).resolve()), str(merged)]
    order += ["--outfile", str(out), "--outtype", type_name]
    log = out.with_name(f"{out.name}.log")
    path = [str(llama_cpp / "gguf-py"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | _OFFLINE | {"PYTHONPATH": os.pathsep.join(path)}
    try:
        with open(log, "wb") as words:
            process = subprocess.Popen(
                order,
                stdin=subprocess.PIPE,
                stdout=words,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=out.parent,
            )
            try:
                while process.poll() is None:
                    check()
                    time.sleep(POLL_S)
            finally:
                if process.poll() is None:
                    process.kill()
                process.communicate()  # closes its input too
        if process.returncode or not out.is_file():
            raise _failure(log.read_text(errors="replace"), process.returncode)
    finally:
        log.unlink(missing_ok=True)


def _failure(words: str, code: int) -> AfinaError:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    last = visible(" ".join(lines[-3:])[-LAST_WORDS:]) or f"exit code {code}, without a word"
    module = next((line.rpartition(_MISSING)[2] for line in lines[::-1] if _MISSING in line), "")
    name = module.strip(" '\"")
    hint = (
        f"Install it beside Afina: pip install {visible(name)}."
        if name
        else "llama.cpp doesn't know this model either, or wants another version of it."
    )
    return AfinaError(f"llama.cpp's converter failed: {last}", hint)


def _quantize(
    source: Path, out: Path, type_name: str, threads: int, check: Callable[[], None]
) -> None:
    from exporters.isolated import run_aside

    order = (str(source), str(out), TYPES[type_name].file_type, threads)
    run_aside(_quantize_aside, order, lambda *values: None, check)


def _quantize_aside(
    send: Callable[..., None], source: str, out: str, file_type: int, threads: int
) -> None:
    import ctypes

    import llama_cpp

    from core.chat.llamacpp_log import Log

    log: Any = Log(llama_cpp)
    llama_cpp.llama_backend_init()
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = file_type
    settings.nthread = threads
    order: Any = ctypes.byref(settings)
    if llama_cpp.llama_model_quantize(source.encode(), out.encode(), order):
        raise AfinaError(
            f"llama.cpp can't quantize what its converter wrote: {log.reason()}.",
            "Export to f16 or q8_0.",
        )
