"""What an evaluation measures doesn't depend on how its rows are cut into batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.config import Config
from core.train.event_log import MEASURES
from tests.core.train.conftest import Configure

CASES = {
    "sft": ("chat", 1),
    "sft packing": ("chat", 1, "train.packing=on", "train.label_smoothing_factor=0.2"),
    "dpo": ("dpo", 1, "train.label_smoothing_factor=0.1"),
    "ipo": ("dpo", 1, "train.loss_type=ipo"),
    "orpo": ("dpo", 1, "train.objective=orpo"),
    "kto": ("kto", 2),
    "classification": ("classification", 1, "train.label_smoothing_factor=0.1"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_size_of_a_batch_changes_no_measure(
    name: str,
    assemble: Callable[[Config], Any],
    configure: Configure,
    files: dict[str, Path],
    chat_file: Path,
) -> None:
    rows, smallest, *words = CASES[name]
    path = chat_file if rows == "chat" else files[rows]
    found = []
    for size in (smallest, 5):
        config = configure(f"data.path={path}", "data.eval_fraction=0.4", *words)
        trainer = assemble(config)
        # a first adapter changes nothing: weights of some size give every measure a value
        for number, (weight_name, weight) in enumerate(trainer.model.named_parameters()):
            if "lora_B" in weight_name:
                weight.data.fill_(0.02 * (-1) ** number)
        trainer.args.per_device_eval_batch_size = size
        measured = trainer.evaluate()
        del measured["eval_seconds"]
        found.append(measured)
    assert found[0].keys() == found[1].keys()
    assert found[0].pop("confusion", None) == found[1].pop("confusion", None)
    for key in {"eval_loss", *MEASURES} & found[0].keys():
        assert found[1][key] == pytest.approx(found[0][key], rel=1e-4, abs=1e-5), key


def test_held_out_answers_meet_the_same_others_in_every_batch(
    assemble: Callable[[Config], Any], configure: Configure, files: dict[str, Path]
) -> None:
    trainer = assemble(configure(f"data.path={files['kto']}", "data.eval_fraction=0.4"))
    seen = []
    for size in (2, 5):
        trainer.args.per_device_eval_batch_size = size
        rows = []
        for batch in trainer.get_eval_dataloader():
            pairs = zip(batch["KL_input_ids"], batch["KL_attention_mask"], strict=True)
            rows += [ids[: int(mask.sum())].tolist() for ids, mask in pairs]
        seen.append(rows)
    assert seen[0] == seen[1]
