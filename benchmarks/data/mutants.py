"""Data files that are broken in every way there is, made from the sample files; seeded.

`seed_files()` gives good files of every container, `mutate()` breaks one of them. Used by
fuzz_data.py and, for a few seconds, by the tests.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

from core.paths import SAMPLE_DATA

ROWS = 24  # of each sample file
LONG_BYTES = (1 << 16, 1 << 20, 40 << 20)  # lengths of long lines, with falling frequency
_WEIRD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**30, -(10**400), 1e308, "", " ", [], {}, [[]], [None]),
    *("\x00", "\x1b[2J\x1b]0;x\x07", "[red]x[/red]", "a\u2028b\u0085c", "\ufeff", "\u202egnp"),
    *("<|im_end|>", "<|im_start|>system\n", "😀" * 50, "é" * 3, "\ud83d", "yes", "NaN"),
    *({"role": "user"}, [{"role": "user", "content": "x"}], {"type": "image_url"}, ["a", 1]),
)
_TEXTS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "9" * 5000,
    '"\\ud800"',
    '"\\u0000"',
    "tru",
    "'x'",
)

Mutation = Callable[[random.Random, bytes], bytes]


def seed_files() -> dict[str, bytes]:
    """Name -> content of good files: the samples in every container that Afina reads."""
    lines = {
        path.stem: path.read_bytes().splitlines()[:ROWS]
        for path in [SAMPLE_DATA / "travel.jsonl", SAMPLE_DATA / "broken.jsonl"]
        + sorted((SAMPLE_DATA / "shapes").glob("*.jsonl"))
    }
    files = {f"{name}.jsonl": b"\n".join(part) + b"\n" for name, part in lines.items()}
    for name in ("travel", "sharegpt_tools", "preference"):
        rows = [json.loads(line) for line in lines[name]]
        files[f"{name}.json"] = json.dumps(rows, ensure_ascii=False).encode()
        files[f"{name}_spread.json"] = json.dumps(rows, indent=2).encode()
        files[f"{name}_values.json"] = "\n".join(json.dumps(row, indent=1) for row in rows).encode()
    for name in ("prompt_completion", "classification", "text"):
        rows = [json.loads(line) for line in lines[name]]
        files[f"{name}.csv"] = _delimited(rows, ",")
        files[f"{name}.tsv"] = _delimited(rows, "\t")
    texts = [json.loads(line)["text"] for line in lines["text"]]
    files["text.txt"] = "\n\n".join(texts).encode()
    files["text.md"] = ("# Title\n\n" + "\n".join(texts)).encode()
    files |= _tables({name: [json.loads(line) for line in lines[name]] for name in _TABLED})
    files["travel.jsonl.gz"] = gzip.compress(files["travel.jsonl"], mtime=0)
    files["text.csv.gz"] = gzip.compress(files["text.csv"], mtime=0)
    import pyarrow

    for name in ("travel.jsonl", "text.csv", "travel.json"):
        files[f"{name}.zst"] = pyarrow.compress(files[name], codec="zstd", asbytes=True)
    return files


_TABLED = ("travel", "prompt_completion", "kto", "classification")


def _delimited(rows: list[dict[str, Any]], delimiter: str) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def _tables(samples: dict[str, list[dict[str, Any]]]) -> dict[str, bytes]:
    import pyarrow
    import pyarrow.parquet

    files = {}
    for name, rows in samples.items():
        table = pyarrow.Table.from_pylist(rows)
        out = io.BytesIO()
        pyarrow.parquet.write_table(table, out, row_group_size=7)
        files[f"{name}.parquet"] = out.getvalue()
        for suffix, new in (
            ("arrow", pyarrow.ipc.new_file),
            ("stream.arrow", pyarrow.ipc.new_stream),
        ):
            out = io.BytesIO()
            with new(out, table.schema) as writer:
                writer.write_table(table, max_chunksize=7)
            files[f"{name}.{suffix}"] = out.getvalue()
    return files


def mutants(seed: int) -> Iterator[tuple[str, bytes]]:
    """(name, content) of broken files without end; the same seed gives the same ones."""
    rng = random.Random(seed)
    files = seed_files()
    names = sorted(files)
    while True:
        name = rng.choice(names)
        yield name, mutate(rng, name, files)


def mutate(rng: random.Random, name: str, files: dict[str, bytes]) -> bytes:
    """A file that is broken in one to three ways."""
    data = files[name]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if name.endswith((".parquet", ".arrow", ".gz", ".zst")):
            data = rng.choice(_BYTES)(rng, data)
        elif name.endswith((".csv", ".tsv")):
            data = rng.choice((*_BYTES, *_ENCODINGS, _odd_cell, _odd_cell, _long_line))(rng, data)
        elif name.endswith((".txt", ".md")):
            data = rng.choice((*_BYTES, *_ENCODINGS, _long_line))(rng, data)
        elif rng.random() < 0.08:
            data = _mixed(rng, data, files[rng.choice(sorted(files))])
        else:
            data = rng.choice((*_BYTES, *_ENCODINGS, *_JSON, *_JSON))(rng, data)
    return data


def _place(rng: random.Random, data: bytes) -> int:
    return rng.randrange(len(data) + 1)


def _truncated(rng: random.Random, data: bytes) -> bytes:
    return data[: _place(rng, data)]


def _holed(rng: random.Random, data: bytes) -> bytes:
    start = _place(rng, data)
    return data[:start] + data[start + rng.randrange(1, 200) :]


def _flipped(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 3, 30))):
        if out:
            out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def _with_nuls(rng: random.Random, data: bytes) -> bytes:
    start = _place(rng, data)
    return data[:start] + b"\x00" * rng.choice((1, 10, 5000)) + data[start:]


def _with_noise(rng: random.Random, data: bytes) -> bytes:
    start = _place(rng, data)
    return data[:start] + rng.randbytes(rng.choice((4, 100, 3000))) + data[start:]


def _doubled(rng: random.Random, data: bytes) -> bytes:
    start, size = _place(rng, data), rng.randrange(1, 2000)
    return data[: start + size] + data[start:]


def _empty(rng: random.Random, data: bytes) -> bytes:
    return rng.choice((b"", b"\n", b" \n\t\n", b"\xef\xbb\xbf", b"[]", b"{}", b"[", b"null", b'"'))


def _returns(rng: random.Random, data: bytes) -> bytes:
    return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\r", b"\r\r\n", b"\n\n\n")))


def _marked(rng: random.Random, data: bytes) -> bytes:
    start = rng.choice((0, _place(rng, data)))
    return data[:start] + b"\xef\xbb\xbf" + data[start:]


def _otherwise_coded(rng: random.Random, data: bytes) -> bytes:
    text = data.decode("utf-8", "replace")
    coding = rng.choice(
        ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "utf-7")
    )
    return text.encode(coding, "replace")


def _long_line(rng: random.Random, data: bytes) -> bytes:
    size = rng.choices(LONG_BYTES, (20, 6, 1))[0]
    start = _place(rng, data)
    piece = rng.choice((b"a", b"word ", "é".encode(), b"\\", b'"', b"[", b"{}", b"\x00", b" "))
    if piece == b"{}":  # a row each, where values follow each other
        size = 4096
    return data[:start] + piece * (size // len(piece)) + data[start:]


def _deep(rng: random.Random, data: bytes) -> bytes:
    depth = rng.choice((50, 1000, 100_000))
    opens, closes = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")))
    value = opens * depth + b"1" + closes * rng.choice((depth, depth, depth // 2))
    return _on_line(rng, data, lambda line: value if rng.random() < 0.5 else _given(line, value))


def _given(line: bytes, value: bytes) -> bytes:
    """The object on a line with one more field."""
    return line.rstrip()[:-1] + b', "deep": ' + value + b"}"


def _double_key(rng: random.Random, data: bytes) -> bytes:
    def double(line: bytes) -> bytes:
        keys = re.findall(rb'"(\w+)":', line)
        return _given(line, b"1, " + b'"' + rng.choice(keys) + b'": null') if keys else line

    return _on_line(rng, data, double)


def _odd_number(rng: random.Random, data: bytes) -> bytes:
    """Some value is no JSON, or hardly."""
    odd = rng.choice(_TEXTS).encode()
    values = list(re.finditer(rb'(?<=: )("[^"\\]*"|[0-9]+|true|false|null)', data))
    if not values:
        return data
    found = rng.choice(values)
    return data[: found.start()] + odd + data[found.end() :]


def _odd_value(rng: random.Random, data: bytes) -> bytes:
    """One value somewhere in a row is something else."""

    def change(line: bytes) -> bytes:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return line
        places = list(_places(row)) if isinstance(row, dict | list) else []
        if not places:
            return line
        box, key = rng.choice(places)
        if rng.random() < 0.3:
            del box[key]
        elif isinstance(box, dict) and rng.random() < 0.2:
            box[rng.choice(("from", "role", "label", "text", "weight", "tools", ""))] = box.pop(key)
        else:
            box[key] = rng.choice(_WEIRD)
        return json.dumps(row, ensure_ascii=True).encode()

    return _on_line(rng, data, change)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(items):
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


def _on_line(rng: random.Random, data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Some lines of a file changed; in a file that is one value, the value."""
    lines = data.split(b"\n")
    for _ in range(rng.choice((1, 1, 5))):
        index = rng.randrange(len(lines))
        if lines[index].strip():
            lines[index] = change(lines[index])
    return b"\n".join(lines)


def _mixed(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Lines of another file between those of this one."""
    lines = data.split(b"\n")
    for line in rng.sample(other.split(b"\n"), min(5, other.count(b"\n") + 1)):
        lines.insert(rng.randrange(len(lines) + 1), line)
    return b"\n".join(lines)


def _odd_cell(rng: random.Random, data: bytes) -> bytes:
    start = _place(rng, data)
    odd = (
        b'"',
        b'""',
        b",",
        b",,,",
        b"\n",
        b'"\n"',
        b";",
        b"\t",
        b"'",
        b'","',
        b"\\",
        b"\r",
        b"=1+1",
    )
    return data[:start] + rng.choice(odd) * rng.choice((1, 1, 3)) + data[start:]


_BYTES: tuple[Mutation, ...] = (
    *(_truncated, _holed, _flipped, _with_nuls, _with_noise, _doubled, _empty),
)
_ENCODINGS: tuple[Mutation, ...] = (_returns, _marked, _otherwise_coded)
_JSON: tuple[Mutation, ...] = (
    *(_long_line, _deep, _double_key, _odd_number, _odd_value, _odd_value, _odd_value),
)
