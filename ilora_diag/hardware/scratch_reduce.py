"""Scratch of reductions (sum, mean, max, norm ...): partial results where several blocks share an output.

The configuration of the kernel follows aten/src/ATen/native/cuda/Reduce.cuh (`setReduceConfig`, `global_memory_size`,
`semaphore_size`), read in trees of 2.1 to 2.10. A recorded sum of 8192 x 768 floats over its rows shows what it gives:
50,331,648 bytes of partial results and 24 bytes of counters.
"""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.hardware.scratch_record import Buffer, Scratch, ceil_div

_SOURCE = "ATen/native/cuda/Reduce.cuh"
_WARP = 32
_MAX_THREADS = 512
_MIN_VALUES, _MAX_VALUES = 16, 256
_COUNTER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """One call, its dimensions coalesced as TensorIterator does.

    Attributes:
        num_outputs: elements of the result.
        inputs_per_output: elements reduced into each.
        along_fastest: the reduced dimension is the one with the smallest stride.
        partial_bytes: of a partial result: 4 for float accumulation, 8 for double and int64, 16 for value and index.
        inner_contiguous: the innermost dimension has stride one.
        inner_size: elements of the innermost kept dimension, which decides how far outputs are vectorised.
        one_dimension: everything is reduced, and lies in one piece.
    """

    num_outputs: int
    inputs_per_output: int
    along_fastest: bool
    partial_bytes: int = 4
    inner_contiguous: bool = True
    inner_size: int = 1
    one_dimension: bool = False


def threads_per_sm(compute_capability: tuple[int, int]) -> int:
    """Resident threads of a multiprocessor (CUDA programming guide, table of compute capabilities)."""
    if compute_capability == (7, 5):
        return 1024
    return 1536 if (compute_capability[0] == 8 and compute_capability[1] > 0) or compute_capability[0] == 12 else 2048


def _last_power_of_two(number: int) -> int:
    return 1 << (max(1, number).bit_length() - 1)


def _output_vector(reduction: Reduction) -> int:
    """Outputs a thread keeps side by side: 4, 2 or 1, as the sizes allow."""
    if reduction.along_fastest or not reduction.inner_contiguous:
        return 1
    return next(width for width in (4, 2, 1) if reduction.inner_size % width == 0)


def reduce_scratch(reduction: Reduction, *, sm_count: int, compute_capability: tuple[int, int]) -> Scratch:
    """The buffers of one reduction; none where a block finishes its outputs alone.

    Args:
        reduction: the call.
        sm_count: multiprocessors of the card.
        compute_capability: of the card.
    """
    none = Scratch(buffers=(), evidence="[source] one block per output", source=_SOURCE)
    if reduction.num_outputs <= 0 or reduction.inputs_per_output <= 1:
        return none
    vector = _output_vector(reduction)
    if reduction.along_fastest:
        first, second = reduction.inputs_per_output, reduction.num_outputs
        if reduction.one_dimension and reduction.inner_contiguous and first > 128:
            first //= 4
    else:
        first, second = reduction.num_outputs // vector, reduction.inputs_per_output
    limit = _MAX_THREADS // vector
    first_power = _last_power_of_two(first) if first < limit else limit
    second_power = _last_power_of_two(second) if second < limit else limit
    width = min(first_power, _WARP)
    height = min(second_power, limit // width)
    width = min(first_power, limit // height)
    step_input = step_output = 1
    if reduction.along_fastest:
        step_input *= width
    else:
        step_output *= width
    if ceil_div(reduction.inputs_per_output, step_input) >= min(height * 16, _MAX_VALUES):
        step_input *= height
        across_warps = True
    else:
        step_output *= height
        across_warps = False
    values = ceil_div(reduction.inputs_per_output, step_input)
    grid = ceil_div(reduction.num_outputs // vector, step_output)
    target = sm_count * (threads_per_sm(compute_capability) // (width * height))
    if not across_warps or values < _MAX_VALUES or grid > target:
        return none
    blocks = max(min(ceil_div(target, grid), ceil_div(values, _MIN_VALUES)), ceil_div(values, _MAX_VALUES))
    if blocks <= 1:
        return none
    partials = reduction.partial_bytes * reduction.num_outputs * blocks
    if not reduction.along_fastest:
        partials *= width * vector
    buffers = (
        Buffer(name="partial results", num_bytes=partials),
        Buffer(name="semaphores", num_bytes=_COUNTER * grid),
    )
    return Scratch(buffers=buffers, evidence=f"[source] {blocks} blocks per output", source=_SOURCE)
