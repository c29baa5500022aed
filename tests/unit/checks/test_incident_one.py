"""Incident 1: a driver error at `.to(device)`, expandable segments on, in a vGPU guest; and its nearest neighbours."""

from __future__ import annotations

import pytest

from benchmarks.diagnosis_cases import facts_of
from ilora_diag.checks.judging import judge
from ilora_diag.knowledge.reading import read_error
from ilora_diag.schema import Confidence, Facts, Finding, Unavailable, Value
from ilora_diag.schema.known import Known

ERROR = """Traceback (most recent call last):
  File "src/teacher/factory.py", line 88, in create
    rec_model.to(device)
  File "torch/nn/modules/module.py", line 1152, in to
    return self._apply(convert)
RuntimeError: CUDA driver error: operation not supported
"""
GUEST: dict[str, Known[Value]] = {
    "gpu[0].name": "GRID A100-40C",
    "gpu[0].virtualization_mode": "vgpu",
    "torch.version": "2.3.0+cu121",
    "torch.cuda_build": "12.1",
    "driver.version": "535.104.05",
    "container.kind": "docker",
    "env.PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
}
OFF = "expandable_segments:False"


def answer(changes: dict[str, Known[Value]], error: str = ERROR) -> tuple[Finding, ...]:
    return judge(facts_of({**GUEST, **changes}), read_error(error))


def test_the_story_is_strongly_suggested_with_the_deciding_probe_and_the_fix() -> None:
    (finding,) = answer({})
    assert finding.category == "expandable_unsupported"
    assert finding.confidence is Confidence.STRONGLY_SUGGESTED
    assert finding.decider is not None
    assert finding.decider.fact == "gpu[0].vmm_supported"
    assert "--deep" in finding.decider.command
    assert finding.remedy is not None
    assert OFF in finding.remedy
    seen = {one.path for one in finding.evidence}
    assert {"facts:gpu[0].virtualization_mode", "facts:env.PYTORCH_CUDA_ALLOC_CONF"} < seen
    assert any(path.startswith("error:") for path in seen)


@pytest.mark.parametrize("value", [None, OFF, "max_split_size_mb:128", ""])
def test_with_the_setting_known_to_be_off_it_is_not_the_cause(value: str | None) -> None:
    findings = answer({"env.PYTORCH_CUDA_ALLOC_CONF": value})
    assert findings[0].category == "unknown"
    assert findings[0].decider is not None
    assert all(one.category != "expandable_unsupported" for one in findings)


def test_where_the_environment_was_not_captured_it_is_a_hypothesis() -> None:
    values = {path: value for path, value in GUEST.items() if not path.startswith("env.")}
    (finding,) = judge(facts_of(values), read_error(ERROR))
    assert (finding.category, finding.confidence) == ("expandable_unsupported", Confidence.HYPOTHESIS)
    assert finding.decider is not None
    assert finding.decider.fact == "env.PYTORCH_CUDA_ALLOC_CONF"


def test_the_message_alone_is_a_hypothesis() -> None:
    (finding,) = judge(Facts(captured_at=Unavailable(reason="not collected")), read_error(ERROR))
    assert (finding.category, finding.confidence) == ("expandable_unsupported", Confidence.HYPOTHESIS)


def test_the_driver_attribute_confirms_it_without_any_message() -> None:
    (finding,) = judge(facts_of({**GUEST, "gpu[0].vmm_supported": False}))
    assert (finding.category, finding.confidence) == ("expandable_unsupported", Confidence.CONFIRMED)
    assert finding.decider is None


def test_a_card_that_offers_virtual_memory_management_refutes_it() -> None:
    bare = {"gpu[0].name": "NVIDIA A100-SXM4-40GB", "gpu[0].virtualization_mode": "none", "gpu[0].vmm_supported": True}
    findings = answer({**bare})
    assert findings[0].category == "unknown"
    assert findings[0].decider is not None
    assert "--deep" in findings[0].decider.command


def test_the_first_broken_step_of_the_probe_confirms_it_on_any_card() -> None:
    bare = {"gpu[0].name": "NVIDIA A100-SXM4-40GB", "gpu[0].virtualization_mode": "none", "gpu[0].vmm_supported": True}
    (finding,) = answer({**bare, "gpu[0].probe.set_access": 999})
    assert (finding.category, finding.confidence) == ("expandable_unsupported", Confidence.CONFIRMED)


def test_a_name_that_this_torch_does_not_read_sets_nothing() -> None:
    """The third explanation of the report: PYTORCH_ALLOC_CONF is not read before 2.10, so the setting was off."""
    changes: dict[str, Known[Value]] = {
        "env.PYTORCH_CUDA_ALLOC_CONF": None,
        "env.PYTORCH_ALLOC_CONF": "expandable_segments:True",
    }
    findings = judge(facts_of({**GUEST, **changes}))
    assert [one.category for one in findings] == ["alloc_conf_ignored"]
    assert "expandable_segments:True" not in (findings[0].remedy or ""), "what the guest refuses is not recommended"
    changes["torch.version"] = "2.11.0+cu130"
    assert [one.category for one in judge(facts_of({**GUEST, **changes, "torch.cuda_build": "12.1"}))] == [
        "expandable_unsupported"
    ]


def test_an_error_of_the_symmetric_memory_is_not_taken_for_it() -> None:
    values = {path: value for path, value in GUEST.items() if not path.startswith("env.")}
    elsewhere = f"CUDASymmetricMemory.cu:12\n{ERROR}"
    assert judge(facts_of(values), read_error(elsewhere))[0].category == "unknown"
