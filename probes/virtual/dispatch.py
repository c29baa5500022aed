"""The dispatch mode: operators on virtual tensors run their shape rules and ask the card for the bytes.

A virtual tensor is an ordinary `torch.Tensor` (or Parameter) whose storage is on `meta` and whose dispatch keys are
CUDA's. So Python code sees exact types, autograd and autocast take CUDA's path, and the C++ side, which asks the
device and gets `meta`, neither needs a driver nor hands backward to a device thread.

The mode takes the slot of the fake-tensor mode. It is the innermost there, as a backend would be, and C++ does not try
to initialise CUDA while the slot is taken.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from probes.virtual import finite, imagined, kernels, pinned, values
from probes.virtual.checks import check_devices
from probes.virtual.devices import checked
from probes.virtual.errors import NotCarriedError
from probes.virtual.keys import as_virtual, has_cuda_key, is_meta, is_virtual, tensors_in
from probes.virtual.machine import Machine
from probes.virtual.plans import plan_of
from probes.virtual.shapes import ShapeCache

META = torch.device("meta")
_MATRIX_PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)

_Mode: Any = TorchDispatchMode  # its constructor is not typed
# Shapes are the same on every card: what one learned, the next in this process knows.
_SHAPES = ShapeCache()


class VirtualDispatch(_Mode):  # type: ignore[misc]
    """Sends what concerns virtual tensors to the machine and lets everything else run for real."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._mode_key = torch._C._TorchDispatchModeKey.FAKE
        self.machine = machine
        self._shapes = _SHAPES

    @classmethod
    def is_infra_mode(cls) -> bool:
        """Innermost, below the modes of users."""
        return True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and the wrapper would import the compiler, which takes seconds."""
        return False

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operator. Raises what a card would raise."""
        kwargs = kwargs or {}
        if kwargs.get("pin_memory"):
            return pinned.marked(self.__torch_dispatch__(func, types, args, {**kwargs, "pin_memory": False}))
        plan = plan_of(func)
        if plan.is_view and is_virtual(args[0]):
            return self._view(func, args, kwargs)
        involved = tensors_in(args)
        if kwargs:
            involved.extend(tensors_in(kwargs.values()))
        ours = False
        for tensor in involved:
            if is_meta(tensor) and has_cuda_key(tensor):
                ours = True
                break
        target = self._target(kwargs, ours) if kwargs else None
        if not ours and target is None:
            return func(*args, **kwargs)
        if plan.is_composite:
            return self._decompose(func, args, kwargs)
        if plan.handler is not None:
            return plan.handler(self, func, args, kwargs)
        if kwargs and "device" in kwargs and kwargs["device"] is not None and kwargs["device"].type == "cpu":
            return _on_host(func, args, kwargs)
        return self.compute(func, args, kwargs, involved, target)

    def _view(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Another look at a storage that has its block; values go with storages."""
        out: Tensor = self.run_on_meta(func, args, kwargs)
        return out if has_cuda_key(out) else as_virtual(out)

    def compute(
        self,
        func: OpOverload,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        involved: list[Tensor],
        target: int | None,
    ) -> Any:
        """The ordinary way: shapes on meta, blocks for new storages, values where they are small and known."""
        machine, plan = self.machine, plan_of(func)
        hosts = [tensor for tensor in involved if not is_meta(tensor)]
        has_others = len(machine.cards) > 1
        if target is not None:
            device = target
        elif has_others:
            device = machine.device_of(next(tensor for tensor in involved if is_meta(tensor)))
        else:
            device = 0
        if hosts or has_others:
            check_devices(machine, func, args, kwargs)
            if hosts:
                args, kwargs = _hosts_to_meta(args), {name: _host_to_meta(value) for name, value in kwargs.items()}
        if target is not None:
            kwargs = {**kwargs, "device": META}
        if kwargs and "generator" in kwargs:
            kwargs = {**kwargs, "generator": None}
        if plan.list_shapes is not None:
            out = plan.list_shapes(args)
        else:
            out = self._shapes.run(func, args, kwargs, self.run_on_meta)
        out = self.settle(out, device, func, args)
        if plan.hidden is not None:
            plan.hidden(machine, args, out, device)
        if not plan.moves_storage and (hosts or values.worth_trying(machine, involved)):
            values.propagate(machine, func, args, kwargs, out)
        if plan.imagine is not None:
            imagined.answer(machine, plan.imagine, args, out)
        if plan.asks_for_finiteness:
            finite.answer(machine, func, args, out)
        return out

    def run_on_meta(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operator's meta kernel: virtual tensors count as meta inside it."""
        machine = self.machine
        machine.in_kernel = True
        try:
            with torch._C._PreserveDispatchKeyGuard():
                torch._C._set_meta_in_tls_dispatch_include(True)
                return func(*args, **kwargs)
        except NotImplementedError as error:
            raise NotCarriedError(f"the operator {func}", f"it has no meta kernel ({_first_line(error)})") from error
        except RuntimeError as error:
            if "no fake impl registered" in str(error):
                raise NotCarriedError(
                    f"the operator {func}", f"it has no meta kernel ({_first_line(error)})"
                ) from error
            if "data-dependent shape" in str(error):
                raise NotCarriedError(f"the operator {func}", "its size depends on values nobody computed") from error
            if func in _MATRIX_PRODUCTS and "reduction dim" in str(error):
                raise RuntimeError(_cannot_multiply(*args[-2:])) from None
            raise
        finally:
            machine.in_kernel = False

    def settle(self, out: Any, device: int, func: OpOverload, args: tuple[Any, ...] = ()) -> Any:
        """Make what an operator returned virtual, and give new storages their blocks."""
        if isinstance(out, Tensor):
            return self._settle_one(out, device, func, args)
        if isinstance(out, (tuple, list)):
            if plan_of(func).host_outputs:
                return self._settle_some(out, device, func, args)
            whose = args[0] if args and isinstance(args[0], (list, tuple)) else None
            if whose is not None and len(whose) == len(out):
                settled = [
                    self.settle(member, device, func, (source,)) for member, source in zip(out, whose, strict=True)
                ]
            else:
                settled = [self.settle(member, device, func) for member in out]
            return type(out)(settled) if not hasattr(out, "_fields") else type(out)(*settled)
        return out

    def _settle_some(self, out: Any, device: int, func: OpOverload, args: tuple[Any, ...]) -> Any:
        """Outputs of which some take no block, where a card's kernel leaves them on the host."""
        apart, settled = plan_of(func).host_outputs, {}
        on_card = kernels.on_card_after_all(self.machine, args)
        for place in sorted(range(len(out)), key=lambda place: place not in apart):
            is_hosts = place in apart and not on_card
            settled[place] = as_virtual(out[place]) if is_hosts else self.settle(out[place], device, func)
        return tuple(settled[place] for place in range(len(out)))

    def _settle_one(self, out: Tensor, device: int, func: OpOverload, args: tuple[Any, ...]) -> Tensor:
        if not is_meta(out):
            return out
        machine = self.machine
        storage = out.untyped_storage()
        entry = machine.alive.get(storage._cdata)
        if entry is None:
            machine.adopt(storage, device, func._name, module=machine.watch.heir_of(args))
            return as_virtual(out)
        if machine.ledger.sizes[entry.number] != storage.nbytes():
            machine.resize(storage)
        # A view of a virtual tensor is one already: it has the keys of what it is of.
        return out if has_cuda_key(out) else as_virtual(out)

    def _target(self, kwargs: dict[str, Any], ours: bool) -> int | None:
        """Index of the card a `device` argument names; None if it names none of ours.

        C++ code makes tensors with the options it saw, hence on meta. Those calls carry no `pin_memory`; the Python
        bindings always pass it, so a tensor that somebody really wants on meta is told apart.
        """
        device = kwargs.get("device")
        if device is None:
            return None
        if device.type == "cuda":
            return self.index(device)
        if device.type == "meta" and (ours or "pin_memory" not in kwargs):
            return self.machine.current_device
        return None

    def index(self, device: torch.device) -> int:
        """The card a device names. Raises torch.AcceleratorError if there is none such."""
        index = self.machine.current_device if device.index is None else device.index
        return checked(self.machine, index)

    def _decompose(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Composite operators arrive whole under `inference_mode`; elsewhere C++ takes them apart before us."""
        with self:
            substitute = self.machine.substitutes.get(func)
            return substitute(*args, **kwargs) if substitute is not None else func.decompose(*args, **kwargs)


def _cannot_multiply(left: Tensor, right: Tensor) -> str:
    """The words of CUDA's kernel, which meta kernels put otherwise."""
    shapes = " and ".join("x".join(map(str, tensor.shape)) for tensor in (left, right))
    return f"mat1 and mat2 shapes cannot be multiplied ({shapes})"


def _on_host(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What is made on the host after the picture of a tensor on a card: `torch.zeros_like(weight, device="cpu")`."""
    pictures = [_pictured(value) if isinstance(value, Tensor) and is_meta(value) else value for value in args]
    return func(*pictures, **kwargs)


def _pictured(tensor: Tensor) -> Tensor:
    """A host tensor of the same sizes, strides and type, whose memory nobody touches."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")


def _host_to_meta(value: Any) -> Any:
    if isinstance(value, Tensor) and not is_meta(value):
        return value.to(META)
    return value


def _hosts_to_meta(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        type(value)(_host_to_meta(member) for member in value)
        if isinstance(value, (list, tuple))
        else _host_to_meta(value)
        for value in args
    )


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0].partition(". ")[0] if str(error) else type(error).__name__
