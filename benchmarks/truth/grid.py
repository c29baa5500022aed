"""The configurations that `make gpu-truth` runs: one factor at a time around a few ordinary fine-tunes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.truth.workload import Workload

OPT = Workload(model="opt-125m")
SMOL = Workload(model="smollm2-135m", batch=4, length=256)
LLAMA = Workload(model="llama-3.2-1b", precision="bf16", batch=4, length=512)
BIG = Workload(model="mistral-7b", precision="bf16", batch=2, length=512, events=False)
SASREC = Workload(model="sasrec", adapter="full", batch=256, length=10)
INCIDENT = replace(OPT, adapter="moe", head="items", checkpointing=True, padded=True)


def variations(base: Workload, *changes: dict[str, Any]) -> list[Workload]:
    """The base and each change of it."""
    return [base, *(replace(base, **change) for change in changes)]


def grid() -> tuple[Workload, ...]:
    """All configurations, the quick ones first."""
    found = [
        *variations(SASREC, {"batch": 1024}, {"length": 50}, {"optimizer": "sgd"}, {"loop": "lightning"}),
        *variations(
            OPT,
            {"precision": "bf16"},
            {"precision": "bf16-autocast"},
            {"precision": "fp16-autocast"},
            {"checkpointing": True},
            {"checkpointing": True, "precision": "bf16"},
            {"attention": "eager"},
            {"attention": "eager", "precision": "bf16"},
            {"padded": True},
            {"padded": True, "precision": "bf16"},
            {"head": "items"},
            {"loop": "lightning"},
            {"loop": "lightning", "precision": "bf16-autocast"},
            {"expandable": True},
            {"batch": 8, "length": 512},
            {"batch": 1, "length": 64},
            {"batch": 16, "length": 300},
            {"optimizer": "adamw-fused"},
            {"optimizer": "sgd"},
        ),
        *variations(
            replace(OPT, adapter="full"),
            {"optimizer": "adamw-fused"},
            {"optimizer": "adamw-single"},
            {"optimizer": "sgd"},
            {"precision": "bf16"},
            {"precision": "bf16-autocast"},
            {"precision": "fp16-autocast"},
            {"expandable": True},
            {"checkpointing": True},
            {"loop": "lightning"},
            {"batch": 16, "length": 512},
        ),
        *variations(
            INCIDENT,
            {"checkpointing": False},
            {"head": "lm"},
            {"precision": "bf16"},
            {"loop": "lightning"},
            {"attention": "eager"},
            {"expandable": True},
            {"length": 512},
            {"batch": 16},
        ),
        *variations(
            SMOL,
            {"precision": "bf16"},
            {"precision": "bf16-autocast"},
            {"adapter": "moe", "precision": "bf16"},
            {"adapter": "full", "precision": "bf16-autocast"},
            {"adapter": "full", "optimizer": "adamw-fused"},
            {"checkpointing": True, "precision": "bf16"},
            {"attention": "eager", "precision": "bf16"},
        ),
        *variations(
            LLAMA,
            {"checkpointing": True},
            {"adapter": "moe", "padded": True},
            {"adapter": "moe", "head": "items"},
            {"adapter": "full"},
            {"adapter": "full", "checkpointing": True, "optimizer": "adamw-fused"},
            {"adapter": "full", "precision": "bf16-autocast", "batch": 2},
            {"attention": "eager"},
            {"precision": "bf16-autocast"},
            {"expandable": True},
            {"length": 2048, "batch": 1},
            {"batch": 32},
        ),
        *variations(
            BIG,
            {"checkpointing": True},
            {"checkpointing": True, "batch": 4, "length": 2048},
            {"adapter": "moe", "padded": True},
            {"adapter": "full", "checkpointing": True, "batch": 1},
            {"adapter": "full", "checkpointing": True, "batch": 1, "optimizer": "sgd"},
            {"batch": 64, "length": 2048},
        ),
    ]
    return tuple(dict.fromkeys(found))
