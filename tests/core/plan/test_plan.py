"""What a run will take, told before it starts, without torch."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from core import hardware
from core.config import Config, Data, Method, Model, Train
from core.errors import AfinaError
from core.hardware import Device
from core.paths import ROOT
from core.plan import memory, plan
from core.plan.data_facts import DataFacts
from core.plan.model_shape import read_shape
from core.plan.plan import make_plan

CPU = Device("cpu", "a processor, 2 cores", 5.0, 4 * 2**30, 16 * 2**30)
TENSORS = {
    "model.embed_tokens.weight": [100, 8],
    "model.layers.0.self_attn.q_proj.weight": [8, 8],
    "model.layers.0.self_attn.k_proj.weight": [4, 8],
    "model.layers.0.mlp.up_proj.weight": [16, 8],
    "model.layers.0.input_layernorm.weight": [8],
    "lm_head.weight": [100, 8],
}
PARAMETERS = 800 + 64 + 32 + 128 + 8 + 800


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder with headers and no weights behind them: nothing else is read."""
    folder = tmp_path / "model"
    folder.mkdir()
    entries, end = {}, 0
    for name, shape in TENSORS.items():
        start, end = end, end + 2 * math.prod(shape)
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    header = json.dumps({"__metadata__": {"format": "pt"}} | entries).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(end))
    values = {
        "model_type": "llama",
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 100,
    }
    (folder / "config.json").write_text(json.dumps(values))
    return folder


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "read_device", lambda kind: CPU)


def config_of(model: Path, **parts: object) -> Config:
    return msgspec.structs.replace(Config(model=Model(str(model)), data=Data("d.jsonl")), **parts)


def test_preferences_take_two_rows_and_in_full_a_second_model(model: Path, home: Path) -> None:
    sft = make_plan(home, config_of(model, method=Method("full"))).memory
    full = config_of(model, method=Method("full"), train=Train(objective="dpo"))
    dpo, shape = make_plan(home, full).memory, read_shape(model)
    assert dpo.activations == 2 * sft.activations
    assert dpo.weights - sft.weights == 4 * shape.parameters
    adapter = make_plan(home, config_of(model, train=Train(objective="kto"))).memory
    assert adapter.weights == make_plan(home, config_of(model)).memory.weights
    classes = make_plan(home, config_of(model), DataFacts(9, 99, 0.0, "classification"))
    assert classes.memory.logits == 0


def test_rows_that_would_fill_the_memory_are_better_streamed(model: Path, home: Path) -> None:
    config, many = config_of(model), DataFacts(10**6, CPU.memory_free_bytes // 24, 0.5)
    assert make_plan(home, config, many).advises_streaming
    assert not make_plan(home, config, DataFacts(10**3, 10**5, 0.5)).advises_streaming
    assert not make_plan(home, config).advises_streaming
    streaming = config_of(model, data=Data("d.jsonl", streaming=True))
    assert not make_plan(home, streaming, many).advises_streaming


def test_parameters_are_counted_from_the_headers(model: Path, home: Path) -> None:
    shape = read_shape(model)
    assert (shape.parameters, shape.stored_bytes) == (PARAMETERS, 2 * PARAMETERS)
    assert len(shape.linear) == 3
    full = make_plan(home, config_of(model, method=Method("full")))
    assert full.trainable == full.parameters == PARAMETERS


@pytest.mark.parametrize(
    ("method", "trainable"),
    [
        (Method(rank=2), 2 * (16 + 12 + 24)),
        (Method(rank=2, target_modules="q_proj, mlp.up_proj"), 2 * (16 + 24)),
        (Method(rank=2, target_modules="proj"), 0),
        (Method(rank=2, dora=True), 2 * (16 + 12 + 24) + 8 + 4 + 16),
    ],
)
def test_the_adapter_is_counted_layer_by_layer(
    model: Path, home: Path, method: Method, trainable: int
) -> None:
    assert make_plan(home, config_of(model, method=method)).trainable == trainable


def test_the_adapter_that_is_counted_is_the_one_that_peft_makes(home: Path) -> None:
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM, LlamaConfig

    from core.train.model.adapters import adapter

    small = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    folder = home / "llama"
    AutoModelForCausalLM.from_config(small).save_pretrained(folder)
    config = config_of(folder, method=Method(rank=3, dora=True))
    wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), adapter(config))
    trained = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
    assert make_plan(home, config).trainable == trained


def test_memory_is_told_by_part_and_grows_with_what_it_should(model: Path) -> None:
    shape = read_shape(model)
    lora = memory.estimate(shape, config_of(model), bfloat16=True)
    assert [name for name, _ in lora.parts()] == [
        "libraries", "weights", "adapter", "gradients", "optimizer", "activations", "logits",
    ]  # fmt: skip
    assert lora.total == sum(size for _, size in lora.parts())
    assert lora.weights == 2 * PARAMETERS
    assert lora.optimizer == 2 * lora.gradients
    full = memory.estimate(shape, config_of(model, method=Method("full")), bfloat16=False)
    assert (full.weights, full.adapter, full.optimizer) == (4 * PARAMETERS, 0, 8 * PARAMETERS)
    frugal = config_of(model, train=Train(gradient_checkpointing=True))
    deep = msgspec.structs.replace(shape, layers=12)
    saved = memory.estimate(deep, frugal, True).activations
    assert saved < memory.estimate(deep, config_of(model), True).activations / 3


def test_steps_follow_from_rows_and_from_tokens_where_they_are_packed(
    model: Path, home: Path
) -> None:
    data = DataFacts(rows=100, tokens=5_000, supervised_share=0.5)
    train = Train(per_device_train_batch_size=4, gradient_accumulation_steps=2)
    few = make_plan(home, config_of(model, train=train), data)
    assert (few.steps, few.tokens_per_step) == (39, 385)  # 13 steps of 8 rows, three times
    packed = msgspec.structs.replace(train, packing="on")
    config = config_of(model, train=packed, data=Data("d.jsonl", max_length=100))
    assert make_plan(home, config, data).steps == 21  # 50 bins in steps of 8, three times
    fixed = msgspec.structs.replace(train, max_steps=5)
    assert make_plan(home, config_of(model, train=fixed)).steps == 5
    assert make_plan(home, config_of(model, train=train)).steps is None


def test_what_does_not_fit_is_seen(
    model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_plan(home, config_of(model)).fits
    small = msgspec.structs.replace(CPU, memory_used_bytes=CPU.memory_bytes - 1000)
    monkeypatch.setattr(plan, "read_device", lambda kind: small)
    assert not make_plan(home, config_of(model)).fits


def test_files_that_can_not_be_read_are_one_sentence(model: Path, home: Path) -> None:
    (model / "model.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(AfinaError, match="is not a safetensors file"):
        make_plan(home, config_of(model))


def test_the_device_is_told_in_few_words() -> None:
    assert CPU.line() == "cpu 5% 4/16 GiB"
    gpu = Device("cuda", "NVIDIA H100", 93.4, 61 * 2**30, 80 * 2**30, 71.0)
    assert gpu.line() == "gpu 93% 61/80 GiB 71°C"


def test_the_device_of_this_machine_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    device = hardware.read_device()
    assert device.kind == "cpu"
    assert 0 < device.memory_used_bytes <= device.memory_bytes
    assert hardware.device_line().startswith("cpu ")


def test_a_container_that_may_use_less_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    (tmp_path / "memory.current").write_text(f"{2**28}\n")
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    device = hardware.read_device()
    assert (device.memory_used_bytes, device.memory_bytes) == (2**28, 2**30)
    (tmp_path / "memory.max").write_text("max\n")
    assert hardware.memory_limit() is None


def test_planning_loads_nothing_heavy() -> None:
    code = (
        "import afina, sys, core.plan.plan, core.runs.curves;"
        "import tui.cli.train, tui.cli.plan, tui.cli.plan_report, tui.cli.runs, tui.cli.follow;"
        "import core.plan.probe, core.plan.probe_cache, core.train.probe.worker, exporters.support;"
        "import core.train.worker, core.train.checks.preflight, core.train.loader.dataset;"
        "heavy = {'torch', 'transformers', 'datasets', 'peft', 'trl', 'pyarrow'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n", done.stderr
