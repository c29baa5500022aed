"""From an error text to its signature. The texts quote the formats of the messages, with numbers of our own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ilora_diag.engine.signature import normalise, signature_of
from ilora_diag.schema import ErrorFamily, Unavailable

OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.25 GiB. GPU 0 has a total capacity of 15.77 GiB"
    " of which 3.19 MiB is free."
)


@pytest.mark.parametrize(
    ("text", "family", "code"),
    [
        (OOM, ErrorFamily.OOM_TORCH, "out of memory"),
        ("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; ...", ErrorFamily.OOM_TORCH, "out of memory"),
        ("torch.OutOfMemoryError: HIP out of memory. Tried", ErrorFamily.OOM_TORCH, "out of memory"),
        ("Allocation on device 0 would exceed allowed memory. (out of memory)", ErrorFamily.OOM_TORCH, "out of memory"),
        (
            'RuntimeError: NVML_SUCCESS == r INTERNAL ASSERT FAILED at "../c10/cuda/CUDACachingAllocator.cpp":1, p',
            ErrorFamily.OOM_TORCH,
            "out of memory, message lost to NVML",
        ),
        (
            "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
            ErrorFamily.OOM_CUBLAS,
            "CUBLAS_STATUS_ALLOC_FAILED",
        ),
        ("RuntimeError: CUDA driver error: out of memory", ErrorFamily.OOM_DRIVER, "out of memory"),
        ("RuntimeError: CUDA error: out of memory", ErrorFamily.OOM_RUNTIME, "cudaErrorMemoryAllocation"),
        (
            "RuntimeError: [enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory: you tried",
            ErrorFamily.OOM_HOST,
            "out of host memory",
        ),
        ("MemoryError", ErrorFamily.OOM_HOST, "MemoryError"),
        ("DataLoader worker (pid 7) is killed by signal: Killed.", ErrorFamily.OOM_HOST, "out of host memory"),
        (
            "RuntimeError: CUDA driver error: operation not supported",
            ErrorFamily.CUDA_DRIVER,
            "operation not supported",
        ),
        ("RuntimeError: CUDA error: operation not supported", ErrorFamily.CUDA_RUNTIME, "operation not supported"),
        ("Search for `cudaErrorIllegalAddress' in", ErrorFamily.CUDA_RUNTIME, "cudaErrorIllegalAddress"),
        ("RuntimeError: No CUDA GPUs are available", ErrorFamily.CUDA_RUNTIME, "No CUDA GPUs are available"),
        (
            "RuntimeError: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
            ErrorFamily.CUDA_LIBRARY,
            "CUDNN_STATUS_EXECUTION_FAILED",
        ),
        ("torch.distributed.DistBackendError: NCCL error in: x.hpp:1", ErrorFamily.NCCL, "NCCL error"),
        ("ConfigError: lora.r=7: even", ErrorFamily.CONFIG, "ConfigError: lora.r=<n>: even"),
        ("ilora.data.errors.DataError: empty", ErrorFamily.DATA, "ilora.data.errors.DataError: empty"),
        ("KeyboardInterrupt", ErrorFamily.KEYBOARD, "KeyboardInterrupt"),
        ("KeyError: 'x'", ErrorFamily.PYTHON, "KeyError: 'x'"),
        ("all is well", ErrorFamily.UNKNOWN, "all is well"),
        ("", ErrorFamily.UNKNOWN, ""),
    ],
)
def test_a_message_tells_its_family_and_code(text: str, family: ErrorFamily, code: str) -> None:
    found = signature_of(text, stage="forward")
    assert (found.family, found.code, found.stage) == (family, code, "forward")
    assert found.top_frame == Unavailable(reason="the text has no traceback")


TRACEBACK = """\
Epoch 1 ...
Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "/home/ada/project/ilora/loops/plain.py", line 41, in run
    outputs = teacher(batch)
              ^^^^^^^^^^^^^^
  File "/home/ada/.venv/lib/python3.11/site-packages/torch/nn/modules/module.py", line 1775, in _call_impl
    return forward_call(*args, **kwargs)
  File "/home/ada/project/ilora/model.py", line 90, in forward
    return self.llm(embeddings)
  File "/home/ada/.venv/lib/python3.11/site-packages/torch/nn/functional.py", line 5, in linear
    return F.linear(input)
  File "/usr/lib/python3.11/contextlib.py", line 81, in inner
    return func(*args, **kwds)
{error}
"""


def test_the_top_frame_is_the_deepest_one_that_is_ours() -> None:
    found = signature_of(TRACEBACK.format(error=OOM), stage="forward")
    assert (found.family, found.top_frame) == (ErrorFamily.OOM_TORCH, "ilora/model.py:forward")


def test_colours_and_launcher_prefixes_do_not_matter() -> None:
    plain = TRACEBACK.format(error="RuntimeError: Trying to backward through the graph a second time")
    dressed = "".join(f"[rank0]: \x1b[31m{line}\x1b[0m\n" for line in plain.splitlines())
    assert signature_of(dressed, stage="backward") == signature_of(plain, stage="backward")


def test_two_runs_of_one_failure_have_one_signature_and_two_failures_have_two() -> None:
    def of(error: str) -> object:
        return signature_of(TRACEBACK.format(error=error), stage="forward")

    assert of(OOM) == of(OOM.replace("1.25 GiB", "3.50 MiB").replace("GPU 0", "GPU 1"))
    first = "RuntimeError: tensor 12 at 0x7f00 of 3.50 MiB in /tmp/run-7/x.pt, process 81"
    again = "RuntimeError: tensor 9 at 0x8811 of 2 GiB in /tmp/run-8/x.pt, process 9"
    assert of(first) == of(again)
    assert of("RuntimeError: a second time") != of("RuntimeError: element 0 does not require grad")
    assert of("RuntimeError: same words") != of("ValueError: same words")


def test_of_chained_exceptions_the_first_that_names_a_layer_counts() -> None:
    between = "\nDuring handling of the above exception, another exception occurred:\n\n"
    after = 'Traceback (most recent call last):\n  File "/a/b/save.py", line 3, in save\n    x()\nOSError: disk full\n'
    found = signature_of(TRACEBACK.format(error=OOM) + between + after, stage="forward")
    assert (found.family, found.top_frame) == (ErrorFamily.OOM_TORCH, "ilora/model.py:forward")


def test_of_chained_python_exceptions_the_last_counts() -> None:
    between = "\nThe above exception was the direct cause of the following exception:\n\n"
    after = (
        'Traceback (most recent call last):\n  File "/a/ilora/config/load.py", line 3, in load\n    x()\n'
        "ilora.config.errors.ConfigError: lora.r=7: allowed is a multiple of 4\n"
    )
    found = signature_of(TRACEBACK.format(error="KeyError: 'r'") + between + after, stage="import")
    assert (found.family, found.top_frame) == (ErrorFamily.CONFIG, "config/load.py:load")
    assert found.code == "ConfigError: lora.r=<n>: allowed is a multiple of <n>"


def test_a_class_of_torch_with_the_name_of_ours_is_not_ours() -> None:
    error = "torch.utils.checkpoint.CheckpointError: Recomputed values differ"
    assert signature_of(TRACEBACK.format(error=error), stage="backward").family is ErrorFamily.PYTHON


def test_of_several_device_errors_in_a_log_the_first_counts() -> None:
    text = "CUDA error: an illegal memory access was encountered\nCUBLAS_STATUS_EXECUTION_FAILED\nout of memory"
    found = signature_of(text, stage="forward")
    assert (found.family, found.code) == (ErrorFamily.CUDA_RUNTIME, "an illegal memory access was encountered")


@pytest.mark.parametrize(
    ("text", "signal", "family", "code"),
    [
        ("", "SIGSEGV", ErrorFamily.SIGNAL, "SIGSEGV"),
        ("last words", "SIGKILL", ErrorFamily.OOM_HOST, "SIGKILL"),
        (OOM, "SIGABRT", ErrorFamily.OOM_TORCH, "out of memory"),
    ],
)
def test_a_signal_counts_where_the_text_tells_nothing(text: str, signal: str, family: ErrorFamily, code: str) -> None:
    found = signature_of(text, stage="train", signal=signal)
    assert (found.family, found.code) == (family, code)


def test_a_traceback_of_packages_alone_has_no_frame_of_ours() -> None:
    text = 'Traceback (most recent call last):\n  File "/x/site-packages/a.py", line 1, in f\nValueError: v\n'
    assert signature_of(text, stage="import").top_frame == Unavailable(
        reason="the text shows no frame outside packages"
    )


def test_a_normalised_message_is_one_line_of_bounded_length() -> None:
    assert normalise("  lost 3 of 4\nmore") == "lost <n> of <n>"
    assert len(normalise("word " * 1000)) == 160


@pytest.mark.data
def test_every_real_out_of_memory_text_is_known_as_one(shared_data: Path) -> None:
    folder = shared_data / "oom_logs"
    cases = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    assert cases
    for case in cases:
        found = signature_of((folder / case["file"]).read_text(), stage="forward").family
        sizes_reported = bool(case["fields"])
        wanted = {ErrorFamily.OOM_TORCH} if sizes_reported or case["flags"] else {ErrorFamily.OOM_RUNTIME}
        if case["family"] == "masked":
            wanted = {ErrorFamily.OOM_TORCH}
        assert found in wanted, case["file"]
