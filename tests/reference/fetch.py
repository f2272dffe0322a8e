"""Gets what check_converter.py compares with, once: tests themselves have no network.

llama.cpp's converter lies in llama-cpp-python's source package, of the version that is installed
here; it is downloaded and unpacked, not built. It wants sentencepiece, which Afina doesn't.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tarfile
from pathlib import Path

CACHE = Path(__file__).parents[2] / "build" / "reference"
PACKAGES = CACHE / "packages"
VERSION = importlib.metadata.version("llama-cpp-python")
_SOURCE = f"llama_cpp_python-{VERSION}"
_PARTS = ("convert", "conversion/", "gguf-py/")


def llama_cpp() -> Path:
    """The folder with llama.cpp's source."""
    named = os.environ.get("LLAMA_CPP_DIR")
    return Path(named) if named else CACHE / _SOURCE / "vendor" / "llama.cpp"


def main() -> None:
    pip = [sys.executable, "-m", "pip"]
    if not (llama_cpp() / "convert_hf_to_gguf.py").is_file():
        given = ["--no-deps", "--no-binary", "llama-cpp-python", "--dest", str(CACHE)]
        subprocess.run([*pip, "download", *given, f"llama-cpp-python=={VERSION}"], check=True)
        packed = CACHE / f"{_SOURCE}.tar.gz"
        with tarfile.open(packed) as archive:
            at = f"{_SOURCE}/vendor/llama.cpp/"
            wanted = tuple(at + part for part in _PARTS)
            archive.extractall(
                CACHE, [m for m in archive if m.name.startswith(wanted)], filter="data"
            )
        packed.unlink()
    if not (PACKAGES / "sentencepiece").is_dir():
        given = ["--no-deps", "--target", str(PACKAGES)]
        subprocess.run([*pip, "install", *given, "sentencepiece"], check=True)


if __name__ == "__main__":
    main()
