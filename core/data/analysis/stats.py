"""Statistics over the rows of a survey: lengths, what a max_length would cost, steps and epochs."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from core.data.analysis.language import SCRIPTS
from core.data.analysis.packing import packed_bins
from core.data.analysis.row_facts import Facts
from core.data.files.rows import Span

if TYPE_CHECKING:
    import numpy as np

BINS = 24
MAX_LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
_LISTED = 50  # labels and languages that are listed by name
_SEED = 0  # of the order in which rows are laid into padded batches


class Batches(msgspec.Struct, frozen=True):
    """What makes a step of a run."""

    max_length: int | None = None  # tokens; None cuts nothing
    rows: int = 8  # in one pass of the model: per_device_train_batch_size
    accumulation: int = 1  # passes in a step
    weights: tuple[Span, ...] = ()  # how often rows are seen in an epoch; once where it is empty


def token_stats(facts: Facts) -> dict[str, Any]:
    """Exact figures of the rows that are encoded so far; lengths are those before the cut."""
    import numpy as np

    known = slice(0, facts.encoded)
    lengths, cut = facts["tokens"][known], facts["truncated"][known]
    supervised = int(facts["supervised"][known].sum(dtype="u8"))
    total = int(facts["kept"][known].sum(dtype="u8"))
    filled = np.sort(lengths[lengths > 0])
    return {
        "rows": facts.encoded,
        "empty": facts.encoded - len(filled),  # rows without tokens: unreadable or unusable
        "tokens": total,  # that go through the model: of both sides of a pair, cut ones not counted
        "supervised_tokens": supervised,
        "supervised_share": supervised / total if total else 0.0,
        "truncated": int((cut > 0).sum()),
        "truncated_tokens": int(cut.sum(dtype="u8")),
        "p50": percentile(filled, 50),
        "p95": percentile(filled, 95),
        "p99": percentile(filled, 99),
        "max": int(filled[-1]) if len(filled) else 0,
        "mean": float(filled.mean()) if len(filled) else 0.0,
        "histogram": histogram(filled),
    }


def percentile(ascending: np.ndarray, percent: float) -> int:
    """The value that `percent` of the rows do not exceed (nearest rank); 0 without rows."""
    if not len(ascending):
        return 0
    rank = -(-len(ascending) * percent // 100)  # the ceiling
    return int(ascending[max(0, int(rank) - 1)])


def histogram(ascending: np.ndarray, bins: int = BINS) -> list[int]:
    """Rows per bin of equal width from 0 to the longest row; the last bin includes it."""
    import numpy as np

    if not len(ascending):
        return [0] * bins
    places = ascending.astype("u8") * bins // max(1, int(ascending[-1]))
    return np.bincount(np.minimum(places, bins - 1).astype("i8"), minlength=bins).tolist()


def whole_stats(facts: Facts, batches: Batches) -> dict[str, Any]:
    """All of `data stats --json` that the rows decide; without tokens, `tokens` is null."""
    encoded = facts.encoded == facts.rows and facts.rows > 0
    lengths = facts["tokens"][facts["tokens"] > 0]
    limits = sorted({*MAX_LENGTHS, batches.max_length or MAX_LENGTHS[0]})
    return {
        "rows": facts.rows,
        "unreadable": facts.rows - int(facts["readable"].sum()),
        "bytes": _spread(facts["bytes"]),
        "turns": {
            **_spread(facts["turns"][facts["readable"] > 0]),
            "counts": _numbered(facts["turns"][facts["readable"] > 0]),
        },
        "roles": dict(Counter(facts.roles).most_common()),
        "labels": _named(facts["label"], facts.labels.words),
        "scripts": _named(facts["script"], list(SCRIPTS)),
        "languages": _named(facts["language"], facts.languages.words),
        "tokens": token_stats(facts) if encoded else None,
        "supervised": _spread(facts["supervised"][facts["tokens"] > 0]) if encoded else None,
        "lengths": [_at_length(lengths, limit, batches) for limit in limits] if encoded else [],
        "epoch": _epoch(facts, batches) if encoded else None,
    }


def _spread(values: np.ndarray) -> dict[str, Any]:
    import numpy as np

    ascending = np.sort(values)
    return {
        "total": int(values.sum(dtype="u8")),
        "mean": float(values.mean()) if len(values) else 0.0,
        "p50": percentile(ascending, 50),
        "p95": percentile(ascending, 95),
        "p99": percentile(ascending, 99),
        "max": int(ascending[-1]) if len(ascending) else 0,
    }


def _numbered(values: np.ndarray) -> dict[str, int]:
    """Rows for each number of turns, the commonest first."""
    import numpy as np

    numbers, counts = np.unique(values, return_counts=True)
    pairs = zip(numbers.tolist(), counts.tolist(), strict=True)
    found = Counter({str(number): count for number, count in pairs})
    return dict(found.most_common(_LISTED))


def _named(codes: np.ndarray, words: list[Any]) -> dict[str, int]:
    """Rows for each word, the commonest first; rows without one are left out."""
    import numpy as np

    counts = np.bincount(codes, minlength=len(words)).tolist()
    found: Counter[str] = Counter()
    for word, count in zip(words[1:], counts[1:], strict=False):
        if count:
            found[spell(word)] += count
    return dict(found.most_common(_LISTED))


def spell(label: object) -> str:
    """A label as it is written in filters and tables: true, 3, sports."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def _at_length(lengths: np.ndarray, limit: int, batches: Batches) -> dict[str, Any]:
    """What a max_length would do to the rows."""
    import numpy as np

    kept = np.minimum(lengths, limit)
    tokens, whole = int(kept.sum(dtype="u8")), int(lengths.sum(dtype="u8"))
    counts = np.bincount(kept, minlength=limit + 1)
    bins = packed_bins(counts, limit)
    padded = _padded(kept, batches.rows)
    per_step = batches.rows * batches.accumulation
    return {
        "max_length": limit,
        "rows_cut": int((lengths > limit).sum()),
        "tokens": tokens,
        "tokens_lost": whole - tokens,
        # of the places in padded batches that hold no token, rows in random order
        "padding_share": 1 - tokens / padded if padded else 0.0,
        "packed_rows": bins,  # bins of max_length that best fit decreasing fills
        "packing_efficiency": tokens / (bins * limit) if bins else 0.0,
        "steps_per_epoch": -(-len(lengths) // per_step),
        "packed_steps_per_epoch": -(-bins // per_step),
    }


def _padded(lengths: np.ndarray, rows: int) -> int:
    """Places in batches of so many rows, each as long as its longest."""
    import numpy as np

    if not len(lengths):
        return 0
    mixed = np.random.default_rng(_SEED).permutation(lengths)
    rest = len(mixed) % rows
    whole = mixed[: len(mixed) - rest].reshape(-1, rows)
    places = int(whole.max(axis=1).sum(dtype="u8")) * rows if len(whole) else 0
    return places + (int(mixed[-rest:].max()) * rest if rest else 0)


def _epoch(facts: Facts, batches: Batches) -> dict[str, Any]:
    """One pass over all usable rows as the run would do it, each as often as its weight says."""
    import numpy as np

    lengths = facts["tokens"]
    limit = batches.max_length or (int(lengths.max()) if len(lengths) else 1)
    weights = np.ones(facts.rows)
    for span in batches.weights:
        weights[span.start : span.end] = span.weight
    usable = lengths > 0
    rows, tokens = float(weights[usable].sum()), float((facts["kept"] * weights).sum())
    found = _at_length(lengths[usable], limit, batches)
    per_step = batches.rows * batches.accumulation
    packed = float((np.minimum(lengths, limit) * weights).sum())
    bins = found["packed_rows"] * packed / max(1, found["tokens"])
    return {
        "rows": round(rows),
        "tokens": round(tokens),
        "batch_rows": per_step,
        "steps": math.ceil(rows / per_step),
        "packed_steps": math.ceil(bins / per_step),
    }
