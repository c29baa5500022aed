"""Cards that fail, and cards that are not let in (L0, L1, L6)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ilora_diag.checks.case import Case, Ground
from ilora_diag.checks.claims import Claim, claim, decides, fits, suggests
from ilora_diag.checks.common import card_works
from ilora_diag.checks.deciders import decider
from ilora_diag.schema import Severity

_LOST = r"GPU is lost|fallen off the bus|Unable to determine the device handle|GPU_IS_LOST|rev ff\b"
_ECC = (
    r"uncorrectable ECC|ECC error|double[- ]bit|remapp?(?:ed|ing)[^\n]*(?:fail|pending)|Xid[^\n]{0,40}\b(?:48|"
    r"63|64|94|95)\b|row remap"
)
_XID = r"\bXid\b[^\n]*?\b(\d{1,3})\b"
_BUSY = (
    r"busy or unavailable|\bError 46\b|cudaErrorDevicesUnavailable|exclusive[- ](?:process|thread|mode|"
    r"compute)|compute mode"
)
_SUFFERS = r"illegal memory access|unspecified launch failure|\bError (?:700|719)\b|uncorrectable|CUDA error|NCCL"

HARDWARE_XIDS = {46: "GPU timeout", 48: "double-bit ECC error", 61: "internal micro-controller", 62: "PMU halt",
                 64: "row remapping failed", 74: "NVLink error", 94: "contained memory error",
                 95: "uncontained memory error", 109: "context switch timeout", 119: "GSP timeout", 120: "GSP error",
                 136: "NVLink training failed", 140: "unrecovered ECC error", 143: "GPU initialisation failed",
                 155: "NVLink error", 158: "fatal timeout", 167: "PCIe fatal timeout", 171: "uncorrectable DRAM error",
                 172: "uncorrectable SRAM error"}  # fmt: skip
"""Xids whose catalogue action is a reset, a restart or support, not the application (NVIDIA Xid catalogue, 2025-10;
61 is not in it and rests on older lists). 13, 31, 43 and 45 are the application's own; 63 only records."""
_BUS_XID = 79
_MEMORY_XIDS = frozenset({48, 64, 94, 95, 140, 171, 172})


def check(case: Case) -> Iterator[Claim]:
    """All rules of the family."""
    lost = list(_lost(case))
    yield from lost
    ecc = list(_ecc(case))
    yield from ecc
    if not lost:
        yield from _xid(case, bool(ecc))
    yield from _exclusive(case)
    yield from _licence(case)


def _lost(case: Case) -> Iterator[Claim]:
    grounds: list[Ground] = []
    dead = [path for path in case.paths("pci[") if path.endswith(".config_dead") and case.flag(path)]
    gone = [path for path in (f"gpu[{index}].nvml_status" for index in case.gpus) if case.integer(path) == 15]
    grounds += [decides(case.seen(path, "False")) for path in dead]
    grounds += [decides(case.seen(path, "0")) for path in gone]
    if _BUS_XID in case.integers("kernel_log.xid"):
        grounds.append(decides(case.seen("kernel_log.xid", "no 79")))
    if case.integer("nvml.status") == 15:
        grounds.append(decides(case.seen("nvml.status", "0")))
    if said := case.says(_LOST, "gpu_lost") or case.says(r"\bXid\b[^\n]*\b79\b"):
        grounds.append(suggests(said))
    on_bus, counted = case.integer("pci.num_nvidia_gpus"), case.integer("nvml.device_count")
    fewer = on_bus is not None and counted is not None and 0 < counted < on_bus
    if grounds and fewer:
        grounds.append(fits(case.seen("nvml.device_count", str(on_bus))))
    elif fewer and case.text("container.kind") == "none" and not _handed_on(case):
        yield claim(
            "HWR001", [fits(case.seen("nvml.device_count", str(on_bus)))], variant="uncounted",
            params={"bus": on_bus, "nvml": counted}, remedy="sudo dmesg | grep -E 'NVRM|Xid'",
            decider=decider("kernel_log.xid"), severity=Severity.WARNING,
        )  # fmt: skip
    if grounds:
        yield claim("HWR001", grounds, remedy="sudo reboot   # if it comes back: check power cables, riser and cooling",
                    decider=decider("kernel_log.xid"))  # fmt: skip


def _handed_on(case: Case) -> bool:
    """Whether a card is bound to another driver on purpose."""
    bound = [path for path in case.paths("pci[") if path.endswith(".driver")]
    return any(case.text(path) != "nvidia" for path in bound)


def _ecc(case: Case) -> Iterator[Claim]:
    grounds: list[Ground] = []
    for index in case.gpus:
        base = f"gpu[{index}]"
        leaves = [
            f"{base}.{leaf}" for leaf in ("remapped_rows.failure", "remapped_rows.pending", "retired_pages.pending")
        ]
        grounds += [decides(case.seen(leaf, "False")) for leaf in leaves if case.flag(leaf)]
        if (case.integer(f"{base}.ecc.uncorrected_volatile") or 0) > 0:
            grounds.append(decides(case.seen(f"{base}.ecc.uncorrected_volatile", "0")))
        if case.text(f"{base}.recovery_action") not in (None, "none") or case.flag(f"{base}.reset_required"):
            leaf = "reset_required" if case.flag(f"{base}.reset_required") else "recovery_action"
            grounds.append(suggests(case.seen(f"{base}.{leaf}", "none")))
    logged = _MEMORY_XIDS & set(case.integers("kernel_log.xid"))
    said = case.says(_ECC, "ecc_214")
    if not grounds and not said:
        return
    grounds += [suggests(case.seen("kernel_log.xid", "no memory errors"))] if logged else []
    grounds += [suggests(said)] if said else []
    failed = any(".failure" in ground.evidence.path for ground in grounds)
    pending = all(ground.evidence.path.endswith(".pending") for ground in grounds)
    asked = not said and not logged and all(ground.weight != "decides" for ground in grounds)
    yield claim(
        "HWR003",
        grounds,
        variant="reset" if asked else "",
        remedy="sudo nvidia-smi -r   # with nothing running on the card" if not failed
        else "nvidia-smi -q -d ROW_REMAPPER,ECC   # and have the card exchanged",
        decider=decider("gpu[0].ecc.uncorrected_volatile"),
        severity=Severity.WARNING if pending else None,  # the bad row is out of use already; the reset can wait
    )  # fmt: skip


def _xid(case: Case, ecc: bool) -> Iterator[Claim]:
    logged = [number for number in case.integers("kernel_log.xid") if number in HARDWARE_XIDS]
    if ecc:
        logged = [number for number in logged if number not in _MEMORY_XIDS]
    told = None
    if not logged and not ecc:
        codes = case.reading.codes if case.reading else ()
        logged = [code.number for code in codes if code.space == "xid" and code.number in HARDWARE_XIDS]
        told = case.says(_XID)
        if told and not logged:
            logged = [int(one) for one in _numbers(str(told.observed)) if int(one) in HARDWARE_XIDS]
        if told is None or not logged:
            return
    if not logged:
        return
    first = logged[0]
    grounds = [suggests(told)] if told else [decides(case.seen("kernel_log.xid", "none of hardware"))]
    if suffers := case.error_says(_SUFFERS, "illegal_address_700", "launch_failure_719"):
        grounds.append(fits(suffers))
    yield claim(
        "HWR002",
        grounds,
        params={"xid": first, "meaning": HARDWARE_XIDS[first]},
        remedy="sudo nvidia-smi -r   # with nothing running on the card; else reboot",
        decider=decider("kernel_log.xid"),
    )


def _numbers(text: str) -> list[str]:
    after = text[text.lower().find("xid") :]
    return re.findall(r"(?<![\d:.])(\d{1,3})(?![\d:.]*[:.]\d)", after)


def _exclusive(case: Case) -> Iterator[Claim]:
    said = case.says(_BUSY, "busy_46")
    busy = case.integer("cuda.init_code") == 46 or bool(case.error_says(r"busy or unavailable|\bError 46\b", "busy_46"))
    for index in case.gpus:
        base = f"gpu[{index}]"
        mode = case.text(f"{base}.compute_mode")
        if mode not in ("prohibited", "exclusive_process", "exclusive_thread"):
            continue
        taken = (case.integer(f"{base}.num_processes") or 0) > 0 or busy
        if mode != "prohibited" and not taken:
            continue
        grounds: list[Ground] = [decides(case.seen(f"{base}.compute_mode", "default"))]
        if (case.integer(f"{base}.num_processes") or 0) > 0:
            grounds.append(fits(case.seen(f"{base}.num_processes", "0")))
        grounds += [suggests(said)] if said else []
        yield claim(
            "DEV001", grounds, params={"mode": mode, "index": index}, remedy=f"sudo nvidia-smi -i {index} -c DEFAULT"
        )
        return
    known = any(case.text(f"gpu[{index}].compute_mode") for index in case.gpus)
    if said and not known and (busy or "xclusive" in str(said.observed)):
        named = case.says(r"exclusive[- _](?:process|thread|mode|compute)|compute mode[^\n]*(?:exclusive|prohibited)")
        yield claim(
            "DEV001", [suggests(named) if named else fits(said)], params={"mode": "?", "index": 0},
            remedy="sudo nvidia-smi -c DEFAULT", decider=decider("gpu[0].compute_mode"),
        )  # fmt: skip


def _licence(case: Case) -> Iterator[Claim]:
    for index in case.gpus:
        status = case.text(f"gpu[{index}].license_status")
        if case.text(f"gpu[{index}].virtualization_mode") == "vgpu" and status and "unlicensed" in status.lower():
            severity = Severity.WARNING if card_works(case) or not case.has_error else Severity.ERROR
            yield claim(
                "DEV002", [decides(case.seen(f"gpu[{index}].license_status", "licensed"))], params={"index": index},
                remedy="sudo systemctl restart nvidia-gridd", severity=severity,
            )  # fmt: skip
            return
