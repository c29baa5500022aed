"""Temporaries of CUDA's own CTC loss, in bytes before the allocator rounds (aten/src/ATen/native/cuda/LossCTC.cu)."""

from __future__ import annotations

from ilora_diag.hardware.scratch_record import Buffer, Scratch

LONG = 8
SMALL_PROBLEM = 450
"""Above it the gradient is computed in place of the probabilities (`is_large`), below by one plain kernel."""

_SOURCE = "ATen/native/cuda/LossCTC.cu, ctc_loss_gpu_template and ctc_loss_backward_gpu_template"


def ctc_loss(batch: int) -> Scratch:
    """Forward: both lengths and the offsets of the targets, copied to the card.

    Args:
        batch: samples.
    """
    return Scratch(buffers=tuple(_lengths(batch, last=0)), evidence="[source]", source=_SOURCE)


def ctc_loss_backward(
    time: int, batch: int, labels: int, states: int, *, element_bytes: int, zero_infinity: bool
) -> Scratch:
    """Backward, beside the gradient.

    Args:
        time: steps of the log-probabilities, the longest input.
        batch: samples.
        labels: classes, the blank among them.
        states: of `log_alpha`: twice the longest target's length, and one.
        element_bytes: of one log-probability.
        zero_infinity: the option of that name; the gradient is copied for it.
    """
    beta = batch * time * states * element_bytes
    buffers = [*_lengths(batch, last=5), Buffer(name="log_beta", num_bytes=beta, last=5)]
    if 2 * time + 24 * batch // 10 + 2 * labels // 10 > SMALL_PROBLEM:
        blanks = batch * time * (states // 2 + 1) * element_bytes
        row = batch * time * element_bytes
        buffers += [
            Buffer(name="log_alpha + log_beta of blanks", num_bytes=blanks, first=1, last=3),
            Buffer(name="their sum's logarithm", num_bytes=row, first=1, last=4),
            Buffer(name="their maxima", num_bytes=row, first=2, last=3),
            Buffer(name="less their maxima", num_bytes=blanks, first=3, last=3),
        ]
        if zero_infinity:
            buffers.append(Buffer(name="grad", num_bytes=time * batch * labels * element_bytes, first=5, last=5))
    return Scratch(buffers=tuple(buffers), evidence="[source]", source=_SOURCE)


def _lengths(batch: int, *, last: int) -> list[Buffer]:
    names = ("target_lengths", "input_lengths", "tg_batch_offsets")
    return [Buffer(name=name, num_bytes=LONG * batch, last=last) for name in names]
