"""How fast data is opened, read, checked and encoded.

    python benchmarks/data.py [--rows N] [--model DIR]

Writes chat rows of some 250 bytes to a temporary file. The peer of encoding is the tokenizer alone
on the same rendered texts.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core.data.encode.encoder import BATCH_ROWS, Encoder, encode_rows
from core.data.files.source import begin_source
from core.data.shapes.read import Reader
from core.data.survey.passes import examine_form
from core.paths import SAMPLE_DATA

TEXT = "where should I eat in Rome near the market with friends on a warm evening in May"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--encoded", type=int, default=5_000, help="rows that are encoded")
    parser.add_argument("--model", default=str(SAMPLE_DATA / "tiny-travel"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write(path, options.rows)
        print(f"{options.rows:,} rows, {path.stat().st_size / 1e6:.0f} MB")
        measure(path, options)


def measure(path: Path, options: argparse.Namespace) -> None:
    source = begin_source(path)
    seconds = timed(source.index)
    line("index", f"{seconds:.3f} s", f"{len(source) / seconds:,.0f} rows/s")
    places = [random.randrange(len(source)) for _ in range(10_000)]
    seconds = timed(lambda: [source.row(place) for place in places])
    line("random row", f"{seconds / len(places) * 1e6:.1f} µs")
    seconds = timed(lambda: examine_form(source, Reader("chat"), range(len(source))))
    line("checks of form", f"{seconds:.2f} s", f"{len(source) / seconds:,.0f} rows/s")
    if not Path(options.model, "tokenizer.json").exists():
        print(f"no tokenizer in {options.model}: encoding not measured")
        return
    encoder, rows = Encoder.load(options.model, 512), range(min(options.encoded, len(source)))
    encodings = list(encode_rows(source, Reader("chat"), encoder, rows))
    tokens = sum(len(encoding.ids) for encoding in encodings)
    seconds = timed(lambda: sum(1 for _ in encode_rows(source, Reader("chat"), encoder, rows)))
    line(
        "encode with mask",
        f"{len(rows) / seconds:,.0f} rows/s",
        f"{tokens / seconds:,.0f} tokens/s",
    )
    texts = [encoding.text for encoding in encodings]
    batches = [texts[at : at + BATCH_ROWS] for at in range(0, len(texts), BATCH_ROWS)]
    alone = timed(lambda: [encoder.tokenizer.encode_many(batch) for batch in batches])
    line(
        "tokenizer alone", f"{len(rows) / alone:,.0f} rows/s", f"overhead {seconds / alone - 1:.0%}"
    )


def write(path: Path, rows: int) -> None:
    random.seed(7)
    words = TEXT.split()
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            said = [" ".join(random.choices(words, k=size)) for size in (8, 24)]
            messages = [
                {"role": "user", "content": f"{number} {said[0]}?"},
                {"role": "assistant", "content": said[1]},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def line(name: str, *values: str) -> None:
    print(f"{name:<18}" + "".join(f"{value:>22}" for value in values))


if __name__ == "__main__":
    main()
