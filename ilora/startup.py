"""Opens the run log around a run, so that whatever happens in it is written down once and becomes an exit status."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import torch

from ilora.checkpoint import TeacherCheckpointError
from ilora.config import Config, ConfigError, check_device, load_config
from ilora.data import DataError
from ilora.device import Placement, place
from ilora.distributed import leave_ranks
from ilora.llm import LlmError
from ilora.ranks import Rank, current_rank
from ilora.rec import CheckpointError
from ilora.run import Session, run_stage
from ilora.runlog import RunLog

# What a user can cause and mend; anything else is a failure of the run.
USER_ERRORS = (ConfigError, DataError, LlmError, CheckpointError, TeacherCheckpointError)


def start(*, config_file: Path, run_dir: Path, device: str, resume: bool, begin: float) -> dict[str, object]:
    """Run one configuration and say how it ended; errors are logged, not raised.

    Args:
        config_file: complete configuration.
        run_dir: the run's folder.
        device: auto, cuda or cpu.
        resume: go on from the newest checkpoint.
        begin: `time.perf_counter()` at the start of the process, for the time imports took.

    Returns:
        The result document: `status` is ok, interrupted, usage or failed.
    """
    import_seconds = time.perf_counter() - begin
    config = load_config(file=config_file)
    rank = current_rank(config.train)
    log = RunLog(run_dir / "runlog.jsonl" if rank.is_first else None)
    log.event("phase", phase="import", status="end", seconds=import_seconds, **log.memory())
    try:
        return {"rank": rank.index} | _run(config, run_dir, device, resume, log, rank)
    except KeyboardInterrupt as error:
        log.failure(error)
        return {"rank": rank.index, "status": "interrupted", "checkpoint": None}
    except USER_ERRORS as error:
        log.failure(error)
        return {"rank": rank.index, "status": "usage", "message": str(error)}
    except Exception as error:  # noqa: BLE001 - the outermost wrapper: the run log must say what ended the run
        log.failure(error)
        return {"rank": rank.index, "status": "failed", "message": str(error)}
    finally:
        log.close()
        leave_ranks()


def _run(config: Config, run_dir: Path, device: str, resume: bool, log: RunLog, rank: Rank) -> dict[str, object]:
    placement = place(config.train, device)
    check_device(config, placement.device.type)
    log.device = placement.device
    log.event("environment", **environment(placement))
    session = Session(config=config, run_dir=run_dir, placement=placement, log=log, rank=rank, resume=resume)
    result = run_stage(session)
    log.event("finished", status=result["status"])
    return result


def environment(placement: Placement) -> dict[str, object]:
    """Versions and the device, as they are inside this process."""
    is_cuda = placement.device.type == "cuda"
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "peft", "lightning", "numpy")},
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "num_threads": torch.get_num_threads(),
        "device": placement.device.type,
        "device_name": torch.cuda.get_device_name(placement.device) if is_cuda else platform.machine(),
        "precision_effective": placement.precision,
        "torch_cuda": torch.version.cuda,
    }
