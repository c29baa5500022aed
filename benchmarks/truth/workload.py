"""One training configuration of the grid, as plain values: the same record runs on a card and on the virtual device."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LLM_ADAPTERS = ("lora", "moe", "full")
PRECISIONS = ("fp32", "bf16", "bf16-autocast", "fp16-autocast")
OPTIMIZERS = ("adamw-foreach", "adamw-fused", "adamw-single", "sgd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A model, how it is trained, and on what shapes.

    Attributes:
        model: a preset of ilora.llm (its architecture with random weights), or sasrec.
        adapter: lora (PEFT's), moe (this project's, inside its teacher), full.
        precision: of the weights; "-autocast" keeps float32 weights and computes under autocast.
        checkpointing: recompute activations, non-reentrantly.
        attention: as transformers names it.
        optimizer: name and implementation.
        head: lm (loss over the vocabulary) or items (over a catalogue, from the last token).
        loop: plain or lightning.
        expandable: whether PYTORCH_CUDA_ALLOC_CONF asks for expandable segments.
        batch: samples.
        length: tokens of each, or places of a history.
        padded: whether the samples have padding, and so a mask that differs from plain causality.
        steps: optimizer steps.
        events: whether the sequence of requests is recorded.
        layers: number of layers instead of the preset's; for tests.
    """

    model: str
    adapter: str = "lora"
    precision: str = "fp32"
    checkpointing: bool = False
    attention: str = "sdpa"
    optimizer: str = "adamw-foreach"
    head: str = "lm"
    loop: str = "plain"
    expandable: bool = False
    batch: int = 2
    length: int = 128
    padded: bool = False
    steps: int = 3
    events: bool = True
    layers: int | None = None

    @property
    def name(self) -> str:
        """Readable and unique within a grid: what differs from the defaults, after model, adapter and shape."""
        parts = [self.model, self.adapter, self.precision, f"b{self.batch}", f"s{self.length}"]
        parts += ["ckpt"] if self.checkpointing else []
        parts += [self.attention] if self.attention != "sdpa" else []
        parts += [self.optimizer] if self.optimizer != "adamw-foreach" else []
        parts += [self.head] if self.head != "lm" else []
        parts += [self.loop] if self.loop != "plain" else []
        parts += ["expandable"] if self.expandable else []
        parts += ["padded"] if self.padded else []
        return "/".join(parts)

    @property
    def autocast(self) -> bool:
        return self.precision.endswith("-autocast")

    @property
    def environ(self) -> dict[str, str]:
        """Variables the process needs before torch is imported."""
        return {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True" if self.expandable else ""}

    def to_dict(self) -> dict[str, Any]:
        """Field -> value."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Workload:
        """The record of `to_dict`; unknown fields are an error."""
        return cls(**values)


def sources_fingerprint() -> str:
    """Digest of the code that runs a workload: a result made by other code is not reused."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        if path.name != "grid.py":  # which configurations there are changes none of them
            digest.update(path.read_bytes())
    return digest.hexdigest()


def fingerprint(what: dict[str, Any], machine: dict[str, str]) -> str:
    """Key of one result: what ran, the code that ran it, and the card and torch it ran on."""
    text = json.dumps({"what": what, "machine": machine, "code": sources_fingerprint()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
