"""Real tokens a second of training on a CPU, the peers beside Afina: interleaved, in one run.

    python -m benchmarks.train.speed                           8 M and 84 M parameters, both methods
    python -m benchmarks.train.speed --size 8M --method lora --rounds 1
    python -m benchmarks.train.speed --peers DIR               with LLaMA-Factory, see peers.py

Every way is a process of its own and trains the same random Llama on the same chats (a median of
about 70 tokens, log-normal), with as many tokens in a batch: 32 rows, or 4 bins of 512. Tokens are
real ones, never padding. Beside the wall clock stands the time of the processor, which others at
work on the machine hardly change. Losses of ways that see the same rows in the same order must
agree; those that pack see others.
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
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.train.base import Shape, write_base, write_chats
from benchmarks.train.meter import Task
from core.paths import ROOT

ROWS, BINS, MAX_LENGTH, LIMIT_S = 32, 4, 512, 900
SIZES = {
    "8M": Shape(hidden=256, layers=8, heads=8, kv_heads=4, intermediate=704),
    "84M": Shape(hidden=768, layers=10, heads=12, kv_heads=6, intermediate=2112),
}
RATES = {"lora": 2e-4, "full": 2e-5}


class Way(NamedTuple):
    """One way to train: its script, and how it is set."""

    name: str
    script: str
    packed: bool = False
    checkpointing: bool | None = None
    peer: str = ""  # the environment it runs in; "" is this one


WAYS = (
    Way("TRL as it comes", "trl_run"),
    Way("TRL packed, no checkpointing", "trl_run", packed=True, checkpointing=False),
    Way("LLaMA-Factory as it comes", "llamafactory_run", peer="llamafactory"),
    Way("LLaMA-Factory neat_packing", "llamafactory_run", packed=True, peer="llamafactory"),
    Way("the same, no checkpointing", "llamafactory_run", True, False, "llamafactory"),
    Way("axolotl as it comes", "axolotl_run", peer="axolotl"),
    Way("axolotl sample_packing", "axolotl_run", packed=True, peer="axolotl"),
    Way("olive, rows joined", "olive_run", packed=True, peer="olive"),  # knows LoRA only
    Way("Afina, rows", "afina_run"),
    Way("Afina, packed", "afina_run", packed=True),
)


def main() -> None:
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--size", choices=[*SIZES, "both"], default="both")
    words.add_argument("--method", choices=["lora", "full", "both"], default="both")
    words.add_argument("--steps", type=int, default=6)
    words.add_argument("--rounds", type=int, default=3, help="interleaved; the median counts")
    words.add_argument("--threads", type=int, default=0, help="of each way; 0 leaves it to them")
    words.add_argument("--peers", type=Path, help="folder that peers.py has filled")
    words.add_argument("--only", default="", help="parts of names, with commas; TRL always")
    options = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        rows = write_chats(home / "chats.jsonl")
        for size in SIZES if options.size == "both" else [options.size]:
            parameters = write_base(home / size, SIZES[size])
            for method in ["lora", "full"] if options.method == "both" else [options.method]:
                print(f"\n{method}, {parameters / 1e6:.1f} M parameters", flush=True)
                task = Task(
                    base=str(home / size),
                    rows=str(rows),
                    folder=str(home / "work"),
                    method=method,
                    packed=False,
                    batch=ROWS,
                    steps=options.steps,
                    max_length=MAX_LENGTH,
                    rank=8,
                    learning_rate=RATES[method],
                )
                print_table(measure(task, options))


def measure(task: Task, options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """What every way did in every round; a way that fails is told and left out."""
    measured: dict[str, list[dict[str, Any]]] = {}
    failed = set()
    for _ in range(options.rounds):
        for way in WAYS:
            parts = options.only.split(",")
            wanted = way is WAYS[0] or any(part in way.name for part in parts)
            there = not way.peer or (options.peers and (options.peers / way.peer).is_dir())
            if not wanted or not there or way.name in failed:
                continue
            rounds = measured.setdefault(way.name, [])
            try:
                rounds.append(train_way(way, _as_set(task, way), options.peers, options.threads))
            except subprocess.SubprocessError as error:
                failed.add(way.name)
                words = str(getattr(error, "output", "") or error).strip()[-300:]
                print(f"{way.name} failed: {words}", file=sys.stderr)
    return measured


def _as_set(task: Task, way: Way) -> Task:
    batch = BINS if way.packed else ROWS
    return task._replace(packed=way.packed, batch=batch, checkpointing=way.checkpointing)


def train_way(way: Way, task: Task, peers: Path | None, threads: int = 0) -> dict[str, Any]:
    """Runs a way in its environment; raises SubprocessError when it fails or takes too long."""
    folder = Path(task.folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "task.json").write_text(json.dumps(task._asdict()))
    python = str(peers / way.peer / "bin" / "python") if way.peer and peers else sys.executable
    environment = dict(os.environ) | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment |= {"PYTHONPATH": str(ROOT), "DO_NOT_TRACK": "1", "AXOLOTL_DO_NOT_TRACK": "1"}
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    script = Path(__file__).parent / "ways" / f"{way.script}.py"
    done = subprocess.run(
        [python, str(script), str(folder / "task.json")],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    lines = reversed(done.stdout.splitlines())
    line = next(line for line in lines if line.startswith('{"measured'))
    return json.loads(line)["measured"]


def print_table(measured: dict[str, list[dict[str, Any]]]) -> None:
    """A line for each way: medians over the rounds, and how much faster than TRL as it comes."""
    print(f"{'':30}{'tokens/s':>9}{'range':>15}{'':>8}{'per CPU s':>11}{'':>8}{'peak':>9}  loss")
    first: tuple[float, float] | None = None
    for name, rounds in measured.items():
        if not rounds:
            continue
        wall = sorted(one["tokens"] / one["wall_s"] for one in rounds)
        cpu = statistics.median(one["tokens"] / one["cpu_s"] for one in rounds)
        middle = statistics.median(wall)
        first = first or (middle, cpu)
        peak = max(one["peak_bytes"] for one in rounds) / 2**20
        losses = rounds[0]["losses"]
        mfu = rounds[0].get("mfu")
        print(
            f"{name:30}{middle:>9,.0f}{f'{wall[0]:,.0f}-{wall[-1]:,.0f}':>15}"
            f"{middle / first[0]:>7.2f}x{cpu:>11,.0f}{cpu / first[1]:>7.2f}x{peak:>6,.0f} MiB"
            f"  {losses[0]:.3f} to {losses[-1]:.3f}" + (f"  MFU {mfu:.0%}" if mfu else ""),
            flush=True,
        )


if __name__ == "__main__":
    main()
