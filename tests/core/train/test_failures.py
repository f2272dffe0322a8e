"""What a person is told when a run fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.errors import AfinaError
from core.runs.run import Run, create_run
from core.train.checkpoint.result import verify
from core.train.checks.findings import Diverged
from core.train.worker import failure_of
from tests.core.train.conftest import Configure


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_running_out_of_memory_says_what_to_change(
    error: Exception, home: Path, configure: Configure
) -> None:
    told = failure_of(error, create_run(home, configure("method.kind=full")))
    assert told.message == "The device ran out of memory."
    ways = ("per_device_train_batch_size", "gradient_checkpointing", "adamw_8bit", "max_length")
    places = [told.hint.index(way) for way in (*ways, "method.kind=lora")]
    assert places == sorted(places)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_no_more_is_named(number: int, tmp_path: Path) -> None:
    told = failure_of(OSError(number, os.strerror(number)), Run(tmp_path))
    assert str(tmp_path) in told.message
    assert os.strerror(number) in told.message


def test_a_bug_names_its_type_and_the_log(tmp_path: Path) -> None:
    told = failure_of(KeyError("wheel"), Run(tmp_path))
    assert told.message == "KeyError: 'wheel'."
    assert "log.txt" in told.hint


def test_a_loss_that_diverged_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    told = failure_of(Diverged(3, "gradient", float("inf")), Run(tmp_path))
    assert told.message == "The gradient is inf at step 3."
    assert "No checkpoint was saved before" in told.hint


def adapter(folder: Path, b: torch.Tensor) -> Path:
    (folder / "adapter_config.json").write_text("{}")
    tensors = {"q.lora_A.weight": torch.ones(2, 3), "q.lora_B.weight": b}
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def test_an_adapter_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AfinaError, match="all zero"):
        verify(adapter(tmp_path, torch.zeros(3, 2)))


def test_a_weight_that_is_no_number_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(AfinaError, match=r"q\.lora_B\.weight"):
        verify(adapter(tmp_path, torch.full((3, 2), float("nan"))))


def test_an_adapter_that_learned_passes(tmp_path: Path) -> None:
    verify(adapter(tmp_path, torch.tensor([[0.0, 0.0], [0.0, 1e-9], [0.0, 0.0]])))
