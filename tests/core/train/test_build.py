"""From rows to gradients: what reaches the model, and which weights move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config import Config
from core.data.encode.encoder import Encoder, encode_rows
from core.data.files.source import open_source
from core.data.shapes.read import Reader
from core.data.split import split_source
from core.jobs import JobWorker
from core.runs.run import create_run
from core.train.callback import RunCallback
from core.train.checkpoint import manifest
from core.train.checkpoint.progress import Progress
from core.train.control import Requests
from core.train.model import precision
from core.train.setup import Setup
from core.train.training import Training
from core.train.watch_prompts import Watch
from tests.core.train.conftest import Configure

Assemble = Callable[[Config], Any]  # the trainer of the objective


@pytest.fixture
def assemble(home: Path) -> Iterator[Assemble]:
    """The trainer that a worker would build, in this process."""
    workers = []

    def make(config: Config) -> Any:
        run = create_run(home, config)
        workers.append(worker := JobWorker(run.directory))
        requests = Requests(worker)
        training = Training(run, worker, requests)
        encoder = encoder_of(config)
        encoded = training.load_rows(encoder)
        setup = Setup(
            run.directory, Path(config.model.name_or_path), config, precision.choose(config)
        )
        callback = RunCallback(worker, config, Progress(), requests, lambda step: 0)
        return training.build(setup, encoder, encoded, callback)

    yield make
    for worker in workers:
        worker.close()


def encoder_of(config: Config) -> Encoder:
    return Encoder.load(config.model.name_or_path, config.data.max_length, config.train.supervise)


def rows_of(config: Config) -> list[tuple[list[int], list[int]]]:
    """(ids, labels) of every training row, as core.data gives them."""
    encoder = encoder_of(config)
    with open_source(config.data.path) as source:
        reader, data = Reader("chat"), config.data
        kept = split_source(source, reader, data.eval_fraction, config.train.seed).train
        encodings = list(encode_rows(source, reader, encoder, kept))
    return [(encoding.ids, encoder.labels(encoding)) for encoding in encodings]


def documents_of(batch: dict[str, Any]) -> list[tuple[list[int], list[int]]]:
    """(ids, labels) of every row in a batch that lies flat."""
    edges = batch["cu_seq_lens_q"].tolist()
    ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
    return [(ids[a:b], labels[a:b]) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def first_not_learned(rows: list[tuple[list[int], list[int]]]) -> list[tuple[list[int], list[int]]]:
    """Rows with their first label left out: there is nothing before it to predict it from."""
    return sorted((ids, [-100, *labels[1:]]) for ids, labels in rows)


@pytest.mark.parametrize("packing", ["on", "off"])
def test_the_batches_hold_the_ids_and_labels_of_the_encoder(
    packing: str, assemble: Assemble, configure: Configure
) -> None:
    config = configure(f"train.packing={packing}")
    trainer = assemble(config)
    assert trainer.layout.flat and trainer.layout.packed == (packing == "on")
    seen = [row for batch in trainer.get_train_dataloader() for row in documents_of(batch)]
    assert sorted(seen) == first_not_learned(rows_of(config))


def test_the_loss_equals_that_of_each_row_alone(assemble: Assemble, configure: Configure) -> None:
    trainer = assemble(configure("method.kind=full"))
    batch = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad():
        together = trainer.compute_loss(trainer.model, dict(batch))
        losses, count = 0.0, 0
        with trainer.plain_attention():
            for ids, labels in documents_of(batch):
                logits = trainer.model(input_ids=torch.tensor([ids])).logits[0, :-1]
                target = torch.tensor(labels[1:])
                losses += torch.nn.functional.cross_entropy(logits, target, reduction="sum")
                count += int((target != -100).sum())
    torch.testing.assert_close(together, losses / count, rtol=1e-5, atol=1e-6)


def test_our_loss_equals_that_of_trl(
    assemble: Assemble, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = assemble(configure("method.kind=full"))
    batch = next(iter(trainer.get_train_dataloader()))

    def loss_and_gradient() -> tuple[torch.Tensor, torch.Tensor]:
        trainer.model.zero_grad()
        loss = trainer.compute_loss(trainer.model, dict(batch))
        loss.backward()
        return loss.detach(), torch.cat([p.grad.flatten() for p in trainer.model.parameters()])

    ours = loss_and_gradient()
    monkeypatch.setattr("core.train.objectives.sft.MAX_LOGITS", 0)
    theirs = loss_and_gradient()
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-4, atol=1e-6)


def test_the_eval_loss_is_the_mean_over_supervised_tokens(
    assemble: Assemble, configure: Configure
) -> None:
    trainer = assemble(configure("data.eval_fraction=0.3", "train.per_device_train_batch_size=5"))
    measured = trainer.evaluate()["eval_loss"]
    total, count = 0.0, 0
    trainer.model.eval()
    for batch in trainer.get_eval_dataloader():
        for ids, labels in documents_of(batch):
            with torch.no_grad(), trainer.plain_attention():
                logits = trainer.model(input_ids=torch.tensor([ids])).logits[0, :-1]
            target = torch.tensor(labels[1:])
            total += float(torch.nn.functional.cross_entropy(logits, target, reduction="sum"))
            count += int((target != -100).sum())
    assert measured == pytest.approx(total / count, rel=1e-5)


def test_evaluating_leaves_the_random_numbers_alone(
    assemble: Assemble, configure: Configure
) -> None:
    trainer = assemble(configure())
    before = torch.get_rng_state()
    trainer.evaluate()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "words", [(), ("method.dora=true",), ("method.rslora=true", "model.dtype=bfloat16")]
)
def test_lora_changes_every_weight_of_the_adapter_and_none_of_the_base(
    words: tuple[str, ...], assemble: Assemble, configure: Configure
) -> None:
    trainer = assemble(configure("train.max_steps=4", "eval.every_steps=9", *words))
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    moved = {
        name
        for name, value in trainer.model.named_parameters()
        if not torch.equal(value.detach(), before[name])
    }
    adapter = {name for name in before if ".lora_" in name}
    assert moved == adapter
    # 7 linear layers in each of 2 blocks, A and B each; DoRA's magnitude beside them
    assert len(adapter) == 2 * 7 * (3 if "method.dora=true" in words else 2)
    assert all(before[name].dtype == torch.float32 for name in adapter)


def test_full_tuning_changes_every_weight(assemble: Assemble, configure: Configure) -> None:
    trainer = assemble(configure("method.kind=full", "train.max_steps=3"))
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    unmoved = [
        name
        for name, value in trainer.model.named_parameters()
        if torch.equal(value.detach(), before[name])
    ]
    assert unmoved == []


def test_named_layers_get_the_adapter_and_others_do_not(
    assemble: Assemble, configure: Configure
) -> None:
    trainer = assemble(configure("method.target_modules=q_proj, self_attn.v_proj"))
    layers = {
        name.split(".lora_")[0] for name, _ in trainer.model.named_parameters() if ".lora_" in name
    }
    assert {name.rpartition(".")[2] for name in layers} == {"q_proj", "v_proj"}


def test_a_model_that_mixes_rows_is_padded_instead(
    assemble: Assemble, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.train.model.attention.isolates", lambda *args: False)
    config = configure()
    trainer = assemble(config)
    assert not trainer.layout.flat
    seen = []
    for batch in trainer.get_train_dataloader():
        lengths = batch["attention_mask"].sum(1).tolist()
        for ids, labels, length in zip(batch["input_ids"], batch["labels"], lengths, strict=True):
            seen.append((ids[:length].tolist(), labels[:length].tolist()))
            assert set(labels[length:].tolist()) <= {-100}
    assert sorted(seen) == sorted(rows_of(config))
    assert trainer.evaluate()["eval_loss"] > 0


def test_the_order_of_the_rows_follows_from_the_seed(
    assemble: Assemble, configure: Configure
) -> None:
    def order(seed: int) -> list[int]:
        trainer = assemble(configure(f"train.seed={seed}", "data.eval_fraction=0"))
        return [
            t for b in trainer.get_train_dataloader() for t in b["input_ids"].flatten().tolist()
        ]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_a_checkpoint_that_does_not_fit_on_the_disk_does_not_end_the_run(
    assemble: Assemble, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.events import read_events

    write = manifest.write

    def full_once(folder: Path, step: int, *rest: Any) -> Any:
        if step == 2:
            raise OSError(28, "No space left on device")
        return write(folder, step, *rest)

    monkeypatch.setattr(manifest, "write", full_once)
    trainer = assemble(configure("train.max_steps=4", "checkpoint.every_steps=2"))
    trainer.train()
    assert trainer.state.global_step == 4
    events = read_events(trainer.setup.run / "events.jsonl")
    (finding,) = [event for event in events if event["kind"] == "finding"]
    assert finding["severity"] == "error"
    assert finding["message"] == (
        "The checkpoint at step 2 could not be saved: No space left on device."
    )
    assert [event["step"] for event in events if event["kind"] == "checkpoint"] == [4]


def test_watch_prompts_are_asked_under_the_system_prompt_of_the_rows(
    assemble: Assemble, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure("eval.watch_prompts=[Hm, Well]", "eval.max_new_tokens=2")
    trainer, encoder, asked = assemble(config), encoder_of(config), []
    prompt = encoder.prompt

    def listen(messages: list[dict[str, Any]], tools: Any = None) -> tuple[str, list[int]]:
        asked.append([message["content"] for message in messages])
        return prompt(messages, tools)

    monkeypatch.setattr(encoder, "prompt", listen)
    watch = Watch(trainer.setup, encoder, "Be brief.", lambda: False)
    watch.trainer = trainer
    assert watch.answer(3) == 2
    assert asked == [["Be brief.", "Hm"], ["Be brief.", "Well"]]
    assert trainer.model.training
    Watch(trainer.setup, encoder, None, lambda: True).answer(4)
    assert len(asked) == 2  # nothing is asked when a stop was
