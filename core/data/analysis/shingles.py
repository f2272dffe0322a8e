"""MinHash signatures of rows, by rensa, and the shingles they are made of.

A shingle is three words in a row, in lower case and without punctuation; three characters where a
script writes no spaces. System prompts are left out: rows that share one are not alike for that.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zlib import crc32

from core.data.analysis.language import SCRIPTS, script_code
from core.data.files.source import Row, Source
from core.data.shapes.read import Reader
from core.data.shapes.sample_text import texts_of

if TYPE_CHECKING:
    import numpy as np

WORDS = 3
BANDS, BAND_ROWS = 20, 6  # finds 99.8 % of the pairs with Jaccard 0.8: 1 - (1 - 0.8**6)**20
PERMUTATIONS = BANDS * BAND_ROWS
_SEED = 42
_STEP_ROWS = 1024
_KEPT_SETS = 4096  # rows whose shingles are kept for comparing
_SPACELESS = frozenset(SCRIPTS.index(name) for name in ("han", "kana", "thai"))
_PUNCTUATION = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_TO_SPACES = bytes.maketrans(_PUNCTUATION, b" " * len(_PUNCTUATION))
_ODD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)  # xxHash's and Knuth's primes


class Signed:
    """Signatures of some rows of a file, as band keys and as what estimates a Jaccard index."""

    def __init__(self, source: Source, reader: Reader, rows: np.ndarray, folder: str) -> None:
        import numpy as np

        self.source, self.reader, self.rows = source, reader, rows
        shape = max(1, len(rows))
        # on disk: 80 and 240 bytes a row would be much for ten million of them
        self.bands = np.memmap(f"{folder}/{id(self)}.bands", "u4", "w+", shape=(BANDS, shape))
        self.halves = np.memmap(
            f"{folder}/{id(self)}.halves", "u2", "w+", shape=(shape, PERMUTATIONS)
        )
        self.shingles = lru_cache(_KEPT_SETS)(self._shingles)

    def steps(self) -> list[tuple[int, int]]:
        """Ranges of places in `rows`, to be signed one after another."""
        size = len(self.rows)
        return [(at, min(at + _STEP_ROWS, size)) for at in range(0, size, _STEP_ROWS)]

    def sign(self, start: int, stop: int) -> None:
        """Computes the signatures of some of the rows."""
        import numpy as np
        from rensa import RMinHash  # type: ignore[attr-defined] - compiled, without types

        wanted = self.rows[start:stop].tolist()
        if wanted[-1] - wanted[0] == stop - start - 1:  # read in one go
            found = [self._of(row) for row in self.source.rows(wanted[0], wanted[-1] + 1)]
        else:
            found = [self._of(self.source.row(row)) for row in wanted]
        offsets = np.cumsum([0, *map(len, found)])
        hashes = np.concatenate(found).tolist()
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            hashes, offsets.tolist(), PERMUTATIONS, _SEED
        )
        digests = np.array(matrix.to_rows(), "u8").reshape(stop - start, BANDS, BAND_ROWS)
        mixed = np.zeros(digests.shape[:2], "u8")
        for column in range(BAND_ROWS):
            mixed = (mixed ^ digests[:, :, column]) * np.uint64(_ODD[0])
        keys = (mixed >> np.uint64(32)).astype("u4")
        empty = np.diff(offsets) == 0
        # rows that say nothing are like no other: a key of their own in every band
        keys[empty] = np.arange(start, stop, dtype="u4")[empty, None]
        self.bands[:, start:stop] = keys.T
        self.halves[start:stop] = digests.reshape(stop - start, -1).astype("u2")

    def _shingles(self, place: int) -> np.ndarray:
        return self._of(self.source.row(int(self.rows[place])))

    def _of(self, row: Row) -> np.ndarray:
        """The distinct shingles of a row, hashed to 64 bits, ascending."""
        sample = self.reader.read(row).sample
        said = [text for role, text in texts_of(sample) if role not in ("system", "developer")]
        return shingles_of("\n".join(said))


def shingles_of(text: str) -> np.ndarray:
    """The distinct shingles of a text, hashed to 64 bits, ascending."""
    import numpy as np

    lowered = text.lower()
    if script_code(lowered) in _SPACELESS:
        units = np.array([ord(character) for character in lowered if character.isalnum()], "u8")
    else:
        words = lowered.encode("utf-8", "replace").translate(_TO_SPACES).split()
        units = np.fromiter(map(crc32, words), "u8", len(words))
    if not len(units):
        return units
    if len(units) < WORDS:
        units = np.pad(units, (0, WORDS - len(units)))
    size = len(units) - WORDS + 1
    mixed = np.zeros(size, "u8")
    for place in range(WORDS):
        mixed = (mixed + units[place : place + size]) * np.uint64(_ODD[place])
        mixed ^= mixed >> np.uint64(29)
    return np.unique(mixed)


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """The share of two sets of shingles that is in both."""
    import numpy as np

    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / max(1, len(a) + len(b) - both)


def estimate(a: Any, b: Any) -> np.ndarray:
    """The Jaccard index of pairs of signatures, give or take 0.04 (1 / sqrt(PERMUTATIONS) / 2)."""
    return (a == b).mean(axis=1)
