"""Weights that are there twice: a second model, clones of weights, the embedding that a resize replaced."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.schema.trial_answer import Holder, SecondCopy
from probes.retention_books import Samples
from probes.retention_growth import holder_of
from probes.retention_heap import heap
from probes.retention_search import Search
from probes.virtual.ledger import LOAD

LEAST_BYTES = 64 << 10
"""Smaller tensors share their shape with too much else."""
_MOST = 10
_MOST_OF = 0.9  # of a module's bytes that have to be there again for it to be a copy
Signature = tuple[tuple[str, tuple[int, ...], torch.dtype], ...]


@dataclass(slots=True)
class _Copy:
    """A copy before its holder is known: name of the original, tensors pairwise, the module that is the copy."""

    name: str
    pairs: Sequence[tuple[Tensor, Tensor]]
    numbers: list[int]
    owner: int | None


@dataclass(slots=True)
class Copies:
    """Second copies of what the optimizers train, and of the models around it."""

    samples: Samples
    copies: list[_Copy] = field(default_factory=list)
    frozen_state_bytes: int = 0

    @classmethod
    def found(cls, samples: Samples, called: set[int]) -> Copies:
        """Look for them among everything alive.

        Args:
            samples: which tensors are on the device.
            called: ids of modules that ran in the steps followed; what ran is no forgotten copy within a model.
        """
        found = cls(samples)
        seen = heap()
        optimizers = seen.optimizers
        found.frozen_state_bytes = _frozen_state_bytes(samples, optimizers)
        trained = {id(one) for each in optimizers for group in each.param_groups for one in group["params"]}
        roots = seen.roots()
        training = [root for root in roots if any(id(one) in trained for one in root.parameters())]
        if not training:
            return found
        finder = _Finder(samples, training, optimizers, called)
        for root in roots:
            if all(root is not one for one in training):
                found.copies.extend(finder.in_other(root))
        for root in training:
            found.copies.extend(finder.within(root))
        found.copies.extend(finder.loose(roots, seen.tensors))
        return found

    def numbers(self) -> set[int]:
        """Storages whose holders are to be searched for."""
        return {number for copy in self.copies for number in copy.numbers}

    def told(self, search: Search) -> tuple[SecondCopy, ...]:
        """The copies with their holders, the largest first."""
        merged: dict[tuple[str, str], list[_Copy]] = defaultdict(list)
        holders: dict[tuple[str, str], Known[Holder]] = {}
        for copy in self.copies:
            holder = _holder(copy, search)
            key = (copy.name if copy.owner else "", holder.reason if isinstance(holder, Unavailable) else holder.name)
            merged[key].append(copy)
            holders[key] = holder
        told = [self._told(group, holders[key]) for key, group in merged.items()]
        return tuple(sorted(told, key=lambda one: -one.size_bytes)[:_MOST])

    def _told(self, group: list[_Copy], holder: Known[Holder]) -> SecondCopy:
        numbers = {number for copy in group for number in copy.numbers}
        return SecondCopy(
            name=group[0].name if len(group) == 1 else f"{group[0].name} and {len(group) - 1} more",
            copy_name="(no name found)" if isinstance(holder, Unavailable) else holder.name,
            size_bytes=sum(self.samples.size_of(number) for number in numbers),
            num_tensors=len(numbers),
            same_content=_same([pair for copy in group for pair in copy.pairs]),
            holder=holder,
        )


class _Finder:
    """Knows the models under training by shape, and what else on the device is theirs."""

    def __init__(
        self,
        samples: Samples,
        training: list[nn.Module],
        optimizers: list[torch.optim.Optimizer],
        called: set[int],
    ) -> None:
        self._samples, self._called = samples, called
        self._own: set[int] = set()
        self._modules: dict[Signature, tuple[str, nn.Module]] = {}
        self._shapes: dict[tuple[tuple[int, ...], torch.dtype], tuple[str, Tensor]] = {}
        self._widths: dict[tuple[int, torch.dtype], list[tuple[str, Tensor]]] = defaultdict(list)
        for root in training:
            self._learn(root)
        for optimizer in optimizers:
            for state in optimizer.state.values():
                self._take(value for value in state.values() if isinstance(value, Tensor))

    def _learn(self, root: nn.Module) -> None:
        title = self._samples.watch.name_of(root) or type(root).__name__
        for name, module in root.named_modules():
            ran = id(module) in self._called or any(id(part) in self._called for part in module.modules())
            if not ran:
                continue
            own = f"{title}.{name}" if name and title == type(root).__name__ else name or title
            self._modules.setdefault(_signature(module), (own, module))
            if isinstance(module, nn.Embedding):
                self._widths[module.weight.shape[1], module.weight.dtype].append((own, module.weight))
            self._take(module.parameters(recurse=False))
            self._take(module.buffers(recurse=False))
        for name, parameter in root.named_parameters():
            if parameter.grad is not None:
                self._take([parameter.grad])
            if parameter.dim() >= 2 and _bytes(parameter) >= LEAST_BYTES:
                self._shapes.setdefault((tuple(parameter.shape), parameter.dtype), (name, parameter))

    def _take(self, tensors: Iterator[Tensor] | list[Tensor]) -> None:
        for tensor in tensors:
            number = self._samples.number_of(tensor)
            if number is not None:
                self._own.add(number)

    def in_other(self, root: nn.Module) -> Iterator[_Copy]:
        """A model that trains nothing: it, or the part that makes up most of it, may be one of ours again."""
        total = sum(_bytes(one) for one in root.parameters())
        for module in root.modules():
            size = sum(_bytes(one) for one in module.parameters())
            if size < max(LEAST_BYTES, _MOST_OF * total):
                continue
            copy = self._copy(module)
            if copy is not None:
                yield copy
                return

    def within(self, root: nn.Module) -> Iterator[_Copy]:
        """Parts of the model that never ran, and are like one that did."""
        taken: set[int] = set()
        for module in root.modules():
            idle = id(module) not in taken and all(id(part) not in self._called for part in module.modules())
            copy = self._copy(module) if idle else None
            if copy is not None:
                taken.update(id(part) for part in module.modules())
                yield copy

    def _copy(self, module: nn.Module) -> _Copy | None:
        known = self._modules.get(_signature(module))
        tensors = list(module.parameters())
        if known is not None and tensors and (len(tensors) > 2 or isinstance(module, nn.Embedding)):
            pairs: list[tuple[Tensor, Tensor]] = list(zip(tensors, known[1].parameters(), strict=True))
        elif isinstance(module, nn.Embedding) and id(module) not in self._called:
            like = self._embedding_like(module.weight)
            if like is None:
                return None
            known, pairs = (like[0], module), [(module.weight, like[1])]
        else:
            return None
        numbers = self._new(tensors)
        if sum(self._samples.size_of(number) for number in numbers) < LEAST_BYTES:
            return None
        return _Copy(known[0], pairs, numbers, id(module))

    def _embedding_like(self, weight: Tensor) -> tuple[str, Tensor] | None:
        """The embedding of the same width whose number of rows is nearest, if it is near at all."""
        same = self._widths.get((weight.shape[1], weight.dtype), [])
        nearest = min(same, key=lambda one: abs(len(one[1]) - len(weight)), default=None)
        if nearest is None or not 0.5 <= len(weight) / len(nearest[1]) <= 2:
            return None
        return nearest

    def loose(self, roots: list[nn.Module], tensors: list[Tensor]) -> Iterator[_Copy]:
        """Tensors that are no module's, made while everything was loaded, of the shape of a weight."""
        owned = {id(one) for root in roots for one in (*root.parameters(), *root.buffers())}
        ledger = self._samples.watch.machine.ledger
        for tensor in tensors:
            if id(tensor) in owned or tensor.dim() != 2 or not tensor.is_floating_point():
                continue
            number = self._samples.number_of(tensor)
            if number is None or number in self._own or ledger.phases[number] != LOAD:
                continue
            known = self._shapes.get((tuple(tensor.shape), tensor.dtype)) or self._embedding_like(tensor)
            if known is None or _bytes(tensor) < LEAST_BYTES:
                continue
            self._own.add(number)
            yield _Copy(known[0], [(tensor, known[1])], [number], None)

    def _new(self, tensors: list[nn.Parameter]) -> list[int]:
        """Numbers of storages on the device that are not those of the model under training: no views, no ties."""
        numbers = {self._samples.number_of(one) for one in tensors}
        return [number for number in numbers if number is not None and number not in self._own]


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _signature(module: nn.Module) -> Signature:
    return tuple((name, tuple(one.shape), one.dtype) for name, one in module.named_parameters())


def _same(pairs: list[tuple[Tensor, Tensor]]) -> Known[bool]:
    """Whether copies hold what the originals hold; nothing is known of tensors without contents."""
    if any(_is_empty_model(one) for pair in pairs for one in pair):
        return Unavailable(reason="a virtual card computes no contents", source="retention")
    return all(one.shape == other.shape and torch.equal(one, other) for one, other in pairs)


def _is_empty_model(tensor: Tensor) -> bool:
    from probes.virtual.keys import is_meta

    return bool(is_meta(tensor))


def _holder(copy: _Copy, search: Search) -> Known[Holder]:
    for number in copy.numbers:
        path = search.found.get(number)
        if path is None:
            continue
        if copy.owner in path.ids:
            return holder_of(path, path.ids.index(copy.owner) + 1)
        named = len(path.kinds)
        in_container = named > 1 and (path.hops[named - 1].name or "[").startswith("[")
        return holder_of(path, named - 1 if in_container else named)
    return Unavailable(reason="no name that the program has leads to it", source="retention")


def _frozen_state_bytes(samples: Samples, optimizers: list[torch.optim.Optimizer]) -> int:
    """Bytes of optimizer states of parameters that take no gradient."""
    numbers: set[int] = set()
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            if isinstance(parameter, Tensor) and not parameter.requires_grad:
                numbers |= {
                    number
                    for value in state.values()
                    if isinstance(value, Tensor) and (number := samples.number_of(value)) is not None
                }
    return sum(samples.size_of(number) for number in numbers)
