"""Edits and new files as the pane asks for them: a real worker and its answers."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.data.edit.editable import parse_row
from core.errors import AfinaError
from core.pipe import PipeWorker

Write = Callable[..., Path]


def chat(question: str, answer: str = "A") -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns}


ROWS: list[object] = [*(chat(f"Q{n}") for n in range(20)), {"messages": []}, chat("Q0")]


@pytest.fixture
def worker(
    write_rows: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PipeWorker]:
    monkeypatch.setenv("AFINA_HOME", str(tmp_path / "home"))
    with PipeWorker("data") as process:
        process.call("open", path=str(write_rows(ROWS)), recipe={"model": ""}, timeout=30)
        yield process


def rows_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_row_is_edited_as_yaml_and_an_edit_is_undone(worker: PipeWorker) -> None:
    text = worker.call("editable", row=3, timeout=30)["text"]
    assert parse_row(text) == ROWS[3]
    answer = worker.call("edit", row=3, text=text.replace("Q3", "¿Q?"), timeout=30)
    assert (answer["ok"], answer["problems"], answer["value"]) == (True, [], chat("¿Q?"))
    assert "¿Q?" in worker.call("editable", row=3, timeout=30)["text"]
    assert worker.call("pending", timeout=30)["edited"] == [3]
    answer = worker.call("edit", row=3, text=None, timeout=30)
    assert (answer["ok"], answer["value"]) == (True, ROWS[3])
    assert worker.call("pending", timeout=30)["edited"] == []


@pytest.mark.parametrize(
    ("text", "check", "words"),
    [
        ("messages:\n  - role: usr\n    content: x\n", "unrecognized_role", '"usr"'),
        ("messages: [", "invalid_json", "line 1"),
        ("just words", "not_an_object", "a single value"),
    ],
)
def test_a_wrong_edit_is_not_kept_and_says_why(
    worker: PipeWorker, text: str, check: str, words: str
) -> None:
    answer = worker.call("edit", row=0, text=text, timeout=30)
    assert not answer["ok"]
    assert (answer["problems"][0]["row"], answer["problems"][0]["check"]) == (1, check)
    assert words in answer["problems"][0]["found"]
    assert worker.call("pending", timeout=30)["edited"] == []


def test_an_edited_row_is_shown_as_it_is_to_be(
    worker: PipeWorker, tmp_path: Path, model: Path
) -> None:
    recipe = {"model": str(model)}
    worker.call("open", path=str(tmp_path / "rows.jsonl"), recipe=recipe, timeout=30)
    worker.call("survey", timeout=60)
    assert worker.call("show", row=21, timeout=30)["problems"][0]["check"] == "exact_duplicate"
    worker.call("edit", row=21, text=json.dumps(chat("¿Nueva?")), timeout=30)
    shown = worker.call("show", row=21, timeout=30)
    assert "¿Nueva?" in shown["text"]
    assert (json.loads(shown["raw"]), shown["problems"]) == (chat("¿Nueva?"), [])
    facts = worker.call("encode", rows=[0, 21], timeout=30)["facts"]
    assert ["edited" in fact for fact in facts] == [False, True]
    assert (facts[1]["first_words"], facts[1]["problems"]) == ("¿Nueva?", [])
    worker.call("open", path=str(tmp_path / "rows.jsonl"), recipe=recipe, timeout=30)
    assert worker.call("pending", timeout=30)["edited"] == [21]


def test_what_is_written_has_the_edits_and_lacks_the_drops(
    worker: PipeWorker, tmp_path: Path
) -> None:
    worker.call("edit", row=20, text='{"messages": [{"role": "user"}]}', timeout=30)
    worker.call("edit", row=1, text=json.dumps(chat("new")), timeout=30)
    assert worker.call("drop", rows=[2, 5, 99], on=True, timeout=30) == _done(dropped=2, edited=1)
    assert worker.call("drop", rows=[5], on=False, timeout=30) == _done(dropped=1, edited=1)
    out = tmp_path / "new.jsonl"
    fixes = ["drop_errors", "drop_duplicates"]
    report = worker.call("write", out=str(out), format="sharegpt", fixes=fixes, timeout=30)[
        "report"
    ]
    dropped = {"dropped_by_hand": [3], "missing_messages": [21], "exact_duplicate": [22]}
    assert (report["dropped"], report["edited"], report["rows"]) == (dropped, [2], 19)
    assert rows_of(out)[1]["conversations"][0] == {"from": "human", "value": "new"}
    with pytest.raises(AfinaError, match="already a file"):
        worker.call("write", out=str(out), timeout=30)
    with pytest.raises(AfinaError, match='no fix "drop_error"'):
        worker.call("write", out=str(out), fixes=["drop_error"], timeout=30)


def test_a_view_is_written_in_its_order(worker: PipeWorker, tmp_path: Path) -> None:
    view = tmp_path / "view"
    view.write_bytes(array("I", [7, 3]).tobytes())
    out = tmp_path / "new.jsonl"
    worker.call("write", out=str(out), format="same", fixes=[], view=str(view), timeout=30)
    assert rows_of(out) == [ROWS[7], ROWS[3]]


def test_rows_of_no_known_shape_are_edited_and_written(
    worker: PipeWorker, tmp_path: Path, write_rows: Write
) -> None:
    path = write_rows([{"foo": 1}, {"foo": 2}], "odd.jsonl")
    worker.call("open", path=str(path), recipe={"model": ""}, timeout=30)
    assert worker.call("edit", row=0, text="foo: 3", timeout=30)["ok"]
    out = tmp_path / "new.jsonl"
    worker.call("write", out=str(out), timeout=30)
    assert rows_of(out) == [{"foo": 3}, {"foo": 2}]
    with pytest.raises(AfinaError, match="no shape that Afina knows"):
        worker.call("write", out=str(tmp_path / "x.jsonl"), format="trl", timeout=30)


def test_edits_outlive_the_worker_and_are_not_in_a_split(
    worker: PipeWorker, tmp_path: Path
) -> None:
    worker.call("drop", rows=[4], on=True, timeout=30)
    with PipeWorker("data") as other:
        other.call("open", path=str(tmp_path / "rows.jsonl"), recipe={"model": ""}, timeout=30)
        assert other.call("pending", timeout=30) == _done(edited=[], dropped=[4], lost=0)
        answer = other.call("split", out_dir=str(tmp_path / "out"), eval=0.25, timeout=30)
    report = answer["report"]
    assert (report["rows"], report["pending"], report["reason"]) == (22, 1, "as asked for")
    both = rows_of(tmp_path / "out" / "train.jsonl") + rows_of(tmp_path / "out" / "eval.jsonl")
    assert len(both) == 22


def _done(**fields: Any) -> Any:
    """An answer whose other fields are those of the protocol."""
    return _Fields({"kind": "done", "end": True, **fields})


class _Fields(dict[str, Any]):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and all(other.get(key) == self[key] for key in self)

    __hash__ = None  # type: ignore[assignment]
