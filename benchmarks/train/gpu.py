"""Training on a GPU, with random weights in bfloat16: tokens a second, MFU, peak memory.

    python -m benchmarks.train.gpu                              0.5 B, 1.5 B and 8 B
    python -m benchmarks.train.gpu --shape 8B --method lora --steps 4

Full tuning where it fits, LoRA, and QLoRA of the largest, each beside TRL as it comes, TRL packed
with sdpa, and Unsloth where --peers has an environment of it. Batches hold 16,384 tokens: 8 bins
of 2,048, or as many rows. MFU is by core/plan/flops.py over the best product of two matrices that
this GPU shows. Everything together is meant to take less than ten minutes of an H100.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.train.base import Shape, write_base, write_chats
from benchmarks.train.meter import Task
from benchmarks.train.speed import Way, train_way

MAX_LENGTH, BINS = 2048, 8
WORDS = 5.3  # exp of it: the median words of a chat, some 300 tokens
TOKENS_A_ROW = 340.0
SHAPES = {  # as Qwen2.5's 0.5 B and 1.5 B and Llama 3.1's 8 B, with the head tied
    "0.5B": Shape(896, 24, 14, 2, 4864, 151_936),
    "1.5B": Shape(1536, 28, 12, 2, 8960, 151_936),
    "8B": Shape(4096, 32, 32, 8, 14_336, 128_256),
}
METHODS = {  # method, quantization, checkpointing of Afina and of TRL packed
    "0.5B": (("full", "none", False), ("lora", "none", False)),
    "1.5B": (("full", "none", False), ("lora", "none", False)),
    "8B": (("lora", "none", True), ("lora", "nf4", True)),
}
RATES = {"lora": 2e-4, "full": 2e-5}


class Options(NamedTuple):
    """What the command line says."""

    steps: int
    peers: Path | None
    threads: int = 0


def main() -> None:
    import torch

    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--shape", choices=[*SHAPES, "all"], default="all")
    words.add_argument("--method", choices=["full", "lora", "all"], default="all")
    words.add_argument("--steps", type=int, default=6)
    words.add_argument("--peers", type=Path, help="folder with an environment `unsloth`")
    words.add_argument("--only", default="", help="ways whose name holds this")
    words.add_argument("--json", type=Path, help="write the figures to this file too")
    chosen = words.parse_args()
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU here; `python -m benchmarks.train.speed` measures a CPU.")
    peak = gemm_peak()
    name = torch.cuda.get_device_name()
    print(f"{name}: {peak / 1e12:,.0f} TFLOP/s in bfloat16 products, torch {torch.__version__}")
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        rows = write_chats(home / "chats.jsonl", WORDS)
        for size in SHAPES if chosen.shape == "all" else [chosen.shape]:
            base = home / size
            started = time.perf_counter()
            parameters = write_base(base, SHAPES[size])
            torch.cuda.empty_cache()
            spent = time.perf_counter() - started
            print(f"\n{size}: {parameters / 1e9:.2f} B parameters, written in {spent:.0f} s")
            for method, quantization, checkpointing in METHODS[size]:
                if chosen.method not in (method, "all"):
                    continue
                task = Task(
                    base=str(base),
                    rows=str(rows),
                    folder=str(home / "work"),
                    method=method,
                    packed=True,
                    batch=BINS,
                    steps=chosen.steps,
                    max_length=MAX_LENGTH,
                    rank=16,
                    learning_rate=RATES[method],
                    quantization=quantization,
                    checkpointing=checkpointing,
                )
                options = Options(chosen.steps, chosen.peers)
                found += compare(task, options, chosen.only, peak)
                if chosen.json:
                    chosen.json.write_text(json.dumps(found, indent=1))


def ways(task: Task) -> list[tuple[Way, Task]]:
    """Every way with the task as it takes it; TRL as it comes pads rows of as many tokens."""
    rows = task._replace(
        packed=False, batch=round(BINS * MAX_LENGTH / TOKENS_A_ROW), checkpointing=None
    )
    return [
        (Way("Afina, packed", "afina_run"), task),
        (Way("TRL packed, sdpa", "trl_run"), task),
        (Way("TRL as it comes", "trl_run"), rows),
        (Way("Unsloth, packed", "unsloth_run", peer="unsloth"), task),
    ]


def compare(task: Task, options: Options, only: str, peak: float) -> list[dict[str, Any]]:
    """Prints a line for each way; returns the figures."""
    quantized = "" if task.quantization == "none" else f", {task.quantization}"
    print(f"{task.method}{quantized}", flush=True)
    found = []
    for way, its in ways(task):
        if only not in way.name:
            continue
        if way.peer and not (options.peers and (options.peers / way.peer).is_dir()):
            continue
        try:
            one = train_way(way, its, options.peers, options.threads)
        except (subprocess.SubprocessError, LookupError) as error:
            words = str(getattr(error, "output", "") or error).strip()[-300:]
            print(f"  {way.name:20} failed: {words}", flush=True)
            continue
        speed = one["tokens"] / one["wall_s"]
        one |= {"way": way.name, "base": Path(task.base).name, "method": task.method}
        one |= {"quantization": task.quantization, "mfu_here": speed * needed(its) / peak}
        found.append(one)
        wait = one.get("data_wait")
        print(
            f"  {way.name:20}{speed:>9,.0f} tokens/s  MFU {one['mfu_here']:>4.0%}"
            f"{one['peak_bytes'] / 2**30:>7.1f} GiB  loss {statistics.mean(one['losses']):.3f}"
            + ("" if wait is None else f"  data-wait {wait:.1%}"),
            flush=True,
        )
    return found


def needed(task: Task) -> float:
    """Operations that a real token needs, checkpointing and padding left out; every logit counts.

    Rows are taken to be of their mean length.
    """
    from benchmarks.train.ways.afina_run import words
    from core.config import config_io
    from core.plan.flops import Batch, step_flops
    from core.plan.model_shape import read_shape

    config = config_io.parse("", words(task._replace(checkpointing=False)))
    batch = Batch.of_rows(1e6, TOKENS_A_ROW)
    return step_flops(read_shape(Path(task.base)), config, batch).needed / 1e6


def gemm_peak(size: int = 8192, rounds: int = 30) -> float:
    """The best floating-point operations a second of a bfloat16 product of two square matrices."""
    import torch

    left = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    right = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    best = 0.0
    for _ in range(rounds):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(4):
            torch.mm(left, right)
        torch.cuda.synchronize()
        best = max(best, 4 * 2 * size**3 / (time.perf_counter() - started))
    del left, right
    torch.cuda.empty_cache()
    return best


if __name__ == "__main__":
    main()
