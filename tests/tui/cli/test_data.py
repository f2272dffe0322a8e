"""`afina data check` and `data show`: real processes, exit codes, and the shapes of --json."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.data.encode.encoder import Encoder, encode_rows
from core.data.files.source import open_source
from core.data.shapes.read import Reader
from core.paths import ROOT
from tests.core.data.conftest import make_model, model, write_rows  # noqa: F401

pytestmark = pytest.mark.usefixtures("home")


def afina(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "afina.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def chat(question: str, answer: str = "A") -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns}


GOOD: list[object] = [chat(f"Question {n}") for n in range(12)]


def test_check_of_a_clean_file_exits_with_0(write_rows: Callable[..., Path], model: Path) -> None:  # noqa: F811
    path = write_rows(GOOD)
    done = afina("data", "check", path, "--model", model, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["path"] == str(path)
    assert (report["shape"], report["rows"]) == ("chat", 12)
    assert (report["errors"], report["warnings"], report["problems"]) == (0, 0, [])


def test_check_lists_each_problem_and_exits_with_1(
    write_rows: Callable[..., Path],  # noqa: F811
    model: Path,  # noqa: F811
) -> None:
    path = write_rows([*GOOD, {"messages": [{"role": "usr", "content": "[red]\x1b[31m"}]}])
    done = afina("data", "check", path, "--model", model, "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["errors"], report["warnings"]) == (1, 0)
    problem = report["problems"][0]
    assert {"row", "check", "severity", "field", "found", "expected", "fix"} <= set(problem)
    assert (problem["row"], problem["check"]) == (13, "unrecognized_role")
    people = afina("data", "check", path, "--model", model)
    assert people.returncode == 1
    assert 'row 13 messages[0].role error unrecognized_role: found "usr"' in people.stdout
    assert "1 error, 0 warnings" in people.stdout


def test_max_length_is_minded(write_rows: Callable[..., Path], model: Path) -> None:  # noqa: F811
    path = write_rows([*GOOD, chat("Q", "long " * 40)])
    done = afina("data", "check", path, "--model", model, "--max-length", 30, "--json")
    assert done.returncode == 1
    assert [item["check"] for item in json.loads(done.stdout)["problems"]] == ["truncated"]


def test_without_a_model_the_form_is_checked_and_said_to_be_all(
    write_rows: Callable[..., Path],  # noqa: F811
) -> None:
    path = write_rows([*GOOD, chat("Q", "long " * 4000)])
    done = afina("data", "check", path, "--max-length", 30)
    assert done.returncode == 0, done.stderr
    assert "the checks on tokens need --model DIR" in done.stdout
    report = json.loads(afina("data", "check", path, "--json").stdout)
    assert (report["problems"], report["tokens_checked"]) == ([], False)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"foo": 1}], "no shape that Afina knows"),
        (None, "There is no file"),
    ],
)
def test_what_can_not_be_read_is_one_sentence_and_exits_with_2(
    write_rows: Callable[..., Path],  # noqa: F811
    model: Path,  # noqa: F811
    tmp_path: Path,
    rows: list[object] | None,
    words: str,
) -> None:
    path = tmp_path / "nothing.jsonl" if rows is None else write_rows(rows)
    for command in (["check", path], ["show", path, "--row", 1]):
        done = afina("data", *command, "--model", model, "--json")
        assert done.returncode == 2
        assert done.stdout == ""
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_rows_that_are_in_both_files_and_near_copies_are_named(
    write_rows: Callable[..., Path],  # noqa: F811
) -> None:
    long = " ".join(f"word{n}" for n in range(60))
    held = write_rows([GOOD[2]], "held.jsonl")
    path = write_rows([*GOOD, chat("Q", long), chat("Q", f"{long} more")])
    done = afina("data", "check", path, "--eval", held, "--near", "--json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    found = [(item["row"], item["check"]) for item in report["problems"]]
    assert found == [(3, "train_eval_leak"), (14, "near_duplicate")]
    assert report["counts"] == {"train_eval_leak": 1, "near_duplicate": 1}


def test_statistics_for_programs_and_for_people(
    write_rows: Callable[..., Path],  # noqa: F811
    model: Path,  # noqa: F811
) -> None:
    path = write_rows([*GOOD, chat("¿Dónde está la biblioteca, por favor?", "long " * 300), 7])
    done = afina("data", "stats", path, "--model", model, "--max-length", 200, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["rows"], found["unreadable"], found["shape"]) == (14, 1, "chat")
    assert found["tokens"]["truncated"] == 1
    cut = {item["max_length"]: item["rows_cut"] for item in found["lengths"]}
    assert (cut[200], cut[8192]) == (1, 0)
    assert sum(found["languages"].values()) == 13
    assert found["epoch"]["steps"] == 2
    assert found["epoch"]["seconds"] is None
    people = afina("data", "stats", path, "--model", model, "--max-length", 200)
    assert people.returncode == 0, people.stderr
    assert "1 row cut at 200" in people.stdout
    assert "2 steps of 8 rows" in people.stdout


def test_show_prints_exactly_the_encoding_of_the_trainer(
    write_rows: Callable[..., Path],  # noqa: F811
    model: Path,  # noqa: F811
) -> None:
    path = write_rows([chat("¿Qué?", "Esto 😀"), *GOOD])
    done = afina("data", "show", path, "--row", 1, "--model", model, "--max-length", 20, "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    encoder = Encoder.load(model, 20)
    encoding = next(encode_rows(open_source(path), Reader("chat"), encoder, [0]))
    assert (shown["row"], shown["text"]) == (1, encoding.text)
    assert (shown["ids"], shown["supervised"]) == (encoding.ids, encoding.supervised)
    assert [item["check"] for item in shown["problems"]] == ["truncated"]
    whole = afina(
        "data", "show", path, "--row", 1, "--model", model, "--supervise", "all", "--json"
    )
    assert all(json.loads(whole.stdout)["supervised"])


def test_show_draws_data_as_content(write_rows: Callable[..., Path], model: Path) -> None:  # noqa: F811
    path = write_rows([chat("[bold]\x1b[31m", "Yes")])
    done = afina("data", "show", path, "--model", model)
    assert done.returncode == 0
    assert "[bold]␛[31m" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_row_that_is_not_there_exits_with_2(write_rows: Callable[..., Path], model: Path) -> None:  # noqa: F811
    done = afina("data", "show", write_rows(GOOD), "--row", 99, "--model", model)
    assert (done.returncode, done.stdout) == (2, "")
    assert "There is no row 99" in done.stderr


def test_a_row_that_can_not_be_used_is_shown_with_its_problem(
    write_rows: Callable[..., Path],  # noqa: F811
    model: Path,  # noqa: F811
) -> None:
    path = write_rows(b'{"messages": []}\n{broken\n')
    done = afina("data", "show", path, "--row", 2, "--model", model, "--json")
    assert done.returncode == 1
    shown = json.loads(done.stdout)
    assert shown["ids"] == []
    cut = afina("data", "show", write_rows([chat("Q")]), "--model", model, "--max-length", 2)
    assert cut.returncode == 1
    assert "zero_supervised_tokens" in cut.stdout and "Raise max_length." in cut.stdout
    assert [item["check"] for item in shown["problems"]] == ["invalid_json"]


def test_open_refuses_what_is_no_data_before_it_takes_the_terminal(tmp_path: Path) -> None:
    done = afina("data", "open", tmp_path / "no.jsonl")
    assert done.returncode == 2
    assert done.stderr.startswith("afina: There is no file")
    (tmp_path / "rows.jsonl").write_text("{}")
    done = afina("data", "open", tmp_path / "rows.jsonl")
    assert (done.returncode, done.stderr.split(".")[0]) == (
        2,
        "afina: The workbench needs a terminal",
    )


def test_statistics_of_a_file_without_rows_say_so(tmp_path: Path, model: Path) -> None:  # noqa: F811
    path = tmp_path / "empty.jsonl"
    path.touch()
    done = afina("data", "stats", path, "--model", model)
    assert done.returncode == 0, done.stderr
    assert "No row has tokens" in done.stdout
    told = json.loads(afina("data", "stats", path, "--model", model, "--json").stdout)
    assert (told["rows"], told["epoch"]) == (0, None)


def test_options_that_need_tokens_are_refused_without_a_model(
    write_rows: Callable[..., Path],  # noqa: F811
) -> None:
    done = afina("data", "check", write_rows(GOOD), "--supervise", "foo")
    assert done.returncode == 2
    assert "--supervise would do nothing. Add --model DIR." in done.stderr


def test_show_prints_both_sides_of_a_preference_and_the_label_of_an_answer(
    write_rows: Callable[..., Path],  # noqa: F811
    model: Path,  # noqa: F811
) -> None:
    pair = {"prompt": "Where?", "chosen": "By the sea", "rejected": "At the airport"}
    done = afina("data", "show", write_rows([pair] * 2), "--model", model)
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("By the sea") < done.stdout.index("rejected:")
    assert done.stdout.index("rejected:") < done.stdout.index("At the airport")
    judged = {"prompt": "Where?", "completion": "At the airport", "label": False}
    done = afina("data", "show", write_rows([judged] * 2), "--model", model)
    assert "label: false" in done.stdout
    assert "less likely" in done.stdout
