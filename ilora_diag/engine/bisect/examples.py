"""The two incidents that this project started from, as investigations of a virtual card that anybody can run.

What is planted is the situation, as far as the incidents' logs tell it; the cause is for the search to find. The real
machines are gone: a virtual card shows that a mechanism produces exactly this failure, not that it was theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.schema.known import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An incident as it can be typed.

    Attributes:
        name: after --example.
        overrides, base, device: as in a BisectRequest; the configuration is `incident`.
    """

    name: str
    overrides: tuple[str, ...]
    base: Settings
    device: str


_GIB = 1 << 30

EXAMPLES: dict[str, Example] = {
    example.name: example
    for example in (
        # Batch 32, no workers, expandable segments set against an earlier out-of-memory error, on a virtual GPU whose
        # driver has no virtual memory management. Checkpointing had been switched off again. The Lightning loop.
        Example(
            name="driver-error",
            overrides=(
                "train.batch_size=32",
                "train.loop=lightning",
                "train.gradient_checkpointing=false",
            ),
            base=(("env.PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"), ("device.vmm", False)),
            device="virtual:a10",
        ),
        # OPT-125m, batch 2, 128 tokens, checkpointing on, out of memory on a card of 16 GB. Runs that were aborted in a
        # container had left their processes, and their memory, on it.
        Example(
            name="oom",
            overrides=("train.loop=lightning",),
            base=(("device.other_bytes", 14 * _GIB),),
            device="virtual:t4",
        ),
    )
}
EXAMPLE_CONFIG = "incident"
