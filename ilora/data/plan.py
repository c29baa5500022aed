"""Which rows make up which batch: pure functions of a batch's number, so that a run resumes anywhere.

Training reads one endless stream: the rows in a seeded order, then in another order, and so on, a new permutation per
epoch. Global batch number i is the i-th slice of world_size * batch_size rows of that stream, and rank r takes its
places r, r + world_size, ...; so the same rows meet in the same step on one rank with batch 2 B and on two ranks with
batch B. A slice that reaches past the end of an epoch goes on in the next: every batch is full, no row is left out.

`compat="reference"` keeps two habits of the release: the last, incomplete batch of an epoch is dropped, and the
curriculum's counter starts again at every epoch (Q18).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ilora.config import ConfigError
from ilora.data.records import IntArray

# Loader workers of the release's scripts. Each counts the batches it makes itself and compares the count with its share
# of all batches, so the number changes the ramp (a little) and belongs to the behaviour that is repeated.
_REFERENCE_WORKERS = 8


class Stream(enum.IntEnum):
    """Independent random streams under one seed."""

    ORDER = 1
    CURRICULUM = 2
    SUBSET = 3


class SampleKey(NamedTuple):
    """One sample to prepare: a row, in which pass over the data, and whether its prompt shows item embeddings."""

    row: int
    epoch: int
    hybrid: bool


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What one rank reads in one forward.

    Attributes:
        rows: (B,) rows of the split.
        epochs: (B,) the pass over the data each row belongs to; two values where the batch straddles an end.
        hybrid: whether the prompts show item embeddings (True) or are text only.
    """

    rows: IntArray
    epochs: IntArray
    hybrid: bool

    @property
    def epoch(self) -> int:
        """The pass the batch begins in."""
        return int(self.epochs[0])

    def keys(self) -> list[SampleKey]:
        """The batch's samples, in order."""
        pairs = zip(self.rows.tolist(), self.epochs.tolist(), strict=True)
        return [SampleKey(row, epoch, self.hybrid) for row, epoch in pairs]


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """The micro-batches of a training run, as one rank sees them; iterable as a torch batch sampler.

    Attributes:
        num_rows: rows of the training split.
        batch_size: samples per micro-batch and rank.
        num_batches: micro-batches of the whole run (optimizer steps times accumulation); the curriculum ends here.
        seed: decides the order of rows and the curriculum.
        world_size: ranks.
        rank: which of them this is.
        curriculum: mix text-only batches in, fewer as training goes on; otherwise every batch is hybrid.
        compat: "fixed" or "reference".
        start: the first micro-batch that iterating yields; a resumed run sets it.

    Raises:
        ConfigError: one batch over all ranks needs more rows than there are.
    """

    num_rows: int
    batch_size: int
    num_batches: int
    seed: int
    world_size: int = 1
    rank: int = 0
    curriculum: bool = True
    compat: str = "fixed"
    start: int = 0

    def __post_init__(self) -> None:
        assert 0 <= self.rank < self.world_size, f"rank {self.rank} of {self.world_size}"
        assert 0 <= self.start <= self.num_batches, f"start {self.start} of {self.num_batches} batches"
        if self.global_batch_size > self.num_rows:
            ranks = f" on each of {self.world_size} ranks" if self.world_size > 1 else ""
            largest = self.num_rows // self.world_size
            raise ConfigError(
                "train.batch_size",
                self.batch_size,
                f"at most {largest}{ranks}" if largest else f"no batch size{ranks}",
                f"The training split has {self.num_rows} rows",
            )

    @property
    def global_batch_size(self) -> int:
        """Samples per micro-batch over all ranks."""
        return self.batch_size * self.world_size

    def __len__(self) -> int:
        return self.num_batches - self.start

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for index in range(self.start, self.num_batches):
            yield self.micro_batch(index).keys()

    def micro_batch(self, index: int) -> MicroBatch:
        """This rank's part of global batch number `index`, counted from 0 over the whole run."""
        assert 0 <= index < self.num_batches, f"batch {index} of {self.num_batches}"
        places = self._first_place(index) + self.rank + self.world_size * np.arange(self.batch_size)
        epochs, offsets = np.divmod(places, self.num_rows)
        rows = np.empty(self.batch_size, dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            inside = epochs == epoch
            rows[inside] = _order(self.seed, epoch, self.num_rows)[offsets[inside]]
        return MicroBatch(rows, epochs.astype(np.int64), self.is_hybrid(index))

    def is_hybrid(self, index: int) -> bool:
        """Whether batch `index` shows item embeddings: drawn once for all ranks, with `hybrid_probability`."""
        if not self.curriculum:
            return True
        draw = np.random.default_rng([self.seed, Stream.CURRICULUM, index]).random()
        return bool(draw < self.hybrid_probability(index))

    def hybrid_probability(self, index: int) -> float:
        """How likely batch `index` is hybrid: a ramp from 1 / num_batches to 1 over the run.

        Under `compat="reference"` the ramp reaches only 1 / number of epochs and starts again in every epoch (Q18).
        """
        if self.compat != "reference":
            return (index + 1) / self.num_batches
        per_epoch = self.num_rows // self.global_batch_size
        epochs = -(-self.num_batches // per_epoch)
        max_step = max(1, epochs * per_epoch // _REFERENCE_WORKERS)
        return min(1.0, (index % per_epoch // _REFERENCE_WORKERS + 1) / max_step)

    def _first_place(self, index: int) -> int:
        """Where in the endless stream of rows batch `index` begins."""
        if self.compat != "reference":
            return index * self.global_batch_size
        epoch, within = divmod(index, self.num_rows // self.global_batch_size)
        return epoch * self.num_rows + within * self.global_batch_size


@dataclass(frozen=True, kw_only=True, eq=False)
class EvalPlan:
    """Every row exactly once, in order, whatever the batch size and the number of ranks; iterable as a batch sampler.

    Attributes:
        rows: (N,) rows of the split to evaluate.
        batch_size: samples per batch; the last batch may be smaller.
        world_size: ranks.
        rank: takes places rank, rank + world_size, ... of `rows`.
    """

    rows: IntArray
    batch_size: int
    world_size: int = 1
    rank: int = 0

    def __len__(self) -> int:
        return -(-len(self._mine()) // self.batch_size)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        mine = self._mine().tolist()
        for first in range(0, len(mine), self.batch_size):
            yield [SampleKey(row, 0, hybrid=True) for row in mine[first : first + self.batch_size]]

    def _mine(self) -> IntArray:
        return self.rows[self.rank :: self.world_size]


def evaluation_rows(num_rows: int, max_samples: int | None, seed: int) -> IntArray:
    """All rows of a split, or a seeded subset of `max_samples` of them, ascending."""
    if max_samples is None or max_samples >= num_rows:
        return np.arange(num_rows, dtype=np.int64)
    picked = np.random.default_rng([seed, Stream.SUBSET]).choice(num_rows, size=max_samples, replace=False)
    return np.sort(picked).astype(np.int64)


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, num_rows: int) -> IntArray:
    """The order of rows in one pass; kept, since batches ask for one or two neighbouring passes again and again."""
    order = np.random.default_rng([seed, Stream.ORDER, epoch]).permutation(num_rows).astype(np.int64)
    order.setflags(write=False)
    return order
