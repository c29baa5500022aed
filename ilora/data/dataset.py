"""Rows become samples, and samples batches, in this process or in workers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ilora.data.batch import Batch
from ilora.data.plan import BatchPlan, EvalPlan, SampleKey
from ilora.data.records import Sequences
from ilora.data.sampling import CandidateSampler


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt's content, before it is text.

    Attributes:
        row: row of the split.
        user: whose row it is.
        history: items chosen so far, oldest first, at least one.
        candidates: items to choose from.
        target: the item chosen next.
        target_index: its place among the candidates; -1 where it is missing (compat=reference, Q17).
        hybrid: whether the prompt shows item embeddings.
        epoch: the pass over the data; candidates and wording change with it.
    """

    row: int
    user: int
    history: tuple[int, ...]
    candidates: tuple[int, ...]
    target: int
    target_index: int
    hybrid: bool
    epoch: int


class PromptDataset(Dataset[Sample]):
    """Samples by key. A sample depends on its key alone, not on the batch or the process it is made in.

    Args:
        sequences: the split.
        sampler: draws candidates of this split's rows.
    """

    def __init__(self, sequences: Sequences, sampler: CandidateSampler) -> None:
        self.sequences = sequences
        self.sampler = sampler

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, key: SampleKey) -> Sample:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[Sample]:
        """The samples of many keys; DataLoader asks for a batch at once. Candidates are drawn once per epoch named."""
        by_epoch: dict[int, list[int]] = defaultdict(list)
        for place, key in enumerate(keys):
            by_epoch[key.epoch].append(place)
        samples: dict[int, Sample] = {}
        for epoch, places in by_epoch.items():
            rows = np.array([keys[place].row for place in places], dtype=np.int64)
            drawn = self.sampler.sample(rows, epoch)
            for place, items, index in zip(places, drawn.items.tolist(), drawn.target_index.tolist(), strict=True):
                samples[place] = self._sample(keys[place], tuple(items), index)
        return [samples[place] for place in range(len(keys))]

    def _sample(self, key: SampleKey, candidates: tuple[int, ...], target_index: int) -> Sample:
        data = self.sequences
        length = int(data.lengths[key.row])
        return Sample(
            row=key.row,
            user=int(data.users[key.row]),
            history=tuple(data.history[key.row, :length].tolist()),
            candidates=candidates,
            target=int(data.targets[key.row]),
            target_index=target_index,
            hybrid=key.hybrid,
            epoch=key.epoch,
        )


def make_loader(
    dataset: PromptDataset,
    plan: BatchPlan | EvalPlan,
    collator: Callable[[list[Sample]], Batch],
    *,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader[Sample]:
    """A loader of the plan's batches, in the plan's order; the same batches for any number of workers.

    Workers are spawned, not forked (a fork of a process that has threads or a CUDA context is not safe), and kept from
    one iteration to the next. They draw nothing at random: every sample's randomness is seeded by its key. The loader's
    own generator keeps it from drawing its workers' base seed out of torch's global generator, which a resumed run
    would then find in another state.
    """
    return DataLoader(
        dataset,
        batch_sampler=plan,
        collate_fn=collator,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        multiprocessing_context="spawn" if num_workers else None,
        pin_memory=pin_memory,
        generator=torch.Generator().manual_seed(0),
    )
