"""Every tensor that a module moves to a card, told before it moves and after: a segfault leaves the name behind.

PyTorch itself moves them: `Module.to`, `cuda` and `to_empty` go through `Module._apply`, whose function is wrapped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from ilora_diag.schema.place import Leaf, PlaceMode
from probes.run_enough import Enough
from probes.virtual.patches import Patches

Move = Callable[[Tensor], Tensor]


class Journal:
    """Lines of JSON, each on disk before anything else happens."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)

    def write(self, **fields: object) -> None:
        """Append a line; returns when it is on disk."""
        os.write(self._fd, (json.dumps(fields) + "\n").encode())
        os.fsync(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._fd)


@dataclass(slots=True)
class Walk:
    """What a process puts on the card, by mode.

    Attributes:
        journal: told of every tensor.
        mode: WALK and ALLOCATOR move everything; ALONE, RANDOM and REVERSED end the run after what they move.
        only: name of the tensor that ALONE and RANDOM are about.
        num_moved, moved_bytes: so far.
    """

    journal: Journal
    mode: PlaceMode
    only: str = ""
    num_moved: int = 0
    moved_bytes: int = 0
    _moving: bool = False
    _held: list[Tensor] = field(default_factory=list)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Watch every module of the process inside the block."""
        with Patches() as patches:
            for name in ("to", "cuda", "to_empty"):
                patches.replace(nn.Module, name, self._placing(getattr(nn.Module, name), name))
            patches.replace(nn.Module, "_apply", self._applying(nn.Module._apply))
            yield

    def _placing(self, plain: Callable[..., Any], name: str) -> Callable[..., Any]:
        def place(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            before, self._moving = self._moving, _goes_to_a_card(name, args, kwargs)
            try:
                return plain(module, *args, **kwargs)
            finally:
                self._moving = before

        return place

    def _applying(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def apply(module: nn.Module, move: Move, recurse: bool = True) -> Any:
            if not self._moving:
                return plain(module, move, recurse)
            self._moving = False  # what it holds is applied to through the same function
            leaves = {id(tensor): leaf for leaf, tensor in leaves_of(module)}
            if self.mode in (PlaceMode.ALONE, PlaceMode.RANDOM):
                return self._one(module, move, leaves, plain, recurse)
            if self.mode is PlaceMode.REVERSED:
                for leaf, tensor in reversed(list(leaves_of(module))):
                    self._held.append(self._move(leaf, tensor, move))
                raise Enough
            return plain(module, lambda tensor: self._move(leaves.get(id(tensor)), tensor, move), recurse)

        return apply

    def _one(
        self, module: nn.Module, move: Move, leaves: dict[int, Leaf], plain: Callable[..., Any], recurse: bool
    ) -> Any:
        """Move the tensor looked for and end; leave a module that does not have it on the host."""
        for leaf, tensor in leaves_of(module):
            if leaf.name == self.only:
                put = tensor if self.mode is PlaceMode.ALONE else like(tensor)
                self._held.append(self._move(leaf, put, move))
                raise Enough
        return plain(module, lambda tensor: tensor, recurse)

    def _move(self, leaf: Leaf | None, tensor: Tensor, move: Move) -> Tensor:
        told = leaf if leaf is not None else leaf_of("(no parameter or buffer)", "tensor", tensor)
        self.journal.write(event="leaf", **asdict(told))
        out = move(tensor)
        torch.cuda.synchronize()
        self.num_moved += 1
        self.moved_bytes += told.size_bytes
        allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
        self.journal.write(event="ok", allocated_bytes=allocated, reserved_bytes=reserved)
        return out


def _goes_to_a_card(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if name == "cuda":
        return True
    if name == "to_empty":
        device = kwargs.get("device", args[0] if args else None)
        return device is not None and torch.device(device).type == "cuda"
    device = torch._C._nn._parse_to(*args, **kwargs)[0]
    return device is not None and device.type == "cuda"


def leaves_of(module: nn.Module, prefix: str = "") -> Iterator[tuple[Leaf, Tensor]]:
    """Parameters and buffers in the order in which `Module._apply` takes them, each once: the children's first."""
    seen: set[int] = set()
    for leaf, tensor in _leaves(module, prefix):
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield leaf, tensor


def _leaves(module: nn.Module, prefix: str) -> Iterator[tuple[Leaf, Tensor]]:
    for name, child in module._modules.items():
        if child is not None:
            yield from _leaves(child, f"{prefix}{name}.")
    for kind, held in (("parameter", module._parameters), ("buffer", module._buffers)):
        for name, tensor in held.items():
            if tensor is not None:
                yield leaf_of(f"{prefix}{name}", kind, tensor), tensor


def leaf_of(name: str, kind: str, tensor: Tensor) -> Leaf:
    """A tensor as a record."""
    return Leaf(
        name=name,
        kind=kind,
        dtype=str(tensor.dtype).removeprefix("torch."),
        shape=tuple(tensor.shape),
        size_bytes=tensor.numel() * tensor.element_size(),
        is_contiguous=tensor.is_contiguous(),
    )


def like(tensor: Tensor) -> Tensor:
    """A plain, contiguous tensor of the same shape and type where the other lies, its numbers random."""
    made = torch.empty(tuple(tensor.shape), dtype=tensor.dtype, device=tensor.device)
    return made.normal_() if tensor.dtype.is_floating_point and not tensor.is_meta else made


def skeleton(model: nn.Module) -> nn.Module:
    """Modules of the same names that hold tensors of the same shapes, types and strides, on no device."""
    made: dict[int, Tensor] = {}

    def empty(tensor: Tensor) -> Tensor:
        if id(tensor) not in made:
            bare = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")
            is_parameter = isinstance(tensor, nn.Parameter)
            made[id(tensor)] = nn.Parameter(bare, tensor.requires_grad) if is_parameter else bare
        return made[id(tensor)]

    def copied(module: nn.Module) -> nn.Module:
        bare = nn.Module()
        for name, child in module._modules.items():
            bare._modules[name] = None if child is None else copied(child)
        for name, parameter in module._parameters.items():
            bare._parameters[name] = None if parameter is None else empty(parameter)  # type: ignore[assignment]
        for name, buffer in module._buffers.items():
            bare._buffers[name] = None if buffer is None else empty(buffer)
        return bare

    with torch.no_grad():
        return copied(model)
