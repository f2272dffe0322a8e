"""ONNX models streamed layer by layer, against the builder on a merged copy.

    python -m benchmarks.export_onnx [--to int4] [--size half|even|small] [--rounds 3] [--json FILE]

The random model of benchmarks/export.py. The peer way is the usual one: PEFT's merge_and_unload,
save_pretrained, and onnxruntime-genai's builder with the same options. Both make the same graph
with the same blocks of weights, but for the rounding of the merge to bf16.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import export_ways
from benchmarks.export import SIZES, Watch, print_table
from core.paths import ROOT

FAMILY = "Qwen2"


def main() -> int:
    parser = argparse.ArgumentParser(description="Layer by layer, and the builder.")
    parser.add_argument("--to", default="int4")
    parser.add_argument("--size", choices=SIZES, default="half")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work; about 6 GB for 0.5 B")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        WAYS[options.way](options.folder, options.to)
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        parameters = export_ways.build(folder, FAMILY, SIZES[options.size])
        print(f"{FAMILY}, {parameters / 1e6:.0f} M parameters, medians of {options.rounds}")
        found = {
            to: [{way: run(folder, way, to) for way in WAYS} for _ in range(options.rounds)]
            for to in options.to.split(",")
        }
    for to, rounds in found.items():
        print_table(to, {way: [one[way] for one in rounds] for way in WAYS})
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 0


def run(folder: Path, way: str, to: str) -> dict[str, Any]:
    """One way, from the start of its process to its end."""
    out = folder / "out"
    out.mkdir()
    begin = time.perf_counter()
    words = ["--way", way, "--folder", str(folder), "--to", to]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.export_onnx", *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    watch = Watch(process.pid, out)
    errors = process.communicate()[1]
    seconds = time.perf_counter() - begin
    watch.stop()
    if process.returncode:
        raise SystemExit(f"{way} failed:\n{errors}")
    result = sum(path.stat().st_size for path in (out / "result").rglob("*") if path.is_file())
    shutil.rmtree(out)
    return {
        "seconds": seconds,
        "peak_mib": watch.memory / 2**20,
        "temporary_mib": max(0, watch.disk - result) / 2**20,
        "result_mib": result / 2**20,
        "stages": {},
    }


def afina(folder: Path, to: str) -> None:
    from core.runs.target import Target
    from exporters.contract import Working
    from exporters.onnx.exporter import Onnx

    scratch = folder / "out/scratch"
    scratch.mkdir()
    base, adapter = str(folder / "base"), str(folder / "adapter")
    exporter = Onnx(Target("x", "hf", base, adapter=adapter, label="x"))
    working = Working(lambda *values: None, lambda: None, scratch, 1)
    exporter.write({to: folder / "out/result"}, working)


def builder(folder: Path, to: str) -> None:
    """A program after the other, as people run them."""
    from exporters.onnx.types import TYPES

    words = ["merge", "--folder", str(folder), "--to", to]
    subprocess.run([sys.executable, "-m", "benchmarks.export_ways", *words], check=True)
    out, chosen = folder / "out", TYPES[to]
    words = ["-i", str(out / "merged"), "-o", str(out / "result"), "-p", chosen.precision]
    words += ["-e", "cpu", "-c", str(out / "cache")]
    if chosen.options:
        words += ["--extra_options", *chosen.options]
    program = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    subprocess.run([*program, *words], check=True)


WAYS = {"afina": afina, "builder": builder}

if __name__ == "__main__":
    raise SystemExit(main())
