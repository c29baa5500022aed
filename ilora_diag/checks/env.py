"""From facts to the record of env-check."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

from ilora_diag.checks.common import no_card_here
from ilora_diag.checks.judging import case_of, judge_case
from ilora_diag.checks.layers import sections
from ilora_diag.knowledge.reading import ErrorReading
from ilora_diag.schema import Confidence, Facts, Finding, Severity, Unavailable, Value, to_json
from ilora_diag.schema.env_check import EnvCheck, RankCheck, RankDifference, Verdict
from ilora_diag.schema.known import Known

_GROUNDED = (Confidence.CONFIRMED, Confidence.STRONGLY_SUGGESTED)
_MUST_AGREE = ("driver.version", "driver.kmod", "torch.version", "torch.cuda_build", "torch.nccl_version",
               "cuda.driver_version", "python.version")  # fmt: skip
_COMPARED = (
    *("driver.", "torch.", "cuda.", "package.", "env.", "gpu[", "shm.", "ulimit.", "cgroup.memory_max", "os.kernel"),
    *("os.name", "fabric_manager.", "container.", "nvml.", "cudnn.", "toolkit.", "python."),
)
_OWN_TO_A_RANK = (
    *("uuid", "serial", "bus_id", "minor_number", "temperature", "power_draw", "utilization", "clocks_event"),
    *("pcie_replays", ".pid", "_path", "candidates", "performance_state", "process[", "corrected_", "bar1_used"),
    *("env.RANK", "env.LOCAL_RANK", "env.GROUP_RANK", "env.ROLE_RANK", "env.CUDA_VISIBLE_DEVICES", "cuda_ordinal"),
    *("link_gen", "shm.free"),
)
_NOISE_BYTES = 64 << 20
"""Memory in use that two ranks may differ by without anybody else being there."""


def check_env(
    facts: Facts,
    error: ErrorReading | None = None,
    *,
    only: Collection[str] = (),
    skip: Collection[str] = (),
) -> EnvCheck:
    """Judge facts.

    Args:
        facts: of a machine.
        error: what an error text says.
        only: codes to look for; empty means all.
        skip: codes to leave out.
    """
    case = case_of(facts, error)
    findings = tuple(one for one in judge_case(case) if (not only or one.code in only) and one.code not in skip)
    missing = Unavailable(reason="no error text was given", source="--error")
    return EnvCheck(
        verdict=verdict_of(findings),
        findings=findings,
        sections=sections(case, findings),
        facts=facts,
        facts_digest=hashlib.sha256(to_json(facts).encode()).hexdigest(),
        error_digest=case.reading.digest if case.reading is not None else missing,
        no_card=no_card_here(case),
    )


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """Healthy without an error; unknown where no error is founded."""
    errors = [one for one in findings if one.severity is Severity.ERROR]
    if not errors:
        return Verdict.HEALTHY
    return Verdict.FINDINGS if any(one.confidence in _GROUNDED for one in errors) else Verdict.UNKNOWN


def compare_ranks(ranks: Sequence[tuple[str, Facts]]) -> RankCheck:
    """What several machines differ in, and what is wrong with each.

    Args:
        ranks: name and facts of each; at least one.
    """
    tables = [{fact.path: fact.value for fact in facts.facts} for _, facts in ranks]
    paths = sorted({path for table in tables for path in table if _is_compared(path)})
    differences = []
    for path in paths:
        values = tuple(table.get(path, Unavailable(reason="not collected", source=path)) for table in tables)
        if not _alike(path, values):
            differences.append(RankDifference(path=path, values=values, matters=_matters(path)))
    differences.sort(key=lambda one: (not one.matters, one.path))
    findings = tuple(judge_case(case_of(facts)) for _, facts in ranks)
    return RankCheck(ranks=tuple(name for name, _ in ranks), differences=tuple(differences), findings=findings)


def _is_compared(path: str) -> bool:
    return path.startswith(_COMPARED) and not any(part in path for part in _OWN_TO_A_RANK)


def _matters(path: str) -> bool:
    return path in _MUST_AGREE or path.startswith(("env.PYTORCH", "env.NCCL")) or path.endswith(
        (".name", ".memory_total_bytes", ".compute_capability", ".memory_used_bytes", "nvml.device_count")
    ) or ("nccl" in path and path.endswith(".version"))  # fmt: skip


def _alike(path: str, values: tuple[Known[Value], ...]) -> bool:
    known = [value for value in values if not isinstance(value, Unavailable)]
    if len(known) < len(values):
        return not known or path.startswith("gpu[")  # a missing card shows in the counts already
    if path.endswith(("_used_bytes", "_free_bytes")):
        numbers = [value for value in known if isinstance(value, int)]
        return max(numbers) - min(numbers) <= _NOISE_BYTES
    return all(value == known[0] for value in known)
