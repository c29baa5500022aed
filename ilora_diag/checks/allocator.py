"""What the allocator's settings ask of the driver, and what the driver offers (L9)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ilora_diag.checks.case import Case, Ground
from ilora_diag.checks.claims import Claim, claim, decides, fits, shown, suggests
from ilora_diag.checks.common import torch_minor
from ilora_diag.checks.deciders import decider
from ilora_diag.hardware.gpus import UnknownGpu, find_gpu
from ilora_diag.schema import Confidence, Evidence, Severity

_OLD_NAME, _NEW_NAME = "env.PYTORCH_CUDA_ALLOC_CONF", "env.PYTORCH_ALLOC_CONF"
_NEW_NAME_SINCE = (2, 10)
_EXPANDABLE_SINCE = (2, 1)
_HANDLES_SINCE, _RDMA_SINCE = (2, 5), (2, 8)
_DRIVER_CHECK = r"CUDA driver error:\s*(?:operation not supported|unknown error|device not ready|invalid argument)"
_VMM_CALL = (
    r"cuMem(?:Create|Map|SetAccess|AddressReserve|GetAllocationGranularity)\b[^\n]{0,80}"
    r"(?:not supported|NOT_SUPPORTED|\b801\b|unknown error|\b999\b)"
)
_DRIVER_OOM = r"CUDA driver error: out of memory|NVML_SUCCESS == r|NvMapMemAlloc|expandable"
_NOT_BUILT = r"expandable_segments not supported on this platform"
_REJECTED = r"Unrecognized (?:CachingAllocator|CUDACachingAllocator) option|Unrecognized key '"
_POOLS = r"cudaMallocAsync|memory pool|cudaMemPool|cuMemPool|cudaDeviceGetDefaultMemPool"
_MANAGED = r"cudaMallocManaged|paged(?: |_)?(?:optim|adam)|managed memory|unified memory|cget_managed_ptr"
_ELSEWHERE = r"nvrtc|jiterator|symm_mem|SymmetricMemory|CUDASymmetric"
_REMEDY = "export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:False"


@dataclass(frozen=True, slots=True)
class Setting:
    """The allocator settings that count.

    Attributes:
        text: the settings, "" where none are.
        evidence: where they stand; None where it is not known.
        known: whether it is known what the process has.
    """

    text: str
    evidence: Evidence | None
    known: bool

    @property
    def expandable(self) -> bool:
        """Whether expandable segments are asked for."""
        return bool(re.search(r"expandable_segments\s*:\s*true", self.text, re.IGNORECASE))

    @property
    def pools(self) -> bool:
        """Whether the asynchronous backend is asked for."""
        return "cudamallocasync" in self.text.lower()


def setting(case: Case) -> Setting:
    """What torch reads: its own answer first, then the variables in the order of this version."""
    if own := case.text("torch.allocator_settings"):
        return Setting(own, case.seen("torch.allocator_settings"), known=True)
    minor = torch_minor(case)
    names = [_OLD_NAME] if minor is not None and minor < _NEW_NAME_SINCE else [_OLD_NAME, _NEW_NAME]
    for name in names:
        value = case.text(name)
        if value is not None:
            return Setting(value, case.seen(name, "expandable_segments:False"), known=True)
    if noted := case.says(r"expandable_segments\s*[:=]\s*True") or case.says(
        r"with expandable_segments (?:on|enabled|set)"
    ):
        return Setting("expandable_segments:True", noted, known=False)
    # Where the environment was captured, a variable that is not in it is not set.
    captured = any(case.has(path) for path in case.paths("env."))
    return Setting("", None, known=captured)


def check(case: Case) -> Iterator[Claim]:
    """All rules of the family."""
    now = setting(case)
    built = list(_not_built(case, now))
    yield from built
    if not built:
        yield from _expandable(case, now)
    yield from _ignored(case, now)
    yield from _rejected(case, now)
    yield from _features(case, now)


def _not_built(case: Case, now: Setting) -> Iterator[Claim]:
    grounds: list[Ground] = []
    if said := case.error_says(_NOT_BUILT, "expandable_unsupported_platform"):
        grounds.append(suggests(said))
    if now.expandable and case.flag("torch.driver_api_built") is False:
        grounds.append(decides(case.seen("torch.driver_api_built", "True")))
    windows = case.text("os.family") == "windows"
    if now.expandable and windows and (minor := torch_minor(case)) and minor >= _EXPANDABLE_SINCE:
        grounds.append(suggests(case.seen("os.family", "linux")))
    if not grounds:
        return
    grounds += [fits(now.evidence)] if now.evidence else []
    yield claim(
        "ALC002", grounds, variant="windows" if windows else "",
        remedy="unset PYTORCH_CUDA_ALLOC_CONF PYTORCH_ALLOC_CONF", decider=decider("torch.driver_api_built"),
    )  # fmt: skip


def _expandable(case: Case, now: Setting) -> Iterator[Claim]:
    """Expandable segments need virtual memory management; torch never asks whether the driver offers it."""
    said = _message(case)
    if case.flag("os.tegra") or _tegra_named(case):
        yield from _tegra(case, now, said)
        return
    if now.known and not now.expandable:
        return  # the calls that fail this way are made for expandable segments alone
    refused = refusals(case)
    if not now.expandable:
        if said is not None and not case.says(_ELSEWHERE):
            # At a `.to()`, only expandable segments reach the macro that prints this prefix.
            # Nothing else of the machine can stand in for the setting itself, which is not known.
            grounds = [fits(said), *(shown(ground.evidence) for ground in refused)]
            yield claim(
                "ALC001", grounds, variant="unset", remedy=_REMEDY, decider=decider("env.PYTORCH_CUDA_ALLOC_CONF")
            )
        return
    if said is None and not any(ground.weight in ("decides", "suggests") for ground in refused):
        return
    asked = [fits(now.evidence)] if now.evidence else []
    grounds = [*refused, *asked, *([suggests(said)] if said else [])]
    if all(ground.weight == "fits" for ground in refused) and _offered(case) and not _wsl(case):
        return
    made = claim("ALC001", grounds, remedy=_REMEDY, decider=decider("gpu[0].vmm_supported"))
    if made.finding.confidence in (Confidence.CONFIRMED, Confidence.STRONGLY_SUGGESTED):
        yield made


def _message(case: Case) -> Evidence | None:
    signatures = ("vmm_not_supported", "vmm_unknown_wsl")
    return case.error_says(_DRIVER_CHECK, *signatures) or case.error_says(_VMM_CALL)


def _wsl(case: Case) -> bool:
    return bool(case.flag("os.wsl"))


def refusals(case: Case) -> list[Ground]:
    """What says that this machine refuses virtual memory management, the strongest first; empty where nothing does."""
    grounds: list[Ground] = []
    minor = torch_minor(case)
    for index in case.gpus:
        base = f"gpu[{index}]"
        if case.text(f"{base}.torch_probe.expandable_on") not in (None, "ok") and (
            case.text(f"{base}.torch_probe.expandable_off") == "ok"
        ):
            grounds.append(decides(case.seen(f"{base}.torch_probe.expandable_on", "ok")))
        if case.flag(f"{base}.vmm_supported") is False:
            grounds.append(decides(case.seen(f"{base}.vmm_supported", "True")))
        for step in _steps(minor):
            code = case.integer(f"{base}.probe.{step}")
            if code not in (None, 0, 2):  # 2: the card is full, which says nothing
                grounds.append(decides(case.seen(f"{base}.probe.{step}", "0")))
                break
        if minor and minor >= _HANDLES_SINCE and case.flag(f"{base}.posix_handle_supported") is False:
            grounds.append(decides(case.seen(f"{base}.posix_handle_supported", "True")))
        if case.text(f"{base}.virtualization_mode") == "vgpu" and case.flag(f"{base}.vmm_supported") is not True:
            grounds.append(suggests(case.seen(f"{base}.virtualization_mode", "none or passthrough")))
        elif _vgpu_name(case.text(f"{base}.name")) and case.flag(f"{base}.vmm_supported") is not True:
            grounds.append(suggests(case.seen(f"{base}.name", "a whole card")))
        if grounds:
            break
    if _wsl(case):
        grounds.append(fits(case.seen("os.wsl", "False")))
    if case.flag("os.gvisor"):
        grounds.append(fits(case.seen("os.gvisor", "False")))
    return grounds


def _steps(minor: tuple[int, int] | None) -> tuple[str, ...]:
    """The probes that repeat what this torch asks for: no handle before 2.5, a POSIX one since, RDMA from 2.8 on."""
    first = ("granularity_h0", "reserve")
    if minor is not None and minor < _HANDLES_SINCE:
        return (*first, "create_h0", "map", "set_access")
    if minor is not None and minor < _RDMA_SINCE:
        return (*first, "granularity_h1", "create_h1", "map", "set_access")
    return (*first, "granularity_h1", "create_h1", "create_h1_rdma", "map", "set_access")


def _offered(case: Case) -> bool:
    return any(case.flag(f"gpu[{index}].vmm_supported") for index in case.gpus)


def _vgpu_name(name: str | None) -> bool:
    """Whether a name is one of a vGPU profile: their specs know no virtual memory management."""
    if not name:
        return False
    try:
        return find_gpu(name).vmm is False
    except UnknownGpu:
        return bool(re.fullmatch(r"(?:GRID |NVIDIA ).*?-(?:\d+-)?\d+[ABCQ](?: MIG .*)?|.*\bvGPU\b.*", name))


def _tegra_named(case: Case) -> bool:
    names = " ".join(case.text(f"gpu[{index}].name") or "" for index in case.gpus)
    kernel = case.text("os.kernel") or ""
    return "tegra" in kernel.lower() or bool(re.search(r"\b(?:Orin|Xavier|Jetson|nvgpu)\b", names))


def _tegra(case: Case, now: Setting, said: Evidence | None) -> Iterator[Claim]:
    message = said or case.error_says(_DRIVER_OOM, "oom_driver_vmm", "nvml_assert_masks_oom")
    if not now.expandable and not (message and not now.known):
        return
    path = "os.tegra" if case.flag("os.tegra") else "os.kernel" if case.text("os.kernel") else "gpu[0].name"
    grounds: list[Ground] = [suggests(case.seen(path)) if now.expandable else fits(case.seen(path))]
    grounds += [fits(now.evidence)] if now.evidence and now.expandable else []
    grounds += [fits(message)] if message else []
    for index in case.gpus:
        if case.flag(f"gpu[{index}].vmm_supported") is False:
            grounds.append(decides(case.seen(f"gpu[{index}].vmm_supported", "True")))
    yield claim(
        "ALC003", grounds, remedy=_REMEDY, decider=decider("env.PYTORCH_CUDA_ALLOC_CONF" if not now.expandable
                                                            else "gpu[0].vmm_supported"),
    )  # fmt: skip


def _ignored(case: Case, now: Setting) -> Iterator[Claim]:
    """A variable that this torch does not read, or a setting another one overrides."""
    minor, new, old = torch_minor(case), case.text(_NEW_NAME), case.text(_OLD_NAME)
    grounds: list[Ground] = []
    variant = ""
    if new and minor is not None and minor < _NEW_NAME_SINCE and not case.text("torch.rocm_build"):
        grounds, variant = [decides(case.seen(_NEW_NAME, "unset")), fits(case.seen("torch.version", ">= 2.10"))], "name"
    elif new and old and new != old and minor is not None:
        grounds, variant = [decides(case.seen(_NEW_NAME, old)), fits(case.seen(_OLD_NAME))], "both"
    elif now.pools and re.search(r"max_split_size_mb|expandable_segments|garbage_collection|roundup", now.text):
        assert now.evidence is not None
        grounds, variant = [decides(now.evidence)], "backend"
    elif case.text("torch.rocm_build") and old and "expandable" in old and minor is not None and minor < (2, 5):
        grounds, variant = [suggests(case.seen(_OLD_NAME, "unset"))], "name"
    elif case.text("env.PYTORCH_NO_CUDA_MEMORY_CACHING") and now.text:
        grounds, variant = [decides(case.seen("env.PYTORCH_NO_CUDA_MEMORY_CACHING", "unset"))], "caching"
    elif said := case.error_says(
        r"ignores (?:max_split_size_mb|roundup|garbage_collection)", "alloc_conf_backend_mismatch"
    ):
        grounds, variant = [suggests(said)], "backend"
    elif noted := case.says(r"PYTORCH_ALLOC_CONF\b[^\n]*(?:ignor|no effect|not (?:read|used|honou?red))"):
        grounds, variant = [suggests(noted)], "name"
    if not grounds:
        return
    full = case.error_says(r"out of memory") if "expandable" in (new or "") else None
    grounds += [fits(full)] if full else []
    useful = variant == "name" and new and not ("expandable" in new and refusals(case))
    remedy = f"export PYTORCH_CUDA_ALLOC_CONF={new}" if useful else "unset PYTORCH_ALLOC_CONF"
    if variant in ("backend", "caching"):
        remedy = (
            "unset PYTORCH_NO_CUDA_MEMORY_CACHING"
            if variant == "caching"
            else "export PYTORCH_CUDA_ALLOC_CONF=backend:native"
        )
    yield claim("ALC004", grounds, variant=variant, remedy=remedy, decider=decider("torch.allocator_settings"))


def _rejected(case: Case, now: Setting) -> Iterator[Claim]:
    said = case.error_says(_REJECTED, "alloc_conf_unrecognized")
    minor = torch_minor(case)
    early = minor is not None and minor < _EXPANDABLE_SINCE and "expandable_segments" in now.text and now.known
    grounds: list[Ground] = []
    if early and now.evidence is not None:
        grounds += [decides(now.evidence), fits(case.seen("torch.version", ">= 2.1"))]
    grounds += [suggests(said)] if said else []
    if grounds:
        yield claim(
            "ALC007",
            grounds,
            remedy="unset PYTORCH_CUDA_ALLOC_CONF PYTORCH_ALLOC_CONF",
            decider=decider("torch.version"),
        )


def _features(case: Case, now: Setting) -> Iterator[Claim]:
    """Memory pools and managed memory, which a vGPU without unified memory does not have either."""
    plain = case.error_says(r"CUDA error: operation not supported|cudaErrorNotSupported", "runtime_not_supported")
    pools = case.error_says(_POOLS) if plain else None
    managed = case.error_says(_MANAGED) if plain else None
    vgpu = next((f"gpu[{i}].virtualization_mode" for i in case.gpus
                 if case.text(f"gpu[{i}].virtualization_mode") == "vgpu"), None)  # fmt: skip
    for code, leaf, asked, said in (
        ("ALC005", "memory_pools_supported", now.pools, pools),
        ("ALC006", "managed_memory_supported", False, managed),
    ):
        refused = [f"gpu[{i}].{leaf}" for i in case.gpus if case.flag(f"gpu[{i}].{leaf}") is False]
        if not (said or (asked and refused)):
            continue
        grounds: list[Ground] = [decides(case.seen(path, "True")) for path in refused[:1]]
        grounds += [suggests(said)] if said else []
        grounds += [fits(case.seen(vgpu))] if vgpu else []
        grounds += [fits(now.evidence)] if asked and now.evidence else []
        remedy = (
            "export PYTORCH_CUDA_ALLOC_CONF=backend:native" if code == "ALC005" else "python train.py optim=adamw_torch"
        )
        yield claim(code, grounds, remedy=remedy, decider=decider(f"gpu[0].{leaf}"), severity=Severity.ERROR)
