"""The configuration: read, laid over, refused with every problem, written again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from core.config import Checkpoint, Config, Data, Method, Model, Train, config_io
from core.config.config_io import ConfigError
from core.config.problems import problems
from core.errors import AfinaError
from core.paths import ROOT


def fields_of(config: Config) -> dict[str, str]:
    return {problem.field: problem.severity for problem in problems(config)}


def test_what_is_left_out_has_its_default() -> None:
    config = config_io.parse("model: {name_or_path: a/b}\nmethod:\n")
    assert config == Config(model=Model("a/b"))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("train.optim=adamm", 'There is no "adamm" here. Did you mean "adamw"?'),
        ("method.kind=x", "It is one of lora, full, ia3, prompt."),
        ("method.target_modules=", "Nothing is not valid: expected text"),
        ("method.rank_pattern=down_proj:4", "Write method.rank_pattern='{NAME: VALUE}'."),
    ],
)
def test_a_value_that_is_not_taken_is_told_with_what_is(word: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        config_io.parse("", [word])


def test_a_path_that_is_not_there_is_no_hub_id() -> None:
    for name in ("/nowhere", "./nowhere", "~/nowhere"):
        assert fields_of(Config(model=Model(name), data=Data("a/b"))) == {
            "model.name_or_path": "error"
        }


def test_a_list_or_a_mapping_of_nothing_has_its_default() -> None:
    text = "eval:\n  watch_prompts:\ndata: {mix: null}\nmethod:\n  rank_pattern:\n"
    assert config_io.parse(text, ["method.alpha_pattern=null"]) == Config()
    with pytest.raises(ConfigError, match="train.seed"):
        config_io.parse("train: {seed: null}")


def test_a_configuration_survives_being_written_and_read() -> None:
    config = Config(
        name="x",
        model=Model("a/b", dtype="bfloat16"),
        data=Data("d.jsonl", chat_template="t.jinja"),
        method=Method(rank=4, alpha=2.5, target_modules="q_proj,v_proj"),
        train=Train(packing="on", max_steps=7, learning_rate=1e-5),
        checkpoint=Checkpoint(every_minutes=None, early_stopping_patience=2),
    )
    assert config_io.parse(config_io.to_yaml(config)) == config


def test_words_on_the_command_line_are_laid_over_the_file() -> None:
    text = "train: {learning_rate: 1e-3, seed: 7}"
    words = ["train.learning_rate=2e-4", "checkpoint.every_minutes=null", "name=mine"]
    config = config_io.parse(text, words)
    assert (config.train.learning_rate, config.train.seed) == (2e-4, 7)
    assert (config.checkpoint.every_minutes, config.name) == (None, "mine")


def test_numbers_in_every_spelling_are_numbers() -> None:
    for word in ("1e-4", "1.0e-4", "0.0001", "'1e-4'"):
        assert config_io.parse("", [f"train.learning_rate={word}"]).train.learning_rate == 1e-4


def test_on_and_off_are_words_and_yes_is_true() -> None:
    config = config_io.parse("train: {packing: on}\nmethod: {dora: yes}")
    assert (config.train.packing, config.method.dora) == ("on", True)
    assert config_io.parse("", ["train.packing=off"]).train.packing == "off"


@pytest.mark.parametrize(
    ("text", "field", "hint"),
    [
        ("train: {learnin_rate: 1}", "train.learnin_rate", '"train.learning_rate"'),
        ("learning_rate: 1", "learning_rate", '"train.learning_rate"'),
        ("model: {max_length: 5}", "model.max_length", '"data.max_length"'),
        ("trian: {seed: 1}", "trian", '"train"'),
        ("train: {lr: 1}", "train.lr", '"train.learning_rate"'),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(text: str, field: str, hint: str) -> None:
    with pytest.raises(ConfigError) as error:
        config_io.parse(text)
    (problem,) = error.value.problems
    assert problem.field == field
    assert f"Did you mean {hint}?" in problem.hint


def test_an_unknown_key_that_is_like_no_other_is_refused_with_its_group() -> None:
    with pytest.raises(ConfigError, match="There are: every_steps, every_minutes, keep"):
        config_io.parse("checkpoint: {cadence: 1}")


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        config_io.parse("", ["train.seed=x", "method.rank=0", "train.packing=maybe", "model=3"])
    found = {problem.field for problem in error.value.problems}
    assert "model" in found
    with pytest.raises(ConfigError) as error:
        config_io.parse("", ["train.seed=x", "method.rank=0", "train.packing=maybe"])
    assert {p.field for p in error.value.problems} == {
        "train.seed",
        "method.rank",
        "train.packing",
    }


def test_a_key_written_twice_is_not_lost_in_silence() -> None:
    with pytest.raises(AfinaError, match='the key "seed" is there twice'):
        config_io.parse("train:\n  seed: 1\n  seed: 2\n")


@pytest.mark.parametrize("text", ["a: [", "- just\n- a list", "a: b: c"])
def test_what_is_no_yaml_or_no_groups_is_one_sentence(text: str) -> None:
    with pytest.raises(AfinaError):
        config_io.parse(text, where="run.yaml")


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(AfinaError, match="Can't read the configuration"):
        config_io.load(tmp_path / "no.yaml")


@pytest.mark.parametrize("word", ["train.seed", "=3", "train.seed.x=1", "name.x=[", "a.b=["])
def test_a_word_that_is_no_override_is_one_sentence(word: str) -> None:
    with pytest.raises(AfinaError):
        config_io.parse("train: {seed: 1}\nname: x", [word])


def test_an_empty_configuration_names_what_is_missing() -> None:
    assert fields_of(Config()) == {"model.name_or_path": "error", "data.path": "error"}


def test_paths_are_looked_at(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("{}")
    folder = tmp_path / "model"
    folder.mkdir()
    wrong = Config(model=Model(str(folder)), data=Data(str(tmp_path / "no"), chat_template="x"))
    assert set(fields_of(wrong)) == {"model.name_or_path", "data.path", "data.chat_template"}
    (folder / "config.json").write_text("{}")
    assert fields_of(Config(model=Model(str(folder)), data=Data(str(data)))) == {}
    assert fields_of(Config(model=Model("owner/name"), data=Data(str(data)))) == {}


def test_options_of_an_adapter_are_refused_with_full_tuning(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("{}")
    config = Config(
        model=Model("a/b"),
        data=Data(str(data), eval_fraction=0.0),
        method=Method("full", dora=True),
        train=Train(learning_rate=1e-3),
        checkpoint=Checkpoint(early_stopping_patience=2),
    )
    assert fields_of(config) == {
        "method.dora": "error",
        "train.learning_rate": "warning",
        "checkpoint.early_stopping_patience": "error",
    }


@pytest.mark.parametrize(
    ("path", "is_data"),
    [
        ("rows.jsonl", True),
        ("", True),  # the folder itself
        ("*.jsonl", True),
        ("**/*.jsonl", True),
        ("*.csv", False),
        ("other.jsonl", False),
        ("nul\0.jsonl", False),
    ],
)
def test_data_is_a_file_a_folder_or_a_pattern(tmp_path: Path, path: str, is_data: bool) -> None:
    (tmp_path / "rows.jsonl").write_text("{}")
    config = Config(model=Model("a/b"), data=Data(str(tmp_path / path)))
    assert ("data.path" not in fields_of(config)) == is_data


def test_a_hub_id_is_data_and_a_file_that_is_missing_is_not() -> None:
    assert fields_of(Config(model=Model("a/b"), data=Data("owner/name"))) == {}
    missing = Config(model=Model("a/b"), data=Data("folder/rows.jsonl", mix={"./more": 1.0}))
    assert fields_of(missing) == {"data.path": "error", "data.mix": "error"}


IMPOSSIBLE = {
    "data.format=kto train.objective=dpo": "train.objective",
    "data.format=chat train.objective=classification": "train.objective",
    "data.format=template": "data.prompt_template",
    "data.prompt_template=plain": "data.prompt_template",
    "data.prompt_template='{a' data.format=template": "data.prompt_template",
    "data.prompt_template='{a}' data.format=chat": "data.prompt_template",
    "train.objective=dpo train.packing=on": "train.packing",
    "train.objective=classification eval.watch_prompts=[Hm]": "eval.watch_prompts",
    "train.objective=kto data.streaming=true": "data.streaming",
    "data.mix={'a/b':2}": "data.mix",
    "data.chat_template=chatm": "data.chat_template",
}


@pytest.mark.parametrize("words", IMPOSSIBLE)
def test_what_can_not_be_combined_is_told(words: str) -> None:
    config = config_io.parse("", ["model.name_or_path=a/b", "data.path=a/b", *words.split(" ")])
    errors = {name for name, severity in fields_of(config).items() if severity == "error"}
    assert errors == {IMPOSSIBLE[words]}


@pytest.mark.parametrize(
    "words",
    [
        "data.format=preference train.objective=dpo train.learning_rate=5e-6",
        "data.format=template data.prompt_template='{a}:{b}'",
        "data.prompt_template='{a}:{b}'",
        "data.mix={'c/d':0.5} data.streaming=true",
        "data.chat_template=chatml train.supervise=completion",
    ],
)
def test_what_can_be_combined_is_accepted(words: str) -> None:
    base = ["model.name_or_path=a/b", "data.path=a/b"]
    assert fields_of(config_io.parse("", [*base, *words.split(" ")])) == {}


def test_every_option_says_what_it_means() -> None:
    for name, field in config_io.fields():
        metas = [item for item in getattr(field.type, "__metadata__", ())]
        descriptions = [meta.description for meta in metas if isinstance(meta, msgspec.Meta)]
        assert any(descriptions), name


def test_the_page_about_the_options_is_the_one_that_the_declarations_give() -> None:
    script = ROOT / "docs" / "write_reference.py"
    done = subprocess.run([sys.executable, str(script), "--check"], timeout=60)
    assert done.returncode == 0, "run: python docs/write_reference.py"


def test_an_empty_file_of_rows_is_told_before_the_run(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.touch()
    (problem,) = problems(Config(model=Model("owner/name"), data=Data(str(data))))
    assert problem.field == "data.path" and "is empty" in problem.message
