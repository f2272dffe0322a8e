"""Encoded rows as a trainer takes them: flat arrays, 4 bytes a token, until they become a table."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from core.data.encode.columns import is_unstopped, system_prompt
from core.data.encode.encoder import Encoder, Encoding
from core.data.problems import ERROR, RowProblem

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy import ndarray

Label = bool | int | str


class Flat:
    """Sequences end to end."""

    def __init__(self) -> None:
        self.ids = array("i")
        self.labels = array("i")
        self.lengths = array("i")

    def append(self, ids: list[int], labels: list[int]) -> None:
        self.ids.extend(ids)
        self.labels.extend(labels)
        self.lengths.append(len(ids))

    def extend(self, ids: ndarray, labels: ndarray, lengths: ndarray) -> None:
        """Adds sequences that lie end to end already."""
        for flat, values in ((self.ids, ids), (self.labels, labels), (self.lengths, lengths)):
            flat.frombytes(values.astype("int32", copy=False).tobytes())

    def columns(self, prefix: str = "") -> dict[str, Any]:
        """Arrow columns input_ids and labels, a list of int32 each."""
        import numpy
        import pyarrow

        edges = pyarrow.array(numpy.concatenate([[0], numpy.cumsum(self.lengths)]).astype("int32"))
        flat = {"input_ids": self.ids, "labels": self.labels}
        return {
            prefix + name: pyarrow.ListArray.from_arrays(
                edges, pyarrow.array(numpy.asarray(values, dtype="int32"))
            )
            for name, values in flat.items()
        }


def as_dataset(columns: dict[str, Any]) -> Dataset:
    """A dataset of Arrow columns, as they lie in memory."""
    import pyarrow
    from datasets import Dataset

    # without a name of its own, datasets would copy and hash all of the table for one
    return Dataset(pyarrow.table(columns), fingerprint=uuid4().hex)


class _Counts(NamedTuple):
    tokens: int
    highest_id: int


class Rows(Flat):
    """Encoded rows with what was seen on the way.

    Of a preference the chosen side lies here and the other one in `rejected`; `judgements` are the
    labels of judged answers and the classes of texts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rejected = Flat()
        self.judgements: list[Label] = []
        self.supervised_tokens = 0
        self.truncated = 0
        self.unstopped = 0  # rows whose last supervised token doesn't stop a generation
        self.left_out = 0  # rows that can't be read or teach nothing
        self.first_problem: RowProblem | None = None  # of the first row that was left out
        self.systems: Counter[str] = Counter()  # system prompts, "" where a row has none
        self._released: _Counts | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def release(self) -> None:
        """Forgets ids and labels, which a packed table holds by now; lengths and counts stay."""
        self._released = _Counts(self.tokens, self.highest_id)
        for flat in (self, self.rejected):
            flat.ids, flat.labels = array("i"), array("i")

    @property
    def tokens(self) -> int:
        """Of both sides."""
        if self._released is not None:
            return self._released.tokens
        return len(self.ids) + len(self.rejected.ids)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence; 0 without rows."""
        return max(max(flat.lengths, default=0) for flat in (self, self.rejected))

    @property
    def highest_id(self) -> int:
        """The highest token id; -1 without rows."""
        import numpy

        if self._released is not None:
            return self._released.highest_id
        return max(int(numpy.max(flat.ids, initial=-1)) for flat in (self, self.rejected))

    def add(self, sample: Any, encoding: Encoding, encoder: Encoder, times: int = 1) -> None:
        """Adds a row, as often as it is seen in an epoch."""
        if not encoding.usable:
            self.left_out += 1
            errors = [item for item in encoding.problems if item.severity == ERROR]
            self.first_problem = self.first_problem or next(iter(errors), None)
            return
        labels, other = encoder.labels(encoding), encoding.rejected
        for _ in range(times):
            self.append(encoding.ids, labels)
            if other is not None:
                self.rejected.append(other.ids, encoder.labels(other))
            if encoding.label is not None:
                self.judgements.append(encoding.label)
        sides = [encoding] if other is None else [encoding, other]
        self.supervised_tokens += times * sum(side.supervised_tokens for side in sides)
        self.truncated += times * any(side.truncated_tokens for side in sides)
        self.unstopped += times * is_unstopped(encoding)
        system = system_prompt(sample)
        if system is not None:
            self.systems[system] += times

    @property
    def system_prompt(self) -> str | None:
        """The system prompt that more than half of the rows share; None where there is none."""
        text, count = next(iter(self.systems.most_common(1)), ("", 0))
        return text if text and count > len(self) / 2 else None

    def digest(self) -> str:
        """A hash of every id and label, so that a resumed run can tell that its data changed."""
        hashed = hashlib.sha256()
        for flat in (self, self.rejected):
            for part in (flat.ids, flat.labels, flat.lengths):
                hashed.update(part.tobytes())
        hashed.update(repr(self.judgements).encode() if self.judgements else b"")
        return hashed.hexdigest()

    def to_dataset(self, classes: Sequence[Label] = ()) -> Dataset:
        """Columns input_ids and labels; those of the rejected side with "rejected_" before them.

        Judged rows have a column `judgement`: their label, or the place of their class in
        `classes`.
        """
        import pyarrow

        columns = self.columns()
        if self.rejected.lengths:
            columns |= self.rejected.columns("rejected_")
        if self.judgements:
            places = {label: place for place, label in enumerate(classes)}
            columns["judgement"] = pyarrow.array([places.get(j, j) for j in self.judgements])
        return as_dataset(columns)

    def without(self, unknown: frozenset[Label]) -> Rows:
        """The rows of a classification whose class is a known one; counts of losses stay."""
        kept, start = Rows(), 0
        kept.left_out, kept.first_problem = self.left_out, self.first_problem
        kept.truncated = self.truncated
        for length, label in zip(self.lengths, self.judgements, strict=True):
            if label not in unknown:
                kept.append(
                    self.ids[start : start + length].tolist(),
                    self.labels[start : start + length].tolist(),
                )
                kept.judgements.append(label)
            start += length
        return kept
