"""Rows encoded by several processes, and kept for the next run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.config import Config
from core.data.analysis.job import Subject
from core.data.encode.encoder import walk_rows
from core.data.files.source import open_source
from core.data.recipe import Recipe
from core.data.split import split_source
from core.train.loader import encode
from core.train.loader.encode import Encoding, encode_some, encode_source
from core.train.loader.encoded_cache import EncodedCache
from core.train.loader.mixture import Drawn
from core.train.loader.rows import Rows
from tests.core.train.conftest import TEMPLATE, Configure, chat_rows, write_rows

Open = Callable[..., Subject]
NEVER = 3600.0  # seconds that an encoding must have taken to be kept


def new(folder: Path, processes: int = 1, worth_s: float = 0.0) -> Encoding:
    """Encoding that keeps its tables in a folder."""
    return Encoding(processes, worth_s, EncodedCache(folder / "kept"))


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture
def opened() -> Iterator[Open]:
    """`opened(config)`: what is encoded for it."""
    sources = []

    def begin(config: Config) -> Subject:
        source = open_source(config.data.path)
        sources.append(source)
        recipe = Recipe.of(config)
        return Subject(source, recipe.reader(source), recipe.encoder(), recipe)

    yield begin
    for source in sources:
        source.close()


def one_by_one(subject: Subject, drawn: Drawn) -> Rows:
    """The rows as they are added one after the other."""
    rows = Rows()
    assert subject.encoder is not None
    times = drawn.times or [1] * len(drawn.rows)
    for place, item in enumerate(
        walk_rows(subject.source, subject.reader, subject.encoder, drawn.rows)
    ):
        rows.add(item.sample, item.encoding, subject.encoder, times[place])
    return rows


def as_values(rows: Rows) -> dict[str, Any]:
    values = dict(vars(rows), rejected=vars(rows.rejected))
    return values | {"digest": rows.digest(), "system": rows.system_prompt}


def _mixed_rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = chat_rows(150)
    system = {"role": "system", "content": "Be brief."}
    for place in range(0, 150, 3):
        rows[place]["messages"].insert(0, system)
    rows[20] = {"messages": [{"role": "user", "content": "Hm?"}]}
    rows[90]["messages"][-1]["content"] *= 9  # beyond max_length
    return rows


PAIRS = [
    {
        "prompt": [{"role": "user", "content": f"What on day {n}?"}],
        "chosen": [{"role": "assistant", "content": "soup " * (1 + n % 5)}],
        "rejected": [{"role": "assistant", "content": "figs " * (1 + n % 3)}],
    }
    for n in range(70)
]
JUDGED = [{**row, "completion": row["chosen"], "label": n % 3 > 0} for n, row in enumerate(PAIRS)]
CLASSES = [{"text": f"row {n} of many", "label": ("no", "yes", 3)[n % 3]} for n in range(70)]


@pytest.mark.parametrize(
    "rows",
    [
        _mixed_rows(),
        PAIRS,
        [{name: row[name] for name in ("prompt", "completion", "label")} for row in JUDGED],
        CLASSES,
    ],
    ids=["chat", "pairs", "judged", "classes"],
)
def test_a_table_gives_the_rows_that_one_after_the_other_give(
    rows: list[dict[str, Any]], opened: Open, configure: Configure, tmp_path: Path
) -> None:
    subject = opened(configure(f"data.path={write_rows(tmp_path / 'rows.jsonl', rows)}"))
    table = encode_source(subject, quiet, new(tmp_path))
    count = len(rows)
    for drawn in (
        Drawn(range(count)),
        Drawn(range(0, count, 3), [1 + place % 3 for place in range(0, count, 3)]),
        Drawn([]),
    ):
        assert as_values(table.rows(drawn)) == as_values(one_by_one(subject, drawn))
    split = split_source(subject.source, subject.reader, 0.2, 7)
    assert table.split(0.2, 7) == split
    some = encode_some(subject, split.eval, quiet).rows(Drawn(range(len(split.eval))))
    assert as_values(some) == as_values(one_by_one(subject, Drawn(split.eval)))


def test_several_processes_give_the_rows_that_one_gives(
    opened: Open, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(tmp_path / "rows.jsonl", _mixed_rows())
    subject = opened(configure(f"data.path={path}"))
    everything = Drawn(range(150))
    one = encode_source(subject, quiet, new(tmp_path, worth_s=NEVER)).rows(everything)
    monkeypatch.setattr(encode, "SHARD_BYTES", 1 << 10)
    said: list[tuple[int, int]] = []
    two = encode_source(subject, lambda *told: said.append(told), new(tmp_path, 2, NEVER))
    assert as_values(two.rows(everything)) == as_values(one)
    assert said == [(0, 150), (64, 150), (128, 150), (150, 150)]


def kept_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.rows"))


@pytest.fixture
def encoded_rows(
    opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[Config], int]:
    """How many rows are encoded for a configuration, that are not kept from before."""
    real, count = encode.encode_columns, 0

    def counted(source: Any, reader: Any, encoder: Any, rows: Any) -> Any:
        nonlocal count
        count += len(rows)
        return real(source, reader, encoder, rows)

    monkeypatch.setattr(encode, "encode_columns", counted)

    def load(config: Config) -> int:
        nonlocal count
        count = 0
        subject = opened(config)
        found = as_values(encode_source(subject, quiet, new(tmp_path)).rows(Drawn(range(24))))
        assert found == as_values(one_by_one(subject, Drawn(range(24))))
        return count

    return load


def test_rows_are_encoded_anew_once_what_decides_their_tokens_changed(
    encoded_rows: Callable[[Config], int], configure: Configure, tiny_model: Path, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "rows.jsonl", chat_rows(24))
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    words = [f"data.path={path}", f"model.name_or_path={model}"]
    assert encoded_rows(configure(*words)) == 24
    assert encoded_rows(configure(*words)) == 0
    # what decides nothing of it
    assert encoded_rows(configure(*words, "train.seed=9", "data.eval_fraction=0.3")) == 0
    copy = shutil.copy(path, tmp_path / "copy.jsonl")
    assert encoded_rows(configure(f"data.path={copy}", words[1])) == 0

    assert encoded_rows(configure(*words, "data.max_length=20")) == 24
    assert encoded_rows(configure(*words, "train.supervise=all")) == 24
    template = tmp_path / "own.jinja"
    template.write_text(TEMPLATE)
    own = f"data.chat_template={template}"
    assert encoded_rows(configure(*words, own)) == 24
    template.write_text(TEMPLATE.replace("<|end|>", "<|end|> "))
    assert encoded_rows(configure(*words, own)) == 24

    tokenizer = json.loads((model / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:-5]
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert encoded_rows(configure(*words)) == 24
    write_rows(path, [*chat_rows(23), *chat_rows(30)[29:]])
    assert encoded_rows(configure(*words)) == 24
    assert encoded_rows(configure(*words)) == 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_table_is_made_anew(
    damage: str,
    encoded_rows: Callable[[Config], int],
    configure: Configure,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = configure(f"data.path={write_rows(tmp_path / 'rows.jsonl', chat_rows(24))}")
    assert encoded_rows(config) == 24
    (kept,) = kept_files(tmp_path)
    whole = kept.read_bytes()
    kept.write_bytes(
        {
            "cut": whole[:-9],
            "flipped": whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:],
            "empty": b"",
            "other": b"x" * len(whole),
        }[damage]
    )
    assert encoded_rows(config) == 24
    assert "is damaged" in caplog.text
    assert kept.read_bytes() == whole
    assert encoded_rows(config) == 0


def test_tables_that_were_not_used_for_long_make_room(
    opened: Open, configure: Configure, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    paths = [write_rows(tmp_path / f"{n}.jsonl", chat_rows(24 + n)) for n in range(3)]
    subjects = [opened(configure(f"data.path={path}")) for path in paths]
    encode_source(subjects[0], quiet, Encoding(1, 0.0, EncodedCache(folder)))
    (first,) = folder.iterdir()
    room = EncodedCache(folder, 5 * first.stat().st_size // 2)
    encode_source(subjects[1], quiet, Encoding(1, 0.0, room))
    for age, path in enumerate(sorted(folder.iterdir(), key=lambda path: path == first)):
        os.utime(path, (1000 - age, 1000 - age))  # the first one is the older
    encode_source(subjects[0], quiet, Encoding(1, 0.0, room))  # used again
    encode_source(subjects[2], quiet, Encoding(1, 0.0, room))
    assert first in folder.iterdir()
    assert len(list(folder.iterdir())) == 2


def test_a_home_that_can_not_be_written_is_no_reason_to_fail(
    opened: Open, configure: Configure, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    how = Encoding(1, 0.0, EncodedCache(tmp_path / "file" / "below"))
    assert len(encode_source(opened(configure()), quiet, how)) == 40


def test_what_is_encoded_in_no_time_is_not_kept(
    opened: Open, configure: Configure, tmp_path: Path
) -> None:
    encode_source(opened(configure()), quiet, new(tmp_path, worth_s=NEVER))
    assert kept_files(tmp_path) == []


def test_rows_that_are_released_keep_their_counts(opened: Open, configure: Configure) -> None:
    rows = encode_source(opened(configure()), quiet).rows(Drawn(range(40)))
    before = (len(rows), rows.tokens, rows.longest, rows.highest_id)
    rows.release()
    assert len(rows.ids) == len(rows.labels) == 0
    assert (len(rows), rows.tokens, rows.longest, rows.highest_id) == before
