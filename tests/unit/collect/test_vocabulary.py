"""The table that collectors, importers and checks agree through."""

from __future__ import annotations

import pytest

from ilora_diag.collect.vocabulary import LEAVES, absent, complaint, denied, failed, find_leaf, timed_out
from ilora_diag.schema import Fact, Known, Unavailable, Value


def fact(path: str, value: Known[Value]) -> Fact:
    return Fact(path=path, value=value, source="a test")


def test_every_pattern_stands_once_and_finds_itself() -> None:
    assert len({leaf.pattern for leaf in LEAVES}) == len(LEAVES)
    for leaf in LEAVES:
        path = leaf.pattern.replace("[N]", "[3]").replace("[M]", "[12]").replace("NAME", "x.y-z")
        assert find_leaf(path) == leaf


@pytest.mark.parametrize("path", ["", "gpu.name", "gpu[x].name", "driver.kmods", "env.", "env.A B", "gpu[0].name.x"])
def test_other_paths_are_unknown(path: str) -> None:
    assert find_leaf(path) is None


@pytest.mark.parametrize(
    ("path", "good", "bad"),
    [
        ("driver.kmod", "535.1", 535.1),
        ("driver.kmod", None, ()),
        ("nvml.status", 0, True),
        ("torch.cuda_available", False, 0),
        ("gpu[0].memory_total_bytes", 0, -1),
        ("gpu[0].power_draw_w", 7, "7 W"),
        ("torch.archs", (), "sm_80"),
        ("kernel_log.xid", (79,), ("79",)),
        ("env.PATH", None, 1),
        ("os.name", "Linux", None),
    ],
)
def test_the_type_of_a_value_is_held(path: str, good: Value, bad: Value) -> None:
    assert complaint(fact(path, good)) is None
    assert complaint(fact(path, bad)) is not None


def test_a_reason_begins_with_a_known_word() -> None:
    for make in (absent, denied, timed_out, failed):
        assert complaint(fact("os.name", make("x", "y"))) is None
    assert complaint(fact("os.name", Unavailable(reason="no idea"))) is not None
