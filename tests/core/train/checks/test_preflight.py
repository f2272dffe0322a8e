"""What is said before the first step."""

from __future__ import annotations

import json
import shutil
from array import array
from pathlib import Path
from typing import Any

import pytest

from core.data.encode.encoder import Encoder
from core.errors import AfinaError
from core.plan.layout import should_pack
from core.train.checks import preflight
from core.train.checks.preflight import data as preflight_data
from core.train.checks.preflight.leak import leak_findings
from core.train.loader import dataset
from core.train.loader.dataset import Encoded
from core.train.loader.rows import Rows
from tests.core.train.conftest import TEMPLATE, Configure, chat_rows, write_rows


def load(configure: Configure, *words: str) -> tuple[Any, Encoder, Encoded]:
    config = configure(*words)
    encoder = Encoder.load(
        config.model.name_or_path,
        config.data.max_length,
        config.train.supervise,
        config.data.chat_template,
    )
    return config, encoder, dataset.load(config, encoder, lambda done, total: None)


def test_good_rows_pass_without_a_word(configure: Configure) -> None:
    config, encoder, encoded = load(configure)
    preflight.check_data(config, encoder, encoded)
    assert list(preflight.data_warnings(config, encoded)) == []


def test_an_empty_file_is_told(configure: Configure, tmp_path: Path) -> None:
    empty = write_rows(tmp_path / "empty.jsonl", [])
    config, encoder, encoded = load(configure, f"data.path={empty}", "data.format=chat")
    with pytest.raises(AfinaError, match="the file holds no rows"):
        preflight.check_data(config, encoder, encoded)


def test_rows_that_are_all_cut_before_the_answer_are_told(configure: Configure) -> None:
    config, encoder, encoded = load(configure, "data.max_length=8")
    with pytest.raises(AfinaError, match="No row of .* can be trained on: the first is row 1"):
        preflight.check_data(config, encoder, encoded)


def test_a_template_that_never_stops_is_told(configure: Configure, tmp_path: Path) -> None:
    endless = tmp_path / "endless.jinja"
    endless.write_text(TEMPLATE.replace("<|end|>", " "))
    config, encoder, encoded = load(configure, f"data.chat_template={endless}")
    with pytest.raises(AfinaError, match="would learn to talk on for ever"):
        preflight.check_data(config, encoder, encoded)


def test_early_stopping_without_rows_to_evaluate_is_told(
    configure: Configure, tmp_path: Path
) -> None:
    one = write_rows(tmp_path / "one.jsonl", chat_rows(1))
    words = (f"data.path={one}", "checkpoint.early_stopping_patience=2")
    config, encoder, encoded = load(configure, *words)
    with pytest.raises(AfinaError, match="Early stopping needs evaluation rows"):
        preflight.check_data(config, encoder, encoded)


def test_rows_that_are_left_out_or_cut_are_findings(configure: Configure, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = chat_rows(30)
    rows[3] = {"messages": [{"role": "user", "content": "Hm?"}]}
    rows[4]["messages"][1]["content"] *= 40
    mixed = write_rows(tmp_path / "mixed.jsonl", rows)
    config, encoder, encoded = load(configure, f"data.path={mixed}", "data.eval_fraction=0")
    preflight.check_data(config, encoder, encoded)
    messages = [finding.message for finding in preflight.data_warnings(config, encoded)]
    assert messages[0].startswith("1 row left out: the first is row 4")
    assert messages[1] == "1 row cut at data.max_length."
    assert len(encoded.train) == 29


def test_a_rate_that_is_high_for_preferences_is_a_finding(configure: Configure) -> None:
    encoded = rows_with(5)
    encoded.objective = "dpo"
    messages = [finding.message for finding in preflight.data_warnings(configure(), encoded)]
    assert any("0.01 is high for lora under dpo" in message for message in messages)
    slow = configure("train.learning_rate=5e-6")
    assert not any("is high for" in f.message for f in preflight.data_warnings(slow, encoded))


def test_encoded_rows_that_fill_the_memory_are_a_finding(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _, encoded = load(configure)
    monkeypatch.setattr(preflight_data, "encoded_bytes", lambda tokens: tokens * 10**12)
    (finding,) = preflight.data_warnings(config, encoded)
    assert "data.streaming=true" in finding.hint


def copy_of(model: Path, tmp_path: Path, **values: Any) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def test_weights_that_are_not_safetensors_are_told(tiny_model: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_model, tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(AfinaError, match="no safetensors weights"):
        preflight.check_model_folder(folder)


def test_quantized_weights_are_told(tiny_model: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_model, tmp_path, quantization_config={"quant_method": "gptq"})
    with pytest.raises(AfinaError, match=r"quantized \(gptq\)"):
        preflight.check_model_folder(folder)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model_type": "lama"}, 'Did you mean "llama"'),
        (
            {"model_type": "afinaworks", "auto_map": {"AutoModel": "x.Y"}},
            "program code of its own, which Afina doesn't run",
        ),
        ({"model_type": "vit"}, "doesn't generate text"),
    ],
)
def test_a_family_that_can_not_be_trained_is_told(
    tiny_model: Path, tmp_path: Path, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(AfinaError) as error:
        preflight.check_family(copy_of(tiny_model, tmp_path, **values))
    assert words in str(error.value)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model)


def rows_with(token: int, length: int = 4) -> Encoded:
    rows = Rows()
    rows.ids = array("i", [1] * (length - 1) + [token])
    rows.labels = rows.ids
    rows.lengths = array("i", [length])
    return Encoded(rows, Rows(), "chat")


def test_a_tokenizer_larger_than_the_embeddings_is_told(model: Any, configure: Configure) -> None:
    config = configure()
    encoder = Encoder.load(config.model.name_or_path)
    preflight.check_model(config, encoder, rows_with(399), model)
    with pytest.raises(AfinaError, match="token 400, and the model has 400 embeddings"):
        preflight.check_model(config, encoder, rows_with(400), model)


def test_rows_longer_than_the_model_sees_are_told(model: Any, configure: Configure) -> None:
    config = configure()
    encoder = Encoder.load(config.model.name_or_path)
    with pytest.raises(AfinaError, match="257 tokens, and the model sees 256"):
        preflight.check_model(config, encoder, rows_with(5, length=257), model)


@pytest.mark.parametrize("words", ["q_proj", "q_proj,v_proj", "mlp.up_proj", "all-linear"])
def test_layers_that_exist_are_accepted(model: Any, configure: Configure, words: str) -> None:
    preflight.check_targets(configure(f"method.target_modules={words}"), model)


@pytest.mark.parametrize("words", ["query", "q_proj,nope", "lm_head", "proj", ","])
def test_layers_that_do_not_exist_are_told_with_those_that_do(
    model: Any, configure: Configure, words: str
) -> None:
    config = configure(f"method.target_modules='{words}'")
    with pytest.raises(AfinaError, match="is no linear layer") as error:
        preflight.check_targets(config, model)
    assert "down_proj, gate_proj, k_proj" in error.value.hint


def test_packing_is_chosen_where_enough_steps_remain(configure: Configure) -> None:
    words = ("train.num_train_epochs=2", "train.per_device_train_batch_size=2")
    config = configure(*words, "data.max_length=100")
    assert should_pack(config, 10_000)
    assert not should_pack(config, 9_800)
    assert should_pack(configure("train.packing=on"), 10)
    assert not should_pack(configure("train.packing=off"), 10**9)


def test_the_system_prompt_that_most_rows_share_is_found(
    configure: Configure, tmp_path: Path
) -> None:
    rows = chat_rows(20)
    for row in rows[:12]:
        row["messages"].insert(0, {"role": "system", "content": "Be brief."})
    path = write_rows(tmp_path / "rows.jsonl", rows)
    _, _, encoded = load(configure, f"data.path={path}", "data.eval_fraction=0")
    assert encoded.train.system_prompt == "Be brief."
    path = write_rows(tmp_path / "rows.jsonl", rows[4:])
    _, _, encoded = load(configure, f"data.path={path}", "data.eval_fraction=0")
    assert encoded.train.system_prompt is None  # half of them is not most


def test_files_of_a_folder_that_are_not_read_are_told(configure: Configure, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    write_rows(folder / "rows.jsonl", chat_rows(12))
    (folder / "LICENSE").write_text("free")
    config, _, encoded = load(configure, f"data.path={folder}")
    (finding,) = preflight.data_warnings(config, encoded)
    assert finding.severity == "note"
    assert finding.message.startswith("skipped_file, once: LICENSE: ")


@pytest.mark.parametrize("streaming", ["false", "true"])
def test_held_out_rows_that_are_left_out_are_told(
    configure: Configure, tmp_path: Path, streaming: str
) -> None:
    broken = {"messages": [{"role": "user", "content": "Hello?"}]}
    held_out = write_rows(tmp_path / "held_out.jsonl", [*chat_rows(2), broken])
    words = (f"data.eval_path={held_out}", f"data.streaming={streaming}")
    config, _, encoded = load(configure, *words)
    messages = [finding.message for finding in preflight.data_warnings(config, encoded)]
    assert messages[0].startswith("1 held-out row left out: the first is row 3")


def held_out_from(configure: Configure, tmp_path: Path, rows: list[dict[str, Any]]) -> Encoded:
    """Twenty rows to train on, and these to evaluate on."""
    train = write_rows(tmp_path / "train.jsonl", chat_rows(20))
    held_out = write_rows(tmp_path / "held_out.jsonl", rows)
    return load(configure, f"data.path={train}", f"data.eval_path={held_out}")[2]


def test_held_out_rows_that_are_trained_on_are_counted(
    configure: Configure, tmp_path: Path
) -> None:
    encoded = held_out_from(configure, tmp_path, [*chat_rows(24)[20:], *chat_rows(3)])
    (finding,) = leak_findings(encoded)
    assert finding.severity == "warning"
    assert finding.message.startswith("3 of 7 held-out rows are trained on too")
    assert list(leak_findings(held_out_from(configure, tmp_path, chat_rows(24)[20:]))) == []


def test_the_same_questions_with_other_answers_are_told(
    configure: Configure, tmp_path: Path
) -> None:
    rows = chat_rows(24)[20:]
    asked = chat_rows(1)[0]
    asked["messages"][1]["content"] = "Ask somebody else."
    (finding,) = leak_findings(held_out_from(configure, tmp_path, [*rows, asked]))
    assert finding.severity == "note"
    assert finding.message.startswith("1 of 5 held-out rows is trained on with another answer")
