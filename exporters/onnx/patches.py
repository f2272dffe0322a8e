"""What the builder of onnxruntime-genai 0.18 does otherwise than transformers 5, mended.

Each patch says what was wrong and looks at the code it mends: where that has changed, the export
stops with the patch's name, because a patch that mends nothing would hide that a model is wrong.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import torch

from core.errors import AfinaError
from exporters.onnx.families import FAMILIES

if TYPE_CHECKING:
    from typing import Any as Base  # a class of the builder
else:
    Base = object

VERSION = "0.18"
PIECE = 8192  # blocks: their steps stay in a core's cache


class Mended(Base):
    """Mixed into a class of the builder, before it."""

    def __init__(self, config: Any, *rest: Any) -> None:
        self._config = copy.deepcopy(config)  # the builder writes into its own
        self._rotations = 0
        if isinstance(config.rope_parameters.get("sliding_attention"), dict):
            # Gemma 3 in transformers 5 has its rotations by kind of layer; the builder looks for
            # the old name of one of them
            config.rope_local_base_freq = config.rope_parameters["sliding_attention"]["rope_theta"]
        super().__init__(config, *rest)
        self._mend_window()
        self._mend_embedding_scale()

    def _mend_window(self) -> None:
        """The builder slides only layers that `layer_types` names; Mistral and Phi 3 name none."""
        window = getattr(self._config, "sliding_window", None)
        if window and getattr(self._config, "layer_types", None) is None:
            self.layer_types = ["sliding_attention"] * self.num_layers
        if not window:
            self.window_size = -1

    def _mend_embedding_scale(self) -> None:
        """The builder rounds Gemma's sqrt(hidden size) to two decimals."""
        if self._config.model_type.startswith("gemma"):
            self.embed_attrs["scale"] = float(self.hidden_size**0.5)

    def make_rope_init(self, config: Any) -> None:
        """Nothing: the frequencies come from transformers, below.

        The builder's Llama ignores linear and yarn scaling, its yarn some options, and its Gemma 3
        fails over rotations by kind of layer.
        """

    def make_rotary_embedding_caches_from_scratch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin, float32 (context, rotated / 2), of the model's own rotation."""
        frequencies, scale = rotation(self._config, self._rotations)
        self._rotations += 1
        positions = torch.arange(self.rope_attrs["cache_length"], dtype=torch.float32)
        angles = torch.outer(positions, frequencies)
        return angles.cos() * scale, angles.sin() * scale

    def has_lm_head(self, module: Any) -> bool:
        """The builder takes any layer with as many outputs as there are tokens for the last one."""
        return module is self.weights.get_output_embeddings()

    def make_tied_embeddings_init(self, config: Any) -> None:
        """In int8 the builder writes tied embeddings twice, once of them in fp32."""
        super().make_tied_embeddings_init(config)
        if self.onnx_dtype == ir.DataType.INT8 and self.extra_options["shared_embeddings"]:
            self.tied_quantized_embeddings = True

    def make_attention_qk_rope(self, layer_id: int, **options: Any) -> tuple[str, str]:
        """In layers of SmolLM 3 without a rotation the builder makes one of its own."""
        if not self.attention_attrs["use_rope_in_attn"]:
            return "", ""
        return super().make_attention_qk_rope(layer_id, **options)

    def make_tied_quantized_embedding_input_names(self) -> tuple[int, str, str, str]:
        """For blocks with zero points, and for 8 bits, the builder has other names than those that
        its quantizer gives.
        """
        if self.quantization_algo != "default":
            return super().make_tied_quantized_embedding_input_names()
        name, bits = "lm_head.MatMul.weight", self.quant_attrs["bits"]
        points = "" if self.quant_attrs["is_symmetric"] else f"{name}_zero_points"
        return bits, f"{name}_Q{bits}", f"{name}_scales", points


def search_in_pieces(module: Any) -> None:
    """Lets the k_quant search of onnxruntime take a matrix in pieces, on all threads.

    Its steps go over whole matrices, 20 times and partly in float64; a block's result depends on
    the block alone. `module` is onnxruntime's weight_only.py.
    """
    search = module.quant_tensor_k_quant_cpu

    def pieces(data: np.ndarray, num_bits: int = 4, group_size: int = 32) -> tuple[Any, ...]:
        blocks = data.reshape(-1, group_size)
        cut = [blocks[at : at + PIECE] for at in range(0, len(blocks), PIECE)]
        with np.errstate(all="ignore"), ThreadPoolExecutor(torch.get_num_threads()) as pool:
            found = list(pool.map(lambda part: search(part, num_bits, group_size), cut))
        return tuple(np.concatenate([part[place] for part in found]) for place in range(3))

    module.quant_tensor_k_quant_cuda = pieces  # the one that is called; it asks for CUDA first
    module.simple_progress_bar = lambda total, place: None  # one line a matrix


def rotation(config: Any, place: int) -> tuple[torch.Tensor, float]:
    """transformers' own frequencies (rotated / 2,) and the scale of cos and sin.

    `place` counts the rotations of a model in the order in which the builder asks for them: Gemma
    3 has the one of full layers first, then that of sliding ones.
    """
    from exporters.onnx.streaming import skeleton

    made = type(skeleton(config).model.rotary_emb)(config)
    if isinstance(getattr(made, "inv_freq", None), torch.Tensor):
        return made.inv_freq.float(), made.attention_scaling
    kind = ("full_attention", "sliding_attention")[place]
    return getattr(made, f"{kind}_inv_freq").float(), getattr(made, f"{kind}_attention_scaling")


def mended(family: type) -> type:
    """A class of the builder with the patches over it."""
    return type(f"Mended{family.__name__}", (Mended, family), {})


def check(builder: Any, base: Any, search: Any) -> None:
    """Raises AfinaError where the builder isn't the one that the patches were written for.

    builder, base: its modules models/builder.py and models/builders/base.py; search: onnxruntime's
    weight_only.py.
    """
    for name, (holder, words) in _expected(builder, base, search).items():
        try:
            source = inspect.getsource(holder())
        except (AttributeError, OSError, TypeError):
            source = ""
        missing = [word for word in words if word not in source]
        if missing:
            import onnxruntime_genai

            raise AfinaError(
                f"onnxruntime-genai {onnxruntime_genai.__version__} builds models in another way "
                f"than {VERSION}: {name} lacks `{missing[0]}`.",
                f"Install onnxruntime-genai {VERSION}.",
            )


def _expected(
    builder: Any, base: Any, search: Any
) -> dict[str, tuple[Callable[[], Any], tuple[str, ...]]]:
    """What each patch stands on: the code, and words that must be in it."""
    model = base.Model
    classes = {family.builder for family in FAMILIES.values()}
    return {
        "the choice of a class": (
            lambda: builder.create_model,
            tuple(f"onnx_model = {name}(config," for name in sorted(classes)),
        ),
        "the window": (
            lambda: model.is_local,
            ('self.layer_types[layer_id] == "sliding_attention"',),
        ),
        "the window's size": (
            lambda: model.make_context_length_init,
            ('self.window_size = getattr(config, "sliding_window", -1)',),
        ),
        "Gemma's embedding": (lambda: builder.GemmaModel, ('self.embed_attrs["scale"]',)),
        "the rotation of Llama": (lambda: builder.LlamaModel.make_rope_init, ('"llama3"',)),
        "the rotation's caches": (
            lambda: model.make_rotary_embedding_caches,
            ("self.make_rotary_embedding_caches_from_scratch()", "cos_cache.squeeze()"),
        ),
        "the rotations of Gemma 3": (
            lambda: builder.Gemma3Model.make_rotary_embedding_multi_cache,
            ("cos_cache_global", "cos_cache_local"),
        ),
        "SmolLM 3": (
            lambda: builder.SmolLM3Model.make_attention,
            ('self.attention_attrs["use_rope_in_attn"] = bool(self.no_rope_layers[layer_id])',),
        ),
        "the norms of OLMo 2": (
            lambda: model.make_attention_qk_norm,
            ('self.attention_attrs["q_norm"]', "self.make_qk_norm(layer_id, attention)"),
        ),
        "rotary attention": (
            lambda: model.make_attention_qk_rope,
            ('if self.attention_attrs["use_rope_in_attn"]:',),
        ),
        "tied embeddings": (
            lambda: model.make_tied_quantized_embedding_input_names,
            ('"lm_head.MatMul.weight_scales" if is_symmetric else ""',),
        ),
        "the last layer": (
            lambda: model.has_lm_head,
            ("module.out_features == self.vocab_size",),
        ),
        "tied embeddings in int8": (
            lambda: model.make_tied_embeddings_init,
            ("self.onnx_dtype in {ir.DataType.INT4, ir.DataType.UINT4}",),
        ),
        "the weights": (
            lambda: model.make_model,
            ("self.load_weights(input_path)", "self.make_layer(self.layer_id, module)"),
        ),
        "the quantizer": (lambda: model.to_nbits, ("return ir.from_proto(model_proto)",)),
        "the search": (
            lambda: search,
            ("= quant_tensor_k_quant_cuda(", "def quant_tensor_k_quant_cpu(data, num_bits="),
        ),
    }
