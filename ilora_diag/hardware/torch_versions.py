"""What differs between torch versions and matters to memory: bundled cuDNN, allocator variables, workspaces, rules.

Sources:
* cuDNN and CUDA: `Requires-Dist` of the PyPI wheels for 2.7.1 to 2.14.1; memory-model facts for 2.15.0.
* allocator variables: CUDAAllocatorConfig.h of the wheels (compatibility facts, `pytorch_allocator_vmm_by_version`);
  of 2.11.0 to 2.14.1 read once more.
* cublasLt: pytorch PR #156495 (one Lt workspace kept per handle and stream), PR #175879 (March 2026: the unified
  workspace is used by default, before that only its size was), PR #194311 (no caching). That the boundaries are 2.12
  and after 2.14 stands in the code of libtorch_cuda.so of 2.11.0, 2.12.1, 2.13.0 and 2.14.1 (the default of
  TORCH_CUBLASLT_UNIFIED_WORKSPACE, no TORCH_CUBLAS_WORKSPACE_CACHE); those of 2.8 and 2.9 are [derived].
* autocast: PR #165068 (December 2025) keeps no cast weights under inference_mode; a recording of 2.11 shows it, 2.13
  and 2.14.1 were tried. That 2.10 does not have it yet is [derived].
* attention: sdp_utils.cpp of three trees; which release carries which condition was read in libtorch_cuda.so of the
  2.11.0, 2.12.1, 2.13.0 and 2.14.1 wheels (instructions and texts of `sdp::`), and for 2.15.0 in sdp_utils_cpp.h. Seed
  and offset on the card: allocations of 2.13.0, 2.14.1 and 2.15.0 with their stacks (at::zeros without dropout).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ilora_diag.schema import Known, Unavailable

LtWorkspace = Literal["per_call", "persistent", "shared"]
"""Where cublasLt's workspace comes from: allocated per call, kept beside cuBLAS's own, or cuBLAS's own buffer."""

CudnnFirst = Literal["never", "bundled_9_9", "runtime_above_9_15"]
"""When cuDNN attention is tried first: never, if built with cuDNN >= 9.9, if the one loaded is newer than 9.15.0."""

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?((?:a|b|rc|\.?dev|\.?post)[0-9.]*)*(?:\+([a-z0-9.]+))?", re.IGNORECASE)


class VersionError(ValueError):
    """A text that is no torch version; the message says what one looks like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchVersion:
    """A version as torch prints it.

    Attributes:
        text: as given.
        minor: (major, minor), what the tables go by.
        local: after the plus sign: "cu130", "cpu", "" where absent.
    """

    text: str
    minor: tuple[int, int]
    local: str

    @property
    def cuda(self) -> Known[tuple[int, int]]:
        """CUDA of the build, read from a local version like `cu128`."""
        match = re.fullmatch(r"cu(\d+)(\d)", self.local)
        if match is None:
            return Unavailable(reason=f"the local version {self.local!r} names no CUDA", source="torch version")
        return int(match[1]), int(match[2])


def parse_version(text: str) -> TorchVersion:
    """A version from `2.13.0`, `2.11.0+cu130` or `2.15.0.dev20260817+cu130`.

    Raises:
        VersionError: it is none.
    """
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        raise VersionError(f"{text!r} is no torch version: type one like 2.13.0 or 2.11.0+cu130")
    return TorchVersion(text=text.strip(), minor=(int(match[1]), int(match[2])), local=(match[5] or "").lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchFacts:
    """What a torch version brings.

    Attributes:
        minor: the version the facts are of.
        cudnn: of the default PyPI wheel, as cuDNN encodes it: major * 10000 + minor * 100 + patch.
        cuda: of the default PyPI wheel.
        allocator_variables: environment variables with allocator settings; the first one that is set wins.
        expandable_segments: whether the setting exists.
        cublas_cached: whether cuBLAS workspaces are kept by default.
        lt_workspace: where cublasLt's workspace comes from by default.
        cudnn_first: when cuDNN attention is tried first, on compute capability 9.x and 10.x.
        attention_2_12: whether attention follows the rule of 2.12 (cuDNN takes dropout in sixteenths alone).
        attention_2_13: whether it follows those of 2.13 (cuDNN first on all cards of 9.x and 10.x, a limit to sequences
            and heads; the efficient kernel asks for aligned storage offsets).
        attention_2_14: whether it follows those of 2.14 (fewer key heads in the efficient kernel, head dimensions by
            direction for cuDNN, no single queries for it on Blackwell).
        efficient_seeds_on_card: whether the efficient kernel makes seed and offset on the card where it drops nothing,
            for its backward, which has no use for them.
        autocast_cache_in_inference: whether autocast keeps cast weights under `inference_mode`.
        note: how an unknown version was answered; empty for a known one.
    """

    minor: tuple[int, int]
    cudnn: Known[int]
    cuda: Known[tuple[int, int]]
    allocator_variables: tuple[str, ...]
    expandable_segments: bool
    cublas_cached: bool
    lt_workspace: LtWorkspace
    cudnn_first: CudnnFirst
    attention_2_12: bool
    attention_2_13: bool
    attention_2_14: bool
    efficient_seeds_on_card: bool
    autocast_cache_in_inference: bool
    note: str = ""


_WHEELS: dict[tuple[int, int], tuple[int | None, tuple[int, int] | None]] = {
    (2, 0): (None, (11, 7)),
    (2, 1): (None, (12, 1)),
    (2, 2): (None, (12, 1)),
    (2, 3): (None, (12, 1)),
    (2, 4): (None, (12, 1)),
    (2, 5): (None, (12, 4)),
    (2, 6): (None, (12, 4)),
    (2, 7): (90501, (12, 6)),
    (2, 8): (91002, (12, 8)),
    (2, 9): (91002, (12, 8)),
    (2, 10): (91002, (12, 8)),
    (2, 11): (91900, (13, 0)),
    (2, 12): (92000, (13, 0)),
    (2, 13): (92000, (13, 0)),
    (2, 14): (92400, (13, 0)),
    (2, 15): (92600, (13, 2)),
}
"""cuDNN and CUDA of the default PyPI wheel; None: not looked up."""

KNOWN_MINORS = tuple(_WHEELS)


def _nearest(minor: tuple[int, int]) -> tuple[int, int]:
    """The newest known version that is not newer; the oldest known one for what is older still."""
    older = [known for known in KNOWN_MINORS if known <= minor]
    return older[-1] if older else KNOWN_MINORS[0]


def _note(version: TorchVersion, minor: tuple[int, int]) -> str:
    if minor == version.minor:
        return ""
    return f"torch {version.text} is not in the tables; answered as {minor[0]}.{minor[1]}"


def _lt_workspace(minor: tuple[int, int]) -> LtWorkspace:
    if minor >= (2, 15) or minor <= (2, 8):
        return "per_call"
    return "shared" if minor >= (2, 12) else "persistent"


def _cudnn_first(minor: tuple[int, int]) -> CudnnFirst:
    if minor >= (2, 10):
        return "runtime_above_9_15"
    return "bundled_9_9" if minor == (2, 9) else "never"


def _allocator_variables(minor: tuple[int, int]) -> tuple[str, ...]:
    return ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF") if minor >= (2, 10) else ("PYTORCH_CUDA_ALLOC_CONF",)


def torch_facts(text: str) -> TorchFacts:
    """The facts of a version; for one that is not in the tables those of the nearest older one, and `note` says so.

    A wheel for another CUDA than PyPI's default may bundle another cuDNN, so `cudnn` is unknown for it.

    Raises:
        VersionError: the text is no version.
    """
    version = parse_version(text)
    minor = _nearest(version.minor)
    cudnn, cuda = _WHEELS[minor]
    built = version.cuda
    other_build = not isinstance(built, Unavailable) and built != cuda
    missing = f"the cuDNN of torch {version.text} was not looked up"
    return TorchFacts(
        minor=minor,
        cudnn=Unavailable(reason=missing, source="PyPI metadata") if cudnn is None or other_build else cudnn,
        cuda=built if not isinstance(built, Unavailable) else cuda or built,
        allocator_variables=_allocator_variables(minor),
        expandable_segments=minor >= (2, 1),
        cublas_cached=minor < (2, 15),
        lt_workspace=_lt_workspace(minor),
        cudnn_first=_cudnn_first(minor),
        attention_2_12=minor >= (2, 12),
        attention_2_13=minor >= (2, 13),
        attention_2_14=minor >= (2, 14),
        efficient_seeds_on_card=minor >= (2, 14),
        autocast_cache_in_inference=minor < (2, 11),
        note=_note(version, minor),
    )
