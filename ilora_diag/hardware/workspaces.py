"""cuBLAS and cublasLt workspaces: how large, and for how long they live in torch's pool.

Source: aten/src/ATen/cuda/CublasHandlePool.cpp of pytorch, read in four trees: one of 2.2's time (32 MiB on 9.0 only),
one of about 2.9 to 2.11 (Lt buffer of its own), one of about 2.12 (Blackwell added, Lt in cuBLAS's buffer) and one of
2.15 (TORCH_CUBLAS_WORKSPACE_CACHE); 2.15.0 also by the shipped library (memory-model facts 3.1), and 2.11.0, 2.12.1,
2.13.0 and 2.14.1 by the instructions of `parseChosenWorkspaceSize` and its neighbours in theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ilora_diag.hardware.torch_versions import TorchFacts, torch_facts

KIB = 1024
HOPPER_BYTES = 32 * 1024 * KIB
DEFAULT_BYTES = 2 * 4096 * KIB + 8 * 16 * KIB
LT_DEFAULT_BYTES = 1024 * KIB

Lifetime = Literal["persistent", "per_call"]

_CONFIG = re.compile(r":([0-9]+):([0-9]+)")
_STOI = re.compile(r"\s*([+-]?\d+)")
_INT_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceRule:
    """What matrix products take from torch's pool besides their operands.

    Attributes:
        cublas_bytes: buffer of a cuBLAS handle and stream; autograd's device thread has a handle of its own, so a
            process that ran a backward pass holds two.
        lt_bytes: buffer of a cublasLt call; 0 where it uses cuBLAS's.
        lifetime: of the cuBLAS buffer: "persistent" from the first call on, or "per_call".
        lt_lifetime: of the cublasLt buffer.
        lt_shares_cublas: cublasLt works in the cuBLAS buffer (allocating it, if it comes first).
        evidence: tag and reason, for reports.
        notes: settings that were ignored, and why; unknown versions.
    """

    cublas_bytes: int
    lt_bytes: int
    lifetime: Lifetime
    lt_lifetime: Lifetime
    lt_shares_cublas: bool
    evidence: str
    notes: tuple[str, ...] = ()


def check_env(environ: Mapping[str, str], name: str) -> bool | None:
    """A switch as `c10::utils::check_env` reads it: "1" and "0" count, anything else is as if unset."""
    return {"1": True, "0": False}.get(environ.get(name, ""))


def parse_cublas_config(value: str, default: int) -> tuple[int, str]:
    """Bytes from `CUBLAS_WORKSPACE_CONFIG` (`:SIZE_IN_KIB:COUNT`, repeated), and a note where torch ignores the value.

    Torch takes every match it finds and ignores the rest of the text.
    """
    found = _CONFIG.findall(value)
    if not found:
        return default, f"CUBLAS_WORKSPACE_CONFIG={value!r} is not :SIZE:COUNT; torch warns and takes {default} bytes"
    return sum(int(size) * KIB * int(count) for size, count in found), ""


def parse_lt_size(value: str, default: int) -> tuple[int, str]:
    """Bytes from `CUBLASLT_WORKSPACE_SIZE` in KiB, read as C's stoi does: leading digits count, the rest is dropped."""
    match = _STOI.match(value)
    if match is None or not -_INT_MAX - 1 <= int(match[1]) <= _INT_MAX:
        return default, f"CUBLASLT_WORKSPACE_SIZE={value!r} is no number of KiB; torch warns and takes {default} bytes"
    if int(match[1]) < 0:
        return default, f"CUBLASLT_WORKSPACE_SIZE={value!r} is negative: torch would ask for an absurd size"
    return int(match[1]) * KIB, ""


def _default_bytes(facts: TorchFacts, compute_capability: tuple[int, int]) -> tuple[int, str]:
    major = compute_capability[0]
    if major == 9:
        # Trees before 2.12 test for 9.0 exactly; no other 9.x card exists.
        return HOPPER_BYTES, "[source] 32 MiB on compute capability 9.x"
    if major in (10, 12) and facts.minor >= (2, 12):
        return HOPPER_BYTES, f"[source] 32 MiB on compute capability {major}.x"
    if major == 11 and facts.minor >= (2, 14):
        return HOPPER_BYTES, "[source] 32 MiB on compute capability 11.x"
    return DEFAULT_BYTES, "[source] 2 x 4096 KiB + 8 x 16 KiB"


def cublas_workspace(
    torch_version: str, compute_capability: tuple[int, int], environ: Mapping[str, str] | None = None
) -> WorkspaceRule:
    """The rule for a torch version, a card and the environment of the process.

    Args:
        torch_version: as `torch.__version__` prints it.
        compute_capability: of the card.
        environ: variables the process starts with; none by default.

    Raises:
        VersionError: the version is none.
    """
    environ = environ or {}
    facts = torch_facts(torch_version)
    default, evidence = _default_bytes(facts, compute_capability)
    notes = [facts.note]
    cublas_bytes = default
    if (config := environ.get("CUBLAS_WORKSPACE_CONFIG")) is not None:
        cublas_bytes, note = parse_cublas_config(config, default)
        notes.append(note)
    lt_bytes = LT_DEFAULT_BYTES
    if (size := environ.get("CUBLASLT_WORKSPACE_SIZE")) is not None:
        lt_bytes, note = parse_lt_size(size, LT_DEFAULT_BYTES)
        notes.append(note)
    if check_env(environ, "TORCH_BLAS_PREFER_CUBLASLT") is True:
        notes.append("TORCH_BLAS_PREFER_CUBLASLT=1 sends more products to cublasLt than this rule knows")
    cached = facts.cublas_cached or check_env(environ, "TORCH_CUBLAS_WORKSPACE_CACHE") is True
    shares = _lt_shares(facts, environ, cached)
    if facts.lt_workspace == "persistent" and not shares:
        evidence += "; cublasLt keeps a buffer of its own [source]"
    lt_kept = cached and facts.minor >= (2, 9)
    return WorkspaceRule(
        cublas_bytes=cublas_bytes,
        lt_bytes=0 if shares else lt_bytes,
        lifetime="persistent" if cached else "per_call",
        lt_lifetime="persistent" if lt_kept else "per_call",
        lt_shares_cublas=shares,
        evidence=evidence,
        notes=tuple(note for note in notes if note),
    )


def _lt_shares(facts: TorchFacts, environ: Mapping[str, str], cached: bool) -> bool:
    """Whether cublasLt uses cuBLAS's buffer: by default from 2.12 on, on request from 2.8 to 2.11, never uncached."""
    unified = check_env(environ, "TORCH_CUBLASLT_UNIFIED_WORKSPACE")
    if not cached or facts.minor < (2, 8):
        return False
    return unified is not False if facts.minor >= (2, 12) else unified is True


def addmm_uses_lt(
    bias_shape: tuple[int, ...],
    mat1_shape: tuple[int, int],
    mat2_shape: tuple[int, int],
    dtype: str,
    *,
    contiguous: bool = True,
    beta: float = 1.0,
    environ: Mapping[str, str] | None = None,
) -> bool:
    """Whether `addmm` (a linear layer with bias) goes to cublasLt; `mm`, `bmm` and `baddbmm` go to cuBLAS.

    Source: isInputCompliesAddmmCudaLt in ATen/native/cuda/Blas.cpp, tree of 2025 to 2026; older ones do not look at the
    sizes of `mat1`. Fused activations (`_addmm_activation`) with a two-dimensional bias go to cublasLt too.

    Args:
        bias_shape: of the summand; in place on the result counts as no bias.
        mat1_shape: (rows, inner).
        mat2_shape: (inner, columns).
        dtype: of the matrices.
        contiguous: bias and result are.
        beta: factor of the summand.
        environ: DISABLE_ADDMM_CUDA_LT=1 switches it off.
    """
    if (environ or {}).get("DISABLE_ADDMM_CUDA_LT") == "1" or beta != 1.0 or not contiguous:
        return False
    if not bias_shape or bias_shape[-1] != mat2_shape[1] or any(size != 1 for size in bias_shape[:-1]):
        return False
    known = dtype.removeprefix("torch.") in ("float64", "float32", "float16", "bfloat16")
    return known and min(*mat1_shape, *mat2_shape) > 1
