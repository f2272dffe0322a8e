"""Runs llama.cpp's converter over many folders in one process; started with its source on the path.

Arguments: llama.cpp's folder, and a JSON file of [model folder, output, type]. Prints a JSON line
with the error of each, empty where it worked.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path


def main() -> None:
    source, orders = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    sys.path[:0] = [str(source), str(source / "gguf-py")]
    converter = importlib.import_module("convert_hf_to_gguf")
    # it knows tokenizers by a hash of what they make of one text: none of ours is among them
    importlib.import_module("conversion.base").TextModel.get_vocab_base_pre = lambda *_: "gpt-2"
    for folder, out, kind in orders:
        sys.argv = [str(source), folder, "--outfile", out, "--outtype", kind]
        error = ""
        try:
            converter.main()
        except (Exception, SystemExit) as reason:
            error = f"{type(reason).__name__}: {reason}"
            traceback.print_exc()
        sys.stdout.write(json.dumps(error) + "\n")


if __name__ == "__main__":
    main()
