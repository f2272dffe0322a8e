"""Installs the peers that train on a machine without a GPU, each into an environment of its own.

    python -m benchmarks.train.peers DIR [NAME ...]

Some gigabytes and minutes each. Afina depends on none of them. `speed.py --peers DIR` uses them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from core.paths import write_atomic


class Peer(NamedTuple):
    """What is installed, what has to go again, and modules that are only asked for."""

    packages: tuple[str, ...]
    unwanted: tuple[str, ...] = ()
    empty_modules: tuple[str, ...] = ()


PEERS = {
    # its wheels of torchaudio and torchvision match no CPU build of torch; text needs neither
    "llamafactory": Peer(("llamafactory==0.9.5",), ("torchaudio", "torchvision"), ("torchaudio",)),
    "axolotl": Peer(("axolotl==0.19.*",), ("torchaudio", "torchvision")),
    "olive": Peer(
        ("olive-ai==0.13.*", "transformers", "peft", "datasets", "accelerate", "bitsandbytes"),
    ),
}


def main() -> None:
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("folder", type=Path)
    words.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PEERS))
    options = words.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.names or PEERS:
        if name not in PEERS:
            sys.exit(f'There is no peer "{name}"; there are: {", ".join(PEERS)}.')
        print(f"installing {name}", flush=True)
        install(options.folder / name, PEERS[name])


def install(folder: Path, peer: Peer) -> None:
    """An environment with the peer on the torch that Afina has here."""
    venv.create(folder, with_pip=True, clear=True)
    write_atomic(folder / "torch.txt", f"torch=={version('torch').partition('+')[0]}\n")
    python = str(folder / "bin" / "python")
    environment = dict(os.environ) | {"PIP_CONSTRAINT": str(folder / "torch.txt")}
    pip = [python, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "install", *peer.packages], env=environment, check=True)
    if peer.unwanted:
        subprocess.run([*pip, "uninstall", "--yes", *peer.unwanted], check=True)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    for module in peer.empty_modules:
        (Path(found.stdout.strip()) / module).mkdir()
        write_atomic(Path(found.stdout.strip()) / module / "__init__.py", "")


if __name__ == "__main__":
    main()
