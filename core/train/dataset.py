"""From the data file to the rows a trainer takes: encoded by core.data, split, packed. No torch.

Rows lie end to end in flat arrays (4 bytes a token) until they become an Arrow table.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from core.config import Config
from core.data.encode.encoder import Encoder, Encoding, walk_rows
from core.data.files.source import Source, open_source
from core.data.problems import ERROR, RowProblem
from core.data.recipe import Recipe
from core.data.sample import Conversation, Sample
from core.data.shapes.read import Reader
from core.data.write.split import split_source

if TYPE_CHECKING:
    from datasets import Dataset

MIN_PACKED_STEPS = 100  # what packing must leave of a run to be chosen by "auto"
OnProgress = Callable[[int, int], None]  # rows done, rows in all


class Rows:
    """Encoded rows, flat, with what was seen on the way."""

    def __init__(self) -> None:
        self.ids = array("i")
        self.labels = array("i")
        self.lengths = array("i")
        self.supervised_tokens = 0
        self.truncated = 0
        self.unstopped = 0  # rows whose last supervised token doesn't stop a generation
        self.left_out = 0  # rows that can't be read or teach nothing
        self.first_problem: RowProblem | None = None  # of the first row that was left out
        self.systems: Counter[str] = Counter()  # system prompts, "" where a row has none

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def tokens(self) -> int:
        return len(self.ids)

    def add(self, sample: Sample | None, encoding: Encoding, labels: list[int]) -> None:
        if isinstance(sample, Conversation) and encoding.usable:
            first = sample.messages[0]
            is_system = first["role"] in ("system", "developer")
            self.systems[str(first["content"]) if is_system else ""] += 1
        if not encoding.usable:
            self.left_out += 1
            errors = [item for item in encoding.problems if item.severity == ERROR]
            self.first_problem = self.first_problem or next(iter(errors), None)
            return
        self.ids.extend(encoding.ids)
        self.labels.extend(labels)
        self.lengths.append(len(encoding.ids))
        self.supervised_tokens += encoding.supervised_tokens
        self.truncated += encoding.truncated_tokens > 0
        self.unstopped += any(item.check == "no_stop_token_learned" for item in encoding.problems)

    @property
    def system_prompt(self) -> str | None:
        """The system prompt that more than half of the rows share; None where there is none."""
        text, count = next(iter(self.systems.most_common(1)), ("", 0))
        return text if text and count > len(self) / 2 else None

    def digest(self) -> str:
        """A hash of every id and label, so that a resumed run can tell that its data changed."""
        hashed = hashlib.sha256()
        for part in (self.ids, self.labels, self.lengths):
            hashed.update(part.tobytes())
        return hashed.hexdigest()

    def to_dataset(self) -> Dataset:
        """Columns input_ids and labels, a list of int32 each."""
        import numpy
        import pyarrow
        from datasets import Dataset

        edges = pyarrow.array(numpy.concatenate([[0], numpy.cumsum(self.lengths)]).astype("int32"))
        columns = [
            pyarrow.ListArray.from_arrays(edges, pyarrow.array(numpy.asarray(flat, dtype="int32")))
            for flat in (self.ids, self.labels)
        ]
        return Dataset(pyarrow.table(columns, names=["input_ids", "labels"]))


class Encoded(msgspec.Struct):
    """Both sides of a run's data."""

    train: Rows
    evaluation: Rows
    shape: str

    def digest(self) -> str:
        return f"{self.train.digest()[:32]}{self.evaluation.digest()[:32]}"


def load(config: Config, encoder: Encoder, on_progress: OnProgress) -> Encoded:
    """Reads, splits and encodes the rows that a configuration names."""
    recipe = Recipe.of(config)
    with open_source(config.data.path) as source:
        reader = recipe.reader(source)
        held_out: Sequence[int] = ()
        kept: Sequence[int] = range(len(source))
        if config.data.eval_path is None and config.data.eval_fraction > 0:
            split = split_source(source, reader, config.data.eval_fraction, config.train.seed)
            kept, held_out = split.train, split.eval
        train = _encode(source, reader, encoder, kept, on_progress)
        evaluation = _encode(source, reader, encoder, held_out, on_progress)
    if config.data.eval_path is not None:
        with open_source(config.data.eval_path) as source:
            there, rows = recipe.reader(source), range(len(source))
            evaluation = _encode(source, there, encoder, rows, on_progress)
    return Encoded(train, evaluation, reader.shape)


def _encode(
    source: Source, reader: Reader, encoder: Encoder, wanted: Sequence[int], on_progress: OnProgress
) -> Rows:
    rows = Rows()
    for done, row in enumerate(walk_rows(source, reader, encoder, wanted), start=1):
        rows.add(row.sample, row.encoding, encoder.labels(row.encoding))
        on_progress(done, len(wanted))
    return rows


def should_pack(config: Config, tokens: int) -> bool:
    """Whether rows are laid into bins of max_length; "auto" wants enough steps to remain.

    Rows that are not packed are laid end to end in their batch too, so nothing is padded either
    way: packing makes every step equally full, at the price of fewer of them.
    """
    train = config.train
    if train.packing != "auto":
        return train.packing == "on"
    bins = -(-tokens // config.data.max_length)
    per_step = train.per_device_train_batch_size * train.gradient_accumulation_steps
    return bins * train.num_train_epochs / per_step >= MIN_PACKED_STEPS


def pack(dataset: Dataset, max_length: int) -> Dataset:
    """Whole rows side by side in bins of max_length; the column seq_lengths holds theirs."""
    from trl.data_utils import pack_dataset

    return pack_dataset(dataset, seq_length=max_length, strategy="bfd")
