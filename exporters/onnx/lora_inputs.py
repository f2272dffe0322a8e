"""Opening an ONNX model for adapters: a LoRA branch beside each linear layer, fed from outside.

The branch adds x·A·B to what a layer gives. A and B are inputs of the graph with empty matrices
(rank 0) as their default, so that a run without an adapter is the base model, and an adapter of
any rank that trains any of the layers fits. Only the graph is written anew: weights stay as they
lie in the data file, quantized or not. onnxruntime hands an .onnx_adapter's tensors to inputs of
the same names (OrtApi RunOptionsAddActiveLoraAdapter).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import AfinaError
from core.model_files.onnx import GRAPH, Piece, Site
from core.paths import sync_folder

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

MULTIPLIES = ("MatMul", "MatMulNBits")
# "/model/layers.0/attn/q_proj/MatMul" as onnxruntime-genai's builder names it; quantizing adds _Q4
_LAYER = re.compile(r"^/model/layers\.(\d+)/(attn|mlp)/(\w+)/MatMul(?:NBits)?(?:_Q\d+)?$")
_HEAD = re.compile(r"^/lm_head/MatMul(?:NBits)?(?:_Q\d+)?$")
_JOINED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
_BLOCKS = {"attn": "self_attn", "mlp": "mlp"}
_LINEAR = re.compile(r"^model\.layers\.\d+\.(self_attn|mlp)\..*_proj\.weight$")
HEAD = "lm_head.weight"

Shapes = Mapping[str, tuple[int, ...]]  # of the base model's tensors, (out, in) of a linear layer


def open_for_adapters(folder: Path, shapes: Shapes) -> list[Site]:
    """Gives the model in a folder its branches; returns where they are.

    Raises AfinaError where the graph is not one that the builder makes of these tensors.
    """
    import onnx

    path = folder / GRAPH
    model = onnx.load(str(path), load_external_data=False)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    sites: list[Site] = []
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        nodes.append(node)
        site = _site(node, weights, shapes) if node.op_type in MULTIPLIES else None
        if site is not None:
            sites.append(site)
            nodes.extend(_branch(node, site))
            _declare(model.graph, site)
    _refuse_uncovered(folder, sites, shapes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    part = path.with_name(f"{path.name}.part")
    with open(part, "wb") as file:
        file.write(model.SerializeToString())
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_folder(folder)
    return sites


def _site(node: NodeProto, weights: Mapping[str, TensorProto], shapes: Shapes) -> Site | None:
    """The place that a multiplication is, by its name; None where it is none of the layers."""
    size = _size(node, weights)
    if size is None:
        return None
    columns, rows = size
    if _HEAD.match(node.name):
        return Site("lm_head", (Piece(HEAD, 0, rows),), columns, rows)
    found = _LAYER.match(node.name)
    if not found:
        return None
    layer, block, module = found.groups()
    before = f"model.layers.{layer}.{_BLOCKS[block]}"
    pieces = tuple(_pieces(before, module, rows, shapes))
    if not pieces:
        return None
    fits = all(shapes[piece.tensor][1] == columns for piece in pieces)
    if not fits or sum(piece.stop - piece.start for piece in pieces) != rows:
        raise AfinaError(
            f'In the ONNX graph "{node.name}" has {rows} outputs of {columns} inputs, which are '
            f'not those of "{pieces[0].tensor}".',
            "Export without multi-: the adapter is merged there.",
        )
    return Site(f"layers.{layer}.{block}.{module}", pieces, columns, rows)


def _size(node: NodeProto, weights: Mapping[str, TensorProto]) -> tuple[int, int] | None:
    """Columns and rows of the layer; None where both factors are computed."""
    if node.op_type == "MatMulNBits":
        found = {attribute.name: attribute.i for attribute in node.attribute}
        return found["K"], found["N"]
    weight = weights.get(node.input[1])
    if weight is None or len(weight.dims) != 2:
        return None
    return weight.dims[0], weight.dims[1]


def _pieces(before: str, module: str, rows: int, shapes: Shapes) -> Iterator[Piece]:
    """What the base model calls a module of the graph; either may have joined what the other has
    apart.
    """

    def tensor(name: str) -> str:
        return f"{before}.{name}.weight"

    if tensor(module) in shapes:
        yield Piece(tensor(module), 0, shapes[tensor(module)][0])
        return
    for part in _JOINED.get(module, ()):
        yield Piece(tensor(part), 0, shapes[tensor(part)][0])
    for joined, parts in _JOINED.items():
        if module in parts and tensor(joined) in shapes:
            whole = shapes[tensor(joined)][0]
            after = len(parts) - 1 - parts.index(module)  # those behind it are as large as it
            start = 0 if module == parts[0] else whole - rows * (after + 1)
            yield Piece(tensor(joined), start, start + rows)


def _branch(node: NodeProto, site: Site) -> list[NodeProto]:
    """The three nodes beside a layer; what read the layer's output reads their sum."""
    from onnx import helper

    total = node.output[0]
    plain = f"{total}/plain"
    node.output[0] = plain
    narrow, change = f"{site.name}/lora/narrow", f"{site.name}/lora/change"
    return [
        helper.make_node("MatMul", [node.input[0], site.a], [narrow], f"{site.name}/lora/A"),
        helper.make_node("MatMul", [narrow, site.b], [change], f"{site.name}/lora/B"),
        helper.make_node("Add", [plain, change], [total], f"{site.name}/lora/Add"),
    ]


def _declare(graph: GraphProto, site: Site) -> None:
    """The two inputs with rows or columns of any number, and their empty defaults."""
    from onnx import TensorProto, helper

    rank = f"{site.name}.rank"
    kinds = {site.a: (site.inputs, rank), site.b: (rank, site.outputs)}
    for name, dims in kinds.items():
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
        empty = [0 if dim == rank else dim for dim in dims]
        graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, empty, b"", raw=True))


def _refuse_uncovered(folder: Path, sites: list[Site], shapes: Shapes) -> None:
    """Raises AfinaError where a linear layer of the base has no place, so that none is lost."""
    covered: dict[str, int] = {}
    for piece in (piece for site in sites for piece in site.pieces):
        covered[piece.tensor] = covered.get(piece.tensor, 0) + piece.stop - piece.start
    for tensor, shape in shapes.items():
        if _LINEAR.match(tensor) and covered.get(tensor) != shape[0]:
            raise AfinaError(
                f'The ONNX graph in "{folder.name}" has no place for an adapter of "{tensor}".',
                "Export without multi-: the adapter is merged there.",
            )
