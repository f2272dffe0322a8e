"""OLMo 2 in the builder's words, which knows OLMo 1 only.

torch.onnx.export needs onnxscript, which is no dependency of ours, and makes a slower graph. As in
transformers' modeling_olmo2.py: no norm before attention and MLP, one after each; q and k are
normed over all heads at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Any as Base  # the builder's Model
else:
    Base = object


class Olmo2Layers(Base):
    """Mixed into the builder's Model, before it."""

    def make_attention_init(self, config: Any) -> None:
        self.attention_attrs["q_norm"] = True
        self.attention_attrs["k_norm"] = True
        super().make_attention_init(config)

    def make_qk_norm(self, layer_id: int, attention: Any) -> None:
        for letter, width in (("q", self.q_size), ("k", self.kv_size)):
            self.attention_attrs[f"{letter}_path"] = self._norm(
                f"/model/layers.{layer_id}/attn/{letter}_norm",
                self.attention_attrs[f"{letter}_path"],
                getattr(attention, f"{letter}_norm"),
                width,
            )

    def make_layer(self, layer_id: int, layer: Any) -> None:
        name = f"/model/layers.{layer_id}"
        attrs = self.layernorm_attrs
        before = attrs["root_input"]
        self.make_attention(layer_id, layer.self_attn, root_input=before)
        change = self._norm(
            f"{name}/post_attention_layernorm",
            attrs["skip_input"],
            layer.post_attention_layernorm,
            self.hidden_size,
        )
        between = self._sum(f"{name}/attention_residual/Add", before, change)
        self.make_mlp(layer_id, layer.mlp, root_input=between)
        change = self._norm(
            f"{name}/post_feedforward_layernorm",
            attrs["skip_input"],
            layer.post_feedforward_layernorm,
            self.hidden_size,
        )
        if layer_id == self.num_layers - 1:  # the last norm adds them itself
            attrs["root_input"], attrs["skip_input"] = between, change
            attrs["last_layernorm"] = True
        else:
            attrs["root_input"] = self._sum(f"{name}/mlp_residual/Add", between, change)
        attrs["first_layernorm"] = False

    def _sum(self, name: str, one: str, other: str) -> str:
        shape = self.make_hidden_state_shape()
        self.make_add(name, [one, other], dtype=self.io_dtype, shape=shape)
        return f"{name}/output_0"

    def _norm(self, name: str, source: str, norm: Any, width: int) -> str:
        weight = f"{name[1:].replace('/', '.')}.weight"
        self.make_initializer(norm.weight, weight, to=self.io_dtype)
        output = f"{name}/output_0"
        self.make_node(
            "SimplifiedLayerNormalization",
            inputs=[source, weight],
            outputs=[output],
            name=f"{name}/SimplifiedLayerNormalization",
            epsilon=self.layernorm_attrs["epsilon"],
            axis=-1,
            stash_type=1,
        )
        self.make_value(output, self.io_dtype, shape=self.make_hidden_state_shape(last_dim=width))
        return output


def olmo2(model: type) -> type:
    """The class for OLMo 2 on the builder's Model."""
    return type("Olmo2Model", (Olmo2Layers, model), {})
