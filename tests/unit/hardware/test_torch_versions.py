"""What is known of torch versions."""

from __future__ import annotations

import pytest

from ilora_diag.hardware.torch_versions import KNOWN_MINORS, VersionError, parse_version, torch_facts
from ilora_diag.schema import Unavailable


@pytest.mark.parametrize(
    ("text", "minor", "local"),
    [
        ("2.13.0", (2, 13), ""),
        ("2.11.0+cu130", (2, 11), "cu130"),
        ("2.15.0.dev20260817+cu130", (2, 15), "cu130"),
        ("2.13.0a0+git1234", (2, 13), "git1234"),
        (" 2.9.1+cpu ", (2, 9), "cpu"),
        ("2.14.0rc2", (2, 14), ""),
        ("2.10", (2, 10), ""),
    ],
)
def test_versions_are_read_as_torch_prints_them(text: str, minor: tuple[int, int], local: str) -> None:
    version = parse_version(text)
    assert (version.minor, version.local) == (minor, local)


@pytest.mark.parametrize("text", ["", "2", "two.one", "2.x", "v2.13.0", "2.13.0 (cuda)"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(VersionError, match="type one like"):
        parse_version(text)


def test_the_cuda_of_a_build_stands_behind_the_plus() -> None:
    assert parse_version("2.11.0+cu130").cuda == (13, 0)
    assert parse_version("2.9.1+cu128").cuda == (12, 8)
    assert isinstance(parse_version("2.13.0+cpu").cuda, Unavailable)


def test_known_versions_answer_without_a_note() -> None:
    for minor in KNOWN_MINORS:
        assert torch_facts(f"{minor[0]}.{minor[1]}.0").note == ""


@pytest.mark.parametrize(
    ("text", "answered"), [("2.99.0", (2, 15)), ("3.0.0", (2, 15)), ("1.13.1", (2, 0)), ("2.15.1", (2, 15))]
)
def test_an_unknown_version_is_answered_as_its_neighbour_and_says_so(text: str, answered: tuple[int, int]) -> None:
    facts = torch_facts(text)
    assert facts.minor == answered
    assert (facts.note == "") == text.startswith("2.15")


def test_cudnn_is_known_for_the_wheel_of_pypi_alone() -> None:
    assert torch_facts("2.13.0").cudnn == 92000
    assert torch_facts("2.13.0+cu130").cudnn == 92000
    assert isinstance(torch_facts("2.13.0+cu126").cudnn, Unavailable)
    assert torch_facts("2.13.0+cu126").cuda == (12, 6)
    assert isinstance(torch_facts("2.4.1").cudnn, Unavailable)


def test_what_changed_changes_at_its_version() -> None:
    assert torch_facts("2.9.1").allocator_variables == ("PYTORCH_CUDA_ALLOC_CONF",)
    assert torch_facts("2.10.0").allocator_variables == ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
    assert (torch_facts("2.0.1").expandable_segments, torch_facts("2.1.0").expandable_segments) == (False, True)
    caches = [torch_facts(f"2.{minor}.0").autocast_cache_in_inference for minor in (6, 10, 11, 13)]
    assert caches == [True, True, False, False]
    assert (torch_facts("2.14.1").cublas_cached, torch_facts("2.15.0").cublas_cached) == (True, False)
    assert [torch_facts(f"2.{minor}.0").lt_workspace for minor in (8, 9, 11, 12, 14, 15)] == [
        "per_call",
        "persistent",
        "persistent",
        "shared",
        "shared",
        "per_call",
    ]
