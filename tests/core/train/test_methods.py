"""Methods of tuning: which weights move, what a folder of them is worth, and how they go on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch.nn.functional import cross_entropy

from core.chat.backend import open_backend
from core.chat.protocol import Load
from core.config import Config
from core.data.recipe import Recipe
from core.jobs import JobWorker
from core.plan import model_shape
from core.plan.counting import trainable_parameters
from core.runs.run import Run, create_run
from core.runs.target import of_run
from core.train.callback import RunCallback
from core.train.checkpoint import manifest
from core.train.checkpoint.progress import Progress
from core.train.control import Requests
from core.train.model import precision
from core.train.setup import Setup
from core.train.training import Training
from tests.core.train.conftest import Configure, NewWorker, losses

Assemble = Callable[..., Any]  # the trainer of a configuration
STEPS = 4
SHORT = (
    f"train.max_steps={STEPS}",
    "checkpoint.every_steps=2",
    "eval.every_steps=2",
    "method.rank=4",
    "method.alpha=8",
)
METHODS: dict[str, tuple[str, ...]] = {
    "lora": ("method.dropout=0.1",),
    "patterns": (
        'method.rank_pattern={"down_proj": 2, "layers.0.self_attn.q_proj": 6}',
        'method.alpha_pattern={"down_proj": 3}',
        "method.target_modules=q_proj,down_proj",
    ),
    "dora": ("method.dora=true",),
    "pissa": (
        "method.init_lora_weights=pissa",
        "method.dropout=0.1",
        'method.rank_pattern={"down_proj": 2}',
        'method.alpha_pattern={"down_proj": 3}',
        "method.modules_to_save=model.norm",
    ),
    "pissa-rslora": ("method.init_lora_weights=pissa", "method.rslora=true"),
    "saved": ("method.modules_to_save=embed_tokens, lm_head", "method.target_modules=v_proj"),
    "nf4": ("method.quantization=nf4", "method.dropout=0.1"),
    "nf4-dora": ("method.quantization=nf4", "method.dora=true", "method.rslora=true"),
    "int8": ("method.quantization=int8",),
    "ia3": ("method.kind=ia3",),
    "ia3-named": ("method.kind=ia3", "method.target_modules=k_proj,v_proj,down_proj"),
    "ia3-nf4": ("method.kind=ia3", "method.quantization=nf4"),
    "prompt": ("method.kind=prompt", "method.num_virtual_tokens=5"),
    "prompt-text": ("method.kind=prompt", "method.prompt_tuning_init_text=Say what people eat."),
    "prompt-nf4": ("method.kind=prompt", "method.quantization=nf4"),
    "last-block": ("method.kind=full", "method.trainable_layers=1", "train.learning_rate=1e-3"),
    "full": ("method.kind=full", "train.learning_rate=1e-3"),
}


@pytest.fixture(scope="module")
def assemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Assemble]:
    """The trainer that a worker would build, in this process; of a run that is there already."""
    workers, home = [], tmp_path_factory.mktemp("methods")

    def make(config: Config, run: Run | None = None) -> Any:
        run = run or create_run(home, config)
        workers.append(worker := JobWorker(run.directory))
        training = Training(run, worker, Requests(worker))
        encoder = Recipe.of(config).encoder()
        encoded = training.load_rows(encoder)
        base = Path(config.model.name_or_path)
        setup = Setup(run.directory, base, config, precision.choose(config))
        callback = RunCallback(worker, config, Progress(), Requests(worker), lambda step: 0)
        return training.build(setup, encoder, encoded, callback)

    yield make
    for worker in workers:
        worker.close()


class Trained(NamedTuple):
    """A trainer at its end, and the weights that it began with."""

    config: Config
    trainer: Any
    learning: dict[str, torch.Tensor]
    frozen: dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def trained(assemble: Assemble, configure: Configure) -> Callable[[str], Trained]:
    """A run of a few steps by a method; each method is trained once."""

    @cache
    def train(method: str) -> Trained:
        config = configure(*SHORT, *METHODS[method])
        trainer = assemble(config)
        before = (weights_of(trainer.model, True), weights_of(trainer.model, False))
        trainer.train()
        return Trained(config, trainer, *before)

    return train


def weights_of(model: Any, learning: bool) -> dict[str, torch.Tensor]:
    return {
        name: weight.detach().clone()
        for name, weight in model.named_parameters()
        if weight.requires_grad == learning
    }


IDS = torch.tensor([[3, 290, 288, 1, 4, 30, 31, 1]])


def logits_of(model: Any) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    return logits[:, -IDS.shape[1] :]  # a learned prompt has logits too


@pytest.mark.parametrize("method", METHODS)
def test_exactly_the_weights_of_the_method_learn_and_as_many_as_were_counted(
    method: str, trained: Callable[[str], Trained]
) -> None:
    config, trainer, learning, frozen = trained(method)
    shape = model_shape.read_shape(Path(config.model.name_or_path))
    assert sum(w.numel() for w in learning.values()) == trainable_parameters(shape, config)
    assert all(weight.dtype == torch.float32 for weight in learning.values())
    after = dict(trainer.model.named_parameters())
    still = [name for name, before in learning.items() if torch.equal(before, after[name])]
    moved = [name for name, before in frozen.items() if not torch.equal(before, after[name])]
    assert (still, moved) == ([], [])


@pytest.mark.parametrize(
    "method",
    ["patterns", "dora", "pissa", "pissa-rslora", "saved", "ia3", "ia3-named", "prompt-text"],
)
def test_a_checkpoint_on_the_base_as_it_was_answers_as_the_trained_model(
    method: str, trained: Callable[[str], Trained]
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    config, trainer, _, _ = trained(method)
    folder = Run(trainer.setup.run).checkpoints()[-1]
    base = AutoModelForCausalLM.from_pretrained(config.model.name_or_path)
    untuned = logits_of(base)
    with trainer.plain_attention():
        tuned = logits_of(trainer.model)
    assert float((tuned - untuned).abs().max()) > 1e-3
    torch.testing.assert_close(
        logits_of(PeftModel.from_pretrained(base, str(folder))), tuned, atol=2e-5, rtol=1e-4
    )


@pytest.mark.parametrize(
    "method", ["nf4", "nf4-dora", "int8", "pissa", "ia3", "prompt", "saved", "last-block"]
)
def test_a_run_that_goes_on_from_a_checkpoint_has_the_losses_it_would_have_had(
    method: str, trained: Callable[[str], Trained], assemble: Assemble, tmp_path: Path
) -> None:
    config, whole, _, _ = trained(method)
    run = Run(tmp_path / "runs" / "again")
    shutil.copytree(whole.setup.run, run.directory)
    (run.directory / "events.jsonl").unlink()
    shutil.rmtree(manifest.step_folder(run.directory, STEPS))
    trainer = assemble(config, run)
    trainer.train(resume_from_checkpoint=str(manifest.step_folder(run.directory, 2)))
    expected = losses(Run(whole.setup.run))
    assert losses(run) == {step: expected[step] for step in (3, 4)}
    (first, second) = (dict(each.model.named_parameters()) for each in (whole, trainer))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_a_learned_prompt_stands_before_every_row_of_a_batch(
    assemble: Assemble, configure: Configure
) -> None:
    """Laid end to end, rows would share one prompt."""
    trainer = assemble(configure(*SHORT, *METHODS["prompt"]))
    assert not trainer.layout.flat and not trainer.layout.packed
    batch = next(iter(trainer.get_train_dataloader()))
    assert len(batch["input_ids"]) == 4
    total = 0.0
    for ids, mask, labels in zip(
        batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True
    ):
        length = int(mask.sum())
        with torch.no_grad():
            logits = trainer.model(input_ids=ids[None, :length]).logits[0, 5:]
        total += float(cross_entropy(logits[:-1], labels[1:length], reduction="sum"))
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=torch.tensor(1))
    assert float(loss) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("method", ["nf4", "pissa", "ia3", "prompt", "last-block"])
def test_a_run_by_any_method_proves_its_result_and_can_be_chatted_with(
    method: str, new_worker: NewWorker, configure: Configure
) -> None:
    watched = ('eval.watch_prompts=["What do people eat in Rome?"]', "eval.max_new_tokens=4")
    worker = new_worker(configure(*SHORT, *METHODS[method], *watched, "model.dtype=bfloat16"))
    assert worker.start().wait() == 0, worker.log()
    assert worker.run.state().state == "done"
    target = of_run(worker.run, "2")
    backend = open_backend(Load(target=target, threads=1, device="cpu"))
    tuned = backend.read([3, 290, 288, 4], lambda: False)
    base = open_backend(Load(target=of_run(worker.run, "base"), threads=1, device="cpu"))
    assert abs(tuned - base.read([3, 290, 288, 4], lambda: False)).max() > 1e-4
