"""What is asked, and on which rows models are compared."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from core.config import config_io
from core.data.encode.template import ChatTemplate
from core.data.encode.tokenizer import Tokenizer
from core.runs.run import Run, create_run
from core.runs.target import Target
from core.train.checkpoint import provenance
from exporters.parity.questions import COUNT, PLAIN, questions
from exporters.parity.reference import KEPT_BYTES, WINDOW_BYTES, eval_tokens, reference_bytes
from exporters.parity.rows import rows_of
from exporters.parity.snippets import hostile_snippets, opening, single_tokens
from tests.exporters import models
from tests.exporters.tokenizers_of import train_sentencepiece, write_model


def texts(target: Target, count: int = COUNT) -> list[list[str]]:
    return [[m["content"] for m in question.messages] for question in questions(target, count)]


def test_questions_are_the_runs_own_first(base: Path, run: Run) -> None:
    found = texts(Target("r", "hf", str(base), run=str(run.directory)))
    assert found[0] == ["Be kind.", "Watch me."]
    own = [each for each in found if "Question" in each[-1]]
    assert found[1 : 1 + len(own)] == own and all(each[0] == "Be kind." for each in own)
    assert len(found) == COUNT and found[-1] == [PLAIN[COUNT - 2 - len(own)]]


def test_rows_are_the_held_out_ones_with_what_training_supervises(base: Path, run: Run) -> None:
    rows = rows_of(Target("r", "hf", str(base), run=str(run.directory)))
    tokenizer = Tokenizer.load(base)
    assert 0 < len(rows.passages) == len(rows.questions) < 40
    for passage in rows.passages:
        assert tokenizer.decode(passage.tokens) == f"The sea is warm.{models.END}"
    again = rows_of(Target("r", "hf", str(base), run=str(run.directory)))
    assert again == rows


def test_where_the_data_is_gone_plain_questions_do(base: Path, home: Path, tmp_path: Path) -> None:
    values = {
        "model": {"name_or_path": str(base)},
        "data": {"path": str(tmp_path / "gone.jsonl")},
        "eval": {"watch_prompts": ["Watch me."]},
    }
    run = create_run(home, config_io.from_values(values))
    target = Target("r", "hf", str(base), run=str(run.directory))
    assert texts(target, 2) == [["Watch me."], [PLAIN[0]]]
    assert rows_of(target).passages == [] and "gone.jsonl" in rows_of(target).missing
    assert texts(msgspec.structs.replace(target, run=None), 1) == [[PLAIN[0]]]


def test_of_data_that_has_changed_no_row_counts_as_held_out(
    base: Path, home: Path, tmp_path: Path
) -> None:
    data = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"Question {place}?", "completion": "Yes."} for place in range(20)]
    data.write_text("\n".join(map(json.dumps, rows)))
    values = {"model": {"name_or_path": str(base)}, "data": {"path": str(data)}}
    run = create_run(home, config_io.from_values(values))
    provenance.keep(run.directory, provenance.look(run.config, base))
    target = Target("r", "hf", str(base), run=str(run.directory))
    assert rows_of(target).passages
    with open(data, "a") as file:
        file.write("\n" + json.dumps(rows[0]))
    found = rows_of(target)
    assert found.passages == found.questions == [] and "not what the run" in found.missing


def test_of_preferences_the_chosen_answer_is_read(base: Path, home: Path, tmp_path: Path) -> None:
    row = {"prompt": "Where?", "chosen": "The sea.", "rejected": "No."}
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(row) for _ in range(3)))
    values = {
        "model": {"name_or_path": str(base)},
        "data": {"path": str(tmp_path / "p.jsonl"), "eval_fraction": 0.0},
    }
    run = create_run(home, config_io.from_values(values))
    rows = rows_of(Target("r", "hf", str(base), run=str(run.directory)))
    assert [question.messages[-1]["content"] for question in rows.questions] == ["Where?"] * 3
    assert len(rows.passages) == 3 and rows.passages[0].places


def test_there_are_300_hostile_snippets_and_every_single_token(base: Path) -> None:
    tokenizer = Tokenizer.load(base)
    snippets = hostile_snippets(list(tokenizer.specials))
    assert len(snippets) >= 300 and max(map(len, snippets)) >= 6000
    assert models.END in snippets and f" {models.END} " in snippets
    singles, ids = single_tokens(tokenizer)
    assert len(set(ids)) == len(ids) > 100
    assert tokenizer.specials[models.END] in ids
    assert [tokenizer.encode(text).ids for text in singles[:50]] == [[token] for token in ids[:50]]


def test_a_reference_is_bounded_however_large_the_vocabulary_is() -> None:
    assert eval_tokens(4096) == 4096
    assert 1024 <= eval_tokens(151_936) < 4096
    assert reference_bytes(151_936) <= KEPT_BYTES + WINDOW_BYTES
    assert reference_bytes(512) < 2**24


@pytest.mark.parametrize(
    ("spaces", "expected"), [("first", "<|im_start|>user\n"), ("always", ""), ("never", "")]
)
def test_odd_texts_stand_in_a_prompt_where_bare_ones_are_read_otherwise(
    tmp_path: Path, spaces: str, expected: str
) -> None:
    write_model(tmp_path, train_sentencepiece(spaces))
    tokenizer, template = Tokenizer.load(tmp_path), ChatTemplate.load(tmp_path)
    assert opening(tokenizer, template) == expected
