"""Building an ONNX model layer by layer: weights are merged, quantized, written and forgotten.

The builder loads a whole model, copies it into a graph, quantizes the graph and writes it: about
8 bytes of memory a parameter. A class of the builder mixed with Streaming makes the same graph with
the same bytes in it, and holds one layer.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import torch

from core.errors import AfinaError
from core.model_files.onnx import DATA, GRAPH
from core.train.release import give_back
from exporters.weights.merge import INPUT, OUTPUT, Merged

if TYPE_CHECKING:
    from typing import Any as Base  # a class of the builder
else:
    Base = object

INLINE_BYTES = 1024  # smaller tensors stay in model.onnx
ALIGNED_BYTES = 2**20  # larger ones begin at a page, so that onnxruntime can map them
PAGE = 4096
TRIM_EVERY = 8  # pieces, after which freed memory goes back to the system
PIECE_BYTES = 4 * 2**20  # of a tensor, worked on at once


class Store:
    """Where tensors come from and where they go."""

    def __init__(self, merged: Merged, output: Path, on_read: Callable[[str, int], None]) -> None:
        self._merged = merged
        self._on_read = on_read
        self.output = output
        self._file = (output / DATA).open("wb")

    def read(self, name: str) -> torch.Tensor:
        """A merged tensor, float32; read in pieces, so that nothing but it is in memory."""
        merged, shape = self._merged, self._merged.shapes[name]
        if len(shape) < 2 or not merged.divisible(name):
            array = merged.read(name)
            self._on_read(name, array.nbytes)
            return torch.from_numpy(array)
        array = np.empty(shape, np.float32)
        for start, stop in pieces(shape[0], array[0].nbytes):
            array[start:stop] = merged.rows(name, start, stop)
            self._on_read(name, array[start:stop].nbytes)
        return torch.from_numpy(array)

    @property
    def output_name(self) -> str:
        """The tensor that makes logits."""
        return INPUT if self._merged.tied else OUTPUT

    def write(self, tensor: ir.TensorProtocol, name: str) -> ir.ExternalTensor:
        """Appends a tensor to the data file; returns what stands for it."""
        array = tensor.numpy()
        assert array.nbytes == tensor.nbytes, f"{name} is packed"
        if tensor.nbytes >= ALIGNED_BYTES:
            self._file.write(bytes(-self._file.tell() % PAGE))
        offset = self._file.tell()
        for start, stop in pieces(array.shape[0], array[0].nbytes):
            self._file.write(np.ascontiguousarray(array[start:stop]).data)
        return ir.ExternalTensor(
            DATA,
            offset,
            tensor.nbytes,
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=name,
            base_dir=str(self.output),
        )

    def sync(self) -> None:
        """Waits for the disk here, where a cancel can kill the process that waits."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class Streaming(Base):
    """Mixed into a class of the builder, before it; `store` is set by streamed()."""

    store: Store
    model: ir.Model
    values: dict[str, ir.Value]

    def __init__(self, config: Any, *rest: Any) -> None:
        self._skeleton = skeleton(config)
        self._settled: set[str] = set()
        self._seen_nodes = 0
        super().__init__(config, *rest)

    def load_weights(self, input_path: str) -> Any:
        return self._skeleton

    def make_embedding(self, embedding: Any) -> None:
        shared = self.tied_quantized_embeddings or self.tied_unquantized_embeddings
        super().make_embedding(embedding if shared else self.store.read(INPUT))
        self._settle()

    def make_layer(self, layer_id: int, layer: Any) -> None:
        self._fill(layer, f"model.layers.{layer_id}.")
        super().make_layer(layer_id, layer)
        self._settle()
        self._forget(layer)

    def make_layernorm(
        self, layer_id: int, layernorm: Any, skip: bool, simple: bool, location: str
    ) -> None:
        if location == "final_norm":
            self._fill(layernorm, "model.norm.")
        super().make_layernorm(layer_id, layernorm, skip, simple, location)

    def make_lm_head(self, lm_head: Any) -> None:
        lm_head.weight = _parameter(self.store.read(self.store.output_name))
        super().make_lm_head(lm_head)
        self._settle()
        self._forget(lm_head)

    def save_model(self, out_dir: str) -> None:
        self._settle()
        self.store.sync()
        self.store.close()
        self.model.graph.sort()
        self.stamp_build_metadata(self.model)
        ir.save(self.model, Path(out_dir) / GRAPH)

    def _fill(self, module: Any, prefix: str) -> None:
        """Gives a module without numbers its own."""
        for name, parameter in list(module.named_parameters()):
            tensor = self.store.read(prefix + name)
            if tensor.shape != parameter.shape:
                raise AfinaError(
                    f'"{prefix}{name}" has the shape {tuple(tensor.shape)}, and config.json makes '
                    f"it {tuple(parameter.shape)}.",
                    "Configuration and weights are of two models.",
                )
            owner, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(owner), leaf, _parameter(tensor))

    def _settle(self) -> None:
        """Quantizes and writes what came into the graph since the last time."""
        nodes = list(self.model.graph)
        for node in nodes[self._seen_nodes :]:
            if self._is_quantized(node):
                self._quantize(node)
        self._seen_nodes = len(nodes)
        for name, value in self.model.graph.initializers.items():
            if name not in self._settled:
                tensor = value.const_value
                assert tensor is not None, name
                if tensor.nbytes >= INLINE_BYTES:
                    value.const_value = self.store.write(tensor, name)
                else:
                    value.const_value = ir.tensor(tensor.numpy().copy(), name=name)
                self._settled.add(name)

    def _forget(self, module: Any) -> None:
        """Gives back the memory of a part that is written."""
        module.to("meta")
        give_back()

    def _is_quantized(self, node: ir.Node) -> bool:
        if self.onnx_dtype == ir.DataType.FLOAT or node.op_type != "MatMul":
            return False
        weight = node.inputs[1]
        return weight is not None and weight.const_value is not None

    def _quantize(self, node: ir.Node) -> None:
        """Puts the quantized form of a multiplication in its place, made of some outputs at a time:
        each output has blocks of its own.
        """
        weight = node.inputs[1]
        assert weight is not None and weight.name is not None and weight.const_value is not None
        array = weight.const_value.numpy()  # (in, out)
        new: list[ir.Node] = []
        parts: dict[str, list[np.ndarray]] = {}
        for place, (start, stop) in enumerate(pieces(array.shape[1], array[:, 0].nbytes)):
            made = self._alone(node, array[:, start:stop]).graph
            new = new or list(made)
            if [each.op_type for each in new] == ["MatMul"]:
                return  # the builder excludes it
            for name, value in made.initializers.items():
                if name != weight.name and value.const_value is not None:
                    # copied: what it lies in holds the piece in float32 too
                    parts.setdefault(name, []).append(value.const_value.numpy().copy())
            if place % TRIM_EVERY == TRIM_EVERY - 1:
                give_back()
        assert len(new) == 1, f"{node.name} became {len(new)} nodes"
        new[0].attributes["N"] = ir.AttrInt64("N", array.shape[1])
        for name, found in parts.items():
            self._register(name, ir.tensor(np.concatenate(found), name=name))
        self._replace(node, new[0])
        if not weight.uses():
            del self.model.graph.initializers[weight.name]
            del self.values[weight.name]

    def _alone(self, node: ir.Node, array: np.ndarray) -> ir.Model:
        """What the builder makes of a model of this node alone; array: its weights (in, out)."""
        source, weight = node.inputs
        assert source is not None and weight is not None
        given = ir.Value(name=source.name, type=source.type, shape=source.shape)
        held = ir.Value(name=weight.name)
        held.const_value = ir.tensor(np.ascontiguousarray(array), name=weight.name)
        held.dtype, held.shape = held.const_value.dtype, ir.Shape(array.shape)
        output = ir.Value(name=node.outputs[0].name)
        single = ir.Node("", "MatMul", [given, held], outputs=[output], name=node.name)
        graph = ir.Graph(
            [given],
            [output],
            nodes=[single],
            initializers=[held],
            opset_imports=dict(self.model.graph.opset_imports),
            name="one",
        )
        whole = self.model
        self.model = ir.Model(graph, ir_version=whole.ir_version)
        try:
            return self.to_nbits()
        finally:
            self.model = whole

    def _register(self, name: str, tensor: Any) -> None:
        value = self.make_value(name, tensor.dtype, tensor.shape)
        value.const_value = tensor
        self.model.graph.register_initializer(value)

    def _replace(self, node: ir.Node, new: ir.Node) -> None:
        """Makes a node another one that computes the same output."""
        node.domain, node.op_type, node.name = new.domain, new.op_type, new.name
        node.attributes.clear()
        node.attributes.update(new.attributes)
        node.resize_inputs(len(new.inputs))
        for place, value in enumerate(new.inputs):
            node.replace_input_with(place, self.make_value(value.name) if value else None)


def pieces(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Ranges over `count` things of `size` bytes, each of PIECE_BYTES or one thing."""
    step = max(1, PIECE_BYTES // max(1, size))
    for start in range(0, count, step):
        yield start, min(start + step, count)


def streamed(family: type, store: Store) -> type:
    """A class of the builder that reads from and writes to a store."""
    return type(f"Streamed{family.__name__}", (Streaming, family), {"store": store})


def skeleton(config: Any) -> Any:
    """The model of a configuration, with shapes and without numbers."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(copy.deepcopy(config)).eval()


def _parameter(tensor: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(tensor, requires_grad=False)
