"""Writes every data set of `sample_data/`: `python -m sample_data.build.make_datasets`.

Needs Python, and `tokenizers` for the rows of token ids. The same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from pathlib import Path
from typing import Any

from sample_data.build.broken_rows import broken_lines
from sample_data.build.shape_rows import shapes
from sample_data.build.style_rows import eval_rows, travel_rows

SEED = 11
SAMPLE_DATA = Path(__file__).parents[1]


def make_datasets(out: Path, seed: int = SEED) -> None:
    """Writes all files under `out`, making its folders."""
    (out / "shapes").mkdir(parents=True, exist_ok=True)
    _write(out / "travel.jsonl", travel_rows(random.Random(seed)))
    _write(out / "travel_eval.jsonl", eval_rows(random.Random(seed + 1)))
    for name, rows in shapes(random.Random(seed + 2)).items():
        if name == "template":
            _write_columns(out / "shapes" / f"{name}.csv", rows)
        else:
            _write(out / "shapes" / f"{name}.jsonl", rows)
    lines = broken_lines()
    (out / "broken.jsonl").write_bytes(b"".join(line + b"\n" for _, line in lines))
    expected = {str(row): check for row, (check, _) in enumerate(lines, 1) if check}
    (out / "broken.expected.json").write_text(json.dumps(expected, indent=2) + "\n", "utf-8")


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="\n")


def _write_columns(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SAMPLE_DATA, help="folder to write to")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    make_datasets(options.out, options.seed)


if __name__ == "__main__":
    main()
