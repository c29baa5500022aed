"""A trial of a configuration: the trainer's own steps, and everything the answer says of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from ilora_diag.engine.signature import signature_of
from ilora_diag.schema import Category, Unavailable
from ilora_diag.schema.trial_answer import PeakParts, TrialAnswer, TrialEnd
from ilora_diag.schema.trial_request import Stage, Target, TrialRequest
from probes.trial_config import run_config_trial

MIB = 1 << 20
CONTEXT_MIB = 1200  # more than any context; what is left is what a trial gets at the least
STEP_1 = [Stage.DATA, Stage.FORWARD, Stage.BACKWARD, Stage.OPTIMIZER]
PLACED = [Stage.IMPORT, Stage.CUDA_INIT, Stage.LOAD, Stage.PLACE_LLM, Stage.PLACE_REC]


def trial(*settings: tuple[str, Any], **fields: Any) -> TrialAnswer:
    given = {"config": "tiny", "device": "virtual:t4", "steps": 1} | fields
    request = TrialRequest(id="T-01", target=Target.CONFIG, settings=settings, **given)
    return run_config_trial(request, time.perf_counter())


def effective(answer: TrialAnswer) -> dict[str, Any]:
    return dict(answer.effective)


def metrics(answer: TrialAnswer) -> dict[str, Any]:
    return {one.name: one.value for one in answer.metrics}


def stages(answer: TrialAnswer) -> list[Stage]:
    return [use.stage for use in answer.stages]


def parts(answer: TrialAnswer) -> PeakParts:
    assert not isinstance(answer.peak, Unavailable)
    return answer.peak


@pytest.fixture(scope="module")
def passed() -> TrialAnswer:
    """Three steps that pass, validation included; for everybody who looks at a pass."""
    return trial(("train.eval_every", 3), steps=3)


def test_a_pass_goes_through_every_stage_in_order(passed: TrialAnswer) -> None:
    assert (passed.end, passed.stage, passed.steps_done, passed.error) == (TrialEnd.PASSED, Stage.DONE, 3, None)
    assert stages(passed) == [*PLACED, *STEP_1, Stage.STEP_2, Stage.STEP_3, Stage.VALIDATION]


def test_stages_have_times_and_the_bytes_at_their_end_and_peak(passed: TrialAnswer) -> None:
    uses = {use.stage: use for use in passed.stages}
    assert uses[Stage.LOAD].peak_allocated_bytes == 0
    placed, forward, backward = uses[Stage.PLACE_REC], uses[Stage.FORWARD], uses[Stage.BACKWARD]
    assert isinstance(forward.allocated_bytes, int)
    assert 0 < placed.allocated_bytes < forward.allocated_bytes  # type: ignore[operator]
    assert backward.allocated_bytes < backward.peak_allocated_bytes  # type: ignore[operator]
    assert max(use.peak_allocated_bytes for use in passed.stages) == metrics(passed)["peak_allocated_bytes"]  # type: ignore[type-var]
    assert max(use.peak_reserved_bytes for use in passed.stages) == metrics(passed)["peak_reserved_bytes"]  # type: ignore[type-var]


def test_the_peak_is_taken_apart_to_the_byte(passed: TrialAnswer) -> None:
    peak = parts(passed)
    assert (peak.at_failure, peak.allocated_bytes) == (False, metrics(passed)["peak_allocated_bytes"])
    assert peak.stage in (Stage.BACKWARD, Stage.STEP_2, Stage.STEP_3)
    categories = {share.category: share.size_bytes for share in peak.by_category}
    assert categories[Category.PARAMETER] > 4 * effective(passed)["parameters.float32"] - 1
    assert categories[Category.ACTIVATION] > 0
    assert Category.UNKNOWN not in categories
    assert sum(share.module.startswith("llm.base_model.model.model.layers.") for share in peak.by_module) > 10


def test_effective_values_are_read_where_they_act(passed: TrialAnswer) -> None:
    found = effective(passed)
    assert (found["precision"], found["checkpointing"]) == ("fp32", "off")
    assert (found["attention.implementation"], found["attention.backend"]) == ("sdpa", "efficient")
    assert (found["card.name"], found["card.is_virtual"], found["card.other_bytes"]) == ("Tesla T4", True, 0)
    assert (found["allocator.variable"], found["allocator.expandable_segments"]) == (None, False)
    assert found["version.torch"] == torch.__version__
    assert 0 < found["parameters.trainable"] < found["parameters.float32"]
    assert (found["train.batch_size"], found["parts.components"]) == (4, "both")


def test_every_metric_stands_once_and_is_known_on_a_card(passed: TrialAnswer) -> None:
    found = metrics(passed)
    assert set(found) == {
        "peak_allocated_bytes",
        "peak_reserved_bytes",
        "inactive_split_bytes",
        "num_alloc_retries",
        "num_ooms",
        "other_processes_before_bytes",
        "other_processes_after_bytes",
        "rss_peak_bytes",
    }
    assert all(isinstance(value, int) for value in found.values())
    assert (found["num_alloc_retries"], found["num_ooms"]) == (0, 0)


def test_a_trial_needs_what_the_estimate_says() -> None:
    from ilora.config import load_config
    from ilora_diag.hardware.gpus import find_gpu
    from ilora_diag.memory.settings import AllocatorSettings
    from probes.estimate_model import architecture, catalogue_size
    from probes.estimate_replay import CardMemory, replay
    from probes.estimate_trace import Setup, trace_once

    config = load_config(file="incident")
    setup = Setup(
        config=config,
        shape=architecture(config),
        num_items=catalogue_size(config).num_items,
        spec=find_gpu("t4"),
        torch_version=torch.__version__.partition("+")[0],
        environ={},
    )
    total = setup.spec.usable_total_bytes
    memory = CardMemory(
        capacity_bytes=total,
        total_bytes=total,
        settings=AllocatorSettings(),
        vmm=True,
        torch_version=setup.torch_version,
    )
    expected = replay(trace_once(setup, steps=2), memory)
    found = metrics(trial(config="incident", steps=2))
    assert found["peak_allocated_bytes"] == expected.peak_allocated_bytes
    assert found["peak_reserved_bytes"] == expected.peak_reserved_bytes


def test_memory_that_runs_out_is_told_at_that_moment(passed: TrialAnswer) -> None:
    placed = next(use for use in passed.stages if use.stage is Stage.PLACE_REC)
    peak = metrics(passed)["peak_reserved_bytes"]
    assert isinstance(placed.reserved_bytes, int)
    between = (placed.reserved_bytes + peak) // 2
    answer = trial(("device.memory_bytes", CONTEXT_MIB * MIB), ("device.other_bytes", _others(between)), steps=3)
    assert (answer.end, answer.steps_done) == (TrialEnd.FAILED, 0)
    assert answer.stage in (Stage.FORWARD, Stage.BACKWARD)
    assert answer.error is not None
    assert answer.error.type == "torch.OutOfMemoryError"
    assert "probes/" not in answer.error.traceback
    assert answer.error.traceback.splitlines()[1].strip().startswith('File "')
    assert "ilora/loops/plain.py" in answer.error.traceback.splitlines()[1]
    signature = signature_of(answer.error.traceback, stage=answer.stage.value)
    assert isinstance(signature.top_frame, str)
    assert signature.top_frame.partition("/")[0] in ("ilora", "lora", "loops")
    request, at_failure = answer.failed_request, parts(answer)
    assert request is not None
    assert (at_failure.at_failure, at_failure.stage) == (True, answer.stage)
    assert request.allocated_bytes == at_failure.allocated_bytes
    assert request.capacity_bytes == CONTEXT_MIB * MIB
    assert request.other_processes_bytes == _others(between) == metrics(answer)["other_processes_before_bytes"]
    assert request.requested_bytes > request.free_bytes  # type: ignore[operator]
    failed_in = next(use for use in answer.stages if use.stage is answer.stage)
    assert isinstance(failed_in.allocated_bytes, Unavailable)
    assert metrics(answer)["num_ooms"] == 1


def _others(wanted_bytes: int) -> int:
    """What others must hold of a card of CONTEXT_MIB for a trial to get so much."""
    from ilora_diag.hardware.gpus import find_gpu

    return CONTEXT_MIB * MIB - find_gpu("t4").context_bytes.high_bytes - wanted_bytes


@pytest.mark.parametrize(
    ("order", "stage"), [("llm_first", Stage.PLACE_LLM), ("rec_first", Stage.PLACE_REC)], ids=["ordinary", "reversed"]
)
def test_expandable_segments_without_the_driver_fail_at_whatever_is_placed_first(
    order: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    answer = trial(("device.vmm", False), ("parts.load_order", order), ("env.PYTORCH_CUDA_ALLOC_CONF", "seen"))
    assert (answer.end, answer.stage, answer.failed_request) == (TrialEnd.FAILED, stage, None)
    assert answer.error is not None
    assert answer.error.message == "CUDA driver error: operation not supported"
    found = effective(answer)
    assert (found["allocator.variable"], found["allocator.expandable_segments"]) == ("PYTORCH_CUDA_ALLOC_CONF", True)
    assert found["env.PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"  # as it is, not as it was asked for
    assert found["card.vmm"] is False


def test_the_language_model_alone_has_plain_adapters_and_no_recommender() -> None:
    answer = trial(("parts.components", "llm"), ("train.gradient_checkpointing", True))
    assert stages(answer) == [Stage.IMPORT, Stage.CUDA_INIT, Stage.LOAD, Stage.PLACE_LLM, *STEP_1]
    assert effective(answer)["checkpointing"] == "non_reentrant"
    names = {share.module for share in parts(answer).by_module}
    assert not any("router" in name or "recommender" in name or "projector" in name for name in names)


def test_the_recommender_alone_trains_all_of_its_parameters() -> None:
    answer = trial(("parts.components", "rec"))
    assert stages(answer) == [Stage.IMPORT, Stage.CUDA_INIT, Stage.LOAD, Stage.PLACE_REC, *STEP_1]
    found = effective(answer)
    assert found["parameters.trainable"] == found["parameters.float32"] > 0
    assert "attention.implementation" not in found


def test_the_order_of_placing_changes_the_order_of_the_stages_and_nothing_that_is_built() -> None:
    usual, reverse = trial(stop_after=Stage.DATA), trial(("parts.load_order", "rec_first"), stop_after=Stage.DATA)
    assert stages(reverse)[3:5] == [Stage.PLACE_REC, Stage.PLACE_LLM]
    ends = [answer.stages[-1].allocated_bytes for answer in (usual, reverse)]
    assert ends[0] == ends[1]
    assert usual.stage is reverse.stage is Stage.DATA


@pytest.mark.parametrize("weights", ["checkpoint", "random"])
def test_the_recommenders_weights_come_from_its_file_or_are_random_in_the_same_shapes(
    weights: str, tmp_path: Path
) -> None:
    from ilora.config import load_config
    from ilora.rec import save_recommender
    from ilora.rec.build import build_recommender

    config = load_config(file="tiny")
    save_recommender(build_recommender(config.rec, 77, 10), tmp_path / "rec.safetensors")
    answer = trial(
        ("rec.checkpoint", str(tmp_path / "rec.safetensors")),
        ("parts.rec_weights", weights),
        ("parts.components", "rec"),
    )
    assert (answer.end, effective(answer)["parts.rec_weights"]) == (TrialEnd.PASSED, weights)
    assert effective(answer)["parameters.float32"] == sum(
        one.numel() for one in build_recommender(config.rec, 77, 10).parameters()
    )


def test_without_a_file_the_weights_are_random_and_that_is_said(passed: TrialAnswer) -> None:
    assert effective(passed)["parts.rec_weights"] == "random"
    assert any("rec.checkpoint names no file" in note for note in passed.notes)


@pytest.mark.parametrize("last", [Stage.PLACE_LLM, Stage.FORWARD, Stage.OPTIMIZER, Stage.STEP_2])
def test_nothing_runs_beyond_the_last_stage_asked_for(last: Stage) -> None:
    answer = trial(("train.gradient_accumulation_steps", 2), steps=3, stop_after=last)
    assert (answer.end, answer.stage, stages(answer)[-1]) == (TrialEnd.PASSED, last, last)
    assert answer.steps_done == {Stage.OPTIMIZER: 1, Stage.STEP_2: 2}.get(last, 0)


@pytest.mark.parametrize(
    ("settings", "fields", "words"),
    [
        ([("train.precision", "fp8")], {}, "train.precision=fp8: allowed is one of"),
        ([("train.batch", 3)], {}, "Did you mean train.batch_size?"),
        ([("train.use_reentrant", True)], {}, "second time"),
        ([("parts.components", "half")], {}, "parts.components=half: allowed is both, llm, rec"),
        ([("parts.wheels", 4)], {}, "parts.wheels: allowed is components, load_order, rec_weights"),
        ([("apply.release", "x")], {}, "acts on scripts alone"),
        ([("device.vmm", 1)], {}, "device.vmm=1: allowed is true or false"),
        ([("device.memory_bytes", 0)], {}, "device.memory_bytes=0"),
        ([("device.memory_bytes", MIB)], {"device": "cpu"}, "device.memory_bytes on cpu: allowed is nothing"),
        ([("rec.checkpoint", "no/such/file")], {}, "no/such/file"),
        ([], {"device": "virtual:t5"}, "no card is called 't5'"),
        ([], {"device": "tpu"}, "device tpu: allowed is cpu, cuda or virtual:NAME"),
        ([], {"torch_version": "newest"}, "newest"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    settings: list[tuple[str, Any]], fields: dict[str, Any], words: str
) -> None:
    answer = trial(*settings, **fields)
    assert answer.end is TrialEnd.REFUSED
    assert answer.error is not None
    assert words in answer.error.message


def test_what_the_model_of_a_card_does_not_carry_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "backend:cudaMallocAsync")
    answer = trial()
    assert (answer.end, answer.steps_done) == (TrialEnd.NOT_CARRIED, 0)
    assert answer.error is not None
    assert "cudaMallocAsync" in answer.error.message


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_card_a_trial_on_one_says_so() -> None:
    answer = trial(device="cuda")
    assert (answer.end, answer.stage) == (TrialEnd.NO_DEVICE, Stage.CUDA_INIT)
    assert answer.error is not None
    assert "virtual:t4" in answer.error.message


def test_on_the_host_there_are_times_and_resident_memory_and_no_card() -> None:
    answer = trial(("data.max_seq_len", 64), device="cpu")
    assert (answer.end, answer.steps_done) == (TrialEnd.PASSED, 1)
    assert isinstance(metrics(answer)["peak_allocated_bytes"], Unavailable)
    assert metrics(answer)["rss_peak_bytes"] > MIB
    assert isinstance(answer.peak, Unavailable)
    assert "allocator.variable" not in effective(answer)


def test_growth_is_followed_where_it_is_asked_for() -> None:
    answer = trial(growth_steps=4)
    assert answer.steps_done == 4
    assert answer.retention is not None
    assert (len(answer.retention.live_bytes), answer.retention.is_growing) == (4, False)


def test_another_card_has_another_precision_and_attention() -> None:
    found = effective(trial(device="virtual:h100"))
    assert (found["precision"], found["card.compute_capability"]) == ("bf16", "9.0")
    assert found["parameters.bfloat16"] > 0


@pytest.mark.slow
def test_lightning_goes_through_the_same_stages() -> None:
    answer = trial(("train.loop", "lightning"), ("train.eval_every", 2), steps=2)
    assert (answer.end, answer.steps_done) == (TrialEnd.PASSED, 2)
    assert stages(answer) == [*PLACED, *STEP_1, Stage.STEP_2, Stage.VALIDATION]
