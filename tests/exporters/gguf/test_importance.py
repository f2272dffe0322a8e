"""Importance is the mean square of what enters a matrix of the merged model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader

from core.config import config_io
from core.errors import AfinaError
from core.runs.run import create_run
from core.runs.target import Target, of_run
from exporters.contract import Options, Working
from exporters.gguf.activations import Watched
from exporters.gguf.calibration import texts_for
from exporters.gguf.exporter import Gguf
from exporters.gguf.importance import floored, order_for
from exporters.gguf.importance_order import Order
from exporters.gguf.prepare import prepare
from tests.exporters import models
from tests.exporters.families import make_model
from tests.exporters.gguf.test_families import MODELS
from tests.exporters.gguf.test_quantize import tensors

TEXTS = [list(range(3, 60, 2)), list(range(4, 200, 3))]


@pytest.mark.parametrize("kind", ["lora", "ia3"])
def test_means_are_those_of_the_merged_models_inputs(
    base: Path, adapter: Path, tmp_path: Path, kind: str
) -> None:
    from peft import IA3Config, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if kind == "ia3":
        adapter = tmp_path / "ia3"
        names = ["k_proj", "down_proj"]
        tuned: Any = get_peft_model(
            plain, IA3Config(target_modules=names, feedforward_modules=names[1:])
        )
        with torch.no_grad():
            for name, parameter in tuned.named_parameters():
                if "ia3" in name:
                    parameter.uniform_(0.5, 2.0)
        tuned.save_pretrained(str(adapter))
    else:
        tuned = PeftModel.from_pretrained(plain, str(adapter))
    target = Target("x", "hf", str(base), adapter=str(adapter), label="x")
    order = order_for(prepare(target), "", working(tmp_path))
    found = watched(order, TEXTS)
    merged = tuned.merge_and_unload()
    for name, path in order.matrices.items():
        expected = mean_square(merged, merged.get_submodule(path), TEXTS)
        assert np.allclose(found[name], expected, rtol=1e-3), name
    assert set(found) == set(order.matrices)
    assert "output.weight" in found and "token_embd.weight" not in found


@pytest.mark.parametrize("family", ["mixtral", "qwen3moe"])
def test_each_expert_has_the_means_of_the_tokens_it_was_sent(tmp_path: Path, family: str) -> None:
    model = make_model(tmp_path, *MODELS[family])
    order = order_for(prepare(Target("x", "hf", str(tmp_path), label="x")), "", working(tmp_path))
    found = watched(order, TEXTS)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    experts = model.model.layers[1].mlp.experts
    experts.register_forward_pre_hook(lambda _, given: seen.append((given[0], given[1])))
    with torch.no_grad():
        for ids in TEXTS:
            model(torch.tensor([ids]))
    states, chosen = (torch.cat(parts) for parts in zip(*seen, strict=True))
    for expert in range(experts.gate_up_proj.shape[0]):
        rows = states[[expert in row for row in chosen.tolist()]]
        expected = rows.square().mean(dim=0).numpy() if len(rows) else np.zeros(rows.shape[1])
        assert np.allclose(found["blk.1.ffn_gate_exps.weight"][expert], expected, rtol=1e-3)
        assert np.allclose(found["blk.1.ffn_up_exps.weight"][expert], expected, rtol=1e-3)
    assert found["blk.1.ffn_down_exps.weight"].shape == (
        experts.gate_up_proj.shape[0],
        experts.down_proj.shape[-1],
    )


def test_an_export_by_importance_collects_it_on_a_text_and_says_so(
    tuned: Target, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The sea is warm in may, and old boats wait for people.\n" * 200)
    exporter = Gguf(tuned, Options(imatrix=str(text)))
    counts: list[tuple[str, int]] = []

    def progress(what: str, done: int, total: int, unit: str) -> None:
        if unit == "tokens":
            counts.append((what, done))

    out = tmp_path / "out.gguf"
    exporter.write({"iq2_xxs": out}, working(tmp_path)._replace(progress=progress))
    kinds = {kind for kind, _ in tensors(out).values()}
    assert "IQ2_XXS" in kinds
    told = GGUFReader(out).fields
    assert told["quantize.imatrix.dataset"].contents() == 'the file "text.txt"'
    assert told["quantize.imatrix.entries_count"].contents() == 15
    assert 'the file "text.txt"' in exporter.notes[-1]
    assert counts[-1][1] > 500 and counts == sorted(counts)


def test_training_rows_are_read_as_they_were_trained_on_and_no_held_out_one(
    base: Path, tmp_path: Path
) -> None:
    rows = [
        f'{{"messages": [{turn("user", f"Ask {n}?")}, {turn("assistant", "Yes.")}]}}'
        for n in range(20)
    ]
    (tmp_path / "d.jsonl").write_text("\n".join(rows))
    values = {
        "model": {"name_or_path": str(base)},
        "data": {"path": str(tmp_path / "d.jsonl"), "eval_fraction": 0.25},
    }
    target = of_run(create_run(tmp_path / "home", config_io.from_values(values)), "base")
    order = order_for(prepare(target), "", working(tmp_path))
    with texts_for(order) as (origin, texts):
        found = list(texts)
    assert "training" in origin and len(found) == 15
    decoded = models.make_tokenizer(tmp_path / "t").decode(found[0])
    assert decoded.startswith("<|im_start|>user\nAsk") and "<|im_end|>" in decoded


def test_without_a_run_and_without_a_text_it_is_refused_before_anything_starts(
    tuned: Target, tmp_path: Path
) -> None:
    with pytest.raises(AfinaError, match="no run") as caught:
        Gguf(tuned).item("iq3_xxs", tmp_path)
    assert "--imatrix FILE" in caught.value.hint and "q2_k" in caught.value.hint
    with pytest.raises(AfinaError, match="There is no file"):
        Gguf(tuned, Options(imatrix=str(tmp_path / "gone.txt")))
    assert "changes nothing" in Gguf(tuned, Options(imatrix="")).item("f16", tmp_path).notes[0]


def test_an_empty_text_is_refused(tuned: Target, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    order = order_for(prepare(tuned), str(tmp_path / "empty.txt"), working(tmp_path))
    with texts_for(order) as (_, texts), pytest.raises(AfinaError, match="There is no text in"):
        next(texts)


def test_a_long_text_is_read_in_windows_from_all_of_it(tuned: Target, tmp_path: Path) -> None:
    text = tmp_path / "long.txt"
    text.write_bytes(b"the sea " * 400_000 + b"old boats " * 200_000)
    order = order_for(prepare(tuned), str(text), working(tmp_path))
    with texts_for(order) as (_, texts):
        found = list(texts)
    tokens = sum(len(ids) for ids in found)
    assert order.tokens < tokens < 10 * order.tokens
    assert max(len(ids) for ids in found) == 512
    tokenizer = models.make_tokenizer(tmp_path / "t")
    assert "sea" in tokenizer.decode(found[0]) and "boats" in tokenizer.decode(found[-1])


def test_nothing_is_of_no_importance_at_all() -> None:
    means = np.array([[0.0, 4.0], [0.0, 0.0]], dtype=np.float32)
    assert floored(means).tolist() == [[pytest.approx(2e-6), 4.0], [1.0, 1.0]]


def turn(role: str, content: str) -> str:
    return f'{{"role": "{role}", "content": "{content}"}}'


def working(folder: Path) -> Working:
    return Working(lambda *values: None, lambda: None, folder, 1)


def watched(order: Order, texts: list[list[int]]) -> dict[str, np.ndarray]:
    model = Watched(order)
    model.read(texts, lambda tokens, count: None)
    model.save(Path(order.out))
    with np.load(order.out) as means:
        return dict(means)


def mean_square(model: Any, module: torch.nn.Module, texts: list[list[int]]) -> np.ndarray:
    """Over all tokens of what enters a module, (columns,)."""
    parts: list[torch.Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, given: parts.append(given[0][0]))
    with torch.no_grad():
        for ids in texts:
            model(torch.tensor([ids]))
    hook.remove()
    return torch.cat(parts).square().mean(dim=0).numpy()
