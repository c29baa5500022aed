"""Candidates to choose from: the target among distinct random items outside the user's history.

Every number comes from a hash of (seed, epoch, row, counter), not from a stream: a row's candidates do not depend on
which batch it is in, on how many rows are drawn, on workers or on ranks.

The hash is SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). Distinct
items come from Floyd's algorithm (Bentley and Floyd, "A sample of brilliance", CACM 30(9), 1987), which needs exactly
one draw per item however small the catalogue is; numpy runs it for all rows at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ilora.config import ConfigError, DataConfig
from ilora.data.records import IntArray, Sequences

_Words = npt.NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What a prompt offers.

    Attributes:
        items: (n, C) item ids, distinct within a row, in random order.
        target_index: (n,) where the target stands; -1 where quirk Q17 left it out.
    """

    items: IntArray
    target_index: IntArray


class CandidateSampler:
    """Draws candidates for the rows of one split.

    Args:
        sequences: the split.
        num_items: size of the catalogue.
        num_candidates: C, the target included.
        seed: another seed, other candidates.
        compat: reference, together with `reference_lastfm`: one random item and no target, as the release's LastFM
            class offers (Q17), though seeded. All else in the release differs only in being unseeded.
        reference_lastfm: the data is the release's LastFM.

    Raises:
        ConfigError: the catalogue has too few items outside some user's history.
    """

    def __init__(
        self,
        sequences: Sequences,
        num_items: int,
        num_candidates: int,
        seed: int,
        compat: str = "fixed",
        *,
        reference_lastfm: bool = False,
    ) -> None:
        self._sequences, self._num_items = sequences, num_items
        self._key = _mix(np.array([seed % 2**64], dtype=np.uint64))
        self.omits_target = compat == "reference" and reference_lastfm
        self.num_candidates = 1 if self.omits_target else num_candidates
        longest = int(sequences.lengths.max(initial=0))
        if num_candidates > num_items - longest:
            raise ConfigError(
                "data.num_candidates",
                num_candidates,
                f"2..{num_items - longest}",
                f"The catalogue has {num_items} items and up to {longest} of them are a user's history: "
                "lower data.num_candidates or data.max_history",
            )

    @classmethod
    def from_config(
        cls, cfg: DataConfig, sequences: Sequences, num_items: int, *, compat: str, seed: int | None = None
    ) -> CandidateSampler:
        """The sampler a configuration asks for; `seed` replaces `data.seed`.

        The release's LastFM is recognised by its reader and its wording: data.source=ilora with data.prompt=artist.
        """
        lastfm = cfg.source == "ilora" and cfg.prompt == "artist"
        chosen = cfg.seed if seed is None else seed
        return cls(sequences, num_items, cfg.num_candidates, chosen, compat, reference_lastfm=lastfm)

    def sample(self, rows: IntArray, epoch: int) -> Candidates:
        """Candidates of `rows` in `epoch`.

        Args:
            rows: (n,) positions in the split, in any order, repeats allowed.
            epoch: another epoch, other candidates.

        Returns:
            (n, C) items and (n,) target positions.
        """
        rows = np.asarray(rows, dtype=np.int64)
        targets = self._sequences.targets[rows]
        epoch_key = _mix(self._key + np.array([epoch], dtype=np.uint64) * _GAMMA)
        keys = _mix(epoch_key + rows.astype(np.uint64) * _GAMMA)
        taken = np.concatenate([self._sequences.history[rows], targets[:, None]], axis=1)
        num_negatives = 1 if self.omits_target else self.num_candidates - 1
        negatives = _distinct_outside(keys, taken, self._num_items, num_negatives)
        if self.omits_target:
            return Candidates(negatives, np.full(len(rows), -1, dtype=np.int64))
        offered = np.concatenate([targets[:, None], negatives], axis=1)
        order = np.argsort(_words(keys, num_negatives, self.num_candidates), axis=1, kind="stable")
        return Candidates(np.take_along_axis(offered, order, axis=1), (order == 0).argmax(axis=1).astype(np.int64))


def _distinct_outside(keys: _Words, taken: IntArray, num_items: int, count: int) -> IntArray:
    """(n, count) distinct items per row, none of them in `taken`; entries of `taken` from `num_items` on are padding.

    Floyd's algorithm draws distinct ranks among the free items; the ranks then step over the taken ones.
    """
    taken = np.sort(taken, axis=1)
    taken[:, 1:][taken[:, 1:] == taken[:, :-1]] = num_items
    taken = np.sort(taken, axis=1)
    num_free = num_items - (taken < num_items).sum(axis=1)
    words = _words(keys, 0, count).T
    ranks = np.empty((count, len(keys)), dtype=np.int64)  # a draw is a row here: whole rows are compared below
    for draw in range(count):
        limit = num_free - count + draw
        # The remainder's bias is limit / 2**64: far below what any number of draws could show.
        drawn = (words[draw] % (limit + 1).astype(np.uint64)).astype(np.int64)
        repeated = (ranks[:draw] == drawn).any(axis=0)
        ranks[draw] = np.where(repeated, limit, drawn)
    for item in taken.T:  # ascending, so each step may uncover the next
        ranks += ranks >= item
    return ranks.T


def _words(keys: _Words, first: int, count: int) -> _Words:
    """(n, count) random 64-bit words: numbers `first` .. `first + count - 1` of each key's own sequence."""
    counters = np.arange(first + 1, first + count + 1, dtype=np.uint64)
    return _mix(keys[:, None] + counters * _GAMMA)


def _mix(words: _Words) -> _Words:
    """SplitMix64's output function; unsigned numpy arrays wrap around as it wants."""
    words = (words ^ (words >> _SHIFTS[0])) * _MIX_1
    words = (words ^ (words >> _SHIFTS[1])) * _MIX_2
    return words ^ (words >> _SHIFTS[2])
