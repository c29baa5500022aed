"""A training that failed on the device is told how to find the cause; one that failed otherwise is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ilora_diag.cli.train_command import bisect_line
from ilora_diag.engine.run_folder import PreparedRun
from ilora_diag.schema import ErrorFamily, FailureSignature, Settings, Status, Trial, Unavailable

RUN = PreparedRun(folder=Path("reports/runs/x"), requested=(), resumed=False)


def _failed(family: ErrorFamily, device: str, effective: Settings = ()) -> Trial:
    return Trial(
        id="T-01", probe="train", requested=(("--device", device),), effective=effective, status=Status.CRASHED,
        started_at=0.0, seconds=Unavailable(reason="not told"),
        signature=FailureSignature(family=family, stage="train", top_frame="a.py:f", code="x"),
    )  # fmt: skip


def test_out_of_memory_names_the_command_with_the_runs_own_configuration() -> None:
    line = bisect_line(_failed(ErrorFamily.OOM_TORCH, "virtual:t4"), RUN)
    assert line == "ilora-diag bisect-oom --config reports/runs/x/config.effective.yaml --device virtual:t4"


def test_the_device_that_auto_came_to_is_named() -> None:
    line = bisect_line(_failed(ErrorFamily.CUDA_DRIVER, "auto", (("--device", "cuda"),)), RUN)
    assert line.endswith("--device cuda")


@pytest.mark.parametrize("family", [ErrorFamily.OOM_HOST, ErrorFamily.PYTHON, ErrorFamily.CONFIG, ErrorFamily.KEYBOARD])
def test_other_failures_are_not_sent_there(family: ErrorFamily) -> None:
    assert bisect_line(_failed(family, "virtual:t4"), RUN) == ""
