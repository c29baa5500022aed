"""batch_size, seq_len, trim_padding and plain_loader: what a DataLoader hands out, and how."""

from __future__ import annotations

from typing import Any

from torch.utils.data import BatchSampler

from probes.interventions.act import Act
from probes.interventions.columns import cut, token_shape, used_columns


def batch_size(act: Act) -> None:
    """Make DataLoaders with batches of so many samples at the most."""
    most = act.value if act.is_applied else None

    def made(given: dict[str, Any]) -> None:
        sampler = given.get("batch_sampler")
        if isinstance(sampler, BatchSampler):
            act.met(sampler.batch_size)
            if isinstance(most, int) and sampler.batch_size > most:
                sampler.batch_size = most
            return
        size = given.get("batch_size", 1)
        if sampler is None and isinstance(size, int):
            act.met(size)
            if isinstance(most, int) and size > most:
                given["batch_size"] = most

    act.seams.on_loader(made)


def seq_len(act: Act) -> None:
    """Keep so many positions of a sample at the most: the first ones, or the last where padding comes first."""
    most = act.value if act.is_applied else None

    def handed_out(batch: Any) -> Any:
        shape = token_shape(batch)
        if shape is None:
            return batch
        act.met(shape[1])
        if not isinstance(most, int) or shape[1] <= most:
            return batch
        first, end = used_columns(batch, shape)
        is_left_padded = first > 0 and end == shape[1]
        start = shape[1] - most if is_left_padded else 0
        return cut(batch, shape, start, start + most)

    act.seams.on_batch(handed_out)


def trim_padding(act: Act) -> None:
    """Cut the positions that are padding in every sample of a batch."""

    def handed_out(batch: Any) -> Any:
        shape = token_shape(batch)
        if shape is None:
            return batch
        first, end = used_columns(batch, shape)
        if end - first == shape[1]:
            return batch
        act.met(round(1 - (end - first) / shape[1], 3))
        return cut(batch, shape, first, end) if act.is_applied else batch

    act.seams.on_batch(handed_out)


def plain_loader(act: Act) -> None:
    """Load in the training process, into memory that is not pinned."""

    def made(given: dict[str, Any]) -> None:
        workers = given.get("num_workers", 0)
        if not (workers or given.get("pin_memory", False)):
            return
        act.met(f"{workers} workers, {'pinned' if given.get('pin_memory') else 'not pinned'}")
        if act.is_applied:
            for name in ("prefetch_factor", "persistent_workers", "multiprocessing_context", "timeout"):
                given.pop(name, None)
            given.update(num_workers=0, pin_memory=False)

    act.seams.on_loader(made)
