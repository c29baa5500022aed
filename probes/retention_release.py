"""Letting go what a named holder keeps, while the script that made it runs on: an executed proof.

Nothing of the script is replaced: containers lose what is older than the step just done, tensors lose their graph or
their bytes in place. So every name that leads to them sees the same, and what was made in the current step stays.
"""

from __future__ import annotations

import functools
import gc
import sys
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from probes.retention_clock import Clock
from probes.retention_names import CYCLES, OPTIMIZER, TRACEBACK, HolderError, resolve
from probes.retention_paths import attributes_of, children

_DEEPEST = 2_000


@dataclass(slots=True)
class Releases:
    """What became of some names.

    Attributes:
        names: as given.
        found: those that named something at least once.
        let_go: name -> how many members or tensors were let go.
        how: name -> what was done, for the record of the trial.
    """

    names: tuple[str, ...]
    found: set[str] = field(default_factory=set)
    let_go: dict[str, int] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Call when the trial came to its end without failing: it proves nothing if nothing was let go.

        Raises:
            HolderError: a name named nothing, or there was nothing to let go under it.
        """
        for name in self.names:
            if name not in self.found:
                raise HolderError(f"nothing was called {name} while the steps ran, so nothing could be let go")
            if not self.let_go.get(name):
                raise HolderError(f"{name} was there, but it kept no tensors that could be let go")

    def sentences(self) -> tuple[str, ...]:
        """What was done, a sentence for each name."""
        return tuple(
            f"{name}: {self.how.get(name, 'nothing to let go')} ({self.let_go.get(name, 0)} times)"
            if name in self.found
            else f"{name}: nothing of this name was there"
            for name in self.names
        )

    def did(self, name: str, count: int, how: str) -> None:
        """Note that something was let go."""
        self.found.add(name)
        if count:
            self.let_go[name] = self.let_go.get(name, 0) + count
            self.how[name] = how


@contextmanager
def release(names: Sequence[str]) -> Iterator[Releases]:
    """After every step (as `Clock` has it), let go what named holders keep of earlier steps.

    Enter it before anything that ends the script at a step. Names are looked up anew after every step.

    Raises:
        HolderError: a name that could never name a holder, or one whose content a step needs (`optimizer:state`).
    """
    done = Releases(_checked(names))
    emptiers = [_Emptier(name, done) for name in done.names]

    def after() -> None:
        for emptier in emptiers:
            emptier.run()

    with Clock(after, after).ticking():
        yield done


@contextmanager
def drop_copies(names: Sequence[str]) -> Iterator[Releases]:
    """Before the first training forward, take the bytes of named second copies off the card.

    A module or tensor on a card is moved to the host in place, whatever else refers to it; on the host, where there is
    nowhere to go, it is emptied. Code that uses it afterwards fails, and the trial's outcome tells so.

    Raises:
        HolderError: a name that could never name a copy.
    """
    done = Releases(_checked(names))

    def before(module: nn.Module, args: Any) -> None:
        if torch.is_grad_enabled():
            for name in done.names:
                if not done.let_go.get(name):
                    _drop(name, done)

    handle = hooks.register_module_forward_pre_hook(before)
    try:
        yield done
    finally:
        handle.remove()


def _checked(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name == OPTIMIZER:
            raise HolderError(f"{OPTIMIZER} cannot be let go: the next step needs it")
        if name.partition(":")[0] not in ("script", "frame", "module", "global", "exception", "gc") or ":" not in name:
            raise HolderError(f"{name!r} is no name of a holder, such as script:history or frame:train.losses")
    return tuple(names)


class _Emptier:
    """Empties one holder again and again; knows by identity what it saw after the step before."""

    def __init__(self, name: str, done: Releases) -> None:
        self._name, self._done = name, done
        self._seen: set[int] | None = None
        self._first: set[int] = set()
        self._numel = 0

    def run(self) -> None:
        if self._name == CYCLES:
            self._done.did(self._name, gc.collect(), "Python's collector was run after every step")
            return
        if self._name == TRACEBACK:
            self._clear_tracebacks()
            return
        try:
            holder = resolve(self._name)
        except HolderError:
            return
        self._done.found.add(self._name)
        if isinstance(holder, Tensor):
            self._release_tensor(holder)
        else:
            self._release_members(holder)

    def _clear_tracebacks(self) -> None:
        for error in (sys.exc_info()[1], getattr(sys, "last_value", None)):
            if error is not None and error.__traceback__ is not None:
                traceback.clear_frames(error.__traceback__)
                self._done.did(self._name, 1, "the frames of handled exceptions were cleared after every step")

    def _release_tensor(self, tensor: Tensor) -> None:
        """A variable by itself: it grows by its graph, or by being joined with more in every step."""
        if tensor.grad_fn is not None and tensor._base is None:
            tensor.detach_()
            self._done.did(self._name, 1, "the tensor was detached from its graph after every step")
        elif tensor.dim() and self._numel and tensor.numel() > self._numel:
            tensor.data = tensor.data[:0].clone()
            self._done.did(self._name, 1, "the tensor was cut to no rows after every step")
        self._numel = max(1, tensor.numel())

    def _release_members(self, holder: Any) -> None:
        if isinstance(holder, functools._lru_cache_wrapper):
            self._done.did(self._name, holder.cache_info().currsize, "the cache was cleared after every step")
            holder.cache_clear()
            return
        members = dict(_members(holder))
        if self._seen is None:  # what the first step left is not growth, and may be needed
            self._first = {id(member) for member in members.values()}
        old = {
            key: member
            for key, member in members.items()
            if id(member) in (self._seen or ()) and id(member) not in self._first and _holds_tensors(member)
        }
        self._seen = {id(member) for member in members.values()} - {id(member) for member in old.values()}
        if old:
            self._done.did(self._name, len(old), _remove(holder, old))


def _members(holder: Any) -> Iterator[tuple[Any, Any]]:
    """Key -> member of what can be emptied: a list, a dict, a set, a deque, or an object by its attributes."""
    if isinstance(holder, dict):
        yield from list(dict.items(holder))
    elif isinstance(holder, (list, deque, tuple)):
        yield from enumerate(list(holder))
    elif isinstance(holder, (set, frozenset)):
        yield from ((member, member) for member in list(holder))
    else:
        yield from list(attributes_of(holder).items())


def _remove(holder: Any, old: dict[Any, Any]) -> str:
    """Take members out of a container. Returns what was done, in words."""
    if isinstance(holder, dict):
        for key in old:
            dict.__delitem__(holder, key)
    elif isinstance(holder, list):
        holder[:] = [member for place, member in enumerate(holder) if place not in old]
    elif isinstance(holder, deque):
        kept = [member for place, member in enumerate(holder) if place not in old]
        holder.clear()
        holder.extend(kept)
    elif isinstance(holder, set):
        holder.difference_update(old)
    else:
        for member in old.values():
            _empty_in_place(member)
        return "the tensors of earlier steps were emptied in place after every step"
    return "members of earlier steps were taken out after every step"


def _empty_in_place(member: Any) -> None:
    for tensor in _tensors_of(member):
        if tensor.grad_fn is not None and tensor._base is None:
            tensor.detach_()
        tensor.data = tensor.data[:0].clone() if tensor.dim() else tensor.data.cpu()


def _tensors_of(value: Any) -> Iterator[Tensor]:
    """Tensors that an object holds by Python's means, models and optimizers left alone."""
    seen: set[int] = set()
    queue = deque([value])
    while queue and len(seen) < _DEEPEST:
        one = queue.popleft()
        if id(one) in seen or isinstance(one, (nn.Module, nn.Parameter, torch.optim.Optimizer, type)):
            continue
        seen.add(id(one))
        if isinstance(one, Tensor):
            yield one
        else:
            queue.extend(child for _, child in children(one))


def _holds_tensors(value: Any) -> bool:
    return next(_tensors_of(value), None) is not None


def _drop(name: str, done: Releases) -> None:
    try:
        copy = resolve(name)
    except HolderError:
        return
    done.found.add(name)
    count = 0
    if isinstance(copy, nn.Module):
        tensors: list[Tensor] = [*copy.parameters(), *copy.buffers()]
    elif isinstance(copy, Tensor):
        tensors = [copy]
    else:
        tensors = list(_tensors_of(copy))
    is_host = all(tensor.device.type == "cpu" for tensor in tensors)
    for tensor in tensors:
        if tensor.numel():
            tensor.data = tensor.data.cpu() if tensor.device.type != "cpu" else tensor.data.new_empty(0)
            count += 1
    how = "emptied before the first training step" if is_host else "moved to the host before the first training step"
    done.did(name, count, how)
