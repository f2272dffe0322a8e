"""What transformers, llama.cpp and onnxruntime must agree on, and what each does at its limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.chat.backend import Backend, Interrupted, open_backend
from core.chat.generation import answer, scores
from core.chat.protocol import GREEDY, Answer, Generate, Load, LogProbs, Sampling, Token
from core.errors import AfinaError
from core.runs.target import Target

QUESTION = [{"role": "user", "content": "Where is Rome? ¿Qué se come?"}]
LONG = [{"role": "user", "content": "Rome " * 120}]


@pytest.fixture(params=["hf", "gguf", "onnx"])
def backend(
    request: pytest.FixtureRequest, model: Path, gguf_file: Path, onnx_folder: Path
) -> Iterator[Backend]:
    path = {"hf": model, "gguf": gguf_file, "onnx": onnx_folder}[request.param]
    opened = open_backend(Load(target=Target("t", request.param, str(path)), threads=1))
    yield opened
    opened.close()


@pytest.fixture
def transformers_with_adapter(model: Path, adapter: Path) -> Backend:
    target = Target("t", "hf", str(model), adapter=str(adapter))
    return open_backend(Load(target=target, threads=1))


def ask(backend: Backend, sampling: Sampling = GREEDY, **fields: object) -> Answer:
    fields = {"messages": QUESTION} | fields
    request = Generate(sampling=sampling, **fields)  # type: ignore[arg-type]
    return answer(backend, request, lambda: False, lambda token: None)


def test_greedy_ids_equal_those_of_transformers_generate(model: Path, backend: Backend) -> None:
    import torch
    from transformers import LlamaForCausalLM

    ours = ask(backend, Sampling(temperature=0, max_tokens=80))
    prompt = torch.tensor([ours.prompt_ids])
    theirs = LlamaForCausalLM.from_pretrained(model, dtype=torch.float32).generate(
        prompt, do_sample=False, max_new_tokens=80
    )
    assert ours.ids == theirs[0, prompt.shape[1] :].tolist()


def test_the_prompt_is_what_transformers_makes_of_the_conversation(
    model: Path, backend: Backend
) -> None:
    from transformers import AutoTokenizer

    messages = [
        {"role": "system", "content": "Be kind."},
        *QUESTION,
        {"role": "assistant", "content": "En Sevilla."},
        {"role": "user", "content": "日本"},
    ]
    theirs = AutoTokenizer.from_pretrained(model).apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False
    )
    assert backend.prompt(messages, None) == theirs


def test_a_stop_token_ends_the_answer_and_is_not_in_its_text(backend: Backend) -> None:
    found = ask(backend)
    assert found.finish_reason == "stop"
    assert found.ids[-1] in backend.loaded.stop_ids
    assert found.text == backend.decode(found.ids[:-1])


def test_max_tokens_ends_the_answer(backend: Backend) -> None:
    found = ask(backend, Sampling(temperature=0, max_tokens=3))
    assert (len(found.ids), found.finish_reason) == (3, "length")


def test_an_answer_ends_where_the_context_is_full(backend: Backend) -> None:
    ids = backend.prompt(QUESTION, None)
    ids = (ids * 20)[: backend.loaded.context_length - 2]
    found = ask(backend, GREEDY, ids=ids)
    assert len(found.ids) <= 2


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(backend: Backend) -> None:
    with pytest.raises(AfinaError, match=r"takes \d+ tokens, and the model's context holds 256"):
        ask(backend, messages=LONG * 2)


def test_the_same_seed_gives_the_same_answer_and_another_does_not(backend: Backend) -> None:
    warm = Sampling(temperature=1.5, top_p=1.0, max_tokens=40, seed=5)
    other = Sampling(temperature=1.5, top_p=1.0, max_tokens=40, seed=6)
    assert ask(backend, warm).ids == ask(backend, warm).ids
    assert ask(backend, warm).ids != ask(backend, other).ids


def test_a_second_turn_on_the_cache_says_what_a_fresh_model_says(backend: Backend) -> None:
    first = ask(backend)
    talk = [*QUESTION, {"role": "assistant", "content": first.text}, *QUESTION]
    cached = ask(backend, messages=talk)
    fresh = ask(backend, ids=cached.prompt_ids)
    assert cached.ids == fresh.ids


def test_pieces_join_to_the_text(backend: Backend) -> None:
    pieces: list[Token] = []
    request = Generate(messages=QUESTION, sampling=Sampling(temperature=1.2, max_tokens=150))
    found = answer(backend, request, lambda: False, pieces.append)
    assert "".join(piece.text for piece in pieces) == found.text
    assert not any(piece.text == "" for piece in pieces)


def test_a_cancel_between_tokens_keeps_what_was_said(backend: Backend) -> None:
    said: list[Token] = []
    request = Generate(messages=QUESTION, sampling=Sampling(temperature=0))
    found = answer(backend, request, lambda: len(said) > 0, said.append)
    assert found.finish_reason == "cancelled"
    assert 0 < len(found.ids) < len(ask(backend).ids)


def test_a_cancel_in_the_prompt_gives_an_empty_answer_and_a_model_that_goes_on(
    backend: Backend,
) -> None:
    before = ask(backend).ids
    request = Generate(ids=backend.prompt(LONG, None)[:200])
    found = answer(backend, request, lambda: True, lambda token: None)
    assert (found.finish_reason, found.ids, found.text) == ("cancelled", [], "")
    assert ask(backend).ids == before


def test_llama_cpp_leaves_a_prompt_in_the_middle_of_a_batch(gguf_file: Path) -> None:
    opened = open_backend(Load(target=Target("t", "gguf", str(gguf_file)), threads=1))
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3  # the first question comes before the batch, the others out of it

    with pytest.raises(Interrupted):
        opened.read(opened.prompt(LONG, None)[:200], cancelled)
    assert asked > 3
    opened.close()


def test_log_probabilities_are_those_of_a_forward_pass(
    model: Path, backend: Backend, tmp_path: Path
) -> None:
    import torch
    from transformers import LlamaForCausalLM

    ids = backend.prompt(QUESTION, None)
    path = tmp_path / "log_p.npy"
    found = scores(backend, LogProbs(ids=ids, start=4, path=str(path)), lambda: False)
    with torch.no_grad():
        logits = LlamaForCausalLM.from_pretrained(model)(torch.tensor([ids])).logits[0]
    theirs = logits.float().log_softmax(-1).numpy()  # (positions, vocabulary)
    # llama.cpp keeps keys and values in f16; transformers differs by the order of its sums
    np.testing.assert_allclose(np.load(path), theirs[3:], atol=0.02)
    wanted = [theirs[place - 1, ids[place]] for place in range(4, len(ids))]
    np.testing.assert_allclose(found.values, wanted, atol=0.02)
    assert found.likeliest == theirs[3:-1].argmax(-1).tolist()


def test_a_model_folder_can_be_read_in_half_the_memory(model: Path) -> None:
    target = Target("t", "hf", str(model))
    asked = LogProbs(ids=list(range(5, 40)), start=3)
    found = {}
    for dtype in ("float32", "bfloat16"):
        opened = open_backend(Load(target=target, device="cpu", threads=1, dtype=dtype))
        assert opened.loaded.dtype == dtype
        found[dtype] = np.array(scores(opened, asked, lambda: False).values)
        opened.close()
    apart = np.abs(found["float32"] - found["bfloat16"]).max()
    assert 0 < apart < 0.2


def test_the_adapter_can_be_switched_without_loading_again(
    model: Path, transformers_with_adapter: Backend
) -> None:
    base = open_backend(Load(target=Target("t", "hf", str(model)), threads=1))
    tuned = ask(transformers_with_adapter)
    without = ask(transformers_with_adapter, adapter=False)
    assert transformers_with_adapter.loaded.adapter
    assert without.ids == ask(base).ids
    assert without.ids != tuned.ids
    assert ask(transformers_with_adapter).ids == tuned.ids


def test_weights_that_can_run_code_are_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((model / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(AfinaError, match="holds no .safetensors weights"):
        open_backend(Load(target=Target("t", "hf", str(tmp_path)), threads=1))


def test_a_model_that_diverged_is_told_from_one_that_answers(model: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.numpy import load_file, save_file

    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"] = np.full_like(weights["model.norm.weight"], np.nan)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    opened = open_backend(Load(target=Target("t", "hf", str(tmp_path)), threads=1))
    with pytest.raises(AfinaError, match="not a number"):
        ask(opened)


def test_a_gpu_without_memory_is_said_and_the_next_answer_starts_afresh(
    transformers_with_adapter: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def fail(*args: object, **fields: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    before = ask(transformers_with_adapter).ids
    with monkeypatch.context() as broken:
        model = transformers_with_adapter._model  # type: ignore[attr-defined]
        broken.setattr(model, "forward", fail)
        with pytest.raises(AfinaError, match="The GPU has no memory left"):
            ask(transformers_with_adapter)
    assert ask(transformers_with_adapter).ids == before
