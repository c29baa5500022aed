"""The trainer's steps on the card that is there, their history recorded by PyTorch."""

from __future__ import annotations

import torch

from ilora.assemble import build_teacher
from ilora.device import place
from ilora.rec.build import build_recommender
from probes.estimate_model import check_positions, make_llm
from probes.estimate_trace import Bench

_HISTORY_ENTRIES = 1_000_000


class CudaBench(Bench):
    """A teacher on the current CUDA device instead of a modelled one; `setup.spec` says which card that is.

    Weights are random, and batches the longest that the configuration allows, as in an estimate: what it says of the
    step and what the card then shows can be laid side by side.
    """

    def _enter_card(self) -> None:
        record = torch.cuda.memory._record_memory_history
        record(max_entries=_HISTORY_ENTRIES)
        self._stack.callback(record, None)

    def build(self) -> None:
        """Load and build as `ilora.run` does."""
        setup, config = self.setup, self.setup.config
        self._placement = place(config.train, "cuda")
        recommender = build_recommender(config.rec, setup.num_items, config.data.max_history).eval()
        llm = make_llm(config, setup.shape, self._placement)
        check_positions(config, llm.model)
        self._teacher = build_teacher(config, recommender, llm, self._placement)
