"""Which kernel scaled-dot-product attention takes on CUDA: the conditions of torch, on shapes instead of tensors.

Sources: aten/src/ATen/native/transformers/cuda/sdp_utils.cpp of pytorch at commit 001f694a (rules of 2.14 and later)
and of a tree of about 2.10 (no GQA in the efficient kernel, other head dimensions for cuDNN). From when on a condition
of the newer one holds was read in libtorch_cuda.so of the 2.11.0, 2.12.1, 2.13.0 and 2.14.1 wheels: the instructions of
`select_sdp_backend`, `check_cudnn_tensor_shapes`, `check_cudnn_d256_bprop_head_dim` and
`is_cudnn_attention_decode_disabled`, and the texts of the refusals, the same in all four but for those conditions.

Conditions are asked in torch's order, so the reason given is the one torch would warn with. Not modelled: nested
tensors, ROCm, a priority order set by the user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ilora_diag.hardware.attention_query import (
    BACKENDS,
    AttentionCase,
    AttentionQuery,
    AttentionQueryError,
    Backend,
)
from ilora_diag.hardware.attention_rules import CHECKS, cudnn_number
from ilora_diag.hardware.torch_versions import torch_facts
from ilora_diag.hardware.workspaces import check_env
from ilora_diag.schema import Unavailable

__all__ = [
    "BACKENDS",
    "AttentionChoice",
    "AttentionQuery",
    "AttentionQueryError",
    "Backend",
    "choose_attention",
    "priority_order",
    "why_not",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionChoice:
    """The kernel taken.

    Attributes:
        backend: the kernel; "none" where torch raises "No available kernel".
        refused: backends that were asked before it, in order, and why each would not do.
        notes: what the answer rests on and is not certain: an unknown version, an unknown cuDNN.
    """

    backend: Backend | Literal["none"]
    refused: tuple[tuple[Backend, str], ...]
    notes: tuple[str, ...] = ()


def _prefers_cudnn(case: AttentionCase) -> bool:
    """check_prefer_cudnn_attention of the version; torch asks once per process."""
    (major, minor), cudnn, environ = case.query.compute_capability, cudnn_number(case), case.query.environ
    if case.facts.cudnn_first == "bundled_9_9":
        wanted = check_env(environ, "TORCH_CUDNN_SDPA_PREFERRED") is not False
        return wanted and cudnn >= 90900 and (major, minor) in ((9, 0), (10, 0))
    if case.facts.cudnn_first == "runtime_above_9_15":
        wanted = check_env(environ, "TORCH_CUDNN_SDPA_DEPRIORITIZED") is not True
        cuda = case.facts.cuda
        any_minor = case.facts.attention_2_13 and not isinstance(cuda, Unavailable) and cuda >= (13, 0)
        return wanted and cudnn > 91500 and major in (9, 10) and (any_minor or minor in (0, 3))
    return False


def priority_order(query: AttentionQuery) -> tuple[Backend, ...]:
    """The order in which torch asks the backends."""
    return _order(_case(query))


def _order(case: AttentionCase) -> tuple[Backend, ...]:
    return ("cudnn", "flash", "efficient", "math") if _prefers_cudnn(case) else ("flash", "efficient", "math", "cudnn")


def _case(query: AttentionQuery) -> AttentionCase:
    facts = torch_facts(query.torch_version)
    return AttentionCase(query, facts, facts.cudnn if query.cudnn_version is None else query.cudnn_version)


def _refusal(case: AttentionCase, backend: Backend) -> str | None:
    return next((reason for check in CHECKS[backend] if (reason := check(case)) is not None), None)


def why_not(query: AttentionQuery, backend: Backend) -> str | None:
    """The first condition of a backend that does not hold; None where it can run."""
    return _refusal(_case(query), backend)


def _choose(case: AttentionCase) -> tuple[Backend | Literal["none"], tuple[tuple[Backend, str], ...]]:
    refused: list[tuple[Backend, str]] = []
    for backend in _order(case):
        reason = _refusal(case, backend)
        if reason is None:
            return backend, tuple(refused)
        refused.append((backend, reason))
    return "none", tuple(refused)


def _notes(case: AttentionCase) -> tuple[str, ...]:
    notes = [case.facts.note]
    if isinstance(case.cudnn, Unavailable):
        notes.append(f"cuDNN attention counts as refused: {case.cudnn.reason}")
    return tuple(note for note in notes if note)


def choose_attention(query: AttentionQuery) -> AttentionChoice:
    """The backend torch takes: the first in its order whose conditions all hold.

    Raises:
        VersionError: the torch version is none.
    """
    case = _case(query)
    backend, refused = _choose(case)
    return AttentionChoice(backend=backend, refused=refused, notes=_notes(case))
