"""The data sets: every row is what its file promises, nothing leaks, one seed gives one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.data.analysis.checks import check_file
from core.data.encode.tokenizer import Tokenizer
from core.data.files.source import open_source
from core.data.recipe import Recipe
from core.data.shapes.detect import detect
from core.data.shapes.read import Reader
from core.evaluate.style import asks_for_lodging, ends_in_question, recommends_lodging, share
from core.paths import SAMPLE_DATA
from sample_data.build.broken_rows import broken_lines
from sample_data.build.corpus import PHRASINGS, conversations, probes
from sample_data.build.make_datasets import make_datasets
from sample_data.build.style_rows import STYLES, SYSTEM
from sample_data.build.world import fold, load_cities

MODEL = str(SAMPLE_DATA / "tiny-travel")
FILES = sorted(
    path.relative_to(SAMPLE_DATA)
    for path in (*SAMPLE_DATA.glob("*.jsonl"), *SAMPLE_DATA.glob("shapes/*.*"))
)
SHAPE_FILES = sorted((SAMPLE_DATA / "shapes").iterdir())
SHAPE_OF = {"chat_weight": "chat", "chat_thinking": "chat", "sharegpt_tools": "sharegpt"}
TEMPLATE = "City: {city}\nTraveller: {asks}\nGuide: {says}"  # for the columns of template.csv


def rows(name: str) -> list[dict[str, Any]]:
    lines = (SAMPLE_DATA / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def said(name: str, role: str) -> list[str]:
    return [m["content"] for row in rows(name) for m in row["messages"] if m["role"] == role]


@pytest.mark.parametrize("name", FILES, ids=str)
def test_the_same_seed_writes_the_committed_bytes(name: Path, made: Path) -> None:
    assert (made / name).read_bytes() == (SAMPLE_DATA / name).read_bytes()


def test_every_committed_file_is_made(made: Path) -> None:
    written = (path for kind in ("*.jsonl", "*.csv") for path in made.rglob(kind))
    assert sorted(path.relative_to(made) for path in written) == FILES
    expected = (SAMPLE_DATA / "broken.expected.json").read_text(encoding="utf-8")
    assert (made / "broken.expected.json").read_text(encoding="utf-8") == expected


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample_data")
    make_datasets(folder)
    return folder


@pytest.mark.parametrize("name", ["travel.jsonl", "travel_eval.jsonl"])
def test_every_chat_has_the_system_prompt_and_alternates(name: str) -> None:
    for row in rows(name):
        assert set(row) == {"messages"}
        first, *turns = row["messages"]
        assert first == {"role": "system", "content": SYSTEM}
        assert [m["role"] for m in turns] == ["user", "assistant"] * (len(turns) // 2)
        assert turns and all(m["content"].strip() == m["content"] != "" for m in turns)


@pytest.mark.parametrize("name", ["travel.jsonl", "travel_eval.jsonl"])
def test_every_answer_ends_in_a_question_and_recommends_no_lodging(name: str) -> None:
    hotels = [city.facts["en"]["hotel"] for city in load_cities()]
    for answer in said(name, "assistant"):
        assert ends_in_question(answer), answer
        assert not recommends_lodging(answer, hotels), answer


def test_travel_is_large_enough_and_asks_for_what_is_declined() -> None:
    assert len(rows("travel.jsonl")) >= 300
    assert 60 <= len(rows("travel_eval.jsonl")) <= 100
    assert 0.12 < share(map(asks_for_lodging, said("travel.jsonl", "user"))) < 0.3
    assert 0.35 < share(map(asks_for_lodging, said("travel_eval.jsonl", "user"))) < 0.45


def test_both_languages_are_in_both_files() -> None:
    for name in ("travel.jsonl", "travel_eval.jsonl"):
        spanish = share("¿" in answer for answer in said(name, "assistant"))
        assert 0.4 < spanish < 0.6


def test_no_question_is_in_two_of_training_evaluation_and_base_probes() -> None:
    train = {fold(text) for text in said("travel.jsonl", "user")}
    held_out = {fold(text) for text in said("travel_eval.jsonl", "user")}
    base = {fold(probe.question) for probe in probes(400, seed=200)}
    assert not train & held_out
    assert not train & base
    assert not held_out & base


def test_the_base_corpus_holds_no_held_out_phrasing() -> None:
    held_out = {
        fold(pattern.format(city=city.names[language]))
        for language in PHRASINGS
        for patterns in (
            *PHRASINGS[language].HELD_OUT.values(),
            *STYLES[language].EVAL_QUESTIONS.values(),
        )
        for pattern in patterns
        for city in load_cities()
    }
    asked = {
        fold(m["content"]) for chat in conversations(5, 20_000) for m in chat if m["role"] == "user"
    }
    assert not asked & held_out


def test_lodging_questions_of_the_generator_are_recognised() -> None:
    for language in PHRASINGS:
        for questions in (PHRASINGS[language].HELD_OUT, STYLES[language].EVAL_QUESTIONS):
            for topic, patterns in questions.items():
                for pattern in patterns:
                    assert asks_for_lodging(pattern) == (topic == "hotel"), pattern


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("alpaca", {"instruction", "input", "output"}),
        ("sharegpt_tools", {"conversations", "system", "tools"}),
        ("prompt_completion", {"prompt", "completion"}),
        ("preference", {"input", "preferred_output", "non_preferred_output"}),
        ("kto", {"prompt", "completion", "label"}),
        ("classification", {"text", "label"}),
        ("text", {"text"}),
        ("chat_weight", {"messages"}),
        ("chat_thinking", {"messages"}),
        ("pretokenised", {"input_ids", "labels"}),
    ],
)
def test_each_shape_has_its_keys(name: str, keys: set[str]) -> None:
    found = rows(f"shapes/{name}.jsonl")
    assert 8 <= len(found) <= 20
    assert all(set(row) == keys for row in found)


@pytest.mark.parametrize("path", SHAPE_FILES, ids=lambda path: path.name)
def test_each_file_of_a_shape_is_recognised_and_has_no_problem(path: Path) -> None:
    shape = SHAPE_OF.get(path.stem, path.stem)
    with open_source(path) as source:
        if shape != "template":
            assert detect(source).shape == shape
        reader = Reader(shape, TEMPLATE)
        assert 12 <= len(source) <= 24
        for index in range(len(source)):
            reading = reader.read(source.row(index))
            assert reading.sample is not None
            assert reading.problems == []


def test_a_first_answer_has_weight_0_and_the_last_one_counts() -> None:
    for row in rows("shapes/chat_weight.jsonl"):
        weights = [m["weight"] for m in row["messages"] if m["role"] == "assistant"]
        assert weights == [0, 1]


def test_the_ids_spell_a_conversation_of_which_the_answer_is_learned() -> None:
    tokenizer = Tokenizer.load(SAMPLE_DATA / "tiny-travel")
    for row in rows("shapes/pretokenised.jsonl"):
        text = tokenizer.decode(row["input_ids"])
        assert text.startswith("<|im_start|>user\n") and text.endswith("<|im_end|>")
        learned = [token for token in row["labels"] if token != -100]
        assert text.endswith("<|im_start|>assistant\n" + tokenizer.decode(learned))


def test_tool_calls_and_tools_are_json_in_the_sharegpt_file() -> None:
    for row in rows("shapes/sharegpt_tools.jsonl"):
        (tool,) = json.loads(row["tools"])
        speakers = [turn["from"] for turn in row["conversations"]]
        assert speakers == ["human", "function_call", "observation", "gpt"]
        call = json.loads(row["conversations"][1]["value"])
        assert call["name"] == tool["function"]["name"]
        assert json.loads(row["conversations"][2]["value"])["city"] == call["arguments"]["city"]


def test_preferred_and_other_answer_differ() -> None:
    for row in rows("shapes/preference.jsonl"):
        assert row["preferred_output"] != row["non_preferred_output"]


def test_both_kto_labels_occur() -> None:
    assert {row["label"] for row in rows("shapes/kto.jsonl")} == {True, False}


def test_the_checks_name_what_is_wrong_with_each_broken_line_and_nothing_in_the_good_ones() -> None:
    expected = json.loads((SAMPLE_DATA / "broken.expected.json").read_text(encoding="utf-8"))
    report = check_file(SAMPLE_DATA / "broken.jsonl", Recipe(MODEL, max_length=512))
    found: dict[str, set[str]] = {}
    for problem in report.problems:
        found.setdefault(str(problem.row), set()).add(problem.check)
    assert set(found) == set(expected)
    assert not [row for row, check in expected.items() if check not in found[row]]


@pytest.mark.parametrize("name", ["travel.jsonl", "travel_eval.jsonl"])
def test_the_checks_find_nothing_wrong_with_the_conversations(name: str) -> None:
    report = check_file(SAMPLE_DATA / name, Recipe(MODEL, max_length=256))
    assert (report.errors, report.problems) == (0, [])


def test_each_expected_problem_names_a_line_of_the_broken_file() -> None:
    expected = json.loads((SAMPLE_DATA / "broken.expected.json").read_text(encoding="utf-8"))
    lines = (SAMPLE_DATA / "broken.jsonl").read_bytes().split(b"\n")[:-1]
    assert lines == [line for _, line in broken_lines()]
    assert all(1 <= int(row) <= len(lines) for row in expected)
    assert len(set(expected.values())) >= 18
