"""From one healthy machine: each broken fact is named, alone; what is no fault, or is missing, is not."""

from __future__ import annotations

import pytest

from benchmarks.diagnosis_cases import HARMLESS, HEALTHY, MUTATIONS, Mutation, facts_of, mutated
from ilora_diag.checks.judging import judge
from ilora_diag.collect.vocabulary import complaint
from ilora_diag.schema import Confidence, Severity


def test_the_healthy_machine_speaks_the_vocabulary_and_has_no_finding() -> None:
    facts = facts_of(HEALTHY)
    assert [complaint(fact) for fact in facts.facts if complaint(fact)] == []
    assert judge(facts) == ()
    assert len(MUTATIONS) >= 30


@pytest.mark.parametrize(
    "mutation", MUTATIONS, ids=[f"{number}-{one.category}" for number, one in enumerate(MUTATIONS)]
)
def test_a_broken_fact_is_named_and_nothing_else(mutation: Mutation) -> None:
    findings = judge(mutated(mutation.changes))
    assert [one.category for one in findings] == [mutation.category]
    (finding,) = findings
    assert finding.remedy or finding.decider
    if finding.confidence in (Confidence.CONFIRMED, Confidence.STRONGLY_SUGGESTED):
        changed = {f"facts:{path}" for path in mutation.changes}
        assert changed & {one.path for one in finding.evidence}, "the broken fact is the evidence"


@pytest.mark.parametrize("changes", HARMLESS, ids=[",".join(one) or "nothing" for one in HARMLESS])
def test_what_is_no_fault_has_no_finding(changes: dict[str, object]) -> None:
    assert judge(mutated(changes)) == ()


@pytest.mark.parametrize("path", HEALTHY)
def test_a_fact_that_is_missing_is_no_fault(path: str) -> None:
    rest = {other: value for other, value in HEALTHY.items() if other != path}
    assert judge(facts_of(rest)) == ()


@pytest.mark.parametrize(
    ("path", "value", "category"),
    [
        ("driver.libcuda", "575.51.03", "driver_library_mismatch"),
        ("driver.libcuda_path", "/usr/local/cuda/lib64/stubs/libcuda.so", "stub_library"),
        ("dev.nvidia-uvm", "ENOENT", "uvm_missing"),
        ("dev.nvidiactl", "EPERM", "cgroup_reload"),
        ("nvml.status", 9, "no_driver_visible"),
        ("cuda.driver_version", "11.4", "driver_too_old"),
    ],
)
def test_a_fact_that_contradicts_a_working_cuda_is_still_named(path: str, value: str | int, category: str) -> None:
    """One fact is then of another time or place than the others; it is a warning where CUDA was seen to work."""
    findings = judge(mutated({path: value}))
    assert [one.category for one in findings] == [category]
    assert findings[0].severity in (Severity.WARNING, Severity.ERROR)
