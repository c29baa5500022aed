"""Token positions of a batch: which tensors have them, and cutting some of them off."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor

_FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def parts_of(batch: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a batch with their names, those of tuples without."""
    if isinstance(batch, Tensor):
        yield name, batch
    elif isinstance(batch, Mapping):
        for key, value in batch.items():
            yield from parts_of(value, str(key))
    elif isinstance(batch, (list, tuple)):
        for value in batch:
            yield from parts_of(value)
    elif dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        for field in dataclasses.fields(batch):
            yield from parts_of(getattr(batch, field.name), field.name)


def changed(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same batch with every tensor changed."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, MutableMapping):
        made = copy.copy(batch)
        for key, value in batch.items():
            made[key] = changed(value, change)
        return made
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(changed(value, change) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(changed(value, change) for value in batch)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        values = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
        return dataclasses.replace(batch, **{name: changed(value, change) for name, value in values.items()})
    return batch


def token_shape(batch: Any) -> tuple[int, int] | None:
    """Samples and positions: of `input_ids`, or else of the widest table of whole numbers."""
    tables = [(name, part) for name, part in parts_of(batch) if part.dim() == 2 and part.dtype not in _FLOATING]
    ids = [part for name, part in tables if name == "input_ids"]
    if not ids and not tables:
        return None
    widest = ids[0] if ids else max((part for _, part in tables), key=lambda part: part.shape[1])
    return int(widest.shape[0]), int(widest.shape[1])


def cut(batch: Any, shape: tuple[int, int], first: int, end: int) -> Any:
    """The batch with positions `first` to `end`, exclusive, of every tensor that has them."""

    def part(tensor: Tensor) -> Tensor:
        return tensor[:, first:end].contiguous() if tuple(tensor.shape[:2]) == shape else tensor

    return changed(batch, part)


def used_columns(batch: Any, shape: tuple[int, int]) -> tuple[int, int]:
    """The first and the end, exclusive, of the positions that are no padding in every sample.

    By the mask, where there is one; else positions at the right end at which every table of the batch holds one and
    the same number in all samples are taken for padding.
    """
    tables = [(name, part) for name, part in parts_of(batch) if tuple(part.shape) == shape]
    masks = [part for name, part in tables if "mask" in name or part.dtype is torch.bool]
    masks = masks or [part for name, part in tables if not name and _is_mask(part)]
    if masks:
        used = (masks[0] != 0).any(dim=0)
    else:
        whole = [part for _, part in tables if part.dtype not in _FLOATING]
        used = torch.zeros(shape[1], dtype=torch.bool)
        for part in whole:
            used |= (part != part[0, -1]).any(dim=0)
        if used.any():
            used[: int(used.nonzero()[0])] = True
    places = used.nonzero().flatten()
    if not len(places):
        return 0, shape[1]
    return int(places[0]), int(places[-1]) + 1


def _is_mask(part: Tensor) -> bool:
    return part.dtype not in _FLOATING and bool(((part == 0) | (part == 1)).all()) and bool((part == 1).any())
