"""Export to f16 GGUF in one streamed pass, against merging with PEFT and saving first.

    python -m benchmarks.export [--hidden 768] [--layers 12] [--rounds 3]

A random Llama in bf16 with a LoRA on every layer. Each way runs in a process of its own, the ways
taking turns. "PEFT" is merge_and_unload, save_pretrained, and our writer over the merged folder,
which stands in for llama.cpp's converter. Peak memory is the process's largest resident set.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from core.paths import ROOT
from core.targets import Target

ROWS = 32_000
WAYS = ("afina", "peft")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(go(options.way, options.folder)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parameters = build(folder, options.hidden, options.layers)
        found = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way in WAYS:
                found[way].append(run(way, folder))
    print_table(found, parameters)
    return 0


def run(way: str, folder: Path) -> dict[str, float]:
    """One way in its own process: {"seconds", "work_seconds", "peak_mib", "temporary_mib"}."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.export", "--way", way, "--folder", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(done.stdout.splitlines()[-1])
    return measured | {"seconds": time.perf_counter() - begin}


def go(way: str, folder: Path) -> dict[str, float]:
    begin = time.perf_counter()
    temporary = 0
    if way == "afina":
        write(folder / "base", folder / "adapter", folder / "afina.gguf")
    else:
        merged = folder / "merged"
        merge_with_peft(folder, merged)
        temporary = sum(path.stat().st_size for path in merged.iterdir())
        write(merged, None, folder / "peft.gguf")
        shutil.rmtree(merged)
    return {
        "work_seconds": time.perf_counter() - begin,
        "peak_mib": peak_mib(),
        "temporary_mib": temporary / 2**20,
    }


def write(model: Path, adapter: Path | None, path: Path) -> None:
    from exporters.gguf.prepare import prepare
    from exporters.gguf.write import write_gguf

    target = Target("x", "hf", str(model), adapter=str(adapter) if adapter else None, label="x")
    write_gguf(prepare(target), {"f16": path}, lambda *values: None)


def merge_with_peft(folder: Path, merged: Path) -> None:
    """In float32, since merging in bf16 is 20 times less exact."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    model = PeftModel.from_pretrained(model, str(folder / "adapter")).merge_and_unload()
    model.save_pretrained(merged)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / "base" / name, merged / name)


def build(folder: Path, hidden: int, layers: int) -> int:
    """Writes base and adapter; returns how many parameters the base has."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=ROWS,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder / "base")
    write_tokenizer(folder / "base")
    tuned = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear"))
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    tuned.save_pretrained(folder / "adapter")
    return model.num_parameters()


def write_tokenizer(folder: Path) -> None:
    """Bytes and no merges: the weights are what is measured."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: place for place, letter in enumerate(["</s>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    template = "{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    settings = {"eos_token": "</s>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def peak_mib() -> float:
    """The largest resident set since this program began; getrusage would count its parent's."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def print_table(found: dict[str, list[dict[str, float]]], parameters: int) -> None:
    print(f"{parameters / 1e6:.0f} M parameters, medians of {len(found['afina'])} rounds")
    print(f"{'':<8}{'seconds':>10}{'of work':>10}{'peak MiB':>10}{'temporary MiB':>15}")
    columns = ("seconds", "work_seconds", "peak_mib", "temporary_mib")
    medians = {
        way: [statistics.median(row[column] for row in rows) for column in columns]
        for way, rows in found.items()
    }
    for way, (seconds, work, peak, temporary) in medians.items():
        print(f"{way:<8}{seconds:>10.1f}{work:>10.1f}{peak:>10.0f}{temporary:>15.0f}")
    ratios = [peer / ours for ours, peer in zip(*medians.values(), strict=True) if ours]
    print("ratio   " + "".join(f"{ratio:>9.1f}x" for ratio in ratios))


if __name__ == "__main__":
    raise SystemExit(main())
