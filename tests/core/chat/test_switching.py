"""Several adapters over one loaded model: each answers as if it had been loaded alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.chat.backend import Backend, open_backend
from core.chat.client import ModelClient
from core.chat.generation import answer, scores
from core.chat.protocol import GREEDY, Generate, Load, LogProbs
from core.errors import AfinaError
from core.runs.target import Target
from tests.core.chat import tiny

IDS = [3, 40, 41, 42, 43, 44, 45, 46, 47, 48, 2]
QUESTION = [{"role": "user", "content": "Where is Rome?"}]


@pytest.fixture(scope="module")
def other(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other")
    tiny.write_adapter(model, folder, seed=11, r=2, target_modules=["k_proj", "down_proj"])
    return folder


@pytest.fixture(scope="module", params=["hf", "gguf"])
def target(
    request: pytest.FixtureRequest, model: Path, gguf_file: Path, adapter: Path, other: Path
) -> Target:
    """A model with two adapters of its kind."""
    if request.param == "hf":
        return Target("t", "hf", str(model), str(adapter), adapters=(str(other),))
    files = []
    for folder in (adapter, other):
        path = gguf_file.parent / f"{folder.name}.gguf"
        tiny.write_gguf_adapter(model, folder, path)
        files.append(str(path))
    return Target("t", "gguf", str(gguf_file), files[0], adapters=(files[1],))


@pytest.fixture
def backend(target: Target) -> Iterator[Backend]:
    opened = open_backend(Load(target=target, threads=1))
    yield opened
    opened.close()


def alone(target: Target, adapter: str | None) -> np.ndarray:
    """The logits of a model that was loaded with one adapter or none. (tokens, vocabulary)"""
    single = Target("s", target.kind, target.model, adapter)
    opened = open_backend(Load(target=single, threads=1))
    logits = opened.logits(IDS, 1, lambda: False)
    opened.close()
    return logits


def test_each_adapter_answers_as_if_it_were_loaded_alone(target: Target, backend: Backend) -> None:
    assert target.adapter is not None
    first, second = target.adapter, target.adapters[0]
    wanted = {path: alone(target, path) for path in (first, second, None)}
    assert np.abs(wanted[first] - wanted[second]).max() > 0.1
    assert np.abs(wanted[first] - wanted[None]).max() > 0.1
    assert np.abs(wanted[second] - wanted[None]).max() > 0.1
    for which, path in [
        (True, first),
        (second, second),
        (False, None),
        (second, second),
        (first, first),
        (False, None),
        (True, first),
    ]:
        backend.use_adapter(which)
        found = backend.logits(IDS, 1, lambda: False)
        np.testing.assert_allclose(found, wanted[path], atol=1e-5)


def test_what_one_adapter_read_is_not_used_by_another(target: Target, backend: Backend) -> None:
    second = target.adapters[0]
    backend.read(IDS, lambda: False)
    backend.use_adapter(second)
    after = backend.read(IDS, lambda: False)
    np.testing.assert_allclose(after, alone(target, second)[-1], atol=2e-3)


def test_answers_and_scores_say_whose_they_are(target: Target, backend: Backend) -> None:
    second = target.adapters[0]

    def ask(which: bool | str) -> list[int]:
        request = Generate(messages=QUESTION, sampling=GREEDY, adapter=which)
        return answer(backend, request, lambda: False, lambda token: None).ids

    by_first, by_second = ask(True), ask(second)
    assert by_first != by_second
    assert ask(target.adapter or "") == by_first
    values = [
        scores(backend, LogProbs(ids=IDS, adapter=which), lambda: False).values
        for which in (True, second, False)
    ]
    assert len({tuple(each) for each in values}) == 3


def test_the_worker_names_its_adapters_and_refuses_others(target: Target, backend: Backend) -> None:
    assert backend.loaded.adapters == [target.adapter, *target.adapters]
    assert backend.loaded.adapter
    with pytest.raises(AfinaError, match="is not loaded over") as error:
        backend.use_adapter("/nowhere")
    assert Path(target.adapters[0]).stem in error.value.hint


def test_without_an_own_adapter_the_base_answers_until_one_is_chosen(target: Target) -> None:
    bare = Target("t", target.kind, target.model, adapters=target.adapters)
    opened = open_backend(Load(target=bare, threads=1))
    np.testing.assert_allclose(opened.logits(IDS, 1, lambda: False), alone(target, None), atol=1e-5)
    opened.use_adapter(target.adapters[0])
    wanted = alone(target, target.adapters[0])
    np.testing.assert_allclose(opened.logits(IDS, 1, lambda: False), wanted, atol=1e-5)
    opened.close()


def test_a_process_switches_without_loading_again(target: Target, home: Path) -> None:
    if target.kind == "hf":
        pytest.skip("a process of transformers takes seconds to start; its backend is tested above")
    with ModelClient(target, threads=1) as client:
        first = client.generate(QUESTION, GREEDY)
        pid = client.pid
        second = client.generate(QUESTION, GREEDY, adapter=target.adapters[0])
        assert client.log_probs(IDS, adapter=False).values != client.log_probs(IDS).values
        assert client.pid == pid
        assert first.ids != second.ids


def test_a_whole_module_of_one_adapter_is_not_left_under_another(
    model: Path, other: Path, tmp_path: Path
) -> None:
    tiny.write_adapter(model, tmp_path, seed=12, modules_to_save=["lm_head"])
    target = Target("t", "hf", str(model), str(tmp_path), adapters=(str(other),))
    opened = open_backend(Load(target=target, threads=1))
    for which, path in [(True, str(tmp_path)), (str(other), str(other)), (True, str(tmp_path))]:
        opened.use_adapter(which)
        found = opened.logits(IDS, 1, lambda: False)
        np.testing.assert_allclose(found, alone(target, path), atol=1e-5)


@pytest.mark.parametrize("kind", ["ia3", "prompt"])
def test_adapters_of_two_kinds_over_one_model_are_refused(
    model: Path, adapter: Path, tmp_path: Path, kind: str
) -> None:
    tiny.write_small_adapter(model, tmp_path, kind)
    target = Target("t", "hf", str(model), str(adapter), adapters=(str(tmp_path),))
    with pytest.raises(AfinaError, match=r"can't share a model: LORA and (IA3|PROMPT_TUNING)"):
        open_backend(Load(target=target, threads=1))


def test_a_gguf_adapter_of_another_shape_is_refused_in_one_sentence(
    model: Path, gguf_file: Path, adapter: Path, tmp_path: Path
) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "odd.gguf", "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    for end, shape in (("a", (4, 32)), ("b", (64, 4))):  # the base has 64 columns
        tensor = np.zeros(shape, dtype=np.float32)
        writer.add_tensor(f"blk.0.attn_q.weight.lora_{end}", tensor)
    tiny._write(writer)
    target = Target("t", "gguf", str(gguf_file), str(tmp_path / "odd.gguf"))
    with pytest.raises(AfinaError, match="can't lay the adapter .* incorrect shape") as error:
        open_backend(Load(target=target, threads=1))
    assert "\n" not in str(error.value)
