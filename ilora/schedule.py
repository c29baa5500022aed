"""Learning rate as a pure function of the step, and the optimizer it is written into.

A function of the step alone needs no state in checkpoints and is the same in both loops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ilora.config import TrainConfig


def learning_rate(step: int, *, peak: float, floor: float, max_steps: int, warmup_steps: int) -> float:
    """Linear warm-up from `floor` to `peak`, then half a cosine back to `floor` at `max_steps`.

    Args:
        step: optimizer steps done before this one.
        peak: rate at the end of the warm-up.
        floor: rate at step 0 and at `max_steps`.
        max_steps: steps of the whole run.
        warmup_steps: steps of the warm-up.

    The iLoRA release's schedule: lr(0) = 7e-6, lr(46) = 3.497742e-4, lr(93) = 7e-4, lr(935) = 3.819531e-4 and
    lr(1870) = 7e-6 for its LastFM run (peak 7e-4, floor 7e-6, 1870 steps, 93 of warm-up).
    """
    if step < warmup_steps:
        return floor + (peak - floor) * step / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, max_steps - warmup_steps))
    return floor + (peak - floor) / 2 * (1 + math.cos(math.pi * progress))


def rate_at(step: int, config: TrainConfig) -> float:
    """The run's learning rate before optimizer step `step` (0-based)."""
    return learning_rate(
        step,
        peak=config.lr,
        floor=config.lr * config.min_lr_ratio,
        max_steps=config.max_steps,
        warmup_steps=int(config.max_steps * config.warmup_ratio),
    )


def make_optimizer(groups: Mapping[str, Sequence[nn.Parameter]], config: TrainConfig) -> torch.optim.Optimizer:
    """Build the optimizer over the trainable parameters, a group each for what they are.

    Adapters have no weight decay and gates a learning rate of their own, as in the release.
    """
    params = [
        {
            "params": list(members),
            "name": name,
            "weight_decay": 0.0 if name == "adapters" else config.weight_decay,
            "lr_ratio": config.router_lr_ratio if name == "gates" else 1.0,
            "lr": config.lr,
        }
        for name, members in sorted(groups.items())
    ]
    kinds: dict[str, Any] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    optimizer: torch.optim.Optimizer = kinds[config.optimizer](params, lr=config.lr)
    return optimizer


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Write the rate of the coming step into every group, times the group's own ratio."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_ratio"]
