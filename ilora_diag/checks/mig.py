"""Multi-instance GPU (L6)."""

from __future__ import annotations

from collections.abc import Iterator

from ilora_diag.checks.case import Case, Ground
from ilora_diag.checks.claims import Claim, claim, decides, fits, suggests
from ilora_diag.checks.deciders import decider
from ilora_diag.schema import Severity

_SEVERAL = r"(?:several|multiple|two|three|four|five|six|seven|[2-7])\s+MIG|MIG (?:instances|devices|slices)\b"
_COUNT = (
    r"device_count|only (?:one|1|the first)|number of (?:gpus|devices)|world[_ ]size|nproc|"
    r"invalid device ordinal|Duplicate GPU"
)
_PARSE = (
    r"invalid literal for int\(\)[^\n]*MIG-|Invalid (?:argument|device)[^\n]*MIG-|MIG-[^\n]*(?:invalid|"
    r"not (?:found|recogni))|"
    r"nvml\w*(?:HandleByUUID|HandleByIndex|DeviceGet\w+)[^\n]*MIG|ValueError[^\n]*MIG-"
)
_NO_DEVICE = r"no CUDA-capable device|No CUDA GPUs are available|No devices were found"


def check(case: Case) -> Iterator[Claim]:
    """All rules of the family."""
    yield from _no_instance(case)
    yield from _parse(case)
    yield from _single(case)


def _enabled(case: Case) -> tuple[int, ...]:
    return tuple(index for index in case.gpus if case.text(f"gpu[{index}].mig_mode") == "enabled")


def _no_instance(case: Case) -> Iterator[Claim]:
    said = case.error_says(_NO_DEVICE, "no_device_100")
    for index in _enabled(case):
        num = case.integer(f"gpu[{index}].num_mig_devices")
        whole = [one for one in case.gpus if one not in _enabled(case)]
        if num != 0:
            continue
        grounds: list[Ground] = [
            decides(case.seen(f"gpu[{index}].num_mig_devices", ">= 1")),
            fits(case.seen(f"gpu[{index}].mig_mode")),
        ]
        grounds += [fits(said)] if said else []
        yield claim(
            "MIG003",
            grounds,
            params={"index": index},
            remedy=f"sudo nvidia-smi mig -i {index} -cgi 0 -C",
            severity=Severity.WARNING if whole and not said else None,
        )
        return
    told = case.says(
        r"MIG[^\n]{0,60}(?:without|no|zero|0)\s+(?:GPU |compute |MIG )?instances|No MIG (?:instances|devices)"
    )
    if told and not _instances(case):
        grounds = [suggests(told), *([fits(said)] if said else [])]
        remedy, fact = "sudo nvidia-smi mig -cgi 0 -C", "gpu[0].num_mig_devices"
        yield claim("MIG003", grounds, params={"index": 0}, remedy=remedy, decider=decider(fact))


def _instances(case: Case) -> int:
    return sum(case.integer(f"gpu[{index}].num_mig_devices") or 0 for index in case.gpus)


def _parse(case: Case) -> Iterator[Claim]:
    """Programs that read CUDA_VISIBLE_DEVICES as numbers, or ask NVML for a whole card by a slice's name."""
    grounds: list[Ground] = []
    if said := case.says(_PARSE):
        grounds.append(suggests(said))
    value = case.text("env.CUDA_VISIBLE_DEVICES") or ""
    named = value.startswith("MIG")
    unseen = case.integer("torch.device_count") == 0 or case.flag("torch.cuda_available") is False
    if named and (unseen or said or case.error_says(r"nvml|NVML|pynvml", "nvml_assert_masks_oom")):
        grounds.append(suggests(case.seen("env.CUDA_VISIBLE_DEVICES")))
    if not grounds:
        return
    yield claim(
        "MIG002",
        grounds,
        remedy="export CUDA_VISIBLE_DEVICES=0   # or torch >= 2.1, which reads MIG names",
        decider=decider("env.CUDA_VISIBLE_DEVICES"),
    )


def _single(case: Case) -> Iterator[Claim]:
    """Worth saying where somebody counts on several instances, or where torch runs on a card that has several."""
    several = case.says(_SEVERAL)
    named = [f"gpu[{index}].name" for index in case.gpus if "MIG" in (case.text(f"gpu[{index}].name") or "")]
    num = _instances(case)
    counted = case.error_says(_COUNT, "nccl_dup_gpu")
    grounds: list[Ground] = []
    if num > 1 and (case.integer("torch.device_count") == 1 or counted):
        best = max(_enabled(case), key=lambda index: case.integer(f"gpu[{index}].num_mig_devices") or 0, default=0)
        grounds.append(decides(case.seen(f"gpu[{best}].num_mig_devices", "1 instance a process")))
    elif several and (counted or not case.has_error):
        grounds.append(suggests(several))
    elif named and (counted or (not case.has_error and len(named) == len(case.gpus) and case.texts("import.kinds"))):
        told = any(word in (case.text(named[0]) or "").lower() for word in ("several", "instances", "multiple"))
        if told or counted:
            grounds.append(suggests(case.seen(named[0], "1 instance a process")))
    if not grounds:
        return
    grounds += [fits(counted)] if counted else []
    grounds += [fits(case.seen("torch.device_count"))] if case.integer("torch.device_count") == 1 else []
    yield claim(
        "MIG001",
        grounds,
        params={"num": num or "several"},
        remedy="CUDA_VISIBLE_DEVICES=MIG-UUID python train.py   # one process an instance; nvidia-smi -L lists them",
        decider=decider("gpu[0].num_mig_devices"),
        severity=Severity.ERROR if counted else None,
    )
