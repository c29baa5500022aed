"""What an estimate is asked, and the record that its answer becomes: the same for teacher and recommender."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from ilora.config import Config, flat_settings
from ilora_diag.hardware.gpus import GpuSpec
from ilora_diag.hardware.torch_versions import torch_facts
from ilora_diag.schema import CardEstimate, Estimate, Knob
from probes.estimate_parts import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked.

    Attributes:
        config: valid.
        specs: the cards, the first of which gets the breakdowns.
        torch_version: whose rules; empty: the installed one.
        more: also the changes and the largest batches.
        begin: `time.perf_counter()` when the process began its work.
    """

    config: Config
    specs: tuple[GpuSpec, ...]
    torch_version: str
    more: bool
    begin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What is known once the first card's steps were traced.

    Attributes:
        question: what was asked.
        version: whose rules were modelled.
        steps: optimizer steps traced.
        assumptions: what was assumed of data and machine.
        parts: what the first card's peak consists of.
    """

    question: Question
    version: str
    steps: int
    assumptions: tuple[str, ...]
    parts: Parts

    def estimate(self, by_key: Mapping[str, CardEstimate], knobs: tuple[Knob, ...]) -> Estimate:
        """The record, with what has been found by now."""
        question, parts = self.question, self.parts
        cards = tuple(by_key[spec.key] for spec in question.specs)
        first = cards[0]
        return Estimate(
            gpu=first.gpu,
            torch=self.version,
            settings=flat_settings(question.config),
            steps=self.steps,
            peak=first.peak,
            interval=first.interval,
            fits=first.fits,
            by_category=parts.by_category,
            by_module=parts.by_module,
            by_op=parts.by_op,
            by_phase=parts.by_phase,
            chain=parts.chain,
            largest_batch_that_fits=first.largest_batch_that_fits,
            knobs=knobs,
            cards=cards,
            curve_categories=parts.curve_categories,
            curve=parts.curve,
            num_requests=parts.num_requests,
            assumptions=(*self.assumptions, *parts.notes),
            duration_s=round(time.perf_counter() - question.begin, 3),
        )


def version_asked(torch_version: str) -> str:
    """The version whose rules are modelled: the one asked for, else the installed one.

    Raises:
        VersionError: there can be no such version.
    """
    version = torch_version or torch.__version__.partition("+")[0]
    torch_facts(version)
    return version


def of_this_machine(version: str) -> Iterator[str]:
    """What every estimate assumes of the installed torch and of a card, in words."""
    if version.split(".")[:2] != torch.__version__.split(".")[:2]:
        yield f"operators have the shapes of the installed torch {torch.__version__}, all else the rules of {version}"
    yield "a card's memory is what CUDA reports of it, less than nvidia-smi shows by what the driver keeps"
