"""The tiny Llama as an ONNX folder, its graph drawn by hand so that chat is tested by itself.

q_proj and v_proj of each layer take an adapter.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tests.core.chat.tiny import STOP

ADAPTED = ("q_proj", "v_proj")


def write_onnx(model: Path, folder: Path, **settings: Any) -> None:
    """The model in `folder` for onnxruntime-genai; `settings` go to its "model"."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(model / name, folder / name)
    config = json.loads((model / "config.json").read_text())
    _Graph(model, config).save(folder / "model.onnx")
    (folder / "genai_config.json").write_text(json.dumps(_genai(model, config, settings)))


def write_onnx_adapter(adapter: Path, path: Path) -> None:
    """A PEFT adapter in the names of the graph, alpha / r in B."""
    from onnxruntime import AdapterFormat, OrtValue
    from safetensors.numpy import load_file

    config = json.loads((adapter / "adapter_config.json").read_text())
    scale = {"lora_A": 1.0, "lora_B": config["lora_alpha"] / config["r"]}
    values = {}
    for key, weight in load_file(adapter / "adapter_model.safetensors").items():
        parts = key.split(".")
        layer, module, half = parts[4], parts[6], parts[7]
        scaled = np.ascontiguousarray(weight.T * np.float32(scale[half]))
        values[f"{layer}.{module}.{half}"] = OrtValue.ortvalue_from_numpy(scaled)
    file: Any = AdapterFormat()  # asks for a PathLike and takes a str
    file.set_parameters(values)
    file.export_adapter(str(path))


class _Graph:
    """A Llama, node by node."""

    def __init__(self, model: Path, config: dict[str, Any]) -> None:
        from onnx import TensorProto
        from safetensors.numpy import load_file

        self.config = config
        self.weights = load_file(model / "model.safetensors")
        self.heads, self.key_heads = config["num_attention_heads"], config["num_key_value_heads"]
        self.size = config["hidden_size"] // self.heads
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.inputs = [
            self._value("input_ids", TensorProto.INT64, ["batch", "tokens"]),
            self._value("attention_mask", TensorProto.INT64, ["batch", "total"]),
        ]
        self.outputs = [self._value("logits", TensorProto.FLOAT, ["batch", "tokens", "words"])]

    def save(self, path: Path) -> None:
        from onnx import helper, save

        self._constants()
        total = self.node("Gather", [self.node("Shape", ["attention_mask"]), "one"], axis=0)
        self.total = self.node("Cast", [total], to=6)
        count = self.node("ReduceSum", ["attention_mask", "axes"], keepdims=0)
        self.before = self.node("Cast", [self.node("Sub", [count, "one"])], to=6)
        x = self.node("Gather", [self._weight("model.embed_tokens"), "input_ids"])
        for layer in range(self.config["num_hidden_layers"]):
            x = self._layer(layer, x)
        x = self._norm(x, "model.norm")
        self.node("MatMul", [x, self._weight("lm_head", turned=True)], output="logits")
        graph = helper.make_graph(self.nodes, "tiny", self.inputs, self.outputs, self.initializers)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
        save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))

    def node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        return self._node(kind, inputs, [output or f"v{len(self.nodes)}"], **attributes)

    def _node(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs[0]

    def _layer(self, layer: int, x: str) -> str:
        from onnx import TensorProto

        before = f"model.layers.{layer}"
        read = self._norm(x, f"{before}.input_layernorm")
        q, k, v = (self._linear(read, layer, "self_attn", f"{n}_proj") for n in "qkv")
        past, present = [], []
        for part in ("key", "value"):
            shape = ["batch", self.key_heads, f"{part}s", self.size]
            for name, values in (("past_key_values", past), ("present", present)):
                values.append(f"{name}.{layer}.{part}")
                into = self.inputs if values is past else self.outputs
                into.append(self._value(values[-1], TensorProto.FLOAT, shape))
        answer = self._node(
            "GroupQueryAttention",
            [q, k, v, *past, self.before, self.total, "cos", "sin"],
            [f"attention{layer}", *present],
            domain="com.microsoft",
            num_heads=self.heads,
            kv_num_heads=self.key_heads,
            do_rotary=1,
            scale=self.size**-0.5,
        )
        x = self.node("Add", [x, self._linear(answer, layer, "self_attn", "o_proj")])
        read = self._norm(x, f"{before}.post_attention_layernorm")
        gate, up = (self._linear(read, layer, "mlp", f"{n}_proj") for n in ("gate", "up"))
        open_gate = self.node("Mul", [gate, self.node("Sigmoid", [gate])])
        inner = self.node("Mul", [open_gate, up])
        return self.node("Add", [x, self._linear(inner, layer, "mlp", "down_proj")])

    def _linear(self, x: str, layer: int, block: str, module: str) -> str:
        from onnx import TensorProto, helper

        name = f"model.layers.{layer}.{block}.{module}"
        plain = self.node("MatMul", [x, self._weight(name, turned=True)])
        if module not in ADAPTED:
            return plain
        rows, columns = self.weights[f"{name}.weight"].shape
        for half, dims in (("lora_A", [columns, "rank"]), ("lora_B", ["rank", rows])):
            place = f"{layer}.{module}.{half}"
            named = [f"{place}.rank" if dim == "rank" else dim for dim in dims]
            self.inputs.append(self._value(place, TensorProto.FLOAT, named))
            empty = [0 if dim == "rank" else dim for dim in dims]
            self.initializers.append(helper.make_tensor(place, TensorProto.FLOAT, empty, []))
            x = self.node("MatMul", [x, place])
        return self.node("Add", [plain, x])

    def _norm(self, x: str, name: str) -> str:
        return self.node(
            "SimplifiedLayerNormalization",
            [x, self._weight(name)],
            axis=-1,
            epsilon=self.config["rms_norm_eps"],
            stash_type=1,
        )

    def _constants(self) -> None:
        angles = 10000.0 ** -(np.arange(0, self.size, 2) / self.size)
        angles = np.outer(np.arange(self.config["max_position_embeddings"]), angles)
        self._keep("cos", np.cos(angles).astype(np.float32))
        self._keep("sin", np.sin(angles).astype(np.float32))
        self._keep("one", np.array(1, np.int64))
        self._keep("axes", np.array([1], np.int64))

    def _weight(self, name: str, turned: bool = False) -> str:
        weight = self.weights[f"{name}.weight"]
        return self._keep(name, np.ascontiguousarray(weight.T) if turned else weight)

    def _keep(self, name: str, array: np.ndarray) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def _value(self, name: str, kind: int, shape: list[Any]) -> Any:
        from onnx import helper

        return helper.make_tensor_value_info(name, kind, shape)


def _genai(model: Path, config: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    from tokenizers import Tokenizer

    stop = Tokenizer.from_file(str(model / "tokenizer.json")).token_to_id(STOP)
    cache = {f"past_{part}_names": f"past_key_values.%d.{part}" for part in ("key", "value")}
    after = {f"present_{part}_names": f"present.%d.{part}" for part in ("key", "value")}
    decoder = {
        "session_options": {"log_id": "tiny", "provider_options": []},
        "filename": "model.onnx",
        "head_size": config["hidden_size"] // config["num_attention_heads"],
        "hidden_size": config["hidden_size"],
        "num_attention_heads": config["num_attention_heads"],
        "num_hidden_layers": config["num_hidden_layers"],
        "num_key_value_heads": config["num_key_value_heads"],
        "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask", **cache},
        "outputs": {"logits": "logits", **after},
    }
    length = config["max_position_embeddings"]
    of_model = {
        "type": "llama",
        "context_length": length,
        "eos_token_id": [stop],
        "pad_token_id": 0,
        "vocab_size": config["vocab_size"],
        "decoder": decoder,
    }
    search = {"max_length": length, "num_beams": 1, "past_present_share_buffer": True}
    return {"model": of_model | settings, "search": search}
