"""Out-of-memory messages: every number of every real one, and what each comes down to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ilora_diag.checks.judging import judge
from ilora_diag.knowledge.advice import judge_advice
from ilora_diag.knowledge.lookups import Named
from ilora_diag.knowledge.oom import looks_like_self, parse_oom
from ilora_diag.knowledge.oom_verdict import classify_oom
from ilora_diag.knowledge.reading import read_error
from ilora_diag.schema import Fact, Facts, Unavailable, Value
from ilora_diag.schema.explanation import OomCause, OomMessage

FIELD = {
    "requested": "requested_bytes",
    "capacity": "capacity_bytes",
    "free": "free_bytes",
    "this_process": "this_process_bytes",
    "allocated": "allocated_bytes",
    "unallocated": "unallocated_bytes",
    "cached": "unallocated_bytes",
    "private_pools": "private_pool_bytes",
    "allowed": "limit_bytes",
    "mps_other": "non_torch_bytes",
    "mps_max": "limit_bytes",
}
GIB = 1 << 30
SENTENCES = (
    "CUDA out of memory. Tried to allocate {requested}. GPU 0 has a total capacity of {capacity} of which {free} is "
    "free. {processes}Of the allocated memory {allocated} is allocated by PyTorch, and {unallocated} is reserved by "
    "PyTorch but unallocated. If reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF="
    "expandable_segments:True to avoid fragmentation."
)


def message(**sizes: str) -> OomMessage:
    given = {
        "requested": "2.00 GiB", "capacity": "16.00 GiB", "free": "1.00 GiB", "processes": "", "allocated": "14.00 GiB",
        "unallocated": "100.00 MiB", **sizes,
    }  # fmt: skip
    found = parse_oom(SENTENCES.format(**given))
    assert found is not None
    return found


def facts(**values: Value) -> Facts:
    named = {path.replace("__", ".").replace("gpu0", "gpu[0]"): value for path, value in values.items()}
    return Facts(captured_at=1.0, facts=tuple(Fact(path=p, value=v, source="test") for p, v in named.items()))


@pytest.mark.data
def test_every_number_and_flag_of_the_real_messages_is_found(shared_data: Path) -> None:
    folder = shared_data / "oom_logs"
    rows = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    for row in rows:
        found = parse_oom((folder / row["file"]).read_text())
        assert found is not None, row["file"]
        for name, size in row["bytes_approx"].items():
            if name == "reserved_total":
                assert isinstance(found.allocated_bytes, int)
                assert isinstance(found.unallocated_bytes, int)
                got: object = found.allocated_bytes + found.unallocated_bytes
            else:
                got = getattr(found, FIELD[name])
            if size >= 1 << 63:
                assert isinstance(got, Unavailable), row["file"]
                assert "17179869184.00 GiB" in got.reason
                continue
            assert got == size, (row["file"], name)
        assert sorted(found.flags) == sorted(row["flags"]), row["file"]
        if "gpu" in row["fields"]:
            assert found.device == int(row["fields"]["gpu"]), row["file"]
        pids = [process.pid for process in found.other_processes]
        assert pids == [pid for pid, _ in row["fields"].get("other_processes", [])], row["file"]


@pytest.mark.data
@pytest.mark.parametrize(
    ("start", "cause"),
    [
        ("031__", OomCause.LIVE_TENSORS),  # a smaller batch was the fix
        ("033__", OomCause.LIVE_TENSORS),  # a shorter prompt was the fix
        ("093__", OomCause.FRAGMENTATION),  # the author measured it
        ("098__", OomCause.LIMIT_SET),  # a fraction left over from another test
        ("101__", OomCause.OTHER_PROCESS),  # other tenants
        ("103__", OomCause.LIMIT_SET),  # 95 % of the card
    ],
)
def test_confirmed_causes_of_real_messages_lead(shared_data: Path, start: str, cause: OomCause) -> None:
    file = next((shared_data / "oom_logs").glob(f"{start}*.txt"))
    found = parse_oom(file.read_text())
    assert found is not None
    assert classify_oom(found).cause is cause


@pytest.mark.parametrize(
    ("sizes", "cause"),
    [
        ({}, OomCause.LIVE_TENSORS),
        ({"unallocated": "1.50 GiB", "allocated": "12.00 GiB"}, OomCause.FRAGMENTATION),
        ({"unallocated": "900.00 MiB", "allocated": "14.00 GiB"}, OomCause.LIVE_TENSORS),  # 1.88 GiB together: short
        ({"allocated": "4.00 GiB", "processes": "Process 7 has 10.00 GiB memory in use. "}, OomCause.OTHER_PROCESS),
        ({"allocated": "4.00 GiB"}, OomCause.OTHER_PROCESS),  # 10 GiB that nobody is named for
        ({"processes": "13.00 GiB allowed; ", "free": "2.50 GiB", "allocated": "12.00 GiB"}, OomCause.LIMIT_SET),
        ({"processes": "15.90 GiB allowed; ", "allocated": "13.00 GiB"}, OomCause.LIVE_TENSORS),  # limit not reached
        ({"requested": "20.00 GiB", "allocated": "1.00 GiB", "free": "14.50 GiB"}, OomCause.CAPACITY_SMALLER),
        ({"free": "9.00 GiB", "allocated": "5.00 GiB"}, OomCause.UNKNOWN),  # refused with room to spare
    ],
)
def test_the_leading_cause_follows_from_the_numbers(sizes: dict[str, str], cause: OomCause) -> None:
    verdict = classify_oom(message(**sizes))
    assert verdict.cause is cause, verdict
    assert verdict.steps


def test_a_pid_that_holds_what_pytorch_reserved_is_this_process() -> None:
    own = message(processes="Process 4711 has 14.50 GiB memory in use. ", free="1.40 GiB")
    other = message(processes="Process 4711 has 5.00 GiB memory in use. ", allocated="9.00 GiB")
    assert looks_like_self(own, own.other_processes[0])
    assert not looks_like_self(other, other.other_processes[0])
    assert classify_oom(own).cause is OomCause.LIVE_TENSORS
    assert classify_oom(other).cause is OomCause.OTHER_PROCESS


def test_what_would_have_fitted_is_what_was_free() -> None:
    verdict = classify_oom(message(free="1.00 GiB"))
    assert (verdict.fits_bytes, verdict.missing_bytes) == (GIB, GIB)
    assert isinstance(classify_oom(message(free="9.00 GiB", allocated="5.00 GiB")).fits_bytes, Unavailable)


def test_a_smaller_card_than_the_facts_know_of_is_told() -> None:
    small = message(capacity="4.00 GiB", free="0 bytes", allocated="3.20 GiB")
    assert classify_oom(small, facts(gpu0__memory_total_bytes=192 * GIB)).cause is OomCause.CAPACITY_SMALLER
    assert classify_oom(small, facts(gpu0__memory_total_bytes=4 * GIB)).cause is OomCause.LIVE_TENSORS


@pytest.mark.parametrize(
    ("known", "holds", "reason"),
    [
        ({"gpu0__vmm_supported": False}, False, "not_offered"),
        ({"gpu0__virtualization_mode": "vgpu"}, False, "vgpu"),
        ({"gpu0__name": "NVIDIA A40-48C"}, False, "vgpu"),
        ({"gpu0__name": "NVIDIA A40"}, None, "open"),
        ({"os__tegra": True}, False, "tegra"),
        ({"os__wsl": True}, False, "sandbox"),
        ({"os__family": "windows"}, False, "not_built"),
        ({"torch__version": "2.0.1"}, False, "too_old"),
        ({"env__PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}, False, "already_on"),
        ({"gpu0__vmm_supported": True}, True, "offered"),
        ({}, None, "open"),
    ],
)
def test_the_messages_own_advice_is_checked(known: dict[str, Value], holds: bool | None, reason: str) -> None:
    helpful = message(unallocated="1.50 GiB", allocated="12.00 GiB")
    found, name = judge_advice(helpful, Named(facts(**known)))
    assert (None if isinstance(found, Unavailable) else found, name) == (holds, reason)


def test_advice_that_cannot_help_is_not_repeated() -> None:
    assert judge_advice(message(), Named(facts(gpu0__vmm_supported=True))) == (False, "no_gain")


@pytest.mark.parametrize(
    ("text", "wording"),
    [
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "masked_cublas"),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "masked_cudnn"),
        ("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling", "masked_cusolver"),
        ("NCCL WARN Cuda failure 2 'out of memory'", "masked_nccl"),
        ("RuntimeError: CUDA error: out of memory", "masked_runtime"),
        ("RuntimeError: CUDA driver error: out of memory", "masked_driver"),
        ('NVML_SUCCESS == r INTERNAL ASSERT FAILED at "../c10/cuda/CUDACachingAllocator.cpp":830', "masked_nvml"),
        ("RuntimeError: HIP error: out of memory", "masked_runtime"),
        ("Triton Error [CUDA]: out of memory", "masked_runtime"),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 26843545600 bytes.", "host"),
        ("cuda runtime error (2) : out of memory at /pytorch/x.cu:58", "thc"),
    ],
)
def test_errors_for_want_of_memory_without_numbers_are_recognised(text: str, wording: str) -> None:
    found = parse_oom(text)
    assert found is not None
    assert found.wording == wording


@pytest.mark.parametrize(
    "text",
    ["", "CUBLAS_STATUS_EXECUTION_FAILED", "memory is fine", "\x00\xff\x00", "NVML_SUCCESS == r", "GPU 0 has a fan"],
)
def test_what_is_no_message_is_none(text: str) -> None:
    assert parse_oom(text) is None


def test_a_preempted_request_and_the_asynchronous_allocator_have_their_numbers() -> None:
    early = parse_oom(
        "CUDA out of memory. Allocation was preemptively rejected because it would exceed per_process_memory_fraction "
        "limit. Requested size: 1073741824"
    )
    assert early is not None
    assert (early.requested_bytes, early.wording, classify_oom(early).cause) == (GIB, "preempted", OomCause.LIMIT_SET)
    pools = parse_oom(
        "Allocation on device 0 would exceed allowed memory. (out of memory)\nCurrently allocated     : 38.00 GiB\n"
        "Requested               : 2.00 GiB\nDevice limit            : 39.00 GiB\nFree (according to CUDA): 31.00 MiB\n"
        "PyTorch limit (set by user-supplied memory fraction)\n                        : 17179869184.00 GiB"
    )
    assert pools is not None
    assert (pools.allocated_bytes, pools.requested_bytes, pools.capacity_bytes) == (38 * GIB, 2 * GIB, 39 * GIB)
    assert isinstance(pools.limit_bytes, Unavailable)
    assert pools.flags == ()


def test_a_request_that_does_not_fit_beside_the_live_tensors_is_no_fragmentation() -> None:
    # 9 + 22 GiB on 30: no order of blocks makes room for both, however much is reserved and free.
    verdict = classify_oom(
        message(
            requested="22.00 GiB", capacity="30.00 GiB", free="14.00 GiB", allocated="9.00 GiB", unallocated="8.50 GiB"
        )
    )
    assert verdict.cause is OomCause.LIVE_TENSORS
    assert any(step.name == "too_much" for step in verdict.steps)
    # One GiB less on both sides, and it is.
    near = message(
        requested="20.00 GiB", capacity="30.00 GiB", free="12.00 GiB", allocated="9.00 GiB", unallocated="8.50 GiB"
    )
    assert classify_oom(near).cause is OomCause.FRAGMENTATION


def test_no_card_of_amd_is_sent_to_nvidia_smi() -> None:
    text = (
        "HIP out of memory. Tried to allocate 3.00 GiB. GPU 0 has a total capacity of 64.00 GiB of which 512.00 MiB is "
        "free. Of the allocated memory 20.00 GiB is allocated by PyTorch, and 96.00 MiB is reserved by PyTorch but "
        "unallocated."
    )
    (finding, *_) = judge(Facts(captured_at=Unavailable(reason="none")), read_error(text))
    assert finding.category == "oom_other_process"
    assert finding.remedy == "rocm-smi --showpids"
