"""Which module, which phase, which step: what a run is doing when memory is asked for.

Forward: a stack kept by hooks on module calls. Backward: autograd numbers its nodes in the order they were made, so
the module whose call made the node that runs now is found by that number. The optimizer says so itself.
"""

from __future__ import annotations

import weakref
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd import graph
from torch.nn.modules import module as hooks
from torch.nn.parameter import is_lazy
from torch.optim import optimizer as optimizers

from ilora_diag.schema import Category
from probes.virtual.ledger import BACKWARD, FORWARD, LOAD, OPTIMIZER, OUTSIDE, RECOMPUTE, VALIDATION
from probes.virtual.lineage import ByModule, Lineage

if TYPE_CHECKING:
    from probes.virtual.machine import Machine

_current_node = torch._C._current_autograd_node
_sequence_nr = torch._C._autograd._get_sequence_nr
_GROUP = "(parameter group"
_ACCUMULATE = "torch::autograd::AccumulateGrad"
_functorch = torch._C._functorch


class Watch:
    """Knows at any moment the module, the phase and the optimizer step."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._stack: list[str] = []
        self._names: ByModule[str] = ByModule()
        self._lineage = Lineage()
        self._roots: list[weakref.ref[nn.Module]] = []
        self._made_at: list[int] = [0]
        self._made_in: list[str] = [OUTSIDE]
        self._owner: dict[int, str] = {}
        self._phase = LOAD
        self._in_step = False
        self._awaits_sizes = False
        self.step = 0

    @property
    def machine(self) -> Machine:
        """Whose ledger and live storages this knows: the virtual machine, or the books of a real card."""
        return self._machine

    def roots(self) -> list[nn.Module]:
        """Models that were seen to run and are still there."""
        return [root for reference in self._roots if (root := reference()) is not None]

    # -- what is running ------------------------------------------------------------------------------------------

    def phase(self) -> str:
        """The phase now."""
        if self._phase != OPTIMIZER and _current_node() is not None:
            return RECOMPUTE if self._stack else BACKWARD
        return self._phase

    def module(self) -> str:
        """Qualified name of the module now running, or for which autograd now runs."""
        if self._stack:
            return self._stack[-1]
        node = _current_node()
        return OUTSIDE if node is None else self._module_of(node)

    @property
    def is_inside(self) -> bool:
        """Whether a module runs, by itself or because a checkpoint is computed again."""
        return bool(self._stack) or _current_node() is not None

    def _module_of(self, node: graph.Node) -> str:
        if node.name() == _ACCUMULATE:
            return self.owner_of(node.variable)  # type: ignore[attr-defined]
        index = bisect_right(self._made_at, node._sequence_nr()) - 1
        return self._made_in[index]

    def owner_of(self, tensor: Tensor) -> str:
        """The module whose parameter, gradient or state a tensor's storage is."""
        return self._owner.get(_storage_of(tensor), OUTSIDE)

    def name_of(self, module: nn.Module) -> str | None:
        """What a module is called; None if it was never seen."""
        return self._names.get(module)

    def heir_of(self, args: tuple[Any, ...]) -> str | None:
        """The owner an optimizer's new tensor inherits from what it was computed of; None outside the optimizer."""
        if self._phase != OPTIMIZER or not args or not isinstance(args[0], Tensor):
            return None
        return self.owner_of(args[0])

    def inherit(self, key: int, module: str) -> None:
        """A new storage belongs to `module` too."""
        if module != OUTSIDE:
            self._owner[key] = module

    def set_phase(self, phase: str) -> None:
        """Begin a phase, unless it runs already."""
        if phase != self._phase:
            self._phase = phase
            self._machine.ledger.mark(self.step, phase)

    # -- installing -----------------------------------------------------------------------------------------------

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Hook every module and optimizer of the process inside the block."""
        with ExitStack() as stack:
            for handle in (
                hooks.register_module_module_registration_hook(self._lineage.registered),
                hooks.register_module_forward_pre_hook(self._enter),
                hooks.register_module_forward_hook(self._leave, always_call=True),
                optimizers.register_optimizer_step_pre_hook(self._step_begins),
                optimizers.register_optimizer_step_post_hook(self._step_ends),
            ):
                stack.callback(handle.remove)
            yield

    def name_root(self, root: nn.Module, prefix: str = "") -> None:
        """Name a model's modules, and its parameters and buffers for what they are."""
        if all(known() is not root for known in self._roots):
            self._roots.append(weakref.ref(root))
        for name, module in root.named_modules(prefix=prefix):
            if self._names.get(module) is None:
                self._names.put(module, name)
        self.mark_model(root)

    def _name_called(self, module: nn.Module) -> None:
        """Name a module that is called by itself by its place in the model it is part of.

        The first model's modules are called as in its `named_modules()`; those of another one begin with its class.
        """
        top, path, seen = module, "", {id(module)}
        while (parent := self._lineage.parent(top)) is not None and id(parent[0]) not in seen:
            top, path = parent[0], f"{parent[1]}.{path}".rstrip(".")
            seen.add(id(top))
            if (known := self._names.get(top)) is not None:  # it came into a model that has its names already
                self.name_root(module, f"{known}.{path}".lstrip("."))
                return
        self.name_root(top, self._class_of(top) if self._roots else "")

    def _class_of(self, root: nn.Module) -> str:
        name = type(root).__name__
        # A loss made anew for every batch is the same loss; a second model of a class is another model.
        others = [
            other for other in self.roots() if type(other) is type(root) and any(True for _ in other.parameters())
        ]
        return f"{name}#{len(others) + 1}" if others and any(True for _ in root.parameters()) else name

    def mark_model(self, root: nn.Module) -> None:
        """Note which live storages are parameters and buffers, and whose."""
        for module in root.modules():
            name = self._names.get(module) or ""
            for parameter in module._parameters.values():
                self._own_if_made(parameter, name, Category.PARAMETER)
            for buffer in module._buffers.values():
                self._own_if_made(buffer, name, Category.BUFFER)

    def _own_if_made(self, tensor: Tensor | None, module: str, category: Category) -> None:
        if tensor is not None and is_lazy(tensor):
            self._awaits_sizes = True  # the first forward pass makes it
        elif tensor is not None:
            self._own(tensor, module, category)

    def mark_gradients(self) -> None:
        """Note which live storages are gradients; called while they are all there."""
        for reference in self._roots:
            root = reference()
            for parameter in root.parameters() if root is not None else ():
                if parameter.grad is not None:
                    self._own(parameter.grad, self.owner_of(parameter), Category.GRADIENT)

    def mark_states(self, optimizer: torch.optim.Optimizer) -> None:
        """Note which live storages are an optimizer's state, and of whose parameters."""
        for parameter, state in optimizer.state.items():
            for value in state.values():
                if isinstance(value, Tensor):
                    self._own(value, self.owner_of(parameter), Category.OPTIMIZER_STATE)

    def mark_input(self, tensor: Tensor) -> None:
        """A tensor was copied from the host: an input, unless a model turns out to own it."""
        entry = self._machine.alive[_storage_of(tensor)]
        self._machine.ledger.fixed.setdefault(entry.number, Category.INPUT)

    def forget(self, key: int) -> None:
        """A storage is gone; its key may come again for another one."""
        self._owner.pop(key, None)

    def _own(self, tensor: Tensor, module: str, category: Category) -> None:
        key = _storage_of(tensor)
        entry = self._machine.alive.get(key)
        if entry is None:
            return
        ledger = self._machine.ledger
        held = self._owner.get(key)
        if held is None or held.startswith(_GROUP) or entry.number not in ledger.fixed:
            self._owner[key] = module
            ledger.modules[entry.number] = module
        ledger.fixed[entry.number] = category

    # -- hooks ----------------------------------------------------------------------------------------------------

    def _enter(self, module: nn.Module, args: Any) -> None:
        name = self._names.get(module)
        if name is None:
            if self._stack:
                self._names.put(module, f"{self._stack[-1]}.{type(module).__name__}".lstrip("."))
            else:
                self._name_called(module)
            name = self._names.get(module) or ""
        if not self._stack and _current_node() is None:
            self.set_phase(FORWARD if torch.is_grad_enabled() else VALIDATION)
        self._stack.append(name)
        self._now_in(name)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._stack:
            self._stack.pop()
        if self._awaits_sizes and not self._stack:
            self._awaits_sizes = False
            for root in self.roots():
                self.mark_model(root)
        self._now_in(self._stack[-1] if self._stack else OUTSIDE)

    def _now_in(self, name: str) -> None:
        """Nodes made from here on belong to `name`."""
        number = _sequence_nr()
        if self._made_at[-1] == number:
            self._made_in[-1] = name
        else:
            self._made_at.append(number)
            self._made_in.append(name)

    def backward_begins(self) -> None:
        """`backward` was called."""
        self.set_phase(BACKWARD)

    def backward_ends(self) -> None:
        """`backward` returned."""
        self.mark_gradients()
        # In a closure, as Lightning hands to `step`, forward and backward run within the optimizer's step.
        self.set_phase(OPTIMIZER if self._in_step else FORWARD)

    def _step_begins(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._mark_groups(optimizer)
        self._in_step = True
        self.set_phase(OPTIMIZER)

    def _step_ends(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self.mark_states(optimizer)
        self.step_done()

    def step_done(self) -> None:
        """Another step is over; what comes is the next one's forward pass."""
        self.step += 1
        self._in_step = False
        self._phase = ""
        self.set_phase(FORWARD)

    def _mark_groups(self, optimizer: torch.optim.Optimizer) -> None:
        """Parameters that belong to no model we saw are named by the optimizer's groups."""
        for number, group in enumerate(optimizer.param_groups):
            for parameter in group["params"]:
                if self.owner_of(parameter) == OUTSIDE:
                    self._own(parameter, f"{_GROUP} {number})", Category.PARAMETER)
                if parameter.grad is not None:
                    self._own(parameter.grad, self.owner_of(parameter), Category.GRADIENT)


def _storage_of(tensor: Tensor) -> int:
    """What tells a tensor's storage from others, also inside `torch.func.vmap` and `grad`, which wrap tensors."""
    while _functorch.is_functorch_wrapped_tensor(tensor):
        tensor = _functorch.get_unwrapped(tensor)
    key: int = tensor.untyped_storage()._cdata
    return key
