"""Explanation: what an error text says, what may have caused it, and what the facts say of each cause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.finding import Decider, Finding
from ilora_diag.schema.known import Known, Unavailable, require_sizes

NOT_SAID = Unavailable(reason="the message does not say", source="error text")


class CauseState(StrEnum):
    """What the facts say of a cause. A message alone never confirms one that needs facts."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    SUGGESTED = "suggested"  # the facts speak for it, and one fact that would prove it is missing
    OPEN = "open"


class OomCause(StrEnum):
    """What an out-of-memory message can come down to."""

    LIVE_TENSORS = "live_tensors"
    FRAGMENTATION = "fragmentation"
    OTHER_PROCESS = "other_process"
    CAPACITY_SMALLER = "capacity_smaller"
    LIMIT_SET = "limit_set"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherProcess:
    """A process that the message names by number; in a container the number may be this process's own, outside."""

    pid: int
    used_bytes: Known[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class OomMessage:
    """The numbers of an out-of-memory message; every one the text does not give is Unavailable.

    A printed size has two decimals, so a number of bytes is the middle of an interval; `tolerances` has half its width.

    Attributes:
        wording: which text it is: thc, cached, reserved, reserved_hint, 2.1, 2.2, 2.10, 2.11, short, async, preempted,
            mps, xpu, too_large, or masked_nvml, masked_cublas, masked_cudnn, masked_cusolver, masked_nccl,
            masked_runtime, masked_driver where something else failed for want of memory and gives no numbers; host.
        backend: cuda, hip, mps or xpu.
        requested_bytes: what was asked for: of the caching allocator, the segment, not the tensor.
        this_process_bytes: what NVML calls this process's; Unavailable where it wrapped around (see flags).
        allocated_bytes: live blocks, those in private pools included where the message counts them in.
        private_pool_bytes: the part of `allocated_bytes` in private pools (CUDA graphs).
        unallocated_bytes: reserved by PyTorch, in no live block.
        limit_bytes: the cap of this process: a memory fraction, on MPS the high watermark.
        non_torch_bytes: of MPS, what the process has from Metal outside PyTorch.
        flags: names of peculiarities that the numbers show, see `knowledge.oom`.
        advice: settings the message itself recommends, as `expandable_segments:True`.
        line: where it stands in the text, from 1.
    """

    wording: str
    backend: str = "cuda"
    device: Known[int] = NOT_SAID
    requested_bytes: Known[int] = NOT_SAID
    capacity_bytes: Known[int] = NOT_SAID
    free_bytes: Known[int] = NOT_SAID
    this_process_bytes: Known[int] = NOT_SAID
    allocated_bytes: Known[int] = NOT_SAID
    private_pool_bytes: Known[int] = NOT_SAID
    unallocated_bytes: Known[int] = NOT_SAID
    limit_bytes: Known[int] = NOT_SAID
    non_torch_bytes: Known[int] = NOT_SAID
    other_processes: tuple[OtherProcess, ...] = ()
    tolerances: tuple[tuple[str, int], ...] = ()
    flags: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    line: int = 1

    def __post_init__(self) -> None:
        require_sizes(
            requested_bytes=self.requested_bytes,
            capacity_bytes=self.capacity_bytes,
            free_bytes=self.free_bytes,
            this_process_bytes=self.this_process_bytes,
            allocated_bytes=self.allocated_bytes,
            private_pool_bytes=self.private_pool_bytes,
            unallocated_bytes=self.unallocated_bytes,
            limit_bytes=self.limit_bytes,
            non_torch_bytes=self.non_torch_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureMatch:
    """A known error text found in the text.

    Attributes:
        id: name of the signature.
        layer: which software layer writes it.
        sticky: whether the CUDA context is lost: "yes", "no", "depends" or "n.a." (there is none to lose).
        unverified: no source confirms its text or its causes.
        generic: to be used only where nothing more specific matched.
        follows: a consequence of an earlier fault in the same text.
        count: how often it stands there; `first_line` and `last_line` from 1, `offset` of the first in characters.
        excerpt: what matched first.
        captured: what its groups hold, by name.
    """

    id: str
    group: str
    layer: str
    sticky: str
    excerpt: str
    first_line: int
    last_line: int
    offset: int
    count: int = 1
    unverified: bool = False
    generic: bool = False
    follows: bool = False
    captured: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        require(self.count >= 1, "what matched stands there at least once")
        require(self.first_line <= self.last_line, "the first occurrence comes before the last")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCode:
    """A code that the text names.

    Attributes:
        space: whose code: cuda, nvml, xid, exit, cublas, cudnn, cusolver, nccl.
        number: None where the text gives a name we have no number for.
        name: symbolic name, "" where unknown.
        line: first line it stands in, from 1.
        meaning: what the vendor's table says, "" where we have no row.
    """

    space: str
    number: int | None
    name: str
    line: int
    meaning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCause:
    """A cause of a signature, with what the facts say of it.

    Attributes:
        signature: whose cause it is.
        category: word of the vocabulary of causes, "" where it has none.
        text: the cause in one sentence.
        because: the observations that decided it, as "path = value".
        decider: the cheapest fact that would decide an open one.
    """

    signature: str
    category: str
    text: str
    state: CauseState
    because: tuple[str, ...] = ()
    decider: Decider | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OomStep:
    """One line of arithmetic: which sentence (a key `explain.step.NAME` of the messages), its values, in English."""

    name: str
    text: str
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OomVerdict:
    """What an out-of-memory message comes down to.

    Attributes:
        cause: the leading one; `others` are what also contributes.
        steps: the arithmetic.
        fits_bytes: the largest request that would have fitted, as far as the numbers tell.
        missing_bytes: what was missing for this one.
        advice_holds: whether what the message itself recommends would help here: True, False, or why nobody knows.
        advice_reason: the name of the reason, a key of the messages.
    """

    cause: OomCause
    others: tuple[OomCause, ...] = ()
    steps: tuple[OomStep, ...] = ()
    fits_bytes: Known[int] = NOT_SAID
    missing_bytes: Known[int] = NOT_SAID
    advice_holds: Known[bool] = NOT_SAID
    advice_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer to an error text.

    Attributes:
        digest: SHA-256 of the text, so that an answer can be laid beside what it answers.
        exception_type: class of the first exception that names a layer, with its modules.
        findings: causes, the leading one first.
        signatures: what the text holds, in the order of time.
        causes: of the leading signature, ranked: confirmed, suggested, open, refuted.
        leading: the signature that explains the text, "" where none does; `title` names it, `fix` is its first remedy.
        facts_digest: SHA-256 of the facts that were judged, or why there are none.
        garbage: the bytes are no text: most of them are no characters, or the sample has NUL bytes.
        lang: language of `causes`, `title` and `fix`.
    """

    SCHEMA: ClassVar[str] = "explain"

    digest: str
    num_bytes: int
    num_lines: int
    exception_type: Known[str]
    facts_digest: Known[str]
    findings: tuple[Finding, ...] = ()
    oom: OomMessage | None = None
    verdict: OomVerdict | None = None
    signatures: tuple[SignatureMatch, ...] = ()
    codes: tuple[ErrorCode, ...] = ()
    causes: tuple[JudgedCause, ...] = ()
    leading: str = ""
    title: str = ""
    fix: str = ""
    garbage: bool = False
    lang: str = "en"
