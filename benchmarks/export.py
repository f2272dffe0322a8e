"""Exports in one streamed pass, against merging with PEFT, saving, converting and quantizing.

    python -m benchmarks.export --llama-cpp DIR [--to f16,q8_0,q4_k_m] [--size even|half|small]
        [--family Llama|Qwen2] [--rounds 3] [--json FILE]

A random model in bf16 with a LoRA on every layer. DIR holds llama.cpp's source, as
llama-cpp-python's source package does (vendor/llama.cpp). The peer way is the usual one: PEFT's
merge_and_unload in the model's own dtype, save_pretrained, convert_hf_to_gguf.py to f16, and
llama.cpp's quantizer (`llama-quantize` is a shell around it). "bytes" is no export: the same bytes
are read and written, and reach the disk. Each way runs in processes of its own, the ways taking
turns; ratios are of one run. Peak memory is the largest sum of resident sets of a way's processes;
temporary is the disk that it takes besides the result.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks import export_ways
from core.paths import ROOT

SIZES = {  # hidden, intermediate, layers, heads, key heads, rows
    "half": (896, 4864, 24, 14, 2, 151_936),  # Qwen2.5-0.5B, whose rows 256 doesn't divide
    "even": (1024, 4096, 24, 16, 8, 64_000),  # 0.5 B in rows that it does
    "small": (512, 1536, 8, 8, 4, 16_000),
}
POLL_S = 0.01


def main() -> int:
    parser = argparse.ArgumentParser(description="One pass, and the peer way.")
    parser.add_argument("--llama-cpp", type=Path)
    parser.add_argument("--to", default="f16,q8_0,q4_k_m")
    parser.add_argument("--size", choices=SIZES, default="even")
    parser.add_argument("--family", choices=("Llama", "Qwen2"), default="Llama")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work; about 6 GB for 0.5 B")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        parameters = export_ways.build(folder, options.family, SIZES[options.size])
        print(f"{options.family}, {parameters / 1e6:.0f} M parameters, medians of {options.rounds}")
        found = {to: measure(folder, to, options) for to in options.to.split(",")}
    for to, ways in found.items():
        print_table(to, ways)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 0


def measure(folder: Path, to: str, options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Each way's rounds to one type."""
    ways: dict[str, list[str]] = {
        "afina": ["afina", "--threads", "0"],
        "one thread": ["afina", "--threads", "1"],
        "bytes": ["copy"],
    }
    if options.llama_cpp:
        ways["peer"] = ["peer", "--llama-cpp", str(options.llama_cpp.resolve())]
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, words in ways.items():
            found[way].append(run(folder, [*words, "--to", to]))
    return found


def run(folder: Path, words: list[str]) -> dict[str, Any]:
    """One way, from the start of its process to its end."""
    out = folder / "out"
    out.mkdir()
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.export_ways", *words, "--folder", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    watch = Watch(process.pid, out)
    text, errors = process.communicate()
    seconds = time.perf_counter() - begin
    watch.stop()
    if process.returncode:
        raise SystemExit(f"{words} failed:\n{errors}")
    stages = json.loads(text.splitlines()[-1])
    result = sum(path.stat().st_size for path in out.glob("result*"))
    shutil.rmtree(out)
    return {
        "seconds": seconds,
        "peak_mib": watch.memory / 2**20,
        "temporary_mib": max(0, watch.disk - result) / 2**20,
        "result_mib": result / 2**20,
        "stages": stages,
    }


class Watch:
    """The most memory that a process and its children had at once, and disk in a folder."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.memory = self.disk = 0
        self._folder = folder
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        import psutil

        process = psutil.Process(self._pid)
        while not self._ended.wait(POLL_S):
            try:
                family = [process, *process.children(recursive=True)]
                self.memory = max(self.memory, sum(one.memory_info().rss for one in family))
                sizes = (path.stat().st_size for path in self._folder.rglob("*") if path.is_file())
                self.disk = max(self.disk, sum(sizes))
            except (psutil.NoSuchProcess, FileNotFoundError):
                continue


def print_table(to: str, ways: dict[str, list[dict[str, Any]]]) -> None:
    columns = ("seconds", "peak_mib", "temporary_mib")
    medians = {
        way: [statistics.median(row[column] for row in rows) for column in columns]
        for way, rows in ways.items()
    }
    print(f"\n{to}, {ways['afina'][0]['result_mib']:.0f} MiB")
    print(f"{'':<12}{'seconds':>9}{'x ours':>8}{'peak MiB':>10}{'x ours':>8}{'temporary MiB':>15}")
    seconds, peak, _ = medians["afina"]
    for way, (took, memory, temporary) in medians.items():
        print(
            f"{way:<12}{took:>9.2f}{took / seconds:>7.2f}x{memory:>10.0f}{memory / peak:>7.2f}x"
            f"{temporary:>15.0f}"
        )
        stages = {key: [row["stages"][key] for row in ways[way]] for key in ways[way][0]["stages"]}
        words = (f"{key} {statistics.median(values):.2f}" for key, values in stages.items())
        print(f"{'':<12}  {', '.join(words)}")


if __name__ == "__main__":
    raise SystemExit(main())
