"""What is known of an operator before its arguments are seen; found out once, since an operator is slow to hash."""

from __future__ import annotations

import torch
from torch._ops import OpOverload

from probes.virtual import finite, foreach, imagined, kernels, special
from probes.virtual.sized import Handler

_has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key

# Composite elsewhere, one kernel on CUDA.
_ONE_KERNEL = frozenset({torch.ops.aten.silu_backward.default})


class Plan:
    """What to do with an operator.

    Attributes:
        func: the operator; held, so that its `id` stays its own.
        handler: runs it; None takes the ordinary way.
        is_composite: it is taken apart.
        is_view: it looks at the storage of its first argument, and has no other tensors.
        list_shapes: tells what an operator on lists returns; None: its shapes are asked of PyTorch.
        hidden: takes what its kernel needs beside its outputs; None: it needs nothing.
        imagine: imagines what it chooses; None: it chooses nothing.
        asks_for_finiteness: its result may be known of values that are not.
        moves_storage: afterwards a tensor looks at another storage, and values go with storages.
        host_outputs: places of outputs that a card's kernel leaves on the host.
    """

    __slots__ = (
        "asks_for_finiteness",
        "func",
        "handler",
        "hidden",
        "host_outputs",
        "imagine",
        "is_composite",
        "is_view",
        "list_shapes",
        "moves_storage",
    )

    def __init__(self, func: OpOverload) -> None:
        self.func = func
        self.handler: Handler | None = special.handler_of(func)
        self.is_composite = (
            self.handler is None
            and func not in _ONE_KERNEL
            and bool(_has_kernel(func._name, "CompositeImplicitAutograd"))
        )
        self.list_shapes = foreach.shapes_of(func)
        self.hidden = kernels.hidden_of(func)
        self.asks_for_finiteness = func in finite.OPERATORS
        self.imagine = imagined.chooser_of(func)
        self.is_view = self.handler is None and not self.is_composite and self.hidden is None and _is_view(func)
        self.moves_storage = func._name.startswith("aten::set_")
        self.host_outputs = kernels.HOST_OUTPUTS.get(func, ())


# An operator's ways are the same on every card: what one learned, the next in this process knows.
_PLANS: dict[int, Plan] = {}


def plan_of(func: OpOverload) -> Plan:
    """The plan of an operator, which keeps its `id` while it is held here."""
    plan = _PLANS.get(id(func))
    if plan is None:
        plan = _PLANS[id(func)] = Plan(func)
    return plan


def _is_view(func: OpOverload) -> bool:
    """Whether the schema says: one tensor goes in, one that shares its storage comes out, nothing is written."""
    schema = func._schema
    tensors = [argument for argument in schema.arguments if "Tensor" in str(argument.type)]
    returned = schema.returns
    if schema.is_mutable or len(tensors) != 1 or len(returned) != 1 or str(returned[0].type) != "Tensor":
        return False
    first = schema.arguments[0]
    return str(first.type) == "Tensor" and first.alias_info is not None and returned[0].alias_info is not None
