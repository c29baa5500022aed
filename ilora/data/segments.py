"""Token pieces kept in one array, and whole batches put together from their numbers without a Python loop per token."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from ilora.data.records import IntArray


class SegmentTable:
    """A numbered list of token sequences ("segments") in one flat array.

    Attributes:
        lengths: (N,) tokens of each segment.
    """

    def __init__(self, segments: Sequence[Sequence[int]]) -> None:
        self.lengths: IntArray = np.array([len(segment) for segment in segments], dtype=np.int64)
        self._starts = starts_of(self.lengths)
        self._tokens: IntArray = np.fromiter(chain.from_iterable(segments), dtype=np.int64)

    def tokens(self, segment: int) -> list[int]:
        """The tokens of one segment."""
        start = self._starts[segment]
        ids: list[int] = self._tokens[start : start + self.lengths[segment]].tolist()
        return ids

    def concatenate(self, segments: IntArray) -> IntArray:
        """The tokens of many segments, one after the other."""
        lengths = self.lengths[segments]
        tokens: IntArray = self._tokens[np.repeat(self._starts[segments], lengths) + ragged_arange(lengths)]
        return tokens


def ragged_arange(lengths: IntArray) -> IntArray:
    """0 .. n-1 for each n of `lengths`, one after the other: [2, 3] -> [0, 1, 0, 1, 2]."""
    return np.arange(int(lengths.sum()), dtype=np.int64) - np.repeat(starts_of(lengths), lengths)


def starts_of(lengths: IntArray) -> IntArray:
    """Where each of consecutive stretches begins: [2, 3] -> [0, 2]."""
    starts: IntArray = np.cumsum(lengths, dtype=np.int64) - lengths
    return starts
