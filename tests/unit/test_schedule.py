"""The learning rate against the release's published run, and the optimizer's groups."""

from __future__ import annotations

import pytest
import torch

from ilora.config import TrainConfig
from ilora.schedule import learning_rate, make_optimizer, rate_at, set_rate


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 7e-6), (46, 3.497742e-4), (93, 7e-4), (935, 3.819531e-4), (1870, 7e-6), (5000, 7e-6)]
)
def test_the_release_schedule_for_lastfm_is_met(step: int, rate: float) -> None:
    found = learning_rate(step, peak=7e-4, floor=7e-6, max_steps=1870, warmup_steps=93)
    assert found == pytest.approx(rate, rel=1e-6)


def test_without_warmup_the_first_step_has_the_peak_rate() -> None:
    assert rate_at(0, TrainConfig(lr=1e-3, warmup_ratio=0.0, max_steps=10)) == pytest.approx(1e-3)


def test_groups_keep_their_own_rate_and_decay() -> None:
    groups = {name: [torch.nn.Parameter(torch.zeros(2))] for name in ("adapters", "gates", "projector")}
    optimizer = make_optimizer(groups, TrainConfig(weight_decay=0.5, router_lr_ratio=0.25))
    set_rate(optimizer, 0.8)
    by_name = {group["name"]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups}
    assert by_name == {"adapters": (0.8, 0.0), "gates": (0.2, 0.5), "projector": (0.8, 0.5)}
