"""A virtual card that gives everything: what is asked of it is written down, and an allocator answers later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ilora_diag.hardware.gpus import GpuSpec, with_memory
from ilora_diag.memory.blocks import Block, Pool
from ilora_diag.memory.stats import PoolStats
from probes.virtual import Machine, virtual_cuda

_UNLIMITED_BYTES = 1 << 50


@contextmanager
def unlimited_card(spec: GpuSpec, *, torch_version: str, environ: Mapping[str, str]) -> Iterator[Machine]:
    """The card behind `torch.cuda` inside the block, with memory without end.

    Args:
        spec: whose kernels.
        torch_version: whose rules.
        environ: variables the allocator and libraries read.
    """
    card = with_memory(spec, _UNLIMITED_BYTES)
    with virtual_cuda(card, torch_version=torch_version, environ=environ) as machine:
        machine.cards[0].allocator = _Unlimited()  # type: ignore[assignment]
        yield machine


class _Unlimited:
    """An allocator that gives everything and counts nothing: the replay does."""

    def __init__(self) -> None:
        self._pool = Pool(is_small=False, stats=PoolStats())
        self._next = 512

    def empty_cache(self) -> None:
        """Nothing is cached."""

    def malloc(self, nbytes: int, *, stream: int = 0) -> Block:
        size = (nbytes + 511) & ~511
        block = Block(self._next, size, stream, self._pool)
        self._next += size
        return block

    def free(self, block: Block) -> None:
        """Nothing is held."""

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_bytes"):
            return 0
        raise AttributeError(name)
