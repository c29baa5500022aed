"""The trainer's steps on the card that is there, their history recorded by PyTorch."""

from __future__ import annotations

import torch

from probes.estimate_trace import HISTORY_ENTRIES, Bench


class CudaBench(Bench):
    """A teacher on the current CUDA device instead of a modelled one; `setup.spec` says which card that is.

    Weights are random, and batches the longest that the configuration allows, as in an estimate: what it says of the
    step and what the card then shows can be laid side by side.
    """

    def _enter_card(self) -> None:
        record = torch.cuda.memory._record_memory_history
        record(max_entries=HISTORY_ENTRIES)
        self._stack.callback(record, None)

    def build(self) -> None:
        """Load and build as `ilora.run` does."""
        self._load()
