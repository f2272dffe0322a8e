"""Attention of short documents as plain products with a backward of their own, for a CPU.

Documents of like length share a product, the shorter ones padded: one product a document leaves
small pieces of work, and the threads wait for each other longer than they multiply. (torch 2.13, 2
cores with avx512_bf16, 26 documents of about 79 tokens, forward and backward: 12 heads in 40 ms a
document at a time and 17 grouped, 8 heads in 28 and 12.) What is padded lies behind a document's
last token, which never looks ahead. Rounded as transformers' eager attention rounds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable

SHORT = 64  # tokens; documents up to here share a group


def attend_by_products(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: list[int],
    scaling: float,
) -> torch.Tensor:
    """Causal attention inside each of some documents that lie end to end.

    query (1, heads, tokens, head_dim), key and value (1, kv_heads, tokens, head_dim); returns
    (1, tokens, heads, head_dim).
    """
    layout = _layout(tuple(lengths), query.shape[1], key.shape[1])
    with torch.autocast(query.device.type, enabled=False):
        return _Products.apply(query[0], key[0], value[0], layout, scaling)[None]  # type: ignore[index]


class _Group(NamedTuple):
    """Documents of like length: which rows they take, padded to the longest of them."""

    size: int  # tokens of the longest
    padded: torch.Tensor | None  # (documents, 1, 1, size, 1): not of the document; None: no place
    asked: torch.Tensor  # rows of (tokens x heads): (documents x kv_heads x group x size,)
    looked: torch.Tensor  # rows of (tokens x kv_heads): (documents x kv_heads x size,)


class _Layout(NamedTuple):
    """How rows go into groups and back; the rows of a pool are those of its groups, in order."""

    kv_heads: int
    groups: list[_Group]
    asked_back: torch.Tensor  # where each row of (tokens x heads) lies in the pool
    looked_back: torch.Tensor


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        layout: _Layout,
        scaling: float,
    ) -> torch.Tensor:
        heads, tokens, width = query.shape
        queries, keys, values = (_rows(tensor) for tensor in (query, key, value))
        pool, kept = [], []
        for group in layout.groups:
            # (documents x kv_heads, size, width)
            looked = keys.index_select(0, group.looked).view(-1, group.size, width)
            held = values.index_select(0, group.looked).view(-1, group.size, width)
            asked = queries.index_select(0, group.asked).view(len(looked), -1, width)
            scores = torch.bmm(asked, looked.transpose(1, 2)).mul_(scaling)
            scores = scores.view(len(looked), -1, group.size, group.size)
            scores.add_(_ahead(query.dtype, group.size))
            weight = torch.softmax(scores, dim=-1).view(len(looked), -1, group.size)
            pool.append(torch.bmm(weight, held).view(-1, width))
            kept += [asked, looked, held, weight]
        ctx.save_for_backward(*kept)
        ctx.layout, ctx.scaling, ctx.heads = layout, scaling, heads
        return torch.cat(pool).index_select(0, layout.asked_back).view(tokens, heads, width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        layout, kept = ctx.layout, iter(ctx.saved_tensors)
        width = gradients[0].shape[-1]
        gradient = gradients[0].reshape(-1, width)
        of_queries, of_keys, of_values = [], [], []
        for group in layout.groups:
            asked, looked, held, weight = (next(kept) for _ in range(4))
            given = gradient.index_select(0, group.asked)
            if group.padded is not None:
                by_head = given.view(len(group.padded), layout.kv_heads, -1, group.size, width)
                by_head.masked_fill_(group.padded, 0)
            given = given.view(len(looked), -1, width)
            of_values.append(torch.bmm(weight.transpose(1, 2), given).view(-1, width))
            of_weight = torch.bmm(given, held.transpose(1, 2))
            of_score = torch.ops.aten._softmax_backward_data(of_weight, weight, -1, weight.dtype)
            of_score.mul_(ctx.scaling)
            of_queries.append(torch.bmm(of_score, looked).view(-1, width))
            of_keys.append(torch.bmm(of_score.transpose(1, 2), asked).view(-1, width))
        of_query = _heads(of_queries, layout.asked_back, ctx.heads)
        of_key = _heads(of_keys, layout.looked_back, layout.kv_heads)
        of_value = _heads(of_values, layout.looked_back, layout.kv_heads)
        return of_query, of_key, of_value, None, None


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    """(heads, tokens, width) as (tokens x heads, width); no copy where tokens lie outermost."""
    return tensor.transpose(0, 1).reshape(-1, tensor.shape[-1])


def _heads(pool: list[torch.Tensor], back: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of all groups as (heads, tokens, width)."""
    rows = torch.cat(pool).index_select(0, back)
    return rows.view(-1, heads, rows.shape[-1]).transpose(0, 1)


@lru_cache(maxsize=4)  # the layers of a model share one, and accumulated batches take turns
def _layout(lengths: tuple[int, ...], heads: int, kv_heads: int) -> _Layout:
    """Groups of the documents; of one step of length each."""
    steps: dict[int, list[int]] = {}
    for place, length in enumerate(lengths):
        steps.setdefault(_step(length), []).append(place)
    own = torch.tensor(lengths)
    first = own.cumsum(0) - own
    asked_back = torch.empty(sum(lengths), kv_heads, heads // kv_heads, dtype=torch.long)
    looked_back = torch.empty(sum(lengths), kv_heads, dtype=torch.long)
    groups, asked_rows, looked_rows = [], 0, 0
    for places in steps.values():
        size = int(own[places].max())
        place = torch.arange(size)
        there = place < own[places, None]  # (documents, size)
        token = first[places, None] + torch.minimum(place, own[places, None] - 1)
        query_head = torch.arange(heads).view(kv_heads, -1, 1)
        asked = token[:, None, None] * heads + query_head  # (documents, kv_heads, group, size)
        looked = token[:, None] * kv_heads + torch.arange(kv_heads)[:, None]
        rows = torch.arange(asked_rows, asked_rows + asked.numel()).view_as(asked)
        asked_back[token[there]] = rows.permute(0, 3, 1, 2)[there]
        rows = torch.arange(looked_rows, looked_rows + looked.numel()).view_as(looked)
        looked_back[token[there]] = rows.transpose(1, 2)[there]
        asked_rows, looked_rows = asked_rows + asked.numel(), looked_rows + looked.numel()
        padded = None if bool(there.all()) else ~there[:, None, None, :, None]
        groups.append(_Group(size, padded, asked.flatten(), looked.flatten()))
    return _Layout(kv_heads, groups, asked_back.flatten(), looked_back.flatten())


def _step(length: int) -> int:
    """The length that a document may be padded to: 64, 96, 128, 192, 256, 384, 512, ..."""
    power = 1 << (max(length, SHORT) - 1).bit_length()
    lower = 3 * power // 4
    return lower if SHORT < length <= lower else power


@lru_cache
def _bias(dtype: torch.dtype, size: int) -> torch.Tensor:
    """0 where a token looks, minus infinity ahead of it. (size, size)"""
    return torch.full((size, size), float("-inf"), dtype=dtype).triu(1)


def _ahead(dtype: torch.dtype, length: int) -> torch.Tensor:
    size = 1 << (length - 1).bit_length()  # a few sizes serve all lengths
    return _bias(dtype, size)[:length, :length]
