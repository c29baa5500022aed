"""Sums and lists over all ranks of a run; on one rank, the values themselves."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.distributed as dist

Item = TypeVar("Item")


def sum_over_ranks(*values: float) -> tuple[float, ...]:
    """Add every rank's numbers place by place. All ranks must call this together; integers stay exact up to 2**53."""
    if not _is_distributed():
        return values
    on_gpu = dist.get_backend() == "nccl"
    device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
    total = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return tuple(total.tolist())


def gather_lists(items: list[Item]) -> list[Item]:
    """Every rank's items in one list, in the order of ranks. All ranks must call this together."""
    if not _is_distributed():
        return items
    parts: list[list[Item]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def leave_ranks() -> None:
    """Close the process group, if there is one: its threads would end the process while the interpreter does."""
    if _is_distributed():
        dist.destroy_process_group()


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
