"""Surveys: several processes find what one finds, what was found is kept, what dies is said."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from core.data.analysis import job as subjects
from core.data.analysis.analysis import Analysis, Options
from core.data.analysis.cache import AnalysisCache, Head
from core.data.analysis.checks import Inquiry, form_of, surveyed
from core.data.analysis.job import Labour
from core.data.analysis.pool import Pool
from core.data.analysis.stats import token_stats
from core.errors import AfinaError
from core.pipe import PipeWorker
from tests.core.data.analysis.analyses import Write, chat, recipe, survey_of


def some_rows(count: int) -> list[Any]:
    """Rows good and bad, long and short, some twice; the same ones every time."""
    chosen = random.Random(1)
    rows: list[Any] = []
    for number in range(count):
        rows.append(chat(f"Question {number} {'x ' * chosen.randrange(60)}", "Answer " * 9))
        if chosen.random() < 0.1:
            rows.append(chosen.choice([{"messages": []}, 7, rows[0], chat("Q", "\x07")]))
    return rows


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crews for files of any size, with shards of a few rows."""
    monkeypatch.setattr(subjects, "CREW_BYTES", {"form": 0, "tokens": 0})
    monkeypatch.setattr(subjects, "SHARD_BYTES", {"form": 1 << 14, "tokens": 1 << 14})


def all_of(survey: Analysis) -> tuple[dict[str, list[int]], list[Any], dict[str, Any]]:
    columns = {name: values.tolist() for name, values in survey.facts.columns.items()}
    return columns, list(survey.ledger), survey.snapshot()


@pytest.mark.usefixtures("small_shards")
def test_several_processes_find_what_one_finds(tmp_path: Path, model: Path) -> None:
    rows = some_rows(300)
    with survey_of(rows, tmp_path, Inquiry(processes=1), model=model, max_length=64) as one:
        with survey_of(rows, tmp_path, Inquiry(processes=2), model=model, max_length=64) as two:
            assert all_of(one) == all_of(two)
            assert one.facts.roles == two.facts.roles
        assert one.ledger.counts["exact_duplicate"] > 0
        assert one.ledger.counts["truncated"] > 0


@pytest.mark.usefixtures("small_shards")
def test_a_process_that_dies_is_replaced_and_its_shard_done_again(
    tmp_path: Path, write_rows: Write
) -> None:
    rows = some_rows(200)
    with survey_of(rows, tmp_path, Inquiry(processes=1)) as one:
        expected = all_of(one)
        with Labour(processes=2) as labour:
            again = Analysis(one.subject)
            for number, _ in enumerate(again.run(labour)):
                if number == 0:
                    os.kill(labour.processes[0], 9)
        assert all_of(again) == expected


@pytest.mark.usefixtures("small_shards")
def test_each_file_of_one_survey_has_processes_of_its_own(
    tmp_path: Path, write_rows: Write
) -> None:
    held = write_rows([chat(f"Held out {n}") for n in range(40)], "held.jsonl")
    rows = [chat(f"Question {n}") for n in range(60)] + [chat("Held out 7")]
    inquiry = Inquiry(eval_path=str(held), processes=2)
    with survey_of(rows, tmp_path, inquiry) as survey:
        assert [(item.row, item.check) for item in survey.ledger] == [(61, "train_eval_leak")]
        with Labour(processes=2) as labour:
            for path, count in ((held, 40), (tmp_path / "surveyed.jsonl", 61)):
                found = form_of(str(path), recipe(), labour)
                assert found.facts["readable"].sum() == count


@pytest.mark.usefixtures("small_shards")
def test_rows_that_kill_every_process_end_the_survey_with_its_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = [sys.executable, "-c", "import sys; sys.exit('no memory left')"]
    monkeypatch.setattr(Pool, "_start", lambda crew: PipeWorker("survey", command=dying))
    with (
        survey_of(some_rows(5), tmp_path, Inquiry(processes=1)) as one,
        Labour(processes=2) as labour,
        pytest.raises(AfinaError) as caught,
    ):
        list(Analysis(one.subject).run(labour))
    assert "Work on the rows 1 to" in caught.value.message
    assert "no memory left" in caught.value.hint


@pytest.mark.usefixtures("small_shards")
def test_a_file_that_changes_meanwhile_is_said(tmp_path: Path) -> None:
    with survey_of(some_rows(50), tmp_path, Inquiry(processes=1)) as one:
        (tmp_path / "surveyed.jsonl").write_text('{"messages": []}\n')
        with Labour(processes=2) as labour, pytest.raises(AfinaError, match="has changed"):
            list(Analysis(one.subject).run(labour))


def test_what_is_cancelled_goes_on_where_it_was(tmp_path: Path, model: Path) -> None:
    rows = some_rows(300)
    with survey_of(rows, tmp_path, model=model) as whole:
        parts = Analysis(whole.subject)
        steps = 0
        while not parts.complete:
            steps += 1
            seen = iter(range(4))
            with Labour(cancelled=lambda seen=seen: next(seen, None) is None) as labour:
                list(parts.run(labour))
        assert steps > 2
        assert all_of(parts) == all_of(whole)


def test_a_survey_is_kept_and_comes_back_whole(tmp_path: Path, model: Path) -> None:
    with survey_of(some_rows(100), tmp_path, model=model, max_length=40) as first:
        cache = AnalysisCache(tmp_path / "kept", worth_s=0.0)

        def again(**fields: Any) -> Analysis:
            survey = Analysis(first.subject, Options(**fields), cache)
            with Labour() as labour:
                list(survey.run(labour))
            return survey

        assert not again().cached
        kept = again()
        assert kept.cached
        assert all_of(kept) == all_of(first)
        assert not again(languages=True).cached
        for path in (tmp_path / "kept").iterdir():
            damaged = bytearray(path.read_bytes())
            damaged[-20] ^= 1
            path.write_bytes(damaged)
        assert not again().cached


def test_what_decides_tokens_is_in_the_name_of_what_is_kept(tmp_path: Path, model: Path) -> None:
    with survey_of(some_rows(5), tmp_path, model=model, max_length=40) as survey:
        subject = survey.subject
        longer = msgspec.structs.replace(subject.recipe, max_length=50)
        other = msgspec.structs.replace(subject, recipe=longer)
        assert subject.key("tokens", False) != other.key("tokens", False)
        assert subject.key("form", False) == other.key("form", False)


def test_the_cache_drops_what_was_not_used_for_longest(tmp_path: Path) -> None:
    cache = AnalysisCache(tmp_path, most_bytes=850)
    for number in range(4):
        path = tmp_path / f"{number}.survey"
        path.write_bytes(b"x" * 300)
        os.utime(path, (number, number))
    left = tmp_path / ".left.survey.1.part"
    left.touch()
    os.utime(left, (0, 0))
    cache.store("new", Head(0, {}, 0, [], [], {}), [])
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["2", "3", "new"]


def test_near_copies_are_found_and_only_those(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(500)]
    chosen = random.Random(4)
    texts = [" ".join(chosen.choices(words, k=120)) for _ in range(60)]
    rows = [
        chat(f"Question {n}", text, "The same long system prompt. " * 30)
        for n, text in enumerate(texts)
    ]
    near = texts[7].split()
    near[60] = "changed"
    half = texts[8].split()[:60] + texts[9].split()[:60]
    rows += [chat("Question 7", " ".join(near)), chat("Question 8", " ".join(half))]
    with survey_of(rows, tmp_path, Inquiry(Options(near=True))) as survey:
        found = [item for item in survey.ledger if item.check == "near_duplicate"]
        assert [(item.row, item.found.split("content of ")[1]) for item in found] == [(61, "row 8")]
        assert survey.facts["duplicate"].nonzero()[0].tolist() == [60]


def test_what_train_and_eval_share_is_named_in_the_training_file(
    tmp_path: Path, write_rows: Write
) -> None:
    train = [{"text": f"Text number {n} of them all", "label": "ab"[n % 2]} for n in range(20)]
    nearly = " ".join(f"word{n}" for n in range(80))
    train[5]["text"] = nearly
    held = [
        {"text": "Text  number 3 of them all", "label": "b"},
        {"text": nearly + " more", "label": "c"},
    ]
    eval_path = str(write_rows(held, "eval.jsonl"))
    inquiry = Inquiry(Options(near=True), eval_path=eval_path)
    with surveyed(write_rows(train, "train.jsonl"), recipe(), inquiry) as survey:
        found = {item.check: item for item in survey.ledger}
        leaks = [item for item in survey.ledger if item.check == "train_eval_leak"]
        assert [item.row for item in leaks] == [4, 6]
        assert leaks[0].found == "the same content as row 1 of eval.jsonl"
        assert 'the label "c"' in found["label_not_seen_in_train"].found


def test_labels_of_mixed_types_and_rare_ones_are_named(tmp_path: Path) -> None:
    rows = [{"text": f"Text {n}", "label": "common"} for n in range(50)]
    rows += [{"text": "Other", "label": 3}, {"text": "Rare one", "label": "rare"}]
    with survey_of(rows, tmp_path) as survey:
        found = [(item.row, item.check) for item in survey.ledger]
    assert found == [(51, "wrong_type_label"), (0, "class_imbalance")]


def test_a_script_of_few_rows_and_the_longest_of_many_are_noted(
    tmp_path: Path, model: Path
) -> None:
    rows = [chat(f"Question {n}", "Some answer") for n in range(1100)]
    rows[500] = chat("Вопрос", "Ответ по-русски")
    rows[700] = chat("Question", "very long " * 80)
    with survey_of(rows, tmp_path, model=model, max_length=None) as survey:
        found = {item.check: item.row for item in survey.ledger}
    assert found == {"mixed_languages": 501, "extreme_length": 701}


def test_a_copy_is_told_from_the_first_that_says_it() -> None:
    from core.data.analysis.dataset_checks import first_of_copies
    from core.data.analysis.row_facts import Facts

    facts = Facts(100_000)
    facts["readable"][:] = 1
    facts["key"][:] = np.arange(100_000)
    facts["key"][[70_000, 90_000]] = 12
    copies, origins = first_of_copies(facts)
    assert (copies.tolist(), origins.tolist()) == ([70_000, 90_000], [12, 12])


def test_both_answers_of_a_preference_are_counted(tmp_path: Path, model: Path) -> None:
    turn = [{"role": "user", "content": "Where to?"}]
    chosen = [{"role": "assistant", "content": "To the sea."}]
    rejected = [{"role": "assistant", "content": "To the market, where it is lively and cheap."}]
    row = {"prompt": turn, "chosen": chosen, "rejected": rejected}
    alone = [{"messages": turn + answer} for answer in (chosen, rejected)]
    totals = []
    for name, rows in (("pair", [row]), ("alone", alone)):
        folder = tmp_path / name
        folder.mkdir()
        with survey_of(rows, folder, Inquiry(processes=1), model=model) as survey:
            totals.append(token_stats(survey.facts))
    pair, both = totals
    assert (pair["tokens"], pair["supervised_tokens"]) == (
        both["tokens"],
        both["supervised_tokens"],
    )
    assert pair["max"] == both["max"] < pair["tokens"]
