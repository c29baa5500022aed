"""Memory that kernels take and no operator returns: library workspaces and scratch.

Rules and sizes stand in `ilora_diag.hardware`; here is which operator meets which rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from ilora_diag.hardware import scratch
from ilora_diag.hardware.scratch import Buffer, Scratch
from ilora_diag.hardware.workspaces import addmm_uses_lt
from ilora_diag.schema import Known, Unavailable
from probes.virtual import reductions, unmeasured
from probes.virtual.machine import Machine

aten = torch.ops.aten

# Operators served by cuBLAS: the first of them on a thread makes the handle and with it the workspace.
_GEMMS = frozenset(
    {
        aten.mm.default,
        aten.bmm.default,
        aten.addmm.default,
        aten.addmm_.default,
        aten.baddbmm.default,
        aten.addbmm.default,
        aten.mv.default,
        aten.addmv.default,
        aten.dot.default,
        aten.linear.default,
    }
)

# Where the two factors of a product begin among the arguments.
_FIRST_FACTOR = {
    aten.mm.default: 0,
    aten.bmm.default: 0,
    aten.addmm.default: 1,
    aten.addmm_.default: 1,
    aten.baddbmm.default: 1,
}

# Outputs that live on the host although the meta kernel puts them beside the others: outside graph capture the
# efficient kernel's backward reads seed and offset there (attention_backward.cu).
HOST_OUTPUTS: dict[OpOverload, tuple[int, ...]] = {aten._scaled_dot_product_efficient_attention.default: (2, 3)}
_DROPOUT = 5  # its place among the arguments

Rule = Callable[[Machine, tuple[Any, ...], Any, int], Known[Scratch]]
Hidden = Callable[[Machine, tuple[Any, ...], Any, int], None]


def on_card_after_all(machine: Machine, args: tuple[Any, ...]) -> bool:
    """Whether the outputs of `HOST_OUTPUTS` are on the card in this call; they are made before the others then."""
    return machine.facts.efficient_seeds_on_card and (len(args) <= _DROPOUT or args[_DROPOUT] == 0)


def hidden_of(func: OpOverload) -> Hidden | None:
    """What takes the memory an operator's kernel needs beside its outputs, once they exist; None: it needs none."""
    if func in _GEMMS:
        return partial(_product, func, _FIRST_FACTOR.get(func))
    if func in reductions.OPERATORS:
        return lambda machine, args, out, device: take(
            machine, func, reductions.scratch_of(machine, func, args, device), device
        )
    rule = _RULES.get(func)
    if rule is not None:
        return lambda machine, args, out, device: take(machine, func, rule(machine, args, out, device), device)
    if unmeasured.is_unmeasured(func):
        return lambda machine, args, out, device: unmeasured.tell(machine, func, out)
    return None


def _product(
    func: OpOverload, first: int | None, machine: Machine, args: tuple[Any, ...], out: Any, device: int
) -> None:
    _gemm(machine, device)
    if first is not None:
        _copy_factors(machine, func, args[first : first + 2], device)
    if func is aten.addmm.default:
        _gemm_and_bias(machine, args, device)


def _gemm(machine: Machine, device: int) -> None:
    rule = machine.workspace_rule(device)
    if rule.lifetime == "persistent":
        machine.keep_workspace(f"cublas {_thread()}", rule.cublas_bytes, device, "cublas workspace")
    else:
        machine.scratch(rule.cublas_bytes, device, "cublas workspace")


def _gemm_and_bias(machine: Machine, args: tuple[Any, ...], device: int) -> None:
    """A product with a bias goes to cublasLt, which has a workspace of its own in some versions."""
    rule = machine.workspace_rule(device)
    bias, left, right = args[:3]
    if rule.lt_shares_cublas or not addmm_uses_lt(
        tuple(bias.shape), tuple(left.shape), tuple(right.shape), str(left.dtype), environ=machine.environ
    ):
        return
    if rule.lt_lifetime == "persistent":
        machine.keep_workspace(f"cublaslt {_thread()}", rule.lt_bytes, device, "cublasLt workspace")
    else:
        machine.scratch(rule.lt_bytes, device, "cublasLt workspace")


def _copy_factors(machine: Machine, func: OpOverload, factors: Sequence[Tensor], device: int) -> None:
    """Factors that cuBLAS cannot read as they lie are copied for the call (Blas.cpp, `prepare_*_for_cublas`).

    A recorded backward of a sum shows it: the gradient is one number expanded to a matrix.
    """
    held = [
        machine.allocate(factor.numel() * factor.element_size(), device, f"{func._name} copy of a factor")
        for factor in factors
        if not readable_by_cublas(factor)
    ]
    for number, block in held:
        machine.release(number, device, block)


def readable_by_cublas(factor: Tensor) -> bool:
    """Whether rows or columns of a matrix, or of a batch of them, lie in one piece, and far enough apart."""
    rows, columns = factor.shape[-2:]
    down, across = factor.stride()[-2:]
    if down == 1 and across >= max(1, rows):
        return True
    if across == 1 and down >= max(1, columns):
        return True
    return factor.is_contiguous() and down != 0 and across != 0


def _thread() -> str:
    """The handle pools are per thread, and autograd runs backward on a thread of its own."""
    return "backward" if torch._C._current_autograd_node() is not None else "forward"


def take(machine: Machine, func: OpOverload, taken: Known[Scratch], device: int) -> None:
    """Ask for a kernel's temporaries and give them back, in its order."""
    if isinstance(taken, Unavailable):
        machine.notes.add(f"scratch of {func._name} is not counted: {taken.reason}")
        return
    held = {}
    for action, buffer in taken.events():
        if action == "alloc":
            held[buffer.name] = machine.allocate(buffer.num_bytes, device, f"{func._name} {buffer.name}")
        else:
            number, block = held.pop(buffer.name)
            machine.release(number, device, block)


def _heads_last(tensor: Tensor) -> bool:
    """Whether (B, H, S, D) lies in memory as (B, S, H, D); dimensions of one element may have any stride."""
    _, heads, rows, dim = tensor.shape
    wanted = (rows * heads * dim, dim, heads * dim, 1)
    return all(
        size == 1 or stride == want for size, stride, want in zip(tensor.shape, tensor.stride(), wanted, strict=True)
    )


def _flash_backward(machine: Machine, args: tuple[Any, ...], out: Any, device: int) -> Known[Scratch]:
    from probes.virtual.attention import describe

    grad, query, key, value, result = args[:5]
    question = describe(machine, query, key, value, dropout_p=args[10], is_causal=args[11])
    return scratch.flash_backward(
        question,
        machine.cards[device].spec.sm_count,
        copies_grad_out=not _heads_last(grad),
        copies_out=not _heads_last(result),
    )


def _flash_forward(machine: Machine, args: tuple[Any, ...], out: Any, device: int) -> Known[Scratch]:
    from probes.virtual.attention import describe

    question = describe(machine, *args[:3], dropout_p=args[3] if len(args) > 3 else 0.0)
    return scratch.flash_forward(question, machine.cards[device].spec.sm_count)


def _efficient_forward(machine: Machine, args: tuple[Any, ...], out: Any, device: int) -> Known[Scratch]:
    from probes.virtual.attention import describe

    return scratch.efficient_forward(describe(machine, *args[:3]))


def efficient_backward(machine: Machine, args: tuple[Any, ...], out: Any, device: int) -> Known[Scratch]:
    """Scratch of the memory-efficient kernel's backward, from the operator's arguments."""
    from probes.virtual.attention import describe

    grad, query, key, value = args[:4]
    question = describe(machine, query, key, value, dropout_p=args[9])
    return scratch.efficient_backward(question, copies_grad_out=not _heads_last(grad))


def _embedding_backward(machine: Machine, args: tuple[Any, ...], out: Any, device: int) -> Known[Scratch]:
    grad, indices, num_weights, _, scale_grad_by_freq = args
    return scratch.embedding_dense_backward(
        indices.numel(),
        num_weights,
        grad.shape[-1],
        index_bytes=indices.element_size(),
        double=grad.dtype is torch.float64,
        scale_grad_by_freq=scale_grad_by_freq,
        copied_grad_bytes=0 if grad.is_contiguous() else grad.numel() * grad.element_size(),
    )


def _index_put(machine: Machine, args: tuple[Any, ...], out: Any, device: int) -> Known[Scratch]:
    accumulate = len(args) > 3 and args[3]
    if not accumulate:
        return Scratch(buffers=(), evidence="[source]", source="ATen/native/cuda/Indexing.cu")
    target, places, values = args[:3]
    indices = [index for index in places if index is not None]
    count = torch.broadcast_shapes(*(index.shape for index in indices)).numel()  # type: ignore[no-untyped-call]
    kept = [size for dim, size in enumerate(target.shape) if dim >= len(places) or places[dim] is None]
    wanted = count * prod(kept)
    fits = values.numel() == wanted and values.is_contiguous()
    return scratch.index_put_accumulate(count, copied_value_bytes=0 if fits else wanted * values.element_size())


def _group_norm_backward(machine: Machine, args: tuple[Any, ...], out: Any, device: int) -> Known[Scratch]:
    weight, batch, channels, positions, groups = args[4:9]
    return scratch.group_norm_backward(batch, channels, groups, positions, has_weight=weight is not None)


def _pow_of_number(machine: Machine, args: tuple[Any, ...], out: Any, device: int) -> Known[Scratch]:
    """The base becomes a tensor on the card: 8 bytes in a recording of 2.6; a base of one fills the result instead."""
    base = args[0]
    buffers = () if base == 1 else (Buffer(name="base", num_bytes=16 if isinstance(base, complex) else 8),)
    return Scratch(buffers=buffers, evidence="[measured]", source="ATen/native/Pow.cpp, pow_Scalar_out")


_RULES: dict[OpOverload, Rule] = {
    aten._scaled_dot_product_flash_attention.default: _flash_forward,
    aten._scaled_dot_product_flash_attention_backward.default: _flash_backward,
    aten._scaled_dot_product_efficient_attention.default: _efficient_forward,
    aten._scaled_dot_product_efficient_attention_backward.default: efficient_backward,
    aten.embedding_dense_backward.default: _embedding_backward,
    aten.index_put_.default: _index_put,
    aten._index_put_impl_.default: _index_put,
    aten.native_group_norm_backward.default: _group_norm_backward,
    aten.pow.Scalar: _pow_of_number,
}
