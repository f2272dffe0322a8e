"""GGUF beside ONNX on one CPU: speed, size, memory, and how far each is from the float32 model.

    python -m benchmarks.formats [--models 15m,125m,500m] [--formats gguf:q4_k_m,onnx:int4]
                                 [--rounds 3] [--threads N] [--model DIR]

Random models of common shapes, or one of your own. Every format is written by Afina's exporters and
answers in Afina's chat worker, one process each, the formats taking turns. The same ids go to all:
a prompt of 512 tokens for the prompt's speed, one of 32 for the time to the first token, and 128
tokens after it for the speed of decoding. KL is over 255 tokens of random text against
transformers in float32; random weights are the worst case for quantization. Peak memory is the
process's largest resident set, mapped files included.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.export_ways import write_tokenizer
from core.chat.client import ModelClient
from core.chat.protocol import Sampling
from core.errors import AfinaError
from core.runs.target import Target
from exporters.contract import Working, exporter_class
from exporters.parity.distributions import Expected, Passage, divergences, expected

FORMATS = (
    "gguf:f16",
    "gguf:q8_0",
    "gguf:q4_k_m",
    "onnx:fp32",
    "onnx:int8",
    "onnx:int4",
    "onnx:int4-quality",
)
ORIGINAL = "transformers:f32"
SHAPES: dict[str, tuple[str, dict[str, int]]] = {  # the class in transformers, its sizes
    "15m": (
        "Llama",
        {
            "vocab_size": 32_000,
            "hidden_size": 256,
            "intermediate_size": 768,
            "num_hidden_layers": 8,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        },
    ),
    "125m": (
        "Llama",
        {
            "vocab_size": 32_000,
            "hidden_size": 768,
            "intermediate_size": 2560,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "num_key_value_heads": 12,
        },
    ),
    "500m": (  # Qwen2.5-0.5B's, whose rows are not multiples of 256
        "Qwen2",
        {
            "vocab_size": 151_936,
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
        },
    ),
}
LONG, SHORT, DECODED, READ = 512, 32, 128, 256  # tokens
BYTES = 256  # tokens of the random models' tokenizer that are single bytes, from 1 on
COLUMNS = {  # name: decimals
    "size MB": 1,
    "decode tokens/s": 1,
    "prompt tokens/s": 0,
    "first token ms": 0,
    "load s": 2,
    "peak MiB": 0,
    "KL": 4,
}
Row = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description="GGUF beside ONNX on one CPU")
    parser.add_argument("--models", default=",".join(SHAPES))
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--model", type=Path, help="a model folder in place of the random ones")
    options = parser.parse_args()
    formats = options.formats.split(",")
    names = [str(options.model)] if options.model else options.models.split(",")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            model = options.model or Path(folder) / "model"
            if not options.model:
                build(name, model)
            print_table(*go(model, formats, Path(folder), options))
    return 0


def go(
    model: Path, formats: list[str], folder: Path, options: argparse.Namespace
) -> tuple[str, dict[str, Row]]:
    """Writes every format, then lets them answer in turns; a title and the medians of each."""
    original = Target(str(model), "hf", str(model), label="model")
    targets, sizes = {ORIGINAL: original}, {ORIGINAL: bytes_of(model)}
    for word in formats:
        try:
            targets[word] = write(word, original, folder, options.threads)
            sizes[word] = bytes_of(Path(targets[word].model))
        except AfinaError as error:
            print(f"{word}: {error}")
    ids = words(model) if options.model else chances()
    passage = Passage(ids[:READ], list(range(1, READ)))
    found: dict[str, dict[str, list[float]]] = {word: defaultdict(list) for word in targets}
    reference: Expected | None = None
    parameters = 0
    for _ in range(options.rounds):
        for word, target in targets.items():
            with ModelClient(target, device="cpu", threads=options.threads) as client:
                loaded = client.load()
                row = speeds(client, ids) | {"load s": loaded.load_s, "peak MiB": peak_mib(client)}
                if reference is None:
                    parameters = loaded.parameters or 0
                    reference = expected(client, passage, folder / "log_p.npy")
                if not found[word]["KL"]:
                    read = expected(client, passage, folder / "log_p.npy")
                    row["KL"] = float(divergences(reference, read).mean())
            for column, value in row.items():
                found[word][column].append(value)
    medians = {
        word: {"size MB": sizes[word] / 1e6}
        | {column: statistics.median(values) for column, values in columns.items()}
        for word, columns in found.items()
    }
    title = (
        f"{parameters / 1e6:.0f} M parameters, {options.threads} threads, "
        f"medians of {options.rounds} rounds"
    )
    return title, medians


def write(word: str, original: Target, folder: Path, threads: int) -> Target:
    """Exports one format; what answers as it."""
    kind, _, type_name = word.partition(":")
    path = folder / word.replace(":", "-")
    if kind == "gguf":
        path = path.with_suffix(".gguf")
    exporter = exporter_class(kind)(original)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        working = Working(lambda *values: None, lambda: None, Path(scratch), threads)
        exporter.write({type_name: path}, working)
        return exporter.answering(type_name, path, working)


def speeds(client: ModelClient, ids: list[int]) -> Row:
    """One process: warmed up, then a long prompt, then a short one with an answer; no speed (nan)
    where a model stops at once.
    """
    generate(client, ids[-16:], 8)
    long = generate(client, ids[:LONG], 1)
    short = generate(client, ids[LONG : LONG + SHORT], DECODED)
    return {
        "decode tokens/s": short.tokens_per_s or math.nan,
        "prompt tokens/s": LONG / long.first_token_s,
        "first token ms": 1000 * short.first_token_s,
    }


def generate(client: ModelClient, ids: list[int], count: int) -> Any:
    return client.generate(ids=ids, sampling=Sampling(temperature=0.0, max_tokens=count))


def chances() -> list[int]:
    """Ids for a random model: bytes at random."""
    chance = random.Random(0)
    return [chance.randint(1, BYTES) for _ in range(LONG + SHORT + 16)]


def words(model: Path) -> list[int]:
    """Ids for a model of one's own: some words at random."""
    from core.data.encode.tokenizer import Tokenizer

    chosen = ("the", "sea", "is", "warm", "in", "may", "old", "boats", "wait", "for", "people")
    count = LONG + SHORT + 16
    text = " ".join(random.Random(0).choices(chosen, k=4 * count))
    return Tokenizer.load(model).encode(text).ids[:count]


def build(name: str, folder: Path) -> None:
    """A random model that never stops by itself: its stop token's logit is 0, never the largest.

    Layers and logits are as loud as in trained models, so that a wrong weight shows.
    """
    import torch
    import transformers

    kind, sizes = SHAPES[name]
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        **sizes,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    model = getattr(transformers, f"{kind}ForCausalLM")(config)
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            if parameter.dim() == 2:
                parameter.mul_(2.0)
        model.model.norm.weight.mul_(3.0 / (0.02 * config.hidden_size**0.5))
        model.model.embed_tokens.weight[0] = 0.0
    model.to(torch.bfloat16).save_pretrained(folder)
    write_tokenizer(folder, config.vocab_size)


def bytes_of(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def peak_mib(client: ModelClient) -> float:
    """The largest resident set of the worker since it began (Linux)."""
    status = Path(f"/proc/{client.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def print_table(title: str, medians: dict[str, Row]) -> None:
    """A table that the documentation can hold as it is."""
    print(f"\n{title}\n")
    print(f"| {'format':<18} | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for word, row in medians.items():
        cells = [
            f"{row[column]:,.{decimals}f}".rjust(len(column))
            for column, decimals in COLUMNS.items()
        ]
        print(f"| {word:<18} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
