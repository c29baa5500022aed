"""The out-of-memory error: its facts, and the words each torch version puts them in."""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.memory.settings_keys import version_key

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30


def format_size(nbytes: int) -> str:
    """Bytes as c10's format_size prints them: two decimals, the next unit only above 1024 of the last one."""
    if nbytes <= _KIB:
        return f"{nbytes} bytes"
    if nbytes <= _MIB:
        return f"{nbytes / _KIB:.2f} KiB"
    if nbytes <= _GIB:
        return f"{nbytes / _MIB:.2f} MiB"
    return f"{nbytes / _GIB:.2f} GiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessUse:
    """What a process holds of the card, as NVML lists it; `pid` None is this process.

    In a container without the host's process ids PyTorch does not find itself in that list and prints its own number as
    it prints those of others.
    """

    pid: int | None
    used_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfMemoryFacts:
    """The numbers of an out-of-memory error.

    Attributes:
        requested_bytes: the segment the allocator asked the driver for: 2 MiB, 20 MiB or a multiple of 2 MiB, not what
            the tensor needs.
        free_bytes: what cudaMemGetInfo called free.
        processes: in NVML's order; empty where NVML does not say.
        allocated_bytes: of the default pool.
        allowed_bytes: the limit a memory fraction sets; None: no limit set.
        private_pool_bytes: what PyTorch calls allocated in private pools (CUDA graphs).
    """

    requested_bytes: int
    device: int
    total_bytes: int
    free_bytes: int
    allocated_bytes: int
    reserved_unallocated_bytes: int
    processes: tuple[ProcessUse, ...] = ()
    allowed_bytes: int | None = None
    private_pool_bytes: int = 0


class AllocatorOutOfMemory(RuntimeError):  # noqa: N818 - the name says what happened
    """The modelled card is full; `facts` has the numbers as far as the allocator knows them."""

    def __init__(self, facts: OutOfMemoryFacts, message: str) -> None:
        super().__init__(message)
        self.facts = facts

    @property
    def requested_bytes(self) -> int:
        """The segment the allocator asked for."""
        return self.facts.requested_bytes

    @property
    def allowed_bytes(self) -> int | None:
        """The limit a memory fraction sets; None: no limit set."""
        return self.facts.allowed_bytes


_OLD_HINT = (
    " If reserved but unallocated memory is large try setting max_split_size_mb to avoid fragmentation."
    "  See documentation for Memory Management and PYTORCH_CUDA_ALLOC_CONF"
)
_HINT = (
    " If reserved but unallocated memory is large try setting {variable}=expandable_segments:True to avoid"
    " fragmentation.  See documentation for Memory Management  ({address})"
)
_DOCS = "https://pytorch.org/docs/stable/notes/cuda.html#environment-variables"
_NEW_DOCS = "https://docs.pytorch.org/docs/stable/notes/cuda.html#optimizing-memory-usage-with-pytorch-cuda-alloc-conf"


def oom_message(facts: OutOfMemoryFacts, torch_version: str) -> str:
    """The text of `torch.OutOfMemoryError`.

    Wordings read in c10/cuda/CUDACachingAllocator.cpp of several trees and in real logs: to 2.0; 2.1 ("capacty", the
    hint at max_split_size_mb); 2.2 (expandable segments, private pools, the limit); 2.10 (PYTORCH_ALLOC_CONF); 2.11,
    the old name again with a new address of the documentation (pytorch pull request 172327, January 2026).
    """
    version = version_key(torch_version)
    if version < (2, 1):
        return _oldest_message(facts)
    old = version < (2, 2)
    uses = "".join(
        f"Including non-PyTorch memory, this process has {format_size(use.used_bytes)} memory in use. "
        if use.pid is None
        else f"Process {use.pid} has {format_size(use.used_bytes)} memory in use. "
        for use in facts.processes
    )
    allowed = "" if facts.allowed_bytes is None or old else f"{format_size(facts.allowed_bytes)} allowed; "
    pools = (
        f"with {format_size(facts.private_pool_bytes)} allocated in private pools (e.g., CUDA Graphs), "
        if facts.private_pool_bytes and not old
        else ""
    )
    variable = "PYTORCH_ALLOC_CONF" if version == (2, 10) else "PYTORCH_CUDA_ALLOC_CONF"
    address = _DOCS if version < (2, 11) else _NEW_DOCS
    return (
        f"CUDA out of memory. Tried to allocate {format_size(facts.requested_bytes)}. GPU {facts.device} has a total "
        f"{'capacty' if old else 'capacity'} of {format_size(facts.total_bytes)} of which "
        f"{format_size(facts.free_bytes)} is free. {uses}{allowed}"
        f"Of the allocated memory {format_size(facts.allocated_bytes + facts.private_pool_bytes)} is allocated by "
        f"PyTorch, {pools}and {format_size(facts.reserved_unallocated_bytes)} is reserved by PyTorch but unallocated."
        f"{_OLD_HINT if old else _HINT.format(variable=variable, address=address)}"
    )


def _oldest_message(facts: OutOfMemoryFacts) -> str:
    """The text up to torch 2.0: it gives all that is reserved, and nothing of other processes."""
    allowed = "" if facts.allowed_bytes is None else f"{format_size(facts.allowed_bytes)} allowed; "
    return (
        f"CUDA out of memory. Tried to allocate {format_size(facts.requested_bytes)} (GPU {facts.device}; "
        f"{format_size(facts.total_bytes)} total capacity; {format_size(facts.allocated_bytes)} already allocated; "
        f"{format_size(facts.free_bytes)} free; {allowed}"
        f"{format_size(facts.allocated_bytes + facts.reserved_unallocated_bytes)} reserved in total by PyTorch)"
        " If reserved memory is >> allocated memory try setting max_split_size_mb to avoid fragmentation."
        "  See documentation for Memory Management and PYTORCH_CUDA_ALLOC_CONF"
    )
