"""The check passes what was trained and catches what was not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.jobs import JobWorker
from core.runs import create_run
from core.targets import Target
from exporters.gguf.prepare import Prepared, prepare
from exporters.gguf.write import write_gguf
from exporters.job.cancel import Requests
from exporters.job.results import FAIL, PASS, WARN
from exporters.parity import reference as asking
from exporters.parity.judge import BOUNDS, Measured, judge, verdict
from exporters.parity.measure import measure
from exporters.parity.questions import PLAIN, questions
from exporters.parity.reference import Reference
from tests.exporters import models

ASKED = 4
GOOD = Measured(
    prompts=20,
    prompts_equal=20,
    fed_equal=20,
    doubled_bos=0,
    different_prompt="",
    snippets=300,
    snippets_equal=300,
    different_snippet="",
    stop_ids_missing=[],
    stops_inside=[],
    stopped=20,
    stopped_here=20,
    agreement=1.0,
    identical=1.0,
    parted=0,
    kl=0.0,
    max_delta_log_p=0.0,
    effect=0.5,
    tokens=400,
    tokens_per_s=100.0,
    threads=1,
)


@pytest.mark.parametrize("type_name", BOUNDS)
def test_what_differs_in_nothing_passes(type_name: str) -> None:
    checks = judge(GOOD, type_name)
    assert verdict(checks) == PASS
    assert not any(check.hint for check in checks)


@pytest.mark.parametrize(
    ("change", "name", "state"),
    [
        ({"prompts_equal": 19, "different_prompt": "Hi"}, "prompts", FAIL),
        ({"fed_equal": 0, "doubled_bos": 20}, "bos", FAIL),
        ({"fed_equal": 3}, "bos", FAIL),
        ({"snippets_equal": 298}, "snippets", WARN),
        ({"snippets_equal": 200}, "snippets", FAIL),
        ({"stop_ids_missing": [7]}, "stop tokens", FAIL),
        ({"stops_inside": [7]}, "stop tokens", FAIL),
        ({"stopped_here": 15}, "stopping", WARN),
        ({"stopped_here": 2}, "stopping", FAIL),
        ({"parted": 3}, "agreement", WARN),
        ({"parted": 9}, "agreement", FAIL),
        ({"kl": 0.02}, "divergence", WARN),
        ({"kl": 0.3}, "tuning", FAIL),
        ({"kl": 0.15}, "tuning", WARN),
    ],
)
def test_each_kind_of_difference_is_a_sentence_with_a_way_out(
    change: dict[str, Any], name: str, state: str
) -> None:
    checks = {c.name: c for c in judge(msgspec.structs.replace(GOOD, **change), "q8_0")}
    assert checks[name].verdict == state
    assert checks[name].message.endswith(".") and checks[name].hint.endswith(".")


def test_a_type_of_fewer_bits_may_lose_more() -> None:
    lossy = msgspec.structs.replace(GOOD, kl=0.09, parted=4, effect=None)
    assert verdict(judge(lossy, "q4_k_m")) == PASS
    assert verdict(judge(lossy, "q8_0")) == FAIL


def test_answers_that_part_at_near_ties_only_are_not_held_against_a_file() -> None:
    tied = msgspec.structs.replace(GOOD, agreement=0.1, identical=0.0, parted=0)
    assert verdict(judge(tied, "f16")) == PASS


def test_a_tuning_that_is_hardly_there_is_not_called_lost() -> None:
    faint = msgspec.structs.replace(GOOD, kl=0.004, effect=0.003)
    assert verdict(judge(faint, "q8_0")) == PASS


@pytest.fixture(scope="module")
def reference(tuned: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    """The tuned model's answers to a few questions."""
    folder = tmp_path_factory.mktemp("reference")
    worker = JobWorker(folder)
    requests = Requests(worker)
    patch = pytest.MonkeyPatch()
    patch.setattr(asking, "questions", lambda target: questions(target, ASKED))
    yield Reference(prepare(tuned), folder, requests, 1, lambda done, total: None)
    patch.undo()
    requests.close()
    worker.close()


def compare(prepared: Prepared, reference: Reference, folder: Path) -> dict[str, str]:
    """The checks of an f16 file of `prepared` that don't pass: {name: verdict}."""
    write_gguf(prepared, {"f16": folder / "x.gguf"}, lambda *values: None)
    measured = measure(folder / "x.gguf", reference, lambda done, total: None)
    return {c.name: c.verdict for c in judge(measured, "f16") if c.verdict != PASS}


def test_the_tuned_model_itself_passes_and_its_answers_end(
    tuned: Target, reference: Reference, tmp_path: Path
) -> None:
    assert [answer.finish_reason for answer in reference.answers] == ["stop"] * ASKED
    assert reference.answers[0].text == "".join(models.ANSWER)
    assert reference.effect is not None and reference.effect > 0.1
    assert compare(prepare(tuned), reference, tmp_path) == {}


def test_a_zeroed_adapter_is_caught(base: Path, reference: Reference, tmp_path: Path) -> None:
    untuned = prepare(Target("b", "hf", str(base), label="b"))
    assert compare(untuned, reference, tmp_path)["tuning"] == FAIL


def test_a_wrong_scale_is_caught(tuned: Target, reference: Reference, tmp_path: Path) -> None:
    assert tuned.adapter is not None
    shutil.copytree(tuned.adapter, tmp_path / "a")
    path = tmp_path / "a" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_rslora": True}))
    wrong = prepare(msgspec.structs.replace(tuned, adapter=str(tmp_path / "a")))
    found = compare(wrong, reference, tmp_path)
    assert found["divergence"] == FAIL and found["log p"] == FAIL


def test_a_swapped_tensor_is_caught(tuned: Target, reference: Reference, tmp_path: Path) -> None:
    prepared = prepare(tuned)
    other = {"blk.0.ffn_up.weight": "blk.1.ffn_up.weight"}
    other |= {second: first for first, second in other.items()}
    tensors = [msgspec.structs.replace(t, name=other.get(t.name, t.name)) for t in prepared.tensors]
    found = compare(msgspec.structs.replace(prepared, tensors=tensors), reference, tmp_path)
    assert found["divergence"] == FAIL


def test_a_wrong_template_is_caught(tuned: Target, reference: Reference, tmp_path: Path) -> None:
    wrong = {"default": models.TEMPLATE.replace("generation", "if true", 1)}
    wrong = {"default": wrong["default"].replace("endgeneration", "endif").replace("user", "you")}
    wrong["default"] = wrong["default"].replace("'\\n' -}}", "' \\n' -}}", 1)
    prepared = msgspec.structs.replace(prepare(tuned), templates=wrong)
    found = compare(prepared, reference, tmp_path)
    assert found["prompts"] == FAIL and found["bos"] == FAIL
    assert "divergence" not in found  # the weights are right


def test_a_bos_that_training_never_had_is_caught(
    tuned: Target, reference: Reference, tmp_path: Path
) -> None:
    prepared = prepare(tuned)
    vocabulary = msgspec.structs.replace(prepared.vocabulary, bos=5)
    wrong = msgspec.structs.replace(prepared, vocabulary=vocabulary, add_bos=True)
    assert compare(wrong, reference, tmp_path) == {"bos": FAIL}


def test_a_missing_stop_token_is_caught(
    tuned: Target, reference: Reference, tmp_path: Path
) -> None:
    prepared = prepare(tuned)
    tokens = [f"{t}!" if t == models.END else t for t in prepared.vocabulary.tokens]
    wrong = msgspec.structs.replace(
        prepared,
        stops=msgspec.structs.replace(prepared.stops, eos=9),
        vocabulary=msgspec.structs.replace(prepared.vocabulary, tokens=tokens),
    )
    found = compare(wrong, reference, tmp_path)
    assert found["stop tokens"] == FAIL and found["stopping"] == FAIL


def test_questions_are_the_runs_own_first(base: Path, home: Path, tmp_path: Path) -> None:
    from core.config import config_io

    rows = [
        [("system", "Be kind."), ("user", f"Question {n}?"), ("assistant", "Yes.")]
        for n in range(40)
    ]
    lines = [json.dumps({"messages": [{"role": r, "content": c} for r, c in row]}) for row in rows]
    (tmp_path / "d.jsonl").write_text("\n".join(lines))
    values = {
        "model": {"name_or_path": str(base)},
        "data": {"path": str(tmp_path / "d.jsonl"), "eval_fraction": 0.25},
        "eval": {"watch_prompts": ["Watch me."]},
    }
    run = create_run(home, config_io.from_values(values))
    target = Target("r", "hf", str(base), run=str(run.directory))
    found = [[m["content"] for m in question.messages] for question in questions(target)]
    assert found[0] == ["Be kind.", "Watch me."]
    assert all(texts[0] == "Be kind." and "Question" in texts[1] for texts in found[1:11])
    assert len(found) == 20 and found[-1] == [PLAIN[8]]
    (tmp_path / "d.jsonl").unlink()
    assert questions(target, 3)[1].messages[0]["content"] == PLAIN[0]
