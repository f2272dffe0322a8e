"""The data worker, as the pane uses it: a real process, its answers and its manners."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.data.encode.encoder import Encoder, encode_rows
from core.data.files.source import open_source
from core.data.shapes.read import Reader
from core.errors import AfinaError
from core.pipe import PipeWorker

pytestmark = pytest.mark.usefixtures("home")
Write = Callable[..., Path]
ROWS: list[object] = [
    {
        "messages": [
            {"role": "user", "content": f"Question {n} \x1b[31m [b]?"},
            {"role": "assistant", "content": "Answer " * (n % 7) + "😀"},
        ]
    }
    for n in range(400)
]


@pytest.fixture
def worker() -> Iterator[PipeWorker]:
    with PipeWorker("data") as process:
        yield process


@pytest.fixture
def path(write_rows: Write) -> Path:
    return write_rows([*ROWS, {"messages": [{"role": "usr", "content": "x"}]}])


def recipe(model: Path, max_length: int | None = None) -> dict[str, Any]:
    return {"model": str(model), "max_length": max_length}


def test_opening_tells_the_shape_and_the_model(worker: PipeWorker, path: Path, model: Path) -> None:
    answer = worker.call("open", path=str(path), recipe=recipe(model, 64), timeout=30)
    assert answer["kind"] == "opened"
    assert (answer["rows"], answer["shape"], answer["layout"]) == (401, "chat", "lines")
    assert answer["share"] == 1.0
    assert answer["refusal"] is None
    assert answer["model"]["generation_markers"]
    assert answer["model"]["stop_tokens"] == ["<|endoftext|>", "<|im_end|>"]


def test_facts_and_the_token_view_are_those_of_the_trainers_encoding(
    worker: PipeWorker, path: Path, model: Path
) -> None:
    worker.call("open", path=str(path), recipe=recipe(model, 30), timeout=30)
    encoder = Encoder.load(model, 30)
    expected = list(encode_rows(open_source(path), Reader("chat"), encoder))
    facts = worker.call("encode", rows=[0, 6, 400, 999], timeout=30)["facts"]
    assert [fact["index"] for fact in facts] == [0, 6, 400]
    for fact in facts:
        encoding = expected[fact["index"]]
        assert fact["tokens"] == len(encoding.ids) + encoding.truncated_tokens
        assert fact["supervised"] == encoding.supervised_tokens
        assert fact["problems"] == list(dict.fromkeys(item.check for item in encoding.problems))
    assert facts[0]["first_words"] == "Question 0 \x1b[31m [b]?"
    assert facts[0]["turns"] == 2
    assert (facts[2]["severity"], facts[2]["problems"]) == ("error", ["unrecognized_role"])
    shown = worker.call("show", row=6, timeout=30)
    encoding = expected[6]
    assert (shown["ids"], shown["supervised"]) == (encoding.ids, encoding.supervised)
    assert shown["truncated_tokens"] == encoding.truncated_tokens > 0
    assert "".join(shown["pieces"]) == shown["text"][: shown["cut_at"]]
    assert [segment[0] for segment in shown["segments"]] == ["user", "assistant"]
    assert shown["problems"][0]["row"] == 7
    broken = worker.call("show", row=400, timeout=30)
    assert broken["ids"] == []
    assert '"usr"' in broken["raw"]
    with pytest.raises(AfinaError, match="no row 402"):
        worker.call("show", row=401, timeout=30)


def test_a_survey_grows_to_its_last_numbers(worker: PipeWorker, path: Path, model: Path) -> None:
    worker.call("open", path=str(path), recipe=recipe(model, 64), timeout=30)
    told: list[dict[str, Any]] = []
    last = worker.call("survey", timeout=30, on_message=told.append)
    done = [(message["phase"], message["done"]) for message in told]
    phases = ["form", "tokens", "near"]
    assert done == sorted(done, key=lambda item: (phases.index(item[0]), item[1]))
    assert (last["phase"], last["done"], last["total"]) == ("near", 401, 401)
    assert (last["stats"]["rows"], last["stats"]["empty"]) == (401, 1)
    assert sum(last["stats"]["histogram"]) == 400
    assert last["errors"] == 1
    assert last["counts"]["unrecognized_role"] == 1
    found = worker.call("problems", start=0, limit=1000, timeout=30)
    assert len(found["problems"]) == found["total"]
    severities = [item["severity"] for item in found["problems"]]
    assert severities.count("warning") == last["warnings"]
    rows = [item["row"] for item in found["problems"] if item["check"] == "unrecognized_role"]
    assert rows == [401]
    named = worker.call("problems", check="unrecognized_role", start=0, limit=5, timeout=30)
    assert (named["total"], named["problems"][0]["field"]) == (1, "messages[0].role")
    again = worker.call("survey", timeout=30)
    assert (again["counts"], again["stats"]) == (last["counts"], last["stats"])


def test_what_rows_have_in_common_is_told_with_each_of_them(
    worker: PipeWorker, write_rows: Write, model: Path
) -> None:
    rows = [{"prompt": f"Question {n}?", "completion": "Yes."} for n in range(20)]
    path = write_rows([*rows, rows[3]])
    worker.call("open", path=str(path), recipe=recipe(model), timeout=30)
    assert worker.call("encode", rows=[20], timeout=30)["facts"][0]["problems"] == []
    held = write_rows([{"prompt": "Question 9?", "completion": "Yes."}], "held.jsonl")
    worker.call("survey", timeout=30)
    fact = worker.call("encode", rows=[20], timeout=30)["facts"][0]
    assert (fact["problems"], fact["severity"]) == (["exact_duplicate"], "warning")
    shown = worker.call("show", row=20, timeout=30)["problems"]
    assert [item["found"] for item in shown] == ["the same content as row 4"]
    assert worker.call("seek", row=0, step=1, timeout=30)["row"] == 20
    assert worker.call("seek", row=20, step=1, timeout=30)["row"] is None
    assert worker.call("seek", row=20, step=-1, timeout=30)["row"] is None
    last = worker.call("survey", eval_path=str(held), timeout=30)
    assert last["counts"]["train_eval_leak"] == 1
    assert worker.call("seek", row=0, step=1, timeout=30)["row"] == 9


def rows_in(answer: dict[str, Any]) -> list[int]:
    indexes = array("I", Path(answer["file"]).read_bytes())
    assert len(indexes) == answer["count"]
    return list(indexes)


def test_views_are_files_of_rows_that_fit_in_the_order_wanted(
    worker: PipeWorker, path: Path, model: Path
) -> None:
    worker.call("open", path=str(path), recipe=recipe(model), timeout=30)
    worker.call("survey", timeout=30)

    def view(**wish: Any) -> list[int]:
        return rows_in(worker.call("view", timeout=30, **wish))

    assert view() == list(range(401))
    assert view(filter="turns == 0") == [400]
    assert view(search="QUESTION 39 ") == [39]
    assert view(search="😀", filter="row < 4") == [0, 1, 2]
    assert view(search=r"Question \d\d\d .*Answer\s+$", regex=True) == []
    assert view(search=r"Question 3[89]\d ", regex=True, filter="row < 385") == [380, 381, 382, 383]
    assert view(filter="marked", marked=[7, 3], sort="row", descending=True) == [7, 3]
    lengths = view(sort="tokens", descending=True, filter="tokens > 0")
    facts = worker.call("encode", rows=lengths[:50], timeout=30)["facts"]
    tokens = [(-fact["tokens"], fact["index"]) for fact in facts]
    assert tokens == sorted(tokens)
    kept = worker.call("view", filter="row == 3 or row == 401", timeout=30)["file"]
    assert worker.call("seek", row=3, step=1, view=kept, timeout=30)["row"] == 400
    with pytest.raises(AfinaError, match="at column 8: found the end"):
        view(filter="turns >")
    with pytest.raises(AfinaError, match='no fact "colour"'):
        view(sort="colour")


def test_a_view_waits_for_what_the_survey_has_not_come_to(write_rows: Write, model: Path) -> None:
    path = write_rows(ROWS * 10)
    with PipeWorker("data") as worker:
        worker.call("open", path=str(path), recipe=recipe(model), timeout=60)
        nothing = worker.call("view", filter="tokens > 0", timeout=30)
        assert (nothing["count"], nothing["done"], nothing["total"]) == (0, 0, 4000)
        running = threading.Event()
        worker.request("survey", on_message=lambda message: running.set())
        assert running.wait(30)
        whole = worker.call("view", filter="tokens > 0", timeout=60)
        assert (whole["count"], whole["done"]) == (4000, 4000)


def test_statistics_tell_what_each_length_would_cost(
    worker: PipeWorker, path: Path, model: Path
) -> None:
    worker.call("open", path=str(path), recipe=recipe(model, 64), timeout=30)
    worker.call("survey", timeout=30)
    found = worker.call("statistics", timeout=30)
    assert (found["rows"], found["unreadable"]) == (401, 1)
    assert found["turns"]["counts"] == {"2": 400}
    assert found["roles"] == {"user": 400, "assistant": 400}
    assert {item["max_length"] for item in found["lengths"]} >= {64, 128, 32768}
    assert found["epoch"]["rows"] == 400


def test_rows_are_answered_while_statistics_run(write_rows: Write, model: Path) -> None:
    path = write_rows(ROWS * 50)
    messages: list[dict[str, Any]] = []
    with PipeWorker("data", messages.append) as worker:
        worker.call("open", path=str(path), recipe=recipe(model), timeout=60)
        running = worker.request("survey")
        facts = worker.call("encode", rows=list(range(10)), timeout=30)["facts"]
        assert len(facts) == 10
        assert not [message for message in messages if message.get("end")]
        worker.cancel(running)
        deadline = time.monotonic() + 10
        while not [message for message in messages if message.get("end")]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert messages[-1]["kind"] == "cancelled"


def test_a_file_without_a_model_shows_what_can_be_said_of_its_form(
    worker: PipeWorker, write_rows: Write
) -> None:
    rows = [*ROWS, {"messages": []}]
    recipe = {"model": "/no/such/model"}
    answer = worker.call("open", path=str(write_rows(rows)), recipe=recipe, timeout=30)
    assert answer["readable"] and "There is no model" in answer["refusal"]["message"]
    last = len(rows) - 1
    facts = worker.call("encode", rows=[0, last], timeout=30)["facts"]
    assert facts[1]["problems"] == ["missing_messages"]
    assert [fact["tokens"] for fact in facts] == [0, 0]
    shown = worker.call("show", row=last, timeout=30)
    assert [problem["check"] for problem in shown["problems"]] == ["missing_messages"]


def test_a_file_of_no_shape_opens_and_says_why(
    worker: PipeWorker, write_rows: Write, model: Path
) -> None:
    path = str(write_rows([{"foo": 1}]))
    answer = worker.call("open", path=path, recipe={"model": str(model)}, timeout=30)
    words = "no shape that Afina knows"
    assert not answer["readable"] and words in answer["refusal"]["message"]
    with pytest.raises(AfinaError, match=words):
        worker.call("encode", rows=[0], timeout=30)


def test_nothing_is_answered_before_a_file_is_open(worker: PipeWorker) -> None:
    with pytest.raises(AfinaError, match="No file is open"):
        worker.call("survey", timeout=30)
