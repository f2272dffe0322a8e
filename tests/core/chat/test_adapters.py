"""Chat with adapters that are no LoRA: the logits are those of PEFT's own forward."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.chat import hf
from core.chat.backend import Backend, open_backend
from core.chat.protocol import Load
from core.runs.target import Target
from tests.core.chat import tiny

FIRST = [3, 40, 41, 42, 43, 44, 45, 46, 47, 48, 2]
SECOND = [3, 40, 41, 42, 43, 50, 51, 52]  # begins as the first does


@pytest.fixture(scope="module", params=["ia3", "prompt"])
def tuned(
    request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    tiny.write_small_adapter(model, folder, request.param)
    return folder


@pytest.fixture
def backend(model: Path, tuned: Path, monkeypatch: pytest.MonkeyPatch) -> Backend:
    monkeypatch.setattr(hf, "CHUNK", 4)  # so that a prompt is read in pieces
    return open_backend(Load(target=Target("t", "hf", str(model), adapter=str(tuned)), threads=1))


def forward(model: Path, tuned: Path | None) -> Callable[[list[int]], np.ndarray]:
    """All logits at once, through PEFT where there is an adapter. (tokens, vocabulary)"""
    import torch
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    whole: Any = LlamaForCausalLM.from_pretrained(model, dtype=torch.float32)
    if tuned is not None:
        whole = PeftModel.from_pretrained(whole, str(tuned))
    whole.eval()

    def read(ids: list[int]) -> np.ndarray:
        with torch.no_grad():
            return whole(input_ids=torch.tensor([ids])).logits[0, -len(ids) :].numpy()

    return read


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_what_is_read_in_pieces_has_the_logits_of_one_forward(
    model: Path, tuned: Path, backend: Backend
) -> None:
    theirs, plain = forward(model, tuned), forward(model, None)
    assert np.abs(theirs(FIRST) - plain(FIRST)).max() > 0.1
    close(backend.read(FIRST, lambda: False), theirs(FIRST)[-1])
    close(backend.step(60), theirs([*FIRST, 60])[-1])
    close(backend.read(SECOND, lambda: False), theirs(SECOND)[-1])  # on from what both share
    close(backend.logits(FIRST, 3, lambda: False), theirs(FIRST)[2:])
    backend.use_adapter(False)
    close(backend.read(FIRST, lambda: False), plain(FIRST)[-1])
    backend.use_adapter(True)
    close(backend.read(FIRST, lambda: False), theirs(FIRST)[-1])


def test_a_learned_prompt_takes_its_tokens_from_the_context(backend: Backend, tuned: Path) -> None:
    virtual = 7 if tuned.name.startswith("prompt") else 0
    assert backend.loaded.context_length == 256 - virtual


def test_a_prompt_of_another_kind_is_refused(model: Path, tmp_path: Path) -> None:
    from peft import PrefixTuningConfig, get_peft_model
    from transformers import LlamaForCausalLM

    from core.errors import AfinaError

    config = PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    get_peft_model(LlamaForCausalLM.from_pretrained(model), config).save_pretrained(str(tmp_path))
    with pytest.raises(AfinaError, match="of the kind PREFIX_TUNING"):
        open_backend(Load(target=Target("t", "hf", str(model), adapter=str(tmp_path)), threads=1))
