"""The group method: which weights learn."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from core.config.option import Alpha, Count, Rank, option


class Method(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is trained: all weights, or an adapter beside frozen ones."""

    kind: Annotated[
        Literal["lora", "full", "ia3", "prompt"],
        option(
            "lora trains two small matrices beside each layer, full every weight, ia3 one factor "
            "for each output of a layer (each input of a block's last), prompt some invented "
            "tokens before every row.",
            source="LoRA (arXiv 2106.09685), IA3 (arXiv 2205.05638), prompt tuning (arXiv "
            "2104.08691)",
        ),
    ] = "lora"
    quantization: Annotated[
        Literal["none", "nf4", "int8"],
        option(
            "How the frozen weights lie in memory: nf4 in 4 bits, quantized twice (QLoRA), int8 in "
            "8. Only beside an adapter.",
            source="QLoRA (arXiv 2305.14314), LLM.int8 (arXiv 2208.07339)",
        ),
    ] = "none"
    trainable_layers: Annotated[
        Count | None,
        option(
            "Under full: only the last so many blocks and what follows them learn; the rest, with "
            "the embeddings, stays as it is.",
            unit="blocks",
        ),
    ] = None
    rank: Annotated[
        int,
        option(
            "Rank of the adapter's matrices.",
            source="LoRA (arXiv 2106.09685) 7.2: 4 to 64",
            ge=1,
        ),
    ] = 16
    alpha: Annotated[
        float,
        option(
            "Scale of the adapter: alpha / rank.",
            source="twice the rank, as in QLoRA's practice",
            gt=0.0,
        ),
    ] = 32.0
    dropout: Annotated[float, option("Dropout before the adapter.", ge=0.0, lt=1.0)] = 0.0
    target_modules: Annotated[
        str,
        option(
            "Layers that get an adapter: all-linear, or names with commas between.",
            source="all-linear: QLoRA (arXiv 2305.14314) 4.1",
        ),
    ] = "all-linear"
    rank_pattern: Annotated[
        dict[str, Rank],
        option("Another rank for layers whose name ends so or fits the pattern, as down_proj: 8."),
    ] = {}
    alpha_pattern: Annotated[
        dict[str, Alpha],
        option("Another alpha for layers whose name ends so or fits the pattern."),
    ] = {}
    modules_to_save: Annotated[
        str | None,
        option(
            "Modules that learn as a whole beside the adapter, with commas between, as "
            "embed_tokens, lm_head for new tokens."
        ),
    ] = None
    init_lora_weights: Annotated[
        Literal["default", "pissa"],
        option(
            "How a LoRA begins: default changes nothing at first, pissa takes over the strongest "
            "directions of the weights. The saved adapter is a plain LoRA either way, of twice the "
            "rank after pissa.",
            source="PiSSA (arXiv 2404.02948)",
        ),
    ] = "default"
    rslora: Annotated[
        bool, option("Scale by alpha / sqrt(rank).", source="rsLoRA (arXiv 2312.03732)")
    ] = False
    dora: Annotated[
        bool,
        option("Learn magnitude and direction apart.", source="DoRA (arXiv 2402.09353)"),
    ] = False
    num_virtual_tokens: Annotated[
        int,
        option(
            "Under prompt: tokens that are learned.",
            unit="tokens",
            source="prompt tuning (arXiv 2104.08691) 3.2: 20 to 100",
            ge=1,
        ),
    ] = 20
    prompt_tuning_init_text: Annotated[
        str | None,
        option(
            "Under prompt: the text whose embeddings the tokens begin as; else those of tokens "
            "drawn by chance."
        ),
    ] = None
