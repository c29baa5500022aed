"""The trainer behind a virtual CUDA device: `python -P -m probes.train_virtual --gpu NAME [trainer's arguments]`.

Everything runs as on that card, from data to evaluation, but nothing is computed: losses and metrics mean nothing, what
memory it takes does. Arguments but `--gpu` and `--memory` are the trainer's own; its device is `cuda`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_WARNING = (
    "a virtual card: memory is computed, values are not. Losses, metrics and times mean nothing; no checkpoint, "
    "predictions or teacher outputs are written"
)


def main(argv: list[str] | None = None) -> int:
    """Run the trainer on a virtual card. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -P -m probes.train_virtual", description=__doc__)
    parser.add_argument("--gpu", required=True, help="name of the card")
    parser.add_argument("--memory", type=int, help="its bytes; default: the card's own")
    own, rest = parser.parse_known_args(argv)
    from ilora import train
    from probes.virtual import virtual_cuda

    _say_so()
    _save_nothing()
    with virtual_cuda(own.gpu, own.memory):
        return train.main([*rest, "--device", "cuda"])


def _say_so() -> None:
    """Let the run log name the card as virtual, and warn of what means nothing."""
    startup: Any = importlib.import_module("ilora.startup")
    run_stage, environment = startup.run_stage, startup.environment

    def warned(session: Any) -> dict[str, object]:
        session.log.event("warning", text=_WARNING)
        found: dict[str, object] = run_stage(session)
        return found

    def named(placement: Any) -> dict[str, object]:
        found = environment(placement)
        return {**found, "device_name": f"virtual {found['device_name']}"}

    startup.run_stage, startup.environment = warned, named


def _save_nothing() -> None:
    """A checkpoint would hold values nobody computed: the job is told to save none.

    The recommender's file is part of the run; it says of itself what it is, so that no real run takes it.
    """
    from ilora.loops.job import TrainJob
    from ilora.rec import load_recommender, save_recommender

    assembly: Any = importlib.import_module("ilora.assemble")
    assembly.save_recommender = partial(save_recommender, has_values=False)
    assembly.load_recommender = partial(load_recommender, needs_values=False)
    run: Any = importlib.import_module("ilora.run")

    def without_checkpoints(**fields: Any) -> TrainJob:
        return TrainJob(**{**fields, "save": lambda step: None})

    run.TrainJob = without_checkpoints
    run._write_predictions = lambda session, predictions: None
    run.export_teacher = _export_nowhere


def _export_nowhere(teacher: Any, feed: Any, config: Any, *_: object) -> None:
    """The outputs are computed, for their memory, and not kept: a student would learn zeros from them."""
    from ilora.evaluation_run import export_ranges
    from ilora.export import export_outputs

    with TemporaryDirectory() as folder:
        ranges = export_ranges(feed, config)
        list(export_outputs(teacher, Path(folder), ranges, feed.export, top_k=config.eval.top_k, source="no card"))


if __name__ == "__main__":
    sys.exit(main())
