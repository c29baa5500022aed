"""CTC loss. Its outputs' sizes hang on the longest target, so lengths are read, as in front of the card's kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from ilora_diag.hardware import scratch_ctc
from probes.virtual import kernels, values
from probes.virtual.errors import NotCarriedError
from probes.virtual.keys import is_meta
from probes.virtual.machine import Machine

if TYPE_CHECKING:
    from probes.virtual.dispatch import VirtualDispatch

aten = torch.ops.aten
_LENGTHS = "lengths that nobody computed are taken at their largest"


def substitutes(machine: Machine) -> dict[str, Callable[..., Tensor]]:
    """Composite operator -> what it is on CUDA: lengths, wherever they are, are read before anything else.

    Raises (when called):
        NotCarriedError: cuDNN would compute it, with a workspace of its own.
    """

    def by_lists(
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: list[int],
        target_lengths: list[int],
        *options: Any,
    ) -> Tensor:
        blank = options[0] if options else 0
        if _is_for_cudnn(log_probs, targets, input_lengths, target_lengths, blank):
            raise NotCarriedError(
                "CTC loss of joined int32 targets", "cuDNN's workspace for it is known to cuDNN alone"
            )
        whole: Any = aten.ctc_loss.IntList
        return whole.decompose(log_probs, targets, input_lengths, target_lengths, *options)  # type: ignore[no-any-return]

    def by_tensors(
        log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, *options: Any
    ) -> Tensor:
        inputs = _listed(machine, input_lengths, log_probs.shape[0])
        return by_lists(log_probs, targets, inputs, _listed(machine, target_lengths, targets.shape[-1]), *options)

    return {"ctc_loss.IntList": by_lists, "ctc_loss.Tensor": by_tensors}


def _is_for_cudnn(
    log_probs: Tensor, targets: Tensor, input_lengths: list[int], target_lengths: list[int], blank: int
) -> bool:
    """Whether PyTorch hands the loss to cuDNN (aten/src/ATen/native/cudnn/LossCTC.cpp, `_use_cudnn_ctc_loss`)."""
    joined = targets.dim() == 1 and targets.dtype is torch.int32 and targets.is_contiguous() and not is_meta(targets)
    if not joined or blank != 0 or log_probs.dtype is not torch.float32 or not torch.backends.cudnn.enabled:
        return False
    fits = all(target <= min(256, given) for given, target in zip(input_lengths, target_lengths, strict=False))
    return fits and all(given == log_probs.shape[0] for given in input_lengths)


def _listed(machine: Machine, lengths: Tensor, largest: int) -> list[int]:
    known = values.known(machine, lengths)
    if known is not None:
        return [int(length) for length in known.flatten().tolist()]
    machine.notes.add_value(_LENGTHS)
    return [largest] * lengths.numel()


def loss(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """aten::_ctc_loss: the loss of each sample, (B), and log_alpha, (B, T, 2 * longest target + 1)."""
    log_probs, target_lengths = args[0], args[3]
    machine = mode.machine
    device = machine.device_of(log_probs)
    time, batch, _ = log_probs.shape
    kernels.take(machine, func, scratch_ctc.ctc_loss(batch), device)
    states = 2 * max(target_lengths, default=0) + 1
    made = [torch.empty(size, dtype=log_probs.dtype, device="meta") for size in ((batch, time, states), (batch,))]
    log_alpha, losses = (mode.settle(one, device, func) for one in made)
    return losses, log_alpha


def backward(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """aten::_ctc_loss_backward: a gradient of the log-probabilities' sizes."""
    log_probs, log_alpha = args[1], args[6]
    machine = mode.machine
    device = machine.device_of(log_probs)
    made = torch.empty(log_probs.shape, dtype=log_probs.dtype, device="meta")
    out: Tensor = mode.settle(made, device, func)
    time, batch, labels = log_probs.shape
    taken = scratch_ctc.ctc_loss_backward(
        time,
        batch,
        labels,
        log_alpha.shape[2],
        element_bytes=log_probs.element_size(),
        zero_infinity=bool(args[8]) if len(args) > 8 else bool(kwargs.get("zero_infinity", False)),
    )
    kernels.take(machine, func, taken, device)
    return out


HANDLERS = {aten._ctc_loss.default: loss, aten._ctc_loss_backward.default: backward}
