"""The gate passes what was trained and catches what was not, with the sentence that says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.data.encode.template import ChatTemplate
from core.data.encode.tokenizer import Tokenizer
from core.runs.target import Target
from exporters.contract import Working
from exporters.gguf.exporter import Gguf
from exporters.merged.exporter import MergedModel
from exporters.parity.measure import measure
from exporters.parity.reference import Reference, turn_end
from exporters.results import FAIL
from tests.exporters import models
from tests.exporters.parity.conftest import ASKED, ROWS, Compare


def gguf(target: Target, **changes: Any) -> Gguf:
    """An exporter of a target, with something of what it prepared replaced."""
    exporter = Gguf(target)
    exporter.prepared = msgspec.structs.replace(exporter.prepared, **changes)
    return exporter


def with_adapter(tuned: Target, folder: Path, **changes: Any) -> Target:
    """The target with other settings in its adapter's configuration."""
    assert tuned.adapter is not None
    shutil.copytree(tuned.adapter, folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return msgspec.structs.replace(tuned, adapter=str(folder))


def test_the_tuned_model_itself_passes_and_its_answers_end(
    tuned: Target, reference: Reference, compare: Compare
) -> None:
    assert [answer.finish_reason for answer in reference.answers] == ["stop"] * ASKED
    assert reference.answers[0].text == "".join(models.ANSWER)
    assert reference.untuned and reference.effect > 0.1
    assert compare(Gguf(tuned), "gguf:f16") == {}


def test_what_was_compared_is_counted(
    tuned: Target, reference: Reference, tmp_path: Path, working: Working
) -> None:
    exporter, path, steps = Gguf(tuned), tmp_path / "x.gguf", []
    exporter.write({"q8_0": path}, working)
    m = measure(exporter, "q8_0", path, reference, working, lambda *step: steps.append(step))
    held_out = len(reference.passages)
    assert 0 < held_out < ROWS and m.rows is not None
    assert (m.prompts, m.rows.rows) == (ASKED, held_out)
    others = m.others
    assert others is not None
    assert others.prompts == others.prompts_equal == ASKED + held_out  # every row
    assert m.rows.tokens == sum(len(p.places) for p in reference.passages)
    assert m.rows.perplexity == pytest.approx(m.rows.perplexity_tuned, rel=0.02)
    assert m.weights is not None and m.weights.off == 0 and m.weights.tensors > 20
    assert m.weights.carried == pytest.approx(1.0, abs=0.02)
    assert others.snippets == others.snippets_equal > 300
    assert others.singles == others.singles_equal > 100
    assert m.carried == pytest.approx(1.0, abs=0.05)
    assert m.tokens_per_s is not None and m.threads == 1
    total = ASKED + held_out
    assert steps[0] == (0, total) and steps[-1] == (total, total)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


@pytest.mark.parametrize("type_name", ["f16", "q2_k"])
def test_a_zeroed_adapter_is_caught(type_name: str, base: Path, compare: Compare) -> None:
    found = compare(Gguf(Target("b", "hf", str(base), label="b")), f"gguf:{type_name}")
    assert found["weights"].verdict == FAIL and "missing" in found["weights"].hint
    if type_name != "f16":
        return
    assert found["tuning"].verdict == FAIL and "goes 0% of that way" in found["tuning"].message
    assert "missing" in found["tuning"].hint
    assert found["eval rows"].verdict == FAIL


@pytest.mark.parametrize(
    ("changes", "type_name"),
    [({"use_rslora": True}, "f16"), ({"lora_alpha": 32}, "f16"), ({"lora_alpha": 32}, "q2_k")],
)
def test_a_wrong_scale_is_caught(
    changes: dict[str, Any],
    type_name: str,
    tuned: Target,
    compare: Compare,
    tmp_path: Path,
) -> None:
    wrong = with_adapter(tuned, tmp_path / "a", **changes)
    found = compare(Gguf(wrong), f"gguf:{type_name}")
    assert found["weights"].verdict == FAIL and "scale is wrong" in found["weights"].hint
    if type_name == "f16":
        assert found["divergence"].verdict == found["log p"].verdict == FAIL
        assert found["tuning"].verdict == FAIL and "scale is wrong" in found["tuning"].hint


@pytest.mark.parametrize("type_name", ["f16", "q2_k"])
def test_a_swapped_tensor_is_caught(type_name: str, tuned: Target, compare: Compare) -> None:
    other = {"blk.0.ffn_up.weight": "blk.1.ffn_up.weight"}
    other |= {second: first for first, second in other.items()}
    tensors = [
        msgspec.structs.replace(tensor, name=other.get(tensor.name, tensor.name))
        for tensor in Gguf(tuned).prepared.tensors
    ]
    found = compare(gguf(tuned, tensors=tensors), f"gguf:{type_name}")
    assert found["weights"].verdict == FAIL
    assert found["weights"].message.startswith("2 of ")
    if type_name == "f16":
        assert found["divergence"].verdict == found["eval rows"].verdict == FAIL
        assert "not what was trained" in found["divergence"].hint


def test_a_wrong_template_is_caught(tuned: Target, compare: Compare) -> None:
    wrong = models.TEMPLATE.replace("generation", "if true", 1).replace("endgeneration", "endif")
    wrong = wrong.replace("'\\n' -}}", "' \\n' -}}", 1)
    found = compare(gguf(tuned, templates={"default": wrong}), "gguf:f16")
    assert found["prompts"].verdict == found["bos"].verdict == FAIL
    assert f"{ASKED} of {ASKED} prompts have other tokens" in found["prompts"].message
    assert "divergence" not in found  # the weights are right


def test_a_bos_that_training_never_had_is_caught(tuned: Target, compare: Compare) -> None:
    vocabulary = msgspec.structs.replace(Gguf(tuned).prepared.vocabulary, bos=5)
    found = compare(gguf(tuned, vocabulary=vocabulary, add_bos=True), "gguf:f16")
    assert {name: check.verdict for name, check in found.items()} == {"bos": FAIL}
    assert "put a BOS token before" in found["bos"].message


def test_a_missing_stop_token_is_caught(tuned: Target, compare: Compare) -> None:
    prepared = Gguf(tuned).prepared
    tokens = [f"{t}!" if t == models.END else t for t in prepared.vocabulary.tokens]
    wrong = gguf(
        tuned,
        stops=(9,),
        vocabulary=msgspec.structs.replace(prepared.vocabulary, tokens=tokens),
    )
    found = compare(wrong, "gguf:f16")
    assert found["stop tokens"].verdict == found["stopping"].verdict == FAIL
    assert "doesn't stop the export" in found["stop tokens"].message


def test_two_swapped_tokens_are_caught_though_no_prompt_has_them(
    tuned: Target, reference: Reference, compare: Compare
) -> None:
    vocabulary = Gguf(tuned).prepared.vocabulary
    tokens = list(vocabulary.tokens)
    seen = {token for prompt in reference.prompts for token in prompt}
    one, two = [ids[0] for ids in reversed(reference.single_ids) if ids[0] not in seen][:2]
    tokens[one], tokens[two] = tokens[two], tokens[one]
    wrong = gguf(tuned, vocabulary=msgspec.structs.replace(vocabulary, tokens=tokens))
    found = compare(wrong, "gguf:f16")
    assert found["vocabulary"].verdict == FAIL
    assert "stand for other texts" in found["vocabulary"].message
    assert "prompts" not in found


def test_the_token_that_a_template_ends_answers_with_must_stop_the_export(base: Path) -> None:
    tokenizer = Tokenizer.load(base)
    template = ChatTemplate.load(base)
    assert turn_end(template, tokenizer) == [tokenizer.specials[models.END]]
    for other in ("{{ messages[1].content }} done", "{{ messages[0].content }}"):
        assert turn_end(ChatTemplate({"default": other}, {}), tokenizer) == []


def test_a_merged_folder_passes_and_its_faults_are_caught(
    tuned: Target, compare: Compare, tmp_path: Path
) -> None:
    assert compare(MergedModel(tuned), "merged:bf16") == {}
    shutil.rmtree(tmp_path / "x-bf16.merged")
    doubled = with_adapter(tuned, tmp_path / "a", lora_alpha=32)
    found = compare(MergedModel(doubled), "merged:bf16")
    assert found["weights"].verdict == FAIL and "scale is wrong" in found["weights"].hint
