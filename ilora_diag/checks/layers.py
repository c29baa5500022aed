"""The decision order: the first broken layer leads, and what lies behind it says that it could not be judged."""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.checks.case import Case
from ilora_diag.checks.categories import BY_CODE
from ilora_diag.checks.common import card_works, is_cpu_build, no_card_here
from ilora_diag.schema import Finding, Severity
from ilora_diag.schema.env_check import CheckSection, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionPlan:
    """A section of the answer.

    Attributes:
        name: stable, the key of its title.
        layers: those it covers.
        needs: paths, or prefixes of them, of which one has to be known for a judgement.
        shows: prefixes of the facts it lists in detail.
        behind: it cannot be judged once a layer below this one is broken; 0: it always can.
    """

    name: str
    layers: tuple[int, ...]
    needs: tuple[str, ...]
    shows: tuple[str, ...]
    behind: int = 0


SECTIONS = (
    SectionPlan(name="hardware", layers=(0,), needs=("pci.num_nvidia_gpus", "gpu[0].name", "os.wsl", "os.tegra"),
                shows=("pci", "os.", "container.kind")),
    SectionPlan(name="driver", layers=(1, 2), behind=1,
                needs=("driver.kmod", "driver.version", "module.nvidia", "dev.nvidiactl", "dev.dxg"),
                shows=("driver.", "module.", "dev.", "dev_mode.", "kernel_log.", "container.")),
    SectionPlan(name="libraries", layers=(3,), behind=3,
                needs=("driver.libcuda", "driver.libnvml", "driver.userspace"), shows=("driver.lib", "library.")),
    SectionPlan(name="runtime", layers=(4, 5), behind=4,
                needs=("nvml.status", "cuda.init_code", "cuda.driver_version", "nvml.device_count"),
                shows=("nvml.", "cuda.", "env.CUDA_VISIBLE_DEVICES")),
    SectionPlan(name="devices", layers=(6,), behind=5, needs=("gpu[0].name", "nvml.device_count"),
                shows=("gpu[", "fabric_manager.", "mps.")),
    SectionPlan(name="build", layers=(7, 8), needs=("torch.version",), shows=("torch.", "toolkit.")),
    SectionPlan(name="allocator", layers=(9,), behind=6,
                needs=("env.PYTORCH_CUDA_ALLOC_CONF", "env.PYTORCH_ALLOC_CONF", "torch.allocator_settings"),
                shows=("env.PYTORCH", "torch.allocator_settings")),
    SectionPlan(name="limits", layers=(10,), needs=("shm.total_bytes", "cgroup.memory_max_bytes", "ulimit.nofile"),
                shows=("shm.", "cgroup.", "ulimit.", "host.")),
    SectionPlan(name="packages", layers=(11,), needs=("package.",),
                shows=("package.", "python.", "cudnn.")),
    SectionPlan(name="code", layers=(12,), needs=("error.text",), shows=("error.", "checkpoint.")),
)  # fmt: skip


def sections(case: Case, findings: tuple[Finding, ...]) -> tuple[CheckSection, ...]:
    """Every section, in the order of the layers."""
    broken = [BY_CODE[one.code].layer for one in findings if one.severity is Severity.ERROR and one.code != "UNK001"]
    lowest = min(broken, default=99)
    return tuple(_section(case, plan, findings, lowest) for plan in SECTIONS)


def _section(case: Case, plan: SectionPlan, findings: tuple[Finding, ...], lowest: int) -> CheckSection:
    mine = [one for one in findings if _belongs(one, plan)]
    paths = tuple(dict.fromkeys(path for prefix in plan.shows for path in case.paths(prefix)))
    codes = tuple(one.code for one in mine)
    status, reason = _status(case, plan, mine, lowest)
    return CheckSection(name=plan.name, status=status, reason=reason, codes=codes, paths=paths)


def _belongs(finding: Finding, plan: SectionPlan) -> bool:
    """Whether a finding is told in a section; one that is undecided stands where its symptom does."""
    if finding.code != "UNK001":
        return BY_CODE[finding.code].layer in plan.layers
    path = finding.evidence[0].path.removeprefix("facts:")
    home = next((one.name for one in SECTIONS if one.name != "hardware" and path.startswith(one.shows)), "code")
    return plan.name == home


def _status(case: Case, plan: SectionPlan, mine: list[Finding], lowest: int) -> tuple[Status, str]:
    if any(one.code == "UNK001" for one in mine) and all(one.code == "UNK001" for one in mine):
        return Status.UNKNOWN, "undecided"
    if any(one.severity is Severity.ERROR for one in mine):
        return Status.PROBLEM, ""
    if mine:
        return Status.WARNING, ""
    gpu = plan.name in ("driver", "libraries", "runtime", "devices", "allocator")
    if gpu and no_card_here(case):
        return Status.SKIPPED, "no_card"
    if plan.name == "allocator" and is_cpu_build(case):
        return Status.SKIPPED, "cpu_build"
    if plan.behind and lowest < plan.behind and not card_works(case):
        return Status.SKIPPED, "behind"
    if plan.name == "code" and not case.has_error:
        return Status.SKIPPED, "no_error"
    if any(_known(case, path) for path in plan.needs) or plan.name == "code":
        return Status.OK, ""
    reasons = [case.reason(path) for path in plan.needs if not case.reason(path).startswith("not collected")]
    kind = reasons[0].split(":")[0].replace(" ", "_") if reasons else "not_collected"
    return Status.UNKNOWN, kind if kind in ("absent", "denied", "timed_out", "failed") else "not_collected"


def _known(case: Case, need: str) -> bool:
    """Whether a path is known; of a prefix, any path that begins so."""
    return any(case.has(path) for path in case.paths(need)) if need.endswith(".") else case.has(need)
