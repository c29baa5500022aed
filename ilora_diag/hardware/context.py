"""How much a process holds on a card outside torch's allocator: the CUDA context, kernels, library handles.

Source: out-of-memory messages. Torch prints what the process holds in all, what it allocated and what it reserved
besides; the rest is everything outside the pool. Each number is printed to 0.01 GiB, so a reading is good to about
0.015 GiB. `log` is the file name in the collection of out-of-memory messages the readings were taken from.
"""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.schema import Interval

GIB = 1 << 30
READING_ERROR_BYTES = 16 << 20
"""Three numbers printed to 0.01 GiB (half of that each): at most 0.015 GiB, rounded up to 16 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextReading:
    """One message: the bytes a process held outside the pool, and what names the card in it.

    Attributes:
        log: file of the message.
        gpu: key of the card; empty where the message does not settle which.
        num_bytes: process bytes less allocated less reserved-but-unallocated.
        identified_by: "said" (the log says so) or "capacity" (the printed total fits this card alone in our table).
        single_process: False where collective libraries were loaded too, so that the number is no context alone.
    """

    log: str
    gpu: str
    num_bytes: int
    identified_by: str
    single_process: bool = True


def _gib(process: float, allocated: float, unallocated: float) -> int:
    return round((process - allocated - unallocated) * GIB)


READINGS: tuple[ContextReading, ...] = (
    ContextReading(
        log="053__cs336-a10g-xl_256", gpu="a10g", num_bytes=_gib(21.96, 21.28, 402.56 / 1024), identified_by="said"
    ),
    ContextReading(
        log="056__cs336-a10g-large_1024", gpu="a10g", num_bytes=_gib(21.90, 21.46, 158.63 / 1024), identified_by="said"
    ),
    ContextReading(
        log="068__t2-mistral-vllm-cut", gpu="a10g", num_bytes=_gib(21.96, 21.67, 5.59 / 1024), identified_by="capacity"
    ),
    ContextReading(log="043__t21-a100", gpu="a100-40gb", num_bytes=_gib(39.32, 37.54, 1.12), identified_by="said"),
    ContextReading(
        log="091__t210-gemma", gpu="rtx-5090", num_bytes=_gib(31.30, 30.35, 319.13 / 1024), identified_by="said"
    ),
    ContextReading(
        log="048__t21-3090", gpu="rtx-3090", num_bytes=_gib(22.79, 21.50, 1001.89 / 1024), identified_by="said"
    ),
    ContextReading(
        log="041__t21-colab", gpu="t4", num_bytes=_gib(14.73, 14.04, 509.85 / 1024), identified_by="capacity"
    ),
    ContextReading(
        log="083__pools-46gib-in-pools",
        gpu="rtx-a6000",
        num_bytes=_gib(47.51, 47.00, 149.10 / 1024),
        identified_by="capacity",
    ),
    ContextReading(
        log="081__t22-lorafast1", gpu="", num_bytes=_gib(23.48, 22.72, 257.71 / 1024), identified_by="capacity"
    ),
    ContextReading(log="093__t210-cachedit", gpu="", num_bytes=_gib(77.04, 75.40, 1.15), identified_by="capacity"),
    ContextReading(
        log="078__t22-ollama10089", gpu="", num_bytes=_gib(14.91, 14.62, 87.96 / 1024), identified_by="capacity"
    ),
    ContextReading(
        log="071__t2-h100-94gb", gpu="", num_bytes=_gib(93.75, 91.23, 1.40), identified_by="said", single_process=False
    ),
    ContextReading(
        log="076__t22-xflux24",
        gpu="",
        num_bytes=_gib(79.12, 77.43, 219.12 / 1024),
        identified_by="capacity",
        single_process=False,
    ),
)


def context_interval(gpu: str) -> Interval:
    """Bytes outside the pool in a single-GPU process on this card, from readings where there are any.

    A card with readings gets their span, widened by a quarter each way for another driver or other libraries (the
    quarter is unverified). Every other card gets the span of all single-GPU readings.
    """
    own = [reading for reading in READINGS if reading.gpu == gpu and reading.single_process]
    if own:
        low, high = min(r.num_bytes for r in own), max(r.num_bytes for r in own)
        logs = ", ".join(reading.log for reading in own)
        return Interval(
            low_bytes=low * 3 // 4 - READING_ERROR_BYTES,
            high_bytes=high * 5 // 4 + READING_ERROR_BYTES,
            basis=f"[measured] process less pool in {logs}; +-25 % for other drivers [unverified]",
        )
    everything = [reading.num_bytes for reading in READINGS if reading.single_process]
    return Interval(
        low_bytes=min(everything) - READING_ERROR_BYTES,
        high_bytes=max(everything) + READING_ERROR_BYTES,
        basis=f"[unverified] no reading of this card; span of {len(everything)} messages from others",
    )
