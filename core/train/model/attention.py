"""Attention document by document: rows laid end to end in one sequence never see each other.

transformers takes attention and mask functions by name; ours get the documents' boundaries from
TRL's collator (`cu_seq_lens_q`) and build no mask. `isolates` proves it on the model at hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

NAME = "afina_documents"
FLASH = "flash_attention_2"  # transformers' name for the package flash-attn
PRODUCTS_UP_TO = 512  # tokens of a document; longer ones are faster in the fused kernel


def register() -> None:
    """Makes `NAME` known to transformers, as an attention and as a mask."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, no_mask)


def candidates(own: str, device: str, dropout: float = 0.0) -> list[str]:
    """Attentions that may serve rows laid end to end, the fastest first; each is to be proven.

    Ours first: on a GPU it is torch's own flash kernel. The package flash-attn, where it is there,
    serves what that one can't: soft capping, and dropout on the weights. Then the model's own, with
    the boundaries in the positions.
    """
    from transformers.utils import import_utils

    names = [NAME, own]
    if device == "cuda" and import_utils.is_flash_attn_2_available():
        names = [FLASH, NAME, own] if dropout else [NAME, FLASH, own]
    return list(dict.fromkeys(names))


def no_mask(*args: Any, **kwargs: Any) -> None:
    """No mask: `attend` never looks over a document's edge."""


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each document of a single row.

    query (1, heads, tokens, head_dim), key and value (1, kv_heads, tokens, head_dim);
    returns (1, tokens, heads, head_dim). Raises ValueError for what it can't express.
    """
    edges = kwargs.get("cu_seq_lens_q")
    if edges is None or query.shape[0] != 1 or attention_mask is not None:
        raise ValueError(f"{NAME} needs one row with cu_seq_lens_q and no mask")
    if kwargs.get("softcap") or kwargs.get("s_aux") is not None:
        raise ValueError(f"{NAME} knows neither soft capping nor attention sinks")
    window = kwargs.get("sliding_window")
    query, key, value = (_as_multiplied(tensor) for tensor in (query, key, value))
    row = Row(query, key, value, edges, scaling or query.shape[-1] ** -0.5, window)
    if _takes_varlen(query, dropout):
        return _varlen(row, kwargs["max_length_q"]), None
    return _by_document(row, dropout), None


def _as_multiplied(tensor: torch.Tensor) -> torch.Tensor:
    """In the type of autocast's products: rotations leave float32 under full tuning."""
    import torch

    kind = tensor.device.type
    if torch.is_autocast_enabled(kind):
        return tensor.to(torch.get_autocast_dtype(kind))
    return tensor


class Row(NamedTuple):
    """What attention works on: (1, heads, tokens, head_dim) each, and where documents begin."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    edges: torch.Tensor  # (documents + 1,): the first token of each, and the end
    scaling: float
    window: int | None

    @property
    def groups(self) -> int:
        """Heads of the query that share one of key and value."""
        return self.query.shape[1] // self.key.shape[1]


def _by_document(row: Row, dropout: float) -> torch.Tensor:
    """One attention a document: the fastest exact way on a CPU. Returns (1, tokens, heads, dim)."""
    import torch

    from core.train.model.cpu_attention import attend_by_products

    runs = _runs(row, dropout)
    sizes = [sum(lengths) for _, lengths in runs]
    # split, not slices: the gradient of a slice is as large as the whole row
    queries, keys, values = (t.split(sizes, 2) for t in (row.query, row.key, row.value))
    parts = []
    for (short, lengths), query, key, value in zip(runs, queries, keys, values, strict=True):
        if short:
            parts.append(attend_by_products(query, key, value, lengths, row.scaling))
        else:
            here = row._replace(query=query, key=key, value=value)
            parts.append(_fused(here, dropout))
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def _runs(row: Row, dropout: float) -> list[tuple[bool, list[int]]]:
    """Lengths of the documents that go into one call: neighbours that are short, or one alone."""
    import torch

    query = row.query
    by_products = query.device.type == "cpu" and query.dtype == torch.bfloat16 and dropout == 0.0
    runs: list[tuple[bool, list[int]]] = []
    for length in row.edges.diff().tolist():
        windowed = row.window is not None and row.window < length
        short = by_products and length <= PRODUCTS_UP_TO and not windowed
        if short and runs and runs[-1][0]:
            runs[-1][1].append(length)
        else:
            runs.append((short, [length]))
    return runs


def _fused(row: Row, dropout: float) -> torch.Tensor:
    """One document through torch's own kernel. Returns (1, tokens, heads, head_dim)."""
    from torch.nn.functional import scaled_dot_product_attention

    length = row.query.shape[2]
    windowed = row.window is not None and row.window < length
    mask = _window_mask(length, row.window, row.query.device) if windowed else None
    out = scaled_dot_product_attention(
        row.query,
        row.key,
        row.value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None,
        scale=row.scaling,
        enable_gqa=row.groups > 1,
    )
    return out.transpose(1, 2).contiguous()


def _window_mask(length: int, window: int | None, device: torch.device) -> torch.Tensor:
    """True where a token looks: itself and the window - 1 tokens before it. (length, length)"""
    import torch

    assert window is not None
    position = torch.arange(length, device=device)
    distance = position[:, None] - position[None, :]
    return (distance >= 0) & (distance < window)


def _takes_varlen(query: torch.Tensor, dropout: float) -> bool:
    """Whether torch's own flash kernel for documents of any length fits these tensors."""
    import torch

    return (
        query.device.type == "cuda"
        and query.dtype in (torch.bfloat16, torch.float16)
        and dropout == 0.0
        and query.shape[-1] <= 256
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


def _varlen(row: Row, longest: int) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = (
        tensor[0].transpose(0, 1).contiguous() for tensor in (row.query, row.key, row.value)
    )  # (tokens, heads, head_dim)
    out = varlen_attn(
        query,
        key,
        value,
        row.edges,
        row.edges,
        longest,
        longest,
        scale=row.scaling,
        window_size=(-1 if row.window is None else row.window - 1, 0),
        enable_gqa=row.groups > 1,
    )
    assert not isinstance(out, tuple)
    return out[None]  # (1, tokens, heads, head_dim)


@contextmanager
def implementation(model: Any, name: str) -> Iterator[None]:
    """The model with another attention; the one it had comes back."""
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def isolates(model: Any, name: str, autocast: bool = False) -> bool:
    """Whether the model, with this attention, computes documents in one row as if each were alone.

    autocast: whether its products will be bfloat16, which may take another way than float32.

    Three short documents in one row: the last one must come out as it does alone through the
    attention the model has now, and must not change when the first is replaced. Models whose
    layers carry state along the row (state spaces) fail here, whatever their name.
    """
    import torch

    embeddings = model.get_input_embeddings().weight  # (vocabulary, hidden)
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(embeddings.shape[0], (22,), generator=draw).tolist()
    first, other, middle, last = tokens[:5], tokens[5:10], tokens[10:13], tokens[13:]
    training = model.training
    model.eval()
    try:
        rounding = torch.autocast(embeddings.device.type, torch.bfloat16, enabled=autocast)
        with torch.no_grad(), rounding:
            only = torch.tensor([last], device=embeddings.device)
            alone = model(input_ids=only, use_cache=False).logits.float()
            with implementation(model, name):
                together = _logits_of_last(model, [first, middle, last])
                beside_other = _logits_of_last(model, [other, middle, last])
    except (ValueError, TypeError, RuntimeError):
        return False  # the architecture calls its attention in a way that this one can't serve
    finally:
        model.train(training)
    spread = float(alone.std()) or 1.0
    # experts and matrix products group tokens differently in another row: rounding, not a look over
    # LLM.int8() keeps the columns of large inputs apart, and which these are, any token decides
    eight_bit = getattr(model, "is_loaded_in_8bit", False)
    exact = model.dtype == torch.float32 and not autocast and not eight_bit
    close, apart = (1e-3, 1e-5) if exact else (0.1, 0.02)
    return (
        float((together - alone).abs().max()) <= close * spread
        and float((together - beside_other).abs().max()) <= apart * spread
    )


def _logits_of_last(model: Any, documents: list[list[int]]) -> torch.Tensor:
    """The logits of the last document of a row. (1, tokens of it, vocabulary)"""
    import torch

    batch = {
        name: value.to(model.device) if isinstance(value, torch.Tensor) else value
        for name, value in laid_flat(documents).items()
    }
    return model(**batch, use_cache=False).logits.float()[:, -len(documents[-1]) :]


def laid_flat(documents: list[list[int]]) -> dict[str, Any]:
    """Documents end to end as one row, with the boundaries as TRL's collator gives them."""
    import torch

    edges = [0]
    for document in documents:
        edges.append(edges[-1] + len(document))
    cumulative = torch.tensor(edges, dtype=torch.int32)
    longest = max(len(document) for document in documents)
    return {
        "input_ids": torch.tensor([[token for document in documents for token in document]]),
        "position_ids": torch.cat([torch.arange(len(document)) for document in documents])[None],
        "cu_seq_lens_q": cumulative,
        "cu_seq_lens_k": cumulative,
        "max_length_q": longest,
        "max_length_k": longest,
    }
