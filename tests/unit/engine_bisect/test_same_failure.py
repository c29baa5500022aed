"""When two failures are one: memory moves, other errors must agree in family and code."""

from __future__ import annotations

from ilora_diag.engine.bisect.same import is_same
from ilora_diag.schema.known import Unavailable
from ilora_diag.schema.trial import ErrorFamily, FailureSignature


def _failure(family: ErrorFamily, code: str, stage: str = "forward", frame: str = "train.py:step") -> FailureSignature:
    return FailureSignature(family=family, stage=stage, top_frame=frame, code=code)


OOM = _failure(ErrorFamily.OOM_TORCH, "out of memory")


def test_running_out_of_memory_elsewhere_is_the_same_failure() -> None:
    assert is_same(_failure(ErrorFamily.OOM_TORCH, "out of memory", "backward", "other.py:f"), OOM)
    assert is_same(_failure(ErrorFamily.OOM_CUBLAS, "CUBLAS_STATUS_ALLOC_FAILED"), OOM)


def test_running_out_of_host_memory_is_another_failure() -> None:
    assert not is_same(_failure(ErrorFamily.OOM_HOST, "out of host memory"), OOM)
    host = _failure(ErrorFamily.OOM_HOST, "SIGKILL")
    assert is_same(host, host)


def test_another_error_is_never_the_same_failure() -> None:
    assert not is_same(_failure(ErrorFamily.CUDA_DRIVER, "operation not supported"), OOM)
    assert not is_same(_failure(ErrorFamily.PYTHON, "RuntimeError: Trying to backward"), OOM)


def test_driver_errors_are_the_same_by_code_wherever_the_first_tensor_happens_to_be() -> None:
    target = _failure(ErrorFamily.CUDA_DRIVER, "operation not supported", "place_rec")
    assert is_same(_failure(ErrorFamily.CUDA_DRIVER, "operation not supported", "place_llm"), target)
    assert not is_same(_failure(ErrorFamily.CUDA_DRIVER, "unknown error", "place_rec"), target)


def test_exactly_the_same_means_stage_and_frame_too() -> None:
    assert not is_same(_failure(ErrorFamily.OOM_TORCH, "out of memory", "backward"), OOM, exact=True)
    unknown = FailureSignature(
        family=OOM.family, stage=OOM.stage, top_frame=Unavailable(reason="no traceback"), code=OOM.code
    )
    assert not is_same(unknown, OOM, exact=True)
    assert is_same(OOM, OOM, exact=True)
