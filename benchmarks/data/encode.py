"""What rendering and the mask cost on top of the tokenizer alone.

    python -m benchmarks.data.encode [--rows N] [--rounds N] [--model DIR]

Chat rows of some 250 bytes and of 1 KB, of sentences from the sample data. The peer is
`tokenizers.encode_batch` on the same rendered texts, in turns with ours batch by batch, one thread
on each side, CPU seconds. "file" begins with the bytes of the row, "samples" with its messages.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ |= {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}

from tokenizers import Tokenizer as RawTokenizer

from core.data.encode.encoder import BATCH_ROWS, Encoder, walk_rows
from core.data.files.source import Source, open_source
from core.data.shapes.read import Reader
from core.paths import SAMPLE_DATA

KINDS = {"250 B": (1, 60), "1 KB": (2, 150)}  # turns by the user, characters of a message


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default=str(SAMPLE_DATA / "tiny-travel"))
    parser.add_argument("--template", help="a Jinja file or a built-in name")
    options = parser.parse_args()
    encoder = Encoder.load(options.model, 2048, chat_template=options.template)
    raw = RawTokenizer.from_file(str(Path(options.model) / "tokenizer.json"))
    print(f"{'rows':<8}{'bytes':>8}{'tokens':>8}{'alone':>12}{'file':>12}{'samples':>12}  overhead")
    with tempfile.TemporaryDirectory() as folder:
        for name, (turns, size) in KINDS.items():
            path = Path(folder) / "rows.jsonl"
            write(path, options.rows, turns, size)
            with open_source(path, cache=folder) as source:
                line(name, path.stat().st_size, source, encoder, raw, options.rounds)


def line(
    name: str, size: int, source: Source, encoder: Encoder, raw: RawTokenizer, rounds: int
) -> None:
    alone, file, samples, tokens = measure(source, encoder, raw, rounds)
    rows = len(source)
    shown = "".join(f"{seconds / rows * 1e6:>9.1f} µs" for seconds in (alone, file, samples))
    print(
        f"{name:<8}{size / rows:>8.0f}{tokens / rows:>8.0f}{shown}"
        f"  file {file / alone - 1:+.0%}, samples {samples / alone - 1:+.0%}"
    )


def measure(
    source: Source, encoder: Encoder, raw: RawTokenizer, rounds: int
) -> tuple[float, float, float, int]:
    """CPU seconds of the tokenizer alone, of ours from the file and of ours from samples; tokens.

    Each the sum over batches of the best of the rounds.
    """
    reader = Reader("chat")
    best: dict[tuple[str, int], float] = {}
    tokens = 0
    for turn in range(rounds):
        for start in range(0, len(source), BATCH_ROWS):
            rows = range(start, min(start + BATCH_ROWS, len(source)))
            walked = list(walk_rows(source, reader, encoder, rows))
            texts = [item.encoding.text for item in walked]
            kept = [item.sample for item in walked if item.sample is not None]
            tokens += sum(len(item.encoding.ids) for item in walked)
            ways: list[tuple[str, Callable[[], object]]] = [
                ("alone", lambda: raw.encode_batch(texts, add_special_tokens=False)),  # noqa: B023
                ("file", lambda: list(walk_rows(source, reader, encoder, rows))),  # noqa: B023
                ("samples", lambda: encoder.encode_many(kept)),  # noqa: B023
            ]
            for name, work in ways if turn % 2 else reversed(ways):
                key = name, start
                best[key] = min(best.get(key, 1e9), timed(work))
    totals = {name: sum(s for (way, _), s in best.items() if way == name) for name, _ in best}
    return totals["alone"], totals["file"], totals["samples"], tokens // rounds


def write(path: Path, rows: int, turns: int, size: int) -> None:
    random.seed(7)
    said = words()
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            messages = []
            for turn in range(turns):
                messages.append({"role": "user", "content": f"{number}.{turn} {cut(said, size)}?"})
                messages.append({"role": "assistant", "content": cut(said, 2 * size)})
            file.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")


def cut(said: list[str], size: int) -> str:
    """A stretch of the sample data of about so many characters."""
    start = random.randrange(len(said) - size)
    text = " ".join(said[start : start + size // 4])
    return text[:size].strip()


def words() -> list[str]:
    def texts() -> Iterator[str]:
        for path in (SAMPLE_DATA / "travel.jsonl", SAMPLE_DATA / "travel_eval.jsonl"):
            for row in path.read_text(encoding="utf-8").splitlines():
                for message in json.loads(row).get("messages", ()):
                    yield message["content"]

    return " ".join(texts()).split()


def timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
