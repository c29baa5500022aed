"""NVSwitch, fabric manager and transfers between cards (L6)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ilora_diag.checks.case import Case, Ground
from ilora_diag.checks.claims import Claim, claim, decides, fits, suggests
from ilora_diag.checks.common import driver_path
from ilora_diag.checks.deciders import decider
from ilora_diag.schema import Evidence, Severity

_NOT_READY = (
    r"\berror \(?802\b|\b802\)? (?:system )?error|"
    r"system not yet initialized|cudaErrorSystemNotReady|CUDA_ERROR_SYSTEM_NOT_READY"
)
_MANAGER = r"(?:nvidia[- ]?)?fabric[- ]?manager"
_VERSIONS = (
    rf"{_MANAGER}[^\n]*(?:version|mismatch)[^\n]*(?:mismatch|differ|not match|driver|incompatible)|"
    rf"(?:mismatch|differ)[^\n]*{_MANAGER}|NVIDIA GPU driver interface version \S+ doesn't match"
)
_MISSING = rf"{_MANAGER}[^\n]*(?:not (?:installed|running|started|active)|missing|inactive|stopped|fail|dead|disabled)"
_NOTHING = r"NV_WARN_NOTHING_TO_DO|doesn't have (?:any )?NVSwitch|No NVSwitch|not an? NVSwitch"
_HANG = r"\bhang|\bhung\b|timeout|timed out|stuck|wrong result|corrupt|nan\b|deadlock|illegal memory|P2P"
_REDIRECT = r"\bACS(?:Ctl)?\b|Access Control Services|\bIOMMU\b|intel_iommu|amd_iommu|VT-d\b|NCCL_P2P_DISABLE"
_BOARDS = re.compile(r"\b(?:HGX|DGX)\b|SXM|NVSwitch|\bH100 80GB HBM3\b|\bH200\b|\bB[23]00\b", re.IGNORECASE)


def check(case: Case) -> Iterator[Claim]:
    """All rules of the family."""
    yield from _manager(case)
    yield from _redirected(case)


def _manager(case: Case) -> Iterator[Claim]:
    said = case.error_says(_NOT_READY, "not_ready_802")
    symptom: list[Ground] = [fits(said)] if said else []
    if case.integer("cuda.init_code") == 802:
        symptom.append(suggests(case.seen("cuda.init_code", "0")))
    for index in case.gpus:
        if case.text(f"gpu[{index}].fabric_state") in ("not_started", "in_progress"):
            symptom.append(suggests(case.seen(f"gpu[{index}].fabric_state", "completed")))
            break
    yield from _versions(case, symptom) or _absence(case, symptom)


def _versions(case: Case, symptom: list[Ground]) -> list[Claim]:
    own, driver = case.text("fabric_manager.version"), driver_path(case)
    told = case.says(_VERSIONS)
    grounds: list[Ground] = []
    if own and driver and case.text(driver) != own:
        grounds = [decides(case.seen("fabric_manager.version", str(case.text(driver)))), fits(case.seen(driver))]
    elif told and not (own and driver):
        grounds = [suggests(told)]
    if not grounds:
        return []
    version = case.text(driver) if driver else None
    package = f"nvidia-fabricmanager-{version.split('.')[0]}={version}-1" if version else "nvidia-fabricmanager-BRANCH"
    return [
        claim(
            "FAB002",
            [*grounds, *symptom],
            params={"manager": own or "?", "driver": version or "?"},
            remedy=f"sudo apt-get install {package}",
            decider=decider("fabric_manager.version"),
        )
    ]


def _absence(case: Case, symptom: list[Ground]) -> list[Claim]:
    state, missing = case.text("fabric_manager.state"), case.is_none("fabric_manager.state")
    told, nothing = case.says(_MISSING), case.says(_NOTHING)
    switches = case.integer("pci.num_nvswitches")
    down = state in ("inactive", "failed") or missing
    if (switches == 0 or nothing) and (state == "failed" or told or nothing) and not symptom:
        grounds = [decides(case.seen("pci.num_nvswitches", ">= 1"))] if switches == 0 else []
        grounds += [suggests(nothing)] if nothing else []
        grounds += [fits(told)] if told else []
        return [
            claim("FAB003", grounds, remedy="sudo systemctl disable --now nvidia-fabricmanager", severity=_note(case))
        ]
    grounds = []
    if down and (switches or symptom):
        grounds.append(decides(case.seen("fabric_manager.state", "active")))
    if told and (symptom or switches or _board(case)):
        grounds.append(suggests(told))
    if not grounds and not symptom:
        return []
    if (
        not grounds
        and not switches
        and not _board(case)
        and case.gpus
        and not any("fabric" in g.evidence.path for g in symptom)
    ):
        symptom = [fits(ground.evidence) for ground in symptom]
    if symptom and (board := _board(case)):
        symptom = [*symptom, fits(board)]
    remedy = "sudo systemctl enable --now nvidia-fabricmanager"
    decide = decider("fabric_manager.state")
    if driver := driver_path(case):
        symptom = [*symptom, fits(case.seen(driver))]
    return [claim("FAB001", [*grounds, *symptom], remedy=remedy, decider=decide)]


def _note(case: Case) -> Severity:
    return Severity.ERROR if case.has_error else Severity.NOTE


def _board(case: Case) -> Evidence | None:
    """What says that the cards are of the kind that sits on NVSwitch boards."""
    for index in case.gpus:
        if _BOARDS.search(case.text(f"gpu[{index}].name") or ""):
            return case.seen(f"gpu[{index}].name")
    return case.says(_BOARDS.pattern) if _BOARDS.search(case.notes) else None


def _redirected(case: Case) -> Iterator[Claim]:
    """ACS or a translating IOMMU sends peer traffic through the root: slow, or hanging."""
    told = case.says(_REDIRECT)
    hang = case.says(_HANG, "nccl_watchdog", "peer_217")
    grounds: list[Ground] = []
    if case.flag("pci.acs_redirect"):
        grounds.append(
            decides(case.seen("pci.acs_redirect", "False")) if hang else suggests(case.seen("pci.acs_redirect"))
        )
    if case.text("pci.iommu") == "translated" and hang:
        grounds.append(suggests(case.seen("pci.iommu", "passthrough or off")))
    if told and (hang or case.has_error or "ACS" in str(told.observed)):
        grounds.append(suggests(told))
    several = len(case.gpus) != 1 or (case.integer("nvml.device_count") or 0) > 1
    if not grounds or not several:
        return
    grounds += [fits(hang)] if hang else []
    yield claim(
        "P2P001",
        grounds,
        remedy="export NCCL_P2P_DISABLE=1   # to prove it; then switch ACS off in the firmware",
        decider=decider("pci.acs_redirect"),
        severity=Severity.ERROR if hang and case.has_error else None,
    )
