"""Shares of a snapshot's tables at both ends: nearly nothing and nearly all."""

from __future__ import annotations

import pytest

from reports.view.snapshot_story import share_of


@pytest.mark.parametrize(
    ("size", "whole", "told"),
    [
        (0, 1000, "0.0 %"),
        (1, 100_000, "<0.1 %"),
        (1, 1000, "0.1 %"),
        (999, 1000, "99.9 %"),
        (99_999, 100_000, ">99.9 %"),
        (100_000, 100_000, "100.0 %"),
        (0, 0, "-"),
    ],
)
def test_what_is_there_is_never_told_as_nothing_and_a_part_never_as_all(size: int, whole: int, told: str) -> None:
    assert share_of(size, whole) == told
