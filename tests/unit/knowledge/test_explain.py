"""Explanations: the incident, causes by facts, findings of an error alone."""

from __future__ import annotations

import pytest

from ilora_diag.knowledge.explain import explain
from ilora_diag.knowledge.pages import find_page, index, near
from ilora_diag.knowledge.reading import read_error
from ilora_diag.knowledge.signatures import load_signatures
from ilora_diag.schema import Confidence, Fact, Facts, Value, from_json, to_json
from ilora_diag.schema.explain_page import ExplainPage
from ilora_diag.schema.explanation import CauseState, Explanation

INCIDENT = (
    'Traceback (most recent call last):\n  File "factory.py", line 80, in create\n    rec_model.to(device)\n'
    "RuntimeError: CUDA driver error: operation not supported\n"
)
ON = {"env.PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
GUEST = {"gpu[0].virtualization_mode": "vgpu", "torch.version": "2.6.0"}


def facts(values: dict[str, Value]) -> Facts:
    return Facts(captured_at=1.0, facts=tuple(Fact(path=p, value=v, source="test") for p, v in values.items()))


def explained(text: str, values: dict[str, Value] | None = None, lang: str = "en") -> Explanation:
    return explain(read_error(text), None if values is None else facts(values), lang=lang)


def test_the_incident_is_strongly_suggested_with_its_probe_and_its_fix() -> None:
    found = explained(INCIDENT, {**ON, **GUEST})
    first = found.findings[0]
    assert (first.category, first.confidence) == ("expandable_unsupported", Confidence.STRONGLY_SUGGESTED)
    assert "expandable_segments:False" in (first.remedy or "")
    assert first.decider is not None
    assert found.causes[0].state is CauseState.SUGGESTED


def test_the_same_message_with_the_variable_unset_is_not() -> None:
    found = explained(INCIDENT, {"env.PYTORCH_CUDA_ALLOC_CONF": None, "env.PYTORCH_ALLOC_CONF": None, **GUEST})
    assert all(finding.category != "expandable_unsupported" for finding in found.findings)
    states = {cause.state for cause in found.causes if cause.category == "expandable_unsupported"}
    assert states == {CauseState.REFUTED}


def test_the_refused_attribute_proves_it_and_the_message_alone_does_not() -> None:
    proved = explained(INCIDENT, {**ON, "gpu[0].vmm_supported": False})
    assert proved.findings[0].confidence is Confidence.CONFIRMED
    alone = explained(INCIDENT)
    assert alone.findings[0].confidence is Confidence.HYPOTHESIS
    assert CauseState.CONFIRMED not in {cause.state for cause in alone.causes}


def test_a_variable_that_this_torch_does_not_read_switches_nothing_on() -> None:
    old = {"env.PYTORCH_CUDA_ALLOC_CONF": None, "env.PYTORCH_ALLOC_CONF": "expandable_segments:True"}
    found = explained(INCIDENT, {**old, "gpu[0].virtualization_mode": "vgpu", "torch.version": "2.9.1"})
    assert found.causes[-1].state is CauseState.REFUTED
    newer = explained(INCIDENT, {**old, "gpu[0].virtualization_mode": "vgpu", "torch.version": "2.10.0"})
    assert newer.causes[0].state is CauseState.SUGGESTED


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ('NVML_SUCCESS == r INTERNAL ASSERT FAILED at "../c10/cuda/CUDACachingAllocator.cpp":830', "masked_oom"),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "masked_oom"),
        ("_pickle.UnpicklingError: Weights only load failed. Unsupported global: GLOBAL SASRec", "checkpoint_pickle"),
        ("RuntimeError: Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!",
         "device_mismatch"),
        ("RuntimeError: Trying to backward through the graph a second time", "reentrant_checkpoint"),
        ("UserWarning: None of the inputs have requires_grad=True. Gradients will be None\nRuntimeError: element 0 of "
         "tensors does not require grad and does not have a grad_fn", "frozen_input_checkpoint"),
        ("kernel: oom-kill:constraint=CONSTRAINT_MEMCG,task=python", "host_oom_kill"),
        ("MPS client failed to connect to the MPS control daemon", "unknown"),
    ],
)  # fmt: skip
def test_an_error_alone_leads_to_its_category(text: str, category: str) -> None:
    assert explained(text).findings[0].category == category


def test_the_messages_own_advice_never_becomes_the_remedy_unchecked() -> None:
    text = (
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 16.00 GiB of which 1.00 GiB is "
        "free. Of the allocated memory 12.00 GiB is allocated by PyTorch, and 2.00 GiB is reserved by PyTorch but "
        "unallocated. If reserved but unallocated memory is large try setting "
        "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"
    )
    open_ = explained(text).findings[0]
    assert (open_.category, (open_.remedy or "").startswith("ilora-diag env-check")) == ("oom_fragmentation", True)
    guest = explained(text, GUEST).findings[0]
    assert guest.category == "oom_fragmentation"
    assert "expandable_segments:True" not in (guest.remedy or "")
    sound = explained(text, {"gpu[0].vmm_supported": True}).findings[0]
    assert sound.remedy == "export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"


def test_nothing_is_found_in_nothing() -> None:
    assert explained("").findings == ()
    assert explained("all went well\n").findings == ()


def test_every_sample_is_explained_in_both_languages_and_survives_json() -> None:
    for signature in load_signatures():
        for lang in ("en", "ja"):
            found = explained(signature.samples[0], {}, lang)
            assert found.findings, signature.id
            assert from_json(Explanation, to_json(found)) == found


def test_every_code_of_the_list_has_a_page() -> None:
    for lang in ("en", "ja"):
        whole = index(lang)
        for entry in whole.entries:
            page = find_page(entry.code, lang)
            assert page is not None, entry.code
            assert from_json(ExplainPage, to_json(page)) == page


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("801", "cuda 801"), ("cudaErrorNotSupported", "cuda 801"), ("CUDA_ERROR_NOT_SUPPORTED", "cuda 801"),
        ("error 803", "cuda 803"), ("Xid 79", "xid 79"), ("xid79", "xid 79"), ("nvml 18", "nvml 18"),
        ("alc001", "ALC001"), ("expandable_unsupported", "ALC001"), ("vmm_not_supported", "vmm_not_supported"),
    ],
)  # fmt: skip
def test_a_code_is_found_however_it_is_spelt(asked: str, code: str) -> None:
    page = find_page(asked, "en")
    assert page is not None
    assert page.code == code


@pytest.mark.parametrize("asked", ["", "9999", "12345", "xid 9999", "no_such_thing", "Xid", "../../etc/passwd"])
def test_what_is_no_code_has_no_page(asked: str) -> None:
    assert find_page(asked, "en") is None


def test_a_mistyped_code_is_guessed() -> None:
    assert "vmm_not_supported" in near("vmm_not_suported")
