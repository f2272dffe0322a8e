"""Exporters and a gate that do what a test says, for jobs that must be quick or come to an end.

    python -m tests.exporters.job.fake JOB STAGE

runs a job as its worker would, and hangs at a stage without ever asking whether it was cancelled.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import afina  # noqa: F401 - claims core and exporters
from core.errors import AfinaError
from core.paths import write_atomic
from core.runs.target import Target
from exporters import contract
from exporters.contract import PLAIN, Conversation, Item, Options, Seen, Working
from exporters.job import export, export_spec
from exporters.results import FAIL, PASS, WARN, Check, Result, file_path

SIZE = 100_000  # bytes of each export
STAGES = ("planning", "asking", "writing", "checking", "hashing")


class Fake:
    """Writes SIZE bytes of a type's first letter, as a file or as a folder of two."""

    KIND = "gguf"
    CHOICES = {
        "f16": "half",
        "q8_0": "eight",
        "bad": "can't be written",
        "wrong": "fails its check",
        "never": "is impossible",
    }
    stage = ""  # where it hangs
    version = "1"  # in what it writes
    writing: Callable[[Path], None] = lambda path: None  # called half-way

    def __init__(self, target: Target, options: Options = PLAIN) -> None:
        self.target = target
        self.notes = (f"{self.KIND} is fake",)
        hang("planning")

    def item(self, type_name: str, folder: Path) -> Item:
        if type_name == "never":
            raise AfinaError("It can't be.", "Leave it out.")
        path = file_path(folder, self.target, self.KIND, type_name)
        return Item(self.KIND, type_name, str(path), SIZE, path.exists(), [], 2 * SIZE, 3 * SIZE)

    def write(self, outputs: dict[str, Path], working: Working) -> None:
        self.notes += (f"wrote {', '.join(outputs)}",)
        for type_name, path in outputs.items():
            if type_name == "bad":
                raise AfinaError("It can't be written.", "Choose another.")
            data = (type_name[0] + Fake.version).encode() * (SIZE // 4)
            if self.KIND != "gguf":
                path.mkdir()
                path /= "weights"
                (path.parent / "config.json").write_text("{}")
            with open(path, "wb") as file:
                file.write(data)
                file.flush()
                working.progress(type_name, SIZE // 2, SIZE, "bytes")
                Fake.writing(path)
                hang("writing")
                file.write(data)

    def answering(self, type_name: str, path: Path, working: Working) -> Target:
        return Target(str(path), self.KIND, str(path))

    def seen(
        self,
        type_name: str,
        path: Path,
        texts: Sequence[str],
        conversations: Sequence[Conversation],
        check: Callable[[], None],
    ) -> Seen | None:
        return None


class FakeFolder(Fake):
    KIND = "merged"
    CHOICES = {"bf16": "half"}


class FakeBroken(Fake):
    KIND = "onnx"
    CHOICES = {"int4": "four"}

    def __init__(self, target: Target, options: Options = PLAIN) -> None:
        raise AfinaError("This model can't become ONNX.", "Choose GGUF.")


FAKES = {
    "gguf": f"{__name__}:Fake",
    "merged": f"{__name__}:FakeFolder",
    "onnx": f"{__name__}:FakeBroken",
}


def hang(stage: str) -> None:
    """Stays for ever, with a child that would stay too."""
    if Fake.stage == stage:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        write_atomic(Path(sys.argv[1]) / "child", str(child.pid))  # who sees it reads a number
        threading.Event().wait()


def ask(self: export.Export, *rest: Any) -> None:
    self.phase("asking the tuned model")
    hang("asking")


def compare(self: export.Export, exporter: Any, item: Item, path: Path) -> Result:
    hang("checking")
    if item.type == "wrong":
        check = Check("it", FAIL, "It babbles.", "Export again.")
        return Result(item.path, item.kind, item.type, 0, FAIL, checks=[check])
    checks = [Check("it", WARN, "It stammers.", "Listen.")] if item.type == "q8_0" else []
    return Result(item.path, item.kind, item.type, 0, WARN if checks else PASS, checks=checks)


def hashed(path: Path, on_block: Callable[[int], None] = lambda done: None) -> str:
    hang("hashing")
    return SHA256(path, on_block)


SHA256 = export.sha256_of


def install(patch: Callable[[Any, str, Any], Any]) -> None:
    """Puts the fakes in place, by a function such as setattr."""
    patch(contract, "EXPORTERS", FAKES)
    patch(export_spec, "EXPORTERS", FAKES)
    patch(export.Export, "ask", ask)
    patch(export.Export, "compare", compare)
    patch(export, "sha256_of", hashed)


if __name__ == "__main__":
    from tests.exporters.job import fake  # this file once more, as the exporters import it

    fake.install(setattr)
    fake.Fake.stage = sys.argv[2]
    from exporters.job import worker

    sys.exit(worker.main(sys.argv[1]))
