"""Two trials that are told to differ in one thing."""

from __future__ import annotations

import pytest

from ilora_diag.bisect.confound import follows, other_differences
from ilora_diag.schema import Settings, Status, Trial, Unavailable


def trial(name: str, effective: Settings | None, requested: Settings = ()) -> Trial:
    told = Unavailable(reason="it died") if effective is None else effective
    return Trial(
        id=name, probe="trial", requested=requested, effective=told, status=Status.OK, started_at=0.0, seconds=1.0
    )


@pytest.mark.parametrize(
    ("key", "changed", "answer"),
    [
        ("train.batch_size", "train.batch_size", True),
        ("allocator.expandable_segments", "env.PYTORCH_CUDA_ALLOC_CONF", True),
        ("allocator.expandable_segments", "train.batch_size", False),
        ("card.memory_bytes", "device.memory_bytes", True),
        ("card.memory_bytes", "env.PYTORCH_CUDA_ALLOC_CONF", False),
        ("parameters.float32", "lora.r", True),
        ("parameters.float32", "device.memory_bytes", False),
        ("attention.backend", "apply.sdpa_attention", True),
        ("attention.backend", "env.PYTORCH_ALLOC_CONF", False),
        ("version.torch", "env.PYTORCH_CUDA_ALLOC_CONF", False),
        ("train.seq_len", "train.batch_size", False),
        ("parts.rec_weights", "parts.components", True),
        ("parts.rec_weights", "parts.load_order", False),
    ],
)
def test_what_can_follow_from_what(key: str, changed: str, answer: bool) -> None:
    assert follows(key, changed) is answer


def test_a_fix_that_changed_the_image_as_well_as_the_variable_is_seen_through() -> None:
    """The first incident: a new base image, and at the same time a variable renamed to one that nobody reads."""
    changed = ("env.PYTORCH_CUDA_ALLOC_CONF",)
    before = trial(
        "T-01",
        (
            ("env.PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"),
            ("allocator.expandable_segments", True),
            ("version.torch", "2.3.0+cu121"),
        ),
    )
    after = trial(
        "T-02",
        (
            ("env.PYTORCH_CUDA_ALLOC_CONF", None),
            ("allocator.expandable_segments", False),
            ("version.torch", "2.1.2+cu118"),
        ),
    )
    assert other_differences(before, after, changed) == ("version.torch",)
    assert isinstance(after.effective, tuple)
    same_image = trial("T-03", (*after.effective[:2], ("version.torch", "2.3.0+cu121")))
    assert other_differences(before, same_image, changed) == ()


def test_what_only_one_of_the_two_came_to_know_is_no_difference() -> None:
    early, late = trial("T-01", (("precision", "fp32"),)), trial("T-02", (("precision", "fp32"), ("loop", "plain")))
    assert other_differences(early, late, ()) == ()


def test_a_trial_that_died_without_a_word_is_compared_by_what_was_asked_of_it() -> None:
    asked = (("--steps", 3), ("step.purpose", "final"), ("train.batch_size", 4))
    died = trial("T-01", None, asked)
    assert other_differences(died, trial("T-02", (), (("--steps", 1), ("train.batch_size", 4))), ()) == ()
    other = trial("T-03", (), (("train.batch_size", 2),))
    assert other_differences(died, other, ()) == ("train.batch_size",)
