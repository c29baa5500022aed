"""Kernel module, device nodes, user-space libraries, and the driver against the build (L1 to L5, L7)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ilora_diag.checks.case import Case, Ground
from ilora_diag.checks.claims import Claim, claim, decides, fits, shown, suggests
from ilora_diag.checks.common import (
    card_works,
    cuda_pair,
    driver_path,
    in_container,
    is_windows_driver,
    torch_cuda,
)
from ilora_diag.checks.deciders import decider
from ilora_diag.hardware.cuda_versions import Support, judge_driver, max_cuda, parse_driver, show
from ilora_diag.hardware.gpu_families import is_consumer
from ilora_diag.schema import Evidence, Severity, Unavailable

_TOO_OLD = r"NVIDIA driver on your system is too old|driver (?:version )?is too old|unsatisfied condition: cuda\s*>="
_INSUFFICIENT = (
    r"driver version is insufficient for CUDA runtime|not supported in the installed CUDA driver|"
    r"PTX was compiled with an unsupported toolchain|Error (?:35|36|222)\b|cudaErrorInsufficientDriver"
)
_MISMATCH = (
    r"Driver/library version mismatch|LIB_RM_VERSION_MISMATCH|API mismatch: the client has|"
    r"\bError 803\b|unsupported display driver / cuda driver combination|cudaErrorSystemDriverMismatch"
)
_FORWARD = r"\bError 804\b|forward compatibility was attempted|cudaErrorCompatNotSupportedOnDevice"
_STUB = r"CUDA driver is a stub library|\bError 34\b"
_UNKNOWN_ERROR = r"CUDA unknown error|CUDA error: unknown error|\bError 999\b|cudaErrorUnknown|CUDA_ERROR_UNKNOWN"
_SUSPEND = r"\b(?:suspend|resum|hibernat|sleep mode|after sleep|wak(?:e|ing) up|standby|lid)\w*"

_FORWARD_REMEDY = "sudo ubuntu-drivers install   # on the host; or: export LD_LIBRARY_PATH= inside the container"


def check(case: Case) -> Iterator[Claim]:
    """All rules of the family."""
    yield from _hangs(case)
    yield from _libraries(case)
    yield from _uvm(case)
    yield from _too_old(case)


def _hangs(case: Case) -> Iterator[Claim]:
    for path in ("nvml.status", "cuda.init_code"):
        if case.reason(path).startswith("timed out:"):
            yield claim(
                "DRV009",
                [decides(case.seen(path, "an answer within the deadline"))],
                params={"call": "nvmlInit" if path.startswith("nvml") else "cuInit"},
                remedy="sudo dmesg | grep -E 'NVRM|Xid'",
                fallback=True,
            )
            return


def _severity(case: Case) -> Severity | None:
    """A warning where CUDA works all the same: one of the two facts is then of another time or place."""
    return Severity.WARNING if card_works(case) else None


def _libraries(case: Case) -> Iterator[Claim]:
    """Which libcuda the loader takes, and whether it belongs to the kernel module."""
    path, code = case.text("driver.libcuda_path") or "", case.integer("cuda.init_code")
    if "/stubs" in path:
        grounds = [decides(case.seen("driver.libcuda_path", "the driver's own libcuda"))]
        if said := case.error_says(_STUB, "stub_34"):
            grounds.append(suggests(said))
        yield claim("DRV008", grounds, remedy="unset LD_LIBRARY_PATH", severity=_severity(case))
        return
    if code == 34 or case.error_says(_STUB, "stub_34"):
        grounds = [decides(case.seen("cuda.init_code", "0"))] if code == 34 else []
        grounds += [suggests(said)] if (said := case.error_says(_STUB, "stub_34")) else []
        yield claim("DRV008", grounds, remedy="unset LD_LIBRARY_PATH", decider=decider("driver.libcuda_path"))
        return
    forward = list(_forward(case, path, code))
    yield from forward
    if not forward:
        yield from _mismatch(case, path, code)


def _forward(case: Case, path: str, code: int | None) -> Iterator[Claim]:
    grounds: list[Ground] = []
    if code == 804:
        grounds.append(decides(case.seen("cuda.init_code", "0")))
    if said := case.error_says(_FORWARD, "fwdcompat_804"):
        grounds.append(suggests(said))
    names = [f"gpu[{index}].name" for index in case.gpus if is_consumer(case.text(f"gpu[{index}].name") or "")]
    compat = "/compat" in path
    if compat and names and code not in (0, None):
        grounds += [suggests(case.seen("driver.libcuda_path", "the driver's own libcuda"))]
    elif compat and names and not grounds and not card_works(case):
        grounds += [fits(case.seen("driver.libcuda_path", "the driver's own libcuda"))]
    image, own = cuda_pair(case.text("container.cuda_version")), driver_path(case)
    if not grounds and names and image and own and not case.has_error and not card_works(case):
        newest = max_cuda(case.text(own) or "")
        if not isinstance(newest, Unavailable) and image > newest:
            seen = case.seen("container.cuda_version", f"<= {newest[0]}.{newest[1]}")
            evidence = [fits(seen), shown(case.seen(names[0], "a data-centre card")), shown(case.seen(own))]
            yield claim("DRV005", evidence, variant="risk", remedy=_FORWARD_REMEDY, decider=decider("cuda.init_code"),
                        severity=Severity.WARNING)  # fmt: skip
        return
    if not grounds:
        return
    grounds += [fits(case.seen(name, "a data-centre card")) for name in names[:1]]
    if version := driver_path(case):
        grounds.append(fits(case.seen(version)))
    yield claim(
        "DRV005",
        grounds,
        remedy=_FORWARD_REMEDY,
        decider=decider("driver.libcuda_path"),
    )


def _mismatch(case: Case, path: str, code: int | None) -> Iterator[Claim]:
    grounds: list[Ground] = []
    kernel = case.text("driver.kmod")
    if not is_windows_driver(case) and kernel and "/compat" not in path:
        for library in ("driver.libcuda", "driver.libnvml", "driver.userspace"):
            other = case.text(library)
            if other and _differ(kernel, other):
                grounds += [decides(case.seen("driver.kmod", other)), decides(case.seen(library, kernel))]
                break
    if case.integer("nvml.status") == 18:
        grounds.append(decides(case.seen("nvml.status", "0")))
    if code == 803:
        grounds.append(decides(case.seen("cuda.init_code", "0")))
    if said := case.error_says(_MISMATCH, "nvml_mismatch", "mismatch_803"):
        grounds.append(suggests(said))
    if "/compat" in path and grounds:
        grounds.append(suggests(case.seen("driver.libcuda_path", "the driver's own libcuda")))
    if not grounds:
        return
    inside = in_container(case) and case.has("container.kind")
    remedy = (
        "sudo reboot   # or, with nothing using the card: sudo rmmod nvidia_uvm nvidia_drm nvidia_modeset nvidia && "
    )
    yield claim(
        "DRV004",
        grounds,
        variant="container" if inside and "803" in f"{code} {case.error}" else "",
        params={"kernel": kernel or "?", "library": _user_version(case) or "?"},
        remedy="export LD_LIBRARY_PATH=" if "/compat" in path else f"{remedy}sudo modprobe nvidia",
        decider=decider("driver.kmod"),
        severity=_severity(case) if code == 0 and not case.has_error else None,
    )


def _user_version(case: Case) -> str | None:
    kernel = case.text("driver.kmod")
    found = [case.text(path) for path in ("driver.libcuda", "driver.libnvml", "driver.userspace")]
    return next((one for one in found if one and one != kernel), found[0])


def _differ(one: str, other: str) -> bool:
    """Whether two versions differ as far as both are told."""
    left, right = parse_driver(one), parse_driver(other)
    if left is None or right is None:
        return False
    shared = min(len(left), len(right))
    return left[:shared] != right[:shared]


def _uvm(case: Case) -> Iterator[Claim]:
    code = case.integer("cuda.init_code")
    said = case.error_says(_UNKNOWN_ERROR, "unknown_999")
    symptom: list[Ground] = [fits(said)] if said else []
    if code == 999:
        symptom.append(fits(case.seen("cuda.init_code", "0")))
    node, loaded = case.text("dev.nvidia-uvm"), case.flag("module.nvidia_uvm")
    if card_works(case) and not (node == "ENOENT" and loaded) and not (node == "ok" and loaded is False):
        return  # both are made when the first process needs them, perhaps after we looked
    if node == "ENOENT" or (loaded is False and case.flag("module.nvidia") is True):
        seen = "dev.nvidia-uvm" if case.text("dev.nvidia-uvm") == "ENOENT" else "module.nvidia_uvm"
        driver = case.text("driver.kmod") or case.text("dev.nvidiactl") == "ok" or case.flag("module.nvidia")
        if driver or symptom:
            # With the rest of the driver in place, a missing node cannot be a consequence of anything else.
            grounds = [decides(case.seen(seen, "ok")), *symptom]
            yield claim("DRV006", grounds, remedy="sudo nvidia-modprobe -c 0 -u", severity=_severity(case))
        return
    named = case.says(
        r"nvidia[-_]uvm (?:is )?(?:missing|not (?:loaded|found|present))|no /dev/nvidia-uvm|modprobe nvidia[-_]uvm"
    )
    suspended = case.says(_SUSPEND)
    slept: list[Ground] = []
    if case.flag("os.suspended"):
        slept.append(suggests(case.seen("os.suspended", "False")))
    elif suspended:
        slept.append(suggests(suspended))
    if slept and (
        symptom or case.flag("torch.cuda_available") is False or case.integer("cuda.init_code") not in (0, None)
    ):
        yield claim(
            "DRV007",
            [*slept, *symptom],
            remedy="sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm",
            decider=decider("dev.nvidia-uvm"),
        )
    elif named:
        yield claim(
            "DRV006",
            [suggests(named), *symptom],
            remedy="sudo nvidia-modprobe -c 0 -u",
            decider=decider("dev.nvidia-uvm"),
        )
    elif symptom and node is None:
        # The message alone: of its causes the missing node is the most frequent, and the cheapest to look at.
        yield claim(
            "DRV006",
            symptom[:1],
            remedy="sudo nvidia-modprobe -c 0 -u",
            decider=decider("dev.nvidia-uvm"),
            fallback=True,
        )


def _too_old(case: Case) -> Iterator[Claim]:
    message = case.error_says(_TOO_OLD, "driver_too_old", "ctk_requirement")
    vague = case.error_says(
        _INSUFFICIENT, "insufficient_driver", "call_needs_newer_driver", "unsupported_toolchain_222"
    )
    built, path = torch_cuda(case), driver_path(case)
    grounds: list[Ground] = []
    params: dict[str, str | int | float | bool | None] = {
        "have": "?",
        "cuda": built[0] if built else "?",
        "needed": "?",
    }
    judged = None
    works = case.flag("torch.cuda_available") is True
    if built and path and not works:
        judged = judge_driver(case.text(path) or "", built[0], windows=is_windows_driver(case))
        params |= {"have": case.text(path) or "?", "needed": show(judged.needed) if judged.needed else "?"}
        if judged.support is Support.TOO_OLD:
            least = f">= {show(judged.needed)} for CUDA {built[0]}" if judged.needed else ""
            weigh = suggests if judged.unverified else decides
            grounds += [weigh(case.seen(path, least)), fits(case.seen(built[1]))]
    offered = cuda_pair(case.text("cuda.driver_version")) or _found_version(case)
    wanted = cuda_pair(built[0]) if built else None
    known = judged is not None and judged.support in (Support.FULL, Support.MINOR)
    if wanted and offered and offered[0] < wanted[0] and (case.has("cuda.driver_version") or not known):
        if case.has("cuda.driver_version"):
            grounds.append(decides(case.seen("cuda.driver_version", f">= {wanted[0]}.0")))
        params["have"] = params["have"] if path else f"CUDA {offered[0]}.{offered[1]}"
    if grounds:
        grounds += [suggests(said) for said in (message, vague) if said]
    elif message and not known:
        grounds.append(suggests(message))
    if grounds:
        severity = Severity.WARNING if works and not (message or vague) else None
        yield claim(
            "DRV001",
            grounds,
            params=params,
            remedy=_old_remedy(params),
            decider=decider("driver.version"),
            severity=severity,
        )
    elif message or vague:
        given = [fits(said) for said in (message, vague) if said]
        given += [fits(case.seen(path))] if path else []
        given += [fits(case.seen(built[1]))] if built else []
        yield claim("DRV002", given, params=params, remedy=_old_remedy(params), decider=decider("driver.version"))


def _found_version(case: Case) -> tuple[int, int] | None:
    """The driver's CUDA in "found version 11040": 1000 * major + 10 * minor."""
    found = re.search(r"found version (\d{4,5})", case.error)
    return (int(found[1]) // 1000, int(found[1]) % 1000 // 10) if found else None


def _old_remedy(params: dict[str, str | int | float | bool | None]) -> str:
    needed = params["needed"]
    return "sudo ubuntu-drivers install" + (f"   # to {needed} or newer" if needed != "?" else "")


def unexplained(case: Case) -> Evidence | None:
    """The symptom of the driver layers, where there is one: what a finding has to account for."""
    for path, good in (("cuda.init_code", 0), ("nvml.status", 0)):
        code = case.integer(path)
        if code is not None and code != good:
            return case.seen(path, "0")
    return None
