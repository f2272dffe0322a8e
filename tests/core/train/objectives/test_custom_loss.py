"""A loss of one's own: the examples of the docs, its weighing, the code a run keeps, its faults."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from core.config import Config, config_io
from core.config.problems import problems
from core.errors import AfinaError
from core.paths import ROOT
from core.runs import custom_loss_file
from core.runs.run import Run, create_run
from core.train.objectives import custom_loss
from tests.core.train.conftest import Configure, NewWorker, of_kind

Assemble = Callable[[Config], Any]
PLAIN = "def loss(logits, labels, batch):\n    return batch.cross_entropy.mean()\n"
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs/custom-loss.md").read_text(), re.S)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def make(text: str) -> Path:
        path = tmp_path / "mine.py"
        path.write_text(text, encoding="utf-8")
        return path

    return make


@pytest.fixture
def trainer_of(
    assemble: Assemble, configure: Configure, write: Callable[[str], Path]
) -> Callable[..., Any]:
    """The trainer of a loss that is written in a file, by its name there."""

    def make(text: str, name: str, *words: str) -> Any:
        given = (f"train.custom_loss={write(text)}:{name}", "eval.every_steps=99", *words)
        return assemble(configure("method.kind=full", "train.learning_rate=1e-3", *given))

    return make


def losses_of(trainer: Any) -> list[float]:
    trainer.train()
    events = Run(trainer.setup.run).events()
    return [event["loss"] for event in events if event["kind"] == "step"]


@pytest.mark.parametrize(
    ("text", "name"), zip(EXAMPLES, ("focal", "PromptNearAnswer"), strict=True)
)
def test_the_examples_of_the_docs_are_learned_from(
    text: str, name: str, trainer_of: Callable[..., Any]
) -> None:
    trainer = trainer_of(text, name, "train.max_steps=6")
    losses = losses_of(trainer)
    assert losses[-1] < losses[0]
    measured = trainer.evaluate()
    assert measured["custom_loss"] != pytest.approx(measured["eval_loss"], rel=1e-3)


def test_the_contrastive_example_brings_prompts_near_to_their_answers(
    trainer_of: Callable[..., Any],
) -> None:
    only = EXAMPLES[1].replace("batch.cross_entropy.mean() + self.weight * ", "")
    losses = losses_of(trainer_of(only, "PromptNearAnswer", "train.max_steps=6"))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("way", ["flat", "packed", "padded"])
def test_a_loss_sees_what_each_row_shows_alone(
    way: str, trainer_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "padded":
        monkeypatch.setattr("core.train.model.attention.isolates", lambda *given: False)
    packing = "train.packing=on" if way == "packed" else "train.packing=off"
    text = PLAIN + "loss.needs_hidden_states = True\n"
    trainer = trainer_of(text, "loss", packing)
    batch = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad():
        scored, _ = trainer.score(trainer.model, dict(batch))
        assert len(scored.labels) == int(scored.supervised.sum())
        assert scored.hidden is not None and len(scored.hidden) == len(scored.input_ids)
        body = trainer.model.base_model
        for document in range(scored.documents):
            here = scored.input_document == document
            ids = scored.input_ids[here][None]
            with trainer.plain_attention():
                logits = trainer.model(input_ids=ids).logits[0]
                hidden = body(input_ids=ids).last_hidden_state[0]
            mine = scored.document == document
            places = scored.position[mine]
            assert scored.supervised[here].nonzero().flatten().tolist() == places.tolist()
            assert scored.labels[mine].tolist() == ids[0, places].tolist()
            torch.testing.assert_close(
                scored.logits[mine], logits[places - 1], rtol=1e-4, atol=1e-5
            )
            torch.testing.assert_close(scored.hidden[here], hidden, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        scored.cross_entropy.mean(), cross_entropy(scored.logits, scored.labels)
    )


@pytest.mark.parametrize("result", ["batch.cross_entropy.mean()", "batch.cross_entropy"])
def test_the_plain_loss_of_ones_own_trains_as_the_plain_loss(
    result: str, trainer_of: Callable[..., Any], assemble: Assemble, configure: Configure
) -> None:
    """Also over the passes of a step, which have different numbers of supervised tokens."""
    words = ("train.max_steps=3", "train.per_device_train_batch_size=2")
    words = (*words, "train.gradient_accumulation_steps=2")
    text = PLAIN.replace("batch.cross_entropy.mean()", result)
    own = losses_of(trainer_of(text, "loss", *words))
    plain = ("method.kind=full", "train.learning_rate=1e-3", "eval.every_steps=99", *words)
    assert own == pytest.approx(losses_of(assemble(configure(*plain))), rel=1e-5)


def test_the_eval_loss_stays_the_plain_one(
    trainer_of: Callable[..., Any], assemble: Assemble, configure: Configure
) -> None:
    text = PLAIN.replace(".mean()", ".mean() * 3")
    own = trainer_of(text, "loss").evaluate()
    plain = assemble(configure("method.kind=full")).evaluate()
    assert own["eval_loss"] == pytest.approx(plain["eval_loss"], rel=1e-5)
    assert own["custom_loss"] == pytest.approx(3 * plain["eval_loss"], rel=1e-5)


def test_a_class_is_made_once_with_the_options_of_the_run(trainer_of: Callable[..., Any]) -> None:
    text = (
        "class Loss:\n"
        "    def __init__(self, config):\n"
        "        self.factor = config['train']['learning_rate'] * 1e3\n"
        "        self.calls = 0\n"
        "    def __call__(self, logits, labels, batch):\n"
        "        self.calls += 1\n"
        "        return batch.cross_entropy.mean() * self.factor\n"
    )
    trainer = trainer_of(text, "Loss", "train.max_steps=2", "data.eval_fraction=0")
    trainer.train()
    assert (trainer.custom.call.factor, trainer.custom.call.calls) == (1.0, 2)


FAULTS = {
    "is no tensor": ("    return 3.0\n", r"mine.py:1 \(loss\) gave back a float, not a tensor"),
    "is nothing": ("    pass\n", r"gave back nothing \(None\)"),
    "has another shape": ("    return logits\n", r"gave back a tensor of shape \(\d+, \d+\) for"),
    "has no gradient": ("    return batch.cross_entropy.mean().detach()\n", "without a gradient"),
    "is not finite": (
        "    return batch.cross_entropy.mean() / 0\n",
        r"gave back inf, where the model's own loss is finite",
    ),
    "fails": (
        "    return batch.wrong\n",
        r"mine.py:2 \(loss\): AttributeError: 'Scored' object has no attribute 'wrong'",
    ),
    "fails elsewhere": ("    return logits @ labels\n", r"mine.py:2 \(loss\): RuntimeError"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_loss_that_is_at_fault_is_told_with_its_line(
    name: str, trainer_of: Callable[..., Any]
) -> None:
    body, message = FAULTS[name]
    trainer = trainer_of("def loss(logits, labels, batch):\n" + body, "loss")
    batch = next(iter(trainer.get_train_dataloader()))
    with pytest.raises(AfinaError, match=message):
        trainer.compute_loss(trainer.model.train(), dict(batch))


def test_memory_that_runs_out_in_a_loss_is_no_fault_of_it(trainer_of: Callable[..., Any]) -> None:
    text = "def loss(logits, labels, batch):\n    raise MemoryError\n"
    trainer = trainer_of(text, "loss")
    with pytest.raises(MemoryError):
        trainer.compute_loss(trainer.model, dict(next(iter(trainer.get_train_dataloader()))))


LOADING = {
    "import nowhere_to_be_found\n": r"mine.py:1 \(loss\): ModuleNotFound.*install the module",
    "x = 1 / 0\n": r"mine.py:1 \(loss\): ZeroDivisionError",
    "raise SystemExit(3)\n": r"mine.py:1 \(loss\): SystemExit: 3",
    "def other(a): pass\nclass Third: pass\n": 'has no "loss". It has .* other, Third',
    "loss = 3\n": '"loss" in mine.py can\'t be called: it is a int',
    "class loss:\n    def __init__(self): pass\n": r"mine.py \(loss\): TypeError",
    "class loss:\n    def __init__(self, config): pass\n": "can't be called: it is a loss",
}


@pytest.mark.parametrize("text", LOADING)
def test_a_file_that_gives_no_loss_is_told(text: str, write: Callable[[str], Path]) -> None:
    with pytest.raises(AfinaError, match=LOADING[text]):
        custom_loss.load(write(text), "mine.py:loss", Config())


def test_a_run_keeps_the_code_it_began_with(
    home: Path, configure: Configure, write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(PLAIN)
    monkeypatch.chdir(path.parent)
    run = create_run(home, configure("train.custom_loss=mine.py:loss"))
    word = run.config.train.custom_loss
    assert word is not None and word == f"{path.resolve()}:loss"
    copy = custom_loss_file.kept(run.directory)
    assert copy == run.directory / "custom_loss.py" and copy.read_text() == PLAIN
    digest = hashlib.sha256(PLAIN.encode()).hexdigest()
    assert (run.directory / "custom_loss.sha256").read_text() == f"{digest}  custom_loss.py\n"
    assert custom_loss_file.changed(word, run.directory) is None
    path.write_text(PLAIN + "# more\n")
    found = custom_loss_file.changed(word, run.directory)
    assert found is not None and "has changed since this run was made" in found.message
    path.unlink()
    found = custom_loss_file.changed(word, run.directory)
    assert found is not None and "is gone since" in found.message
    copy.write_text("changed")
    with pytest.raises(AfinaError, match="no longer the code that this run began with"):
        custom_loss_file.kept(run.directory)


def test_a_resumed_run_goes_on_with_its_copy_and_says_that_the_file_changed(
    new_worker: NewWorker, configure: Configure, write: Callable[[str], Path]
) -> None:
    path = write(EXAMPLES[0])
    words = ("train.max_steps=12", "checkpoint.every_steps=3", "eval.every_steps=6")
    config = configure(f"train.custom_loss={path}:focal", *words)
    worker = new_worker(config).start()
    worker.until_step(4)
    worker.kill()
    path.write_text(PLAIN.replace("loss", "focal", 1))
    before = {e["step"]: e["loss"] for e in of_kind(worker.run, "step")}
    assert worker.start().wait() == 0, worker.log()
    after = {e["step"]: e["loss"] for e in of_kind(worker.run, "step")}
    assert all(after[step] == loss for step, loss in before.items())
    assert any("has changed since" in e["message"] for e in of_kind(worker.run, "finding"))
    assert all("custom_loss" in event for event in of_kind(worker.run, "eval"))


WORDS = {
    "loss.py": "names no function or class in a file",
    "loss.txt:loss": "names no function or class in a file",
    "loss.py:a b": "names no function or class in a file",
    "gone.py:loss": 'There is no file "gone.py"',
    "mine.py:nothing": 'mine.py has no "nothing". It has loss.',
    "bad.py:loss": "bad.py:1 is not Python",
}


@pytest.mark.parametrize("word", WORDS)
def test_what_names_no_loss_is_a_problem_before_the_run(
    word: str, write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(PLAIN).parent)
    Path("bad.py").write_text("def loss(:\n")
    found = problems(config_io.parse("", [f"train.custom_loss={word}"]))
    (mine,) = [item for item in found if item.field == "train.custom_loss"]
    assert WORDS[word] in str(mine)


def test_looking_at_a_loss_runs_none_of_it(
    write: Callable[[str], Path], home: Path, configure: Configure
) -> None:
    mark = home / "ran"
    path = write(f"open({str(mark)!r}, 'w')\n" + PLAIN)
    config = configure(f"train.custom_loss={path}:loss")
    assert [item for item in problems(config) if item.field == "train.custom_loss"] == []
    run = create_run(home, config)
    assert not mark.exists()
    shutil.rmtree(run.directory)
