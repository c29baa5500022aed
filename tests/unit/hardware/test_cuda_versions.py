"""Drivers, toolkits and builds: edges of the tables, and what they leave open."""

from __future__ import annotations

import pytest

from ilora_diag.hardware.cuda_versions import (
    TOOLKITS,
    Support,
    judge_driver,
    max_cuda,
    parse_cuda,
    parse_driver,
    toolkit_range,
)
from ilora_diag.hardware.gpu_families import capabilities_in, capability_of, is_consumer
from ilora_diag.hardware.torch_wheels import archs_of, impossible, releases_for, runs_on, variants_for
from ilora_diag.schema import Unavailable


@pytest.mark.parametrize(
    ("driver", "cuda", "support"),
    [
        ("410.48", "10.1.243", Support.TOO_OLD),
        ("410.129", "10.0", Support.FULL),
        ("525.60.13", "12.8", Support.MINOR),
        ("525.60.12", "12.8", Support.TOO_OLD),
        ("450.80.02", "11.8", Support.MINOR),
        ("450.51.06", "11.0", Support.FULL),
        ("450.51.06", "11.1", Support.TOO_OLD),
        ("580.65.06", "12.4", Support.FULL),
        ("570.124.06", "13.0", Support.TOO_OLD),
        ("525", "12.1", Support.UNKNOWN),
        ("530", "12.0", Support.FULL),
        ("615.10", "13.5", Support.MINOR),
        ("nothing", "12.1", Support.UNKNOWN),
    ],
)
def test_a_driver_runs_a_build_or_not(driver: str, cuda: str, support: Support) -> None:
    assert judge_driver(driver, cuda).support is support


def test_windows_has_other_numbers() -> None:
    assert judge_driver("527.41", "12.0", windows=True).support is Support.FULL
    assert judge_driver("512.15", "11.8", windows=True).support is Support.MINOR
    assert judge_driver("441.22", "11.0", windows=True).support is Support.TOO_OLD


def test_rows_from_memory_say_so() -> None:
    assert {row.cuda for row in TOOLKITS if row.unverified} == {(9, 2), (9, 1), (9, 0), (8, 0)}
    assert judge_driver("390.30", "9.2").unverified


def test_newest_cuda_of_a_branch() -> None:
    assert max_cuda("550.54.14") == (12, 4)
    assert isinstance(max_cuda("565.57.01"), Unavailable)
    assert isinstance(max_cuda("999.1"), Unavailable)


def test_versions_are_read_as_people_write_them() -> None:
    assert parse_cuda("cu118") == (11, 8)
    assert parse_cuda("10.1.243") == (10, 1)
    assert parse_cuda("v12") is None
    assert parse_driver("NVRM 535.104.12") == (535, 104, 12)
    assert parse_driver(None) is None


def test_binaries_run_within_their_major_upwards_only() -> None:
    assert runs_on((8, 9), ("sm_80",)) == "sass"
    assert runs_on((8, 0), ("sm_86",)) is None
    assert runs_on((8, 7), ("sm_86",)) is None, "Tegra runs its own binaries only"
    assert runs_on((12, 0), ("sm_90", "compute_90")) == "ptx"
    assert runs_on((11, 0), ("sm_101",)) == "sass"


def test_what_no_build_of_a_cuda_can_hold() -> None:
    assert impossible((9, 0), "11.7") == "newer"
    assert impossible((8, 9), "11.0") is None, "binaries for 8.0 run there"
    assert impossible((7, 0), "13.0") == "older"
    assert impossible((2, 1), "12.0") == "older"
    assert isinstance(toolkit_range((99, 0)), Unavailable)


def test_builds_by_version() -> None:
    known = archs_of("2.0.1+cu117", "11.7")
    assert not isinstance(known, Unavailable)
    assert "sm_90" not in known.names
    assert isinstance(archs_of("2.99.0", "12.6"), Unavailable)
    assert isinstance(archs_of("nonsense", "12.6"), Unavailable)
    assert variants_for("2.9.1", (6, 1)) == ("12.6",)
    assert variants_for("2.11.0", (9, 0), machine="aarch64") == ("12.6", "12.8", "13.0")
    assert releases_for((3, 7))[-1] == ("2.5", "11.8")


def test_names_stand_for_capabilities() -> None:
    for name, cc in {
        "TITAN Xp": (6, 1),
        "GeForce GTX TITAN X": (5, 2),
        "NVIDIA L40S-48C": (8, 9),
        "Tesla K80": (3, 7),
    }.items():
        found = capability_of(name)
        assert found is not None
        assert found.cc == cc
    assert capability_of("Radeon VII") is None
    assert [one.cc for one in capabilities_in("any GTX 10 series, P40 or V100")] == [(7, 0), (6, 1)]
    assert is_consumer("GeForce RTX 3090")
    assert not is_consumer("NVIDIA RTX 4000 SFF Ada Generation")
