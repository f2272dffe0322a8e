"""What is counted of a batch, and the share of the peak that comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.plan.flops import Batch, step_flops
from core.plan.model_shape import read_shape
from core.runs.run import Run
from core.train.mfu import Meter, counts_of
from core.train.model.attention import laid_flat
from tests.core.train.conftest import Configure, of_kind

LABELS = torch.tensor([[-100, 5, 6, -100, -100, 7, 8]])


def test_documents_count_by_themselves_and_padding_not_at_all() -> None:
    flat = laid_flat([[1, 2, 3], [4, 5, 6, 7]]) | {"labels": LABELS}
    assert counts_of(flat).tolist() == [7, 3**2 + 4**2, 4]
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    labels = torch.where(mask.bool(), 5, -100)
    padded = {"input_ids": torch.ones(2, 4), "attention_mask": mask, "labels": labels}
    assert counts_of(padded).tolist() == [7, 25, 5]


def test_the_share_is_of_what_the_steps_needed(tiny_model: Path, configure: Configure) -> None:
    shape, config = read_shape(tiny_model), configure("method.kind=full")
    meter = Meter(shape, config)
    assert meter.mfu(1.0, 1e9) is None
    inputs = laid_flat([[1, 2, 3], [4, 5, 6, 7]]) | {"labels": LABELS}
    meter.saw(inputs)
    meter.saw(inputs)
    needed = step_flops(shape, config, Batch(7, 25, 4)).needed
    assert meter.mfu(2.0, 1e9) == pytest.approx(needed / 1e9)
    meter.saw({"input_ids": torch.ones(2, 4), "completion_mask": torch.ones(2, 4)})
    assert meter.flops == pytest.approx(2 * needed)


def test_a_run_says_its_threads_and_its_share_of_the_peak(whole: Run) -> None:
    (plan,) = of_kind(whole, "plan")
    assert plan["threads"] == torch.get_num_threads()
    assert plan["dtype_gain"] is None  # model.dtype was given
    assert 0 < of_kind(whole, "result")[-1]["mfu"] < 1
