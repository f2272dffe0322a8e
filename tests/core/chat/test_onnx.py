"""Chat through onnxruntime-genai: adapters, prompts that the library would read wrong, and errors.

What it shares with the other backends is in test_backends.py.
"""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from core.chat import oga, onnx
from core.chat.backend import Cancelled, Interrupted, open_backend
from core.chat.oga import Generator
from core.chat.onnx import OnnxGenai
from core.chat.protocol import Load
from core.errors import AfinaError
from core.model_files.onnx import About, Site
from core.runs.target import Target
from tests.core.chat import tiny, tiny_onnx

IDS = [3, 40, 41, 42, 43, 44, 45, 46, 47, 48, 2]


def never() -> bool:
    return False


def load(folder: Path, *adapters: Path, threads: int = 1) -> OnnxGenai:
    paths = [str(path) for path in adapters]
    target = Target("t", "onnx", str(folder), *paths[:1], adapters=tuple(paths[1:]))
    opened = open_backend(Load(target=target, threads=threads))
    assert isinstance(opened, OnnxGenai)
    return opened


def theirs(model: Path, adapter: Path | None, ids: list[int]) -> np.ndarray:
    """transformers' logits, (ids, vocabulary)."""
    import torch
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    whole: Any = LlamaForCausalLM.from_pretrained(model, dtype=torch.float32)
    if adapter is not None:
        whole = PeftModel.from_pretrained(whole, str(adapter))
    with torch.no_grad():
        return whole.eval()(input_ids=torch.tensor([ids])).logits[0].numpy()


def close(ours: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(ours, expected, atol=1e-4)


@pytest.fixture(scope="module")
def second(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another adapter, of another rank."""
    folder = tmp_path_factory.mktemp("second")
    tiny.write_adapter(model, folder, r=2, seed=9)
    return folder


@pytest.fixture(scope="module")
def files(adapter: Path, second: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / "first.onnx_adapter", folder / "second.onnx_adapter"]
    for path, peft in zip(paths, (adapter, second), strict=True):
        tiny_onnx.write_onnx_adapter(peft, path)
    return paths


def test_each_adapter_gives_its_own_logits_and_none_the_base_models(
    model: Path, onnx_folder: Path, adapter: Path, second: Path, files: list[Path]
) -> None:
    opened = load(onnx_folder, *files)
    assert opened.loaded.adapters == [str(path) for path in files]
    ways = {True: adapter, str(files[1]): second, False: None, str(files[0]): adapter}
    seen = []
    for which, peft in ways.items():
        opened.use_adapter(which)
        found = opened.read(IDS, never)
        close(found, theirs(model, peft, IDS)[-1])
        seen.append(found)
    assert np.abs(seen[0] - seen[1]).max() > 0.1 < np.abs(seen[0] - seen[2]).max()
    with pytest.raises(AfinaError, match="is not loaded over"):
        opened.use_adapter("elsewhere.onnx_adapter")


def test_switching_loads_nothing_again(onnx_folder: Path, files: list[Path]) -> None:
    opened = load(onnx_folder, *files)
    before = opened._model
    opened.use_adapter(False)
    opened.read(IDS, never)
    opened.use_adapter(str(files[1]))
    opened.read(IDS, never)
    assert opened._model is before


def test_the_template_beside_an_adapter_is_used_with_it(
    onnx_folder: Path, files: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "own.onnx_adapter"
    shutil.copyfile(files[0], path)
    path.with_suffix(".jinja").write_text("{{ messages[0]['content'] }}")
    opened = load(onnx_folder, files[0], path)
    talk = [{"role": "user", "content": "Rome"}]
    usual = opened.prompt(talk, None)
    opened.use_adapter(str(path))
    assert opened.decode(opened.prompt(talk, None)) == "Rome"
    opened.use_adapter(True)
    assert opened.prompt(talk, None) == usual


def test_only_what_is_new_in_a_prompt_is_read(
    onnx_folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = load(onnx_folder)
    counts = []
    append = opened._append

    def counted(ids: list[int], cancelled: Cancelled) -> None:
        counts.append(len(ids))
        append(ids, cancelled)

    monkeypatch.setattr(opened, "_append", counted)
    monkeypatch.setattr(onnx, "BATCH", 4)
    opened.read(IDS, never)
    longer = [*IDS[:6], 70, 71, 72]
    found = opened.read(longer, never)
    assert counts == [4, 4, 3, 3]
    close(found, theirs(model, None, longer)[-1])


@pytest.mark.parametrize("ending", [[0], [0, 0], [0] * 5])
def test_the_padding_token_as_text_is_read_like_any_other(
    onnx_folder: Path, model: Path, ending: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "BATCH", 4)  # so that a batch holds nothing else
    ids = [3, 40, 41, 42, *ending]
    opened = load(onnx_folder)
    expected = theirs(model, None, ids)
    close(opened.read(ids, never), expected[-1])
    close(opened.logits(ids, 1, never), expected)


def test_several_stop_tokens_keep_their_own_logits(model: Path, tmp_path: Path) -> None:
    tiny_onnx.write_onnx(model, tmp_path, eos_token_id=[2, 0, 17])
    opened = load(tmp_path)
    assert opened.loaded.stop_ids == [0, 2, 17]
    close(opened.read(IDS, never), theirs(model, None, IDS)[-1])
    close(opened.step(5), theirs(model, None, [*IDS, 5])[-1])


def test_more_threads_answer_the_same(onnx_folder: Path) -> None:
    opened = load(onnx_folder)
    before = opened.read(IDS, never)
    opened.use_threads(2)
    close(opened.read(IDS, never), before)


def test_a_cancel_ends_a_batch_that_is_being_read(
    onnx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = load(onnx_folder)
    whole = opened.read(IDS, never)
    stopped = threading.Event()
    stop = Generator.stop

    def slow(generator: Generator, ids: list[int]) -> None:
        assert stopped.wait(20)
        append(generator, ids)  # fails, since it was told to end

    def told(generator: Generator) -> None:
        stop(generator)
        stopped.set()

    append = Generator.append
    asked = iter([False])
    with monkeypatch.context() as slowly:
        slowly.setattr(Generator, "append", slow)
        slowly.setattr(Generator, "stop", told)
        with pytest.raises(Interrupted):
            opened.read([7, *IDS], lambda: next(asked, True))
    close(opened.read(IDS, never), whole)


def test_an_adapter_of_another_model_is_refused(
    onnx_folder: Path, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, closed = oga.Model.close, []

    def noted(model: oga.Model) -> None:
        closed.append(True)
        close(model)

    monkeypatch.setattr(oga.Model, "close", noted)
    folder = tmp_path / "onnx"
    shutil.copytree(onnx_folder, folder)
    sites = (Site("x", (), 4, 4),)
    for about, words in (
        (About("fp32", base_files={"a": "1"}, sites=sites), "goes with another base model"),
        (About("fp32"), "takes no adapters"),
    ):
        (folder / "afina.json").write_bytes(msgspec.json.encode(about))
        with pytest.raises(AfinaError, match=words):
            load(folder, files[0])
    assert closed == [True, True]  # a model that was loaded doesn't stay in memory


def test_what_is_broken_is_said_in_a_sentence_and_nothing_else_is_printed(
    onnx_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "cut"
    shutil.copytree(onnx_folder, broken)
    (broken / "model.onnx").write_bytes((onnx_folder / "model.onnx").read_bytes()[:9000])
    with pytest.raises(AfinaError, match=r'The ONNX model in ".*cut" can\'t be loaded'):
        load(broken)
    adapter = tmp_path / "no.onnx_adapter"
    adapter.write_bytes(b"not an adapter at all, but longer than a header")
    with pytest.raises(AfinaError, match=r'The adapter ".*no.onnx_adapter" can\'t be loaded'):
        load(onnx_folder, adapter)
    (broken / "genai_config.json").write_text("{}")
    with pytest.raises(AfinaError, match="holds no genai_config.json that describes a model"):
        load(broken)
    assert capfd.readouterr() == ("", "")


def test_a_library_of_another_version_is_told(
    onnx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(oga.SIGNATURES, "OgaCreateNothing", ())
    oga.library.cache_clear()
    with pytest.raises(AfinaError, match=r"lacks what Afina calls: .*OgaCreateNothing"):
        load(onnx_folder)
    oga.library.cache_clear()


def test_without_the_package_the_way_to_it_is_said(
    onnx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime_genai", None)
    oga.library.cache_clear()
    with pytest.raises(AfinaError, match="pip install onnxruntime-genai"):
        load(onnx_folder)
    oga.library.cache_clear()
