"""The encoded rows of a whole source, from which a run takes those that it trains on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec

from core.data.encode.columns import KINDS, LEARNED, TRUNCATED, UNSTOPPED, USABLE, Columns
from core.data.encode.encoding import IGNORED
from core.data.problems import RowProblem
from core.data.split import NO_CLASS, Split, split_keys
from core.train.loader.mixture import Drawn
from core.train.loader.rows import Label, Rows

if TYPE_CHECKING:
    from numpy import ndarray

W = TypeVar("W")
_GATHERED = 1 << 20  # tokens whose places are worked out at a time


class Words(msgspec.Struct):
    """What of a table is no number."""

    labels: list[Label]  # `label` counts from 1 into it, as `system` into `systems`
    systems: list[str]
    problems: dict[int, RowProblem]


class Table:
    """Rows by place: numbers of each in columns, and their tokens end to end. (tokens,), u4"""

    def __init__(self, columns: dict[str, ndarray], tokens: ndarray, words: Words) -> None:
        import numpy

        self.columns, self.tokens, self.words = columns, tokens, words
        sizes = columns["length"].astype("int64") + columns["other"]
        self.starts = numpy.cumsum(sizes) - sizes

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def joined(cls, shards: Iterable[Columns]) -> Table:
        """Shards that follow each other, as one."""
        import numpy

        parts: dict[str, list[ndarray]] = {name: [] for name in KINDS}
        tokens: list[ndarray] = [numpy.zeros(0, "u4")]
        labels: dict[tuple[type, Label], int] = {}
        systems: dict[str, int] = {}
        problems: dict[int, RowProblem] = {}
        rows = 0
        for shard in shards:
            numbers = {n: numpy.frombuffer(shard.numbers[n], kind) for n, kind in KINDS.items()}
            names = [(type(label), label) for label in shard.labels]
            numbers["label"] = _translated(numbers["label"], names, labels)
            numbers["system"] = _translated(numbers["system"], shard.systems, systems)
            for name, part in numbers.items():
                parts[name].append(part)
            tokens.append(numpy.frombuffer(shard.tokens, "u4"))
            problems |= {rows + place: found for place, found in shard.problems.items()}
            rows += shard.rows
        columns = {
            name: numpy.concatenate([numpy.zeros(0, kind), *parts[name]])
            for name, kind in KINDS.items()
        }
        words = Words([label for _, label in labels], list(systems), problems)
        return cls(columns, numpy.concatenate(tokens), words)

    def split(self, eval_fraction: float, seed: int) -> Split:
        """As `split_source` splits the rows of the source, without reading them again."""
        import numpy

        codes = self.columns["label"].astype("u8")
        classes = numpy.where(codes > 0, codes - 1, numpy.uint64(NO_CLASS)).tolist()
        keys = self.columns["key"].tolist()
        return split_keys(keys, eval_fraction, seed, classes if self.words.labels else None)

    def rows(self, drawn: Drawn) -> Rows:
        """The rows drawn, as a trainer takes them; what `Rows.add` counts is counted here too."""
        import numpy

        places = numpy.asarray(drawn.rows, dtype="int64")
        each = numpy.ones(len(places), "int64")
        times = each if drawn.times is None else numpy.asarray(drawn.times, dtype="int64")
        state = self.columns["state"][places]
        usable = (state & USABLE) > 0
        rows = Rows()
        rows.left_out = int((~usable).sum())
        known = (self.words.problems.get(place) for place in places[~usable].tolist())
        rows.first_problem = next((found for found in known if found is not None), None)
        places, times, state = places[usable], times[usable], state[usable]
        rows.supervised_tokens = int((self.columns["learned"][places] * times).sum())
        rows.truncated = int(times[(state & TRUNCATED) > 0].sum())
        rows.unstopped = int(times[(state & UNSTOPPED) > 0].sum())
        rows.systems = self._systems(places, times)
        seen = numpy.repeat(places, times)
        codes = self.columns["label"][seen]
        rows.judgements = [self.words.labels[code - 1] for code in codes[codes > 0].tolist()]
        self._fill(rows, seen)
        return rows

    def _systems(self, places: ndarray, times: ndarray) -> Counter[str]:
        import numpy

        codes = self.columns["system"][places]
        counts = numpy.bincount(codes, times, minlength=1)
        found = numpy.flatnonzero(counts[1:])
        return Counter({self.words.systems[code]: int(counts[code + 1]) for code in found.tolist()})

    def _fill(self, rows: Rows, seen: ndarray) -> None:
        starts, lengths = self.starts[seen], self.columns["length"][seen].astype("int64")
        others = self.columns["other"][seen].astype("int64")
        for some in _parts(lengths):
            ids, labels = _unpacked(gathered(self.tokens, starts[some], lengths[some]))
            rows.extend(ids, labels, lengths[some])
            if others.any():
                here = starts[some] + lengths[some]
                ids, labels = _unpacked(gathered(self.tokens, here, others[some]))
                rows.rejected.extend(ids, labels, others[some])


def _parts(lengths: ndarray) -> Iterator[slice]:
    """Ranges of rows that have some _GATHERED tokens together."""
    import numpy

    ends = numpy.cumsum(lengths)
    start = 0
    while start < len(lengths):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(numpy.searchsorted(ends, before + _GATHERED, "right")))
        yield slice(start, stop)
        start = stop


def gathered(flat: ndarray, starts: ndarray, lengths: ndarray) -> ndarray:
    """Pieces of a flat array, end to end."""
    import numpy

    ends = numpy.cumsum(lengths)
    if not len(ends):
        return flat[:0]
    if (starts[1:] == starts[:-1] + lengths[:-1]).all():  # they lie side by side already
        return flat[starts[0] : starts[0] + ends[-1]]
    found = numpy.empty(ends[-1], flat.dtype)
    for some in _parts(lengths):  # the places of all at once would take twice as much as a copy
        before, after = ends[some.start] - lengths[some.start], ends[some.stop - 1]
        shift = numpy.repeat(starts[some] - ends[some] + lengths[some], lengths[some])
        found[before:after] = flat[shift + numpy.arange(int(before), int(after))]
    return found


def _unpacked(tokens: ndarray) -> tuple[ndarray, ndarray]:
    """Ids and labels, int32, of tokens with their bit."""
    import numpy

    ids = (tokens & numpy.uint32(LEARNED - 1)).astype("int32")
    return ids, numpy.where(tokens >= LEARNED, ids, numpy.int32(IGNORED))


def _translated(codes: ndarray, words: Sequence[W], known: dict[W, int]) -> ndarray:
    """Codes of a shard, which count from 1 into its words, as those of the whole table."""
    import numpy

    whole = [known.setdefault(word, len(known) + 1) for word in words]
    return numpy.array([0, *whole], dtype="u4")[codes]
