"""Reading weights: every stored number type, shards, and files that are not whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from core.errors import AfinaError
from exporters.weights.safetensors_reader import INDEX, SINGLE, open_weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_values_are_those_that_were_stored(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.randn(5, 7).to(dtype)
    tensor[0, :3] = torch.tensor([0.0, -0.0, float("inf")])
    save_file({"small": torch.ones(3, dtype=dtype), "wide": tensor}, tmp_path / SINGLE)
    read = open_weights(tmp_path).read("wide")
    assert read.dtype == np.float32 and read.shape == (5, 7)
    assert np.array_equal(read, tensor.float().numpy())


def test_shards_are_found_by_the_index(tmp_path: Path) -> None:
    parts = {"a": torch.randn(2, 3), "b": torch.randn(4)}
    for name, tensor in parts.items():
        save_file({name: tensor}, tmp_path / f"{name}.safetensors")
    write_index(tmp_path, {name: f"{name}.safetensors" for name in parts})
    weights = open_weights(tmp_path)
    assert set(weights.entries) == {"a", "b"} and weights.parameters == 10
    assert np.array_equal(weights.read("b"), parts["b"].numpy())


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "one.safetensors")
    write_index(tmp_path, {"a": "one.safetensors", "b": "two.safetensors"})
    with pytest.raises(AfinaError, match='lacks 1 of 2 shards, first "two.safetensors"'):
        open_weights(tmp_path)


def test_a_tensor_that_the_index_promises_and_no_shard_has_is_named(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "one.safetensors")
    write_index(tmp_path, {"a": "one.safetensors", "b": "one.safetensors"})
    with pytest.raises(AfinaError, match='names the tensor "b"'):
        open_weights(tmp_path)


def test_a_file_that_is_cut_short_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    save_file({"whole": torch.ones(4), "cut": torch.ones(400)}, tmp_path / SINGLE)
    data = (tmp_path / SINGLE).read_bytes()
    (tmp_path / SINGLE).write_bytes(data[:-100])
    with pytest.raises(AfinaError, match='the tensor "(cut|whole)" ends at'):
        open_weights(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 something else", b"\x08" + b"\0" * 7 + b"{"])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SINGLE).write_bytes(content)
    with pytest.raises(AfinaError, match="is not a safetensors file|header"):
        open_weights(tmp_path)


def test_weights_that_are_quantized_are_refused_by_name(tmp_path: Path) -> None:
    save_file({"packed": torch.ones(4, dtype=torch.uint8)}, tmp_path / SINGLE)
    with pytest.raises(AfinaError, match='"packed" .* is stored as U8'):
        open_weights(tmp_path).read("packed")


def test_a_folder_with_older_weights_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(AfinaError, match=r'There is "pytorch_model.bin": save .* as safetensors'):
        open_weights(tmp_path)


def write_index(folder: Path, files: dict[str, str]) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": files}))


def test_rows_beyond_four_gigabytes_are_found(tmp_path: Path) -> None:
    rows, columns = 2_500_000, 1024
    size = rows * columns * 2
    header = {
        "large": {"dtype": "F16", "shape": [rows, columns], "data_offsets": [0, size]},
        "small": {"dtype": "F32", "shape": [2], "data_offsets": [size, size + 8]},
    }
    text = json.dumps(header).encode()
    last = np.arange(columns, dtype=np.float16)
    with open(tmp_path / SINGLE, "wb") as file:  # a hole and its end
        file.write(len(text).to_bytes(8, "little") + text)
        file.seek(8 + len(text) + size - last.nbytes)
        file.write(last.tobytes() + np.array([3.0, 4.0], dtype=np.float32).tobytes())
    weights = open_weights(tmp_path)
    found = weights.rows("large", rows - 2, rows)
    assert not found[0].any() and np.array_equal(found[1], last)
    assert weights.read("small").tolist() == [3.0, 4.0]


def test_rows_are_those_of_the_whole(tmp_path: Path) -> None:
    save_file({"x": torch.randn(9, 2, 3).bfloat16()}, tmp_path / SINGLE)
    weights = open_weights(tmp_path)
    assert np.array_equal(weights.rows("x", 3, 7), weights.read("x")[3:7])
