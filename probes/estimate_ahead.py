"""The training of the recommender, traced in a process of its own while this one imports transformers.

The trace needs nothing of transformers, and takes less long than its import.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ilora.config import Config
from ilora_diag.hardware.gpus import GpuSpec
from probes.estimate_crew import Crew, num_cores, one_thread

if TYPE_CHECKING:
    from probes.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What a run of the teacher begins with: the training of its recommender.

    Attributes:
        config: of the run.
        spec: the card.
        torch_version: whose rules are modelled; empty: the installed one's.
        environ: variables the allocator and libraries read.
    """

    config: Config
    spec: GpuSpec
    torch_version: str
    environ: Mapping[str, str]


@contextmanager
def begun(before: Before) -> Iterator[Callable[[], Trace | None]]:
    """Begin the trace; calling what is yielded waits for it, or raises NoEstimateError.

    The process is gone when it returns, and with it the thread that served it here: others can be forked then.
    """
    crew = Crew(1 if num_cores() > 1 else 0, _begin)
    result = crew.submit(_trace, before)

    def wait() -> Trace | None:
        try:
            return result()
        finally:
            crew.close()

    try:
        yield wait
    finally:
        crew.close()


def _begin() -> None:
    one_thread()
    gc.enable()  # it was off for the imports


def _trace(before: Before) -> Trace | None:
    from probes.estimate_rec import trace_before

    return trace_before(before)
