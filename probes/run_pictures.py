"""Checkpoints of a virtual card: what a script saves it may load again, with everything but values.

A file cannot hold what nobody computed. So its contents are kept as a picture (`probes.run_kept`), in which a tensor of
the card is its sizes, its type and the storage it shares with others. Loading makes the tensors on the card or on the
host, as `torch.load` would, so that a script that holds a model and its checkpoint at once is seen to do so.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from probes.run_kept import SAVE, Kept, carried_value, uncomputed
from probes.virtual.errors import NotCarriedError
from probes.virtual.machine import Machine
from probes.virtual.patches import Patches

_HOST = torch.device("cpu")


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        """Take it and drop it."""
        return len(data) if isinstance(data, bytes) else memoryview(data).nbytes

    def flush(self) -> None:
        """Nothing is held."""


class Pictures:
    """`torch.save` and `torch.load`."""

    def __init__(self, machine: Machine, kept: Kept) -> None:
        self._machine = machine
        self._kept = kept

    def install(self, patches: Patches) -> None:
        """Put both in place; call inside the device's block."""
        patches.replace(torch, "save", self._saving(torch.save))
        patches.replace(torch, "load", self._loading(torch.load))

    def _saving(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def save(obj: Any, f: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                plain(obj, _Nowhere(), *args, **kwargs)
            except NotCarriedError:
                self._machine.notes.add(SAVE)
                self._kept.keep(_pickled(self._machine, plain, obj, args, kwargs), f)
                return None
            self._kept.written_for_real(f)
            return plain(obj, f, *args, **kwargs)

        return save

    def _loading(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def load(f: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
            picture = self._kept.picture_of(f)
            if not isinstance(picture, bytes):  # a file with values, or what safetensors saved: an error as ever
                return plain(f, map_location, *args, **kwargs)
            with _made_on(_target(map_location)), torch.serialization.safe_globals([_stored, _viewed, _known]):
                return plain(io.BytesIO(picture), map_location, *args, **kwargs)

        return load


class _Storage:
    """A storage of the card by its size; the tensors that look at it share the object, and pickle keeps that."""

    def __init__(self, num_bytes: int) -> None:
        self._num_bytes = num_bytes

    def __reduce__(self) -> tuple[Any, ...]:
        return _stored, (self._num_bytes,)


def _pickled(machine: Machine, plain: Callable[..., Any], obj: Any, args: Any, kwargs: Any) -> bytes:
    """The object as `torch.save` writes it, with pictures for the tensors of the card."""
    storages: dict[int, _Storage] = {}

    def picture(tensor: Tensor) -> tuple[Any, ...]:
        value = carried_value(machine, tensor)
        if value is not None:
            return _known, (value, tensor.requires_grad)
        storage = tensor.untyped_storage()
        shared = storages.setdefault(storage._cdata, _Storage(storage.nbytes()))
        layout = tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
        return _viewed, (shared, tensor.dtype, *layout, tensor.requires_grad)

    buffer = io.BytesIO()
    machine.picture = picture
    try:
        plain(obj, buffer, *args, **kwargs)
    finally:
        machine.picture = None
    return buffer.getvalue()


_device = _HOST


@contextmanager
def _made_on(device: torch.device) -> Iterator[None]:
    global _device
    before, _device = _device, device
    try:
        yield
    finally:
        _device = before


def _stored(num_bytes: int) -> Tensor:
    """A storage where the file is loaded to, as a tensor of bytes."""
    return uncomputed((num_bytes,), torch.uint8, _device)


def _viewed(
    storage: Tensor,
    dtype: torch.dtype,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool,
) -> Tensor:
    empty = torch.empty(0, dtype=dtype, device=storage.device)
    return empty.set_(storage.untyped_storage(), offset, size, stride).requires_grad_(requires_grad)


def _known(value: Tensor, requires_grad: bool) -> Tensor:
    return value.to(_device).requires_grad_(requires_grad)


def _target(map_location: Any) -> torch.device:
    """Where `torch.load` puts what was saved from a card."""
    here = torch.device("cuda", torch.cuda.current_device())
    if map_location is None:
        return here
    if isinstance(map_location, dict):
        map_location = map_location.get(str(here), here)
    elif callable(map_location):
        moved = map_location(torch.UntypedStorage(0), str(here))  # type: ignore[no-untyped-call]
        return here if moved is None else torch.device(moved.device)
    found = torch.device(map_location)
    return here if found.type == "cuda" and found.index is None else found
