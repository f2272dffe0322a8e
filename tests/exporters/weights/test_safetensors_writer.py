"""Writing weights: the bytes that safetensors itself would store, whatever the shards."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.torch import load_file, save_file

from core.errors import AfinaError
from exporters.weights import safetensors_writer
from exporters.weights.safetensors_reader import INDEX, SINGLE, open_weights
from exporters.weights.safetensors_writer import (
    BYTES,
    LARGEST,
    shards,
    to_bfloat16,
    weights_bytes,
    write_weights,
)

TORCH = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
SHAPES = st.dictionaries(
    st.text('abcdefgh.0123456789"\\é ', min_size=1, max_size=12),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9),
    min_size=1,
    max_size=8,
)


def merged_of(tensors: dict[str, np.ndarray], divisible: bool = True) -> Any:
    """What a writer asks of a Merged, over arrays in memory."""
    return SimpleNamespace(
        shapes={name: values.shape for name, values in tensors.items()},
        read=lambda name: tensors[name].copy(),
        rows=lambda name, start, stop: tensors[name][start:stop].copy(),
        divisible=lambda name: divisible,
    )


def values_of(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Float32 of every size that f16 has, signs and zeros too."""
    random = np.random.default_rng(seed)
    values = random.normal(size=shape) * 10.0 ** random.integers(-9, 4, size=shape)
    return np.asarray(values, dtype=np.float32)


@settings(max_examples=40, deadline=None)
@given(shapes=SHAPES, dtype=st.sampled_from(list(BYTES)), limit=st.integers(1, 600))
def test_what_is_read_back_is_what_torch_rounds_to_in_any_shards(
    tmp_path_factory: pytest.TempPathFactory,
    shapes: dict[str, tuple[int, ...]],
    dtype: str,
    limit: int,
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    tensors = {name: values_of(shape) for name, shape in shapes.items()}
    write_weights(merged_of(tensors), folder, dtype, shard_bytes=limit)
    read = open_weights(folder)
    assert set(read.entries) == set(tensors)
    for name, values in tensors.items():
        expected = torch.from_numpy(values).to(TORCH[dtype]).float().numpy()
        assert read.shape(name) == values.shape
        assert np.array_equal(read.read(name), expected)
    for path in folder.glob("*.safetensors"):
        assert set(load_file(path)) <= set(tensors)  # the format's own reader takes it too


@given(shapes=SHAPES, dtype=st.sampled_from(list(BYTES)), limit=st.integers(1, 600))
def test_shards_hold_every_tensor_once_and_only_a_single_one_beyond_the_limit(
    shapes: dict[str, tuple[int, ...]], dtype: str, limit: int
) -> None:
    found = shards(shapes, dtype, limit)
    assert [name for shard in found for name in shard.tensors] == list(shapes)
    sizes = {name: math.prod(shape) * BYTES[dtype] for name, shape in shapes.items()}
    for shard in found:
        filled = [sizes[name] for name in shard.tensors]
        assert sum(filled) <= limit or len([size for size in filled if size]) == 1
    names = [shard.name for shard in found]
    assert names == [SINGLE] or names[0] == f"model-00001-of-{len(names):05d}.safetensors"


@given(
    arrays.arrays(
        np.uint32,
        50,
        elements=st.integers(0, 2**32 - 1).filter(lambda bits: bits >> 23 & 255 < 254),
    )
)
def test_bfloat16_is_rounded_to_nearest_and_ties_to_even(bits: np.ndarray) -> None:
    values = bits.view(np.float32)
    expected = torch.from_numpy(values.copy()).to(torch.bfloat16).view(torch.int16).numpy()
    assert np.array_equal(to_bfloat16(values).view(np.int16), expected)


def test_ties_between_two_bfloat16_go_to_the_even_one() -> None:
    halfway = np.array([0x3F808000, 0x3F818000, 0xBF808000], dtype=np.uint32).view(np.float32)
    assert to_bfloat16(halfway).tolist() == [0x3F80, 0x3F82, 0xBF80]


def test_a_file_has_the_bytes_that_safetensors_writes_for_it(tmp_path: Path) -> None:
    values = values_of((5, 3))
    write_weights(merged_of({"only": values}), tmp_path, "bf16")
    save_file(
        {"only": torch.from_numpy(values).to(torch.bfloat16)}, tmp_path / "theirs", {"format": "pt"}
    )
    assert (tmp_path / SINGLE).read_bytes() == (tmp_path / "theirs").read_bytes()


def test_the_same_tensors_give_the_same_bytes_by_rows_or_whole(tmp_path: Path) -> None:
    tensors = {"a": values_of((700, 3000)), "b": values_of((4,)), "c": values_of(())}
    for name, divisible in (("rows", True), ("whole", False)):
        (tmp_path / name).mkdir()
        write_weights(merged_of(tensors, divisible), tmp_path / name, "f16")
    first, second = ((tmp_path / name / SINGLE).read_bytes() for name in ("rows", "whole"))
    assert first == second


def test_the_index_is_in_the_form_of_transformers(tmp_path: Path) -> None:
    tensors = {name: values_of((4, 4)) for name in ("b", "a", "c")}
    write_weights(merged_of(tensors), tmp_path, "f32", shard_bytes=128)
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"] == {"total_parameters": 48, "total_size": 192}
    one, two = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    assert index["weight_map"] == {"a": one, "b": one, "c": two}
    assert list(index["weight_map"]) == ["a", "b", "c"]


@pytest.mark.parametrize(("value", "dtype"), [(65536.0, "f16"), (3.4e38, "bf16")])
def test_a_value_beyond_the_type_is_refused_with_the_next_wider_one(
    tmp_path: Path, value: float, dtype: str
) -> None:
    tensors = {"large": np.array([1.0, -value], dtype=np.float32)}
    with pytest.raises(AfinaError, match=f'"large" holds .*, and {dtype} ends at') as error:
        write_weights(merged_of(tensors), tmp_path, dtype)
    assert "f32" in error.value.hint


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_the_largest_value_of_a_type_is_kept(tmp_path: Path, dtype: str) -> None:
    largest = np.array([LARGEST[dtype], -LARGEST[dtype]], dtype=np.float32)
    write_weights(merged_of({"edge": largest}), tmp_path, dtype)
    assert np.array_equal(open_weights(tmp_path).read("edge"), largest)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", list(BYTES))
def test_a_value_that_is_not_a_number_is_refused(tmp_path: Path, dtype: str, value: float) -> None:
    tensors = {"lost": np.array([[0.0, value], [1.0, 2.0]], dtype=np.float32)}
    with pytest.raises(AfinaError, match='"lost" holds a value that is not a number'):
        write_weights(merged_of(tensors), tmp_path, dtype)


def test_progress_counts_the_bytes_of_the_weights_and_may_end_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safetensors_writer, "BLOCK_VALUES", 8)
    tensors = {"a": values_of((6, 4)), "b": values_of((3,))}
    said: list[tuple[str, int, int]] = []
    write_weights(merged_of(tensors), tmp_path, "bf16", lambda *now: said.append(now))
    total = weights_bytes({name: v.shape for name, v in tensors.items()}, "bf16")
    assert [done for name, done, _ in said if name == "a"] == [0, 16, 32]
    assert said[-1] == ("weights", total, total) and total == 54

    def stop(name: str, done: int, _total: int) -> None:
        if done >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_weights(merged_of(tensors), tmp_path, "bf16", stop)
