"""Whether a driver can be seen at all, and what a container does to it (L1, L2)."""

from __future__ import annotations

from collections.abc import Iterator

from ilora_diag.checks.case import Case, Ground
from ilora_diag.checks.claims import Claim, claim, decides, fits, suggests
from ilora_diag.checks.common import (
    card_expected,
    card_works,
    driver_path,
    in_container,
    is_cpu_build,
    no_card_here,
    opened,
)
from ilora_diag.checks.deciders import decider
from ilora_diag.hardware.cuda_versions import parse_driver
from ilora_diag.schema import Severity

_NO_DRIVER = (
    r"Found no NVIDIA driver on your system|couldn't communicate with the NVIDIA driver|NVML: Driver Not Loaded|"
    r"nvml error: driver not loaded|Driver Not Loaded|nvidia-smi: command not found|"
    r"Failed to initialize NVML: N/A|libcuda\.so(?:\.1)?: cannot open shared object|libcuda\.so cannot found"
)
_NO_REQUEST = r"could not select device driver|(?:without|missing|forgot(?:ten)?) (?:the )?`?--gpus|no --gpus"
_NO_DEVICE = r"no CUDA-capable device is detected|No CUDA GPUs are available|no NVIDIA GPU|CUDA_ERROR_NO_DEVICE"
_LOST_RULES = r"Failed to initialize NVML: Unknown Error"
_RELOAD = r"daemon[- ]reload|systemctl (?:daemon-)?reload|systemd cgroup|device cgroup|/dev/char"
_TOOLKIT = (
    r"named symbol not found|\bError 500\b|libnvidia-ml\.so\.1: file exists|no adapters were found|"
    r"unresolvable CDI devices|load library failed: libnvidia-ml\.so|failed to (?:initialize|"
    r"inject) .*nvidia-container|"
    r"ldcache error|nvidia-container-cli: (?:ldcache|mount|detection) error|symbol lookup error.*libnvidia-container"
)
_GATES = ("dev.nvidiactl", "dev.nvidia-uvm")
"""Nodes that every CUDA process opens; of /dev/nvidiaN a container may well be denied those of other containers."""
_TOOLKIT_SIGNATURES = ("named_symbol_500", "ml_file_exists", "cdi_unresolvable", "ctk_wsl_no_adapter", "ctk_ml_missing")


def check(case: Case) -> Iterator[Claim]:
    """All rules of the family."""
    yield from _wrong_kernel_driver(case)
    yield from _lost_rules(case)
    yield from _denied(case)
    yield from _toolkit(case)
    yield from _invisible(case)


def _severity(case: Case) -> Severity | None:
    """A warning where CUDA works all the same: one of the two facts is then of another time or place."""
    return Severity.WARNING if card_works(case) else None


def _wrong_kernel_driver(case: Case) -> Iterator[Claim]:
    bound = [path for path in case.paths("pci[") if path.endswith(".driver")]
    good = any(case.text(path) == "nvidia" for path in bound)
    if not bound and card_works(case):
        return
    for name, variant, remedy in (
        ("nouveau", "nouveau", "sudo ubuntu-drivers install && sudo reboot"),
        ("vfio-pci", "vfio", "nvidia-smi   # inside the guest that the card was handed to"),
    ):
        if good and name == "vfio-pci":
            return  # some cards for guests, the others for this host: that is how such a host is set up
        grounds = [decides(case.seen(path, "nvidia")) for path in bound if case.text(path) == name]
        if not grounds and case.flag(f"module.{name.replace('-', '_')}") and case.flag("module.nvidia") is False:
            grounds = [decides(case.seen(f"module.{name.replace('-', '_')}", "False"))]
        if grounds:
            yield claim("DRV003", grounds, variant=variant, remedy=remedy, severity=_severity(case))
            return


def _lost_rules(case: Case) -> Iterator[Claim]:
    """A container keeps its nodes and loses the permission to open them (systemd rewrites its device rules)."""
    denied = next((path for path in _GATES if case.text(path) == "EPERM"), None)
    inside = in_container(case)
    said = case.error_says(_LOST_RULES, "nvml_unknown_cgroup")
    grounds: list[Ground] = []
    if denied and (inside or denied == "dev.nvidiactl"):
        # Modes and groups answer EACCES; EPERM comes from a device cgroup.
        grounds.append(decides(case.seen(denied, "ok")))
    if case.integer("nvml.status") == 999 and inside:
        grounds.append(suggests(case.seen("nvml.status", "0")))
    if said and (inside or not case.has("container.kind")):
        grounds.append(suggests(said))
    if reload := case.says(_RELOAD):
        grounds.append(suggests(reload) if inside or said else fits(reload))
    if not grounds or (len(grounds) == 1 and reload and not said):
        return
    yield claim(
        "CTR002",
        grounds,
        remedy="sudo nvidia-ctk system create-dev-char-symlinks --create-all   # then start the container anew",
        severity=_severity(case),
        decider=decider("dev.nvidiactl"),
    )


def _denied(case: Case) -> Iterator[Claim]:
    """A node whose mode or group keeps this account out."""
    for path in _GATES:
        value = case.text(path)
        if value != "EACCES" and (value != "EPERM" or path == "dev.nvidiactl" or in_container(case)):
            continue
        mode = path.replace("dev.", "dev_mode.", 1)
        given = [decides(case.seen(path, "ok")), *([fits(case.seen(mode, "0666"))] if case.has(mode) else [])]
        yield claim(
            "DRV010",
            given,
            params={"node": f"/dev/{path.removeprefix('dev.')}"},
            remedy="sudo usermod -aG video,render $USER   # then log in again",
            severity=_severity(case),
        )
        return


def _toolkit(case: Case) -> Iterator[Claim]:
    grounds: list[Ground] = []
    if said := case.error_says(_TOOLKIT, *_TOOLKIT_SIGNATURES):
        grounds.append(suggests(said))
    kernel = case.text("driver.kmod")
    stale = [one for one in case.texts("container.cdi_driver_versions") if kernel and one != kernel]
    if stale and len(stale) == len(case.texts("container.cdi_driver_versions")) and not card_works(case):
        grounds.append(decides(case.seen("container.cdi_driver_versions", str(kernel))))
    named = case.says(r"(?:nvidia[- ])?container[- ]toolkit\b.{0,80}(?:bug|regress|downgrad|upgrad|fix|v?1\.\d+\.\d+)")
    if not grounds and not (named and (case.error_says(r"CUDA|NVML|nvidia", "") or not case.has_error)):
        return
    grounds += [fits(named)] if named else []
    grounds += [fits(case.seen("container.toolkit_version"))] if case.text("container.toolkit_version") else []
    remedy = "sudo apt-get install --only-upgrade nvidia-container-toolkit && sudo systemctl restart docker"
    yield claim(
        "CTR001",
        grounds,
        variant="stale" if stale else "",
        remedy="sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml" if stale else remedy,
        decider=decider("container.toolkit_version"),
    )


def _invisible(case: Case) -> Iterator[Claim]:
    """No driver from here: which part of it is missing, and who left it out."""
    if no_card_here(case) and not case.has_error:
        return
    said = case.error_says(_NO_DRIVER, "no_driver", "nvml_no_driver", "ctk_driver_not_loaded")
    asked = case.says(_NO_REQUEST, "docker_no_driver")
    if no_card_here(case):
        if said:
            yield claim(
                "DRV003", [decides(case.seen("pci.num_nvidia_gpus", ">= 1")), suggests(said)], variant="no_card"
            )
        return
    found = _missing(case)
    if asked:
        found = [*found, suggests(asked)]
    if said:
        found = [*found, suggests(said)]
    if not found and (none := case.error_says(_NO_DEVICE, "no_device_100")) and not opened(case) and not case.gpus:
        found = [fits(none)]
    if not found:
        return
    variant, remedy = _who(case, asked is not None)
    yield claim(
        "DRV003",
        found,
        variant=variant,
        remedy=remedy,
        decider=decider("driver.kmod"),
        fallback=not said and not asked,
        severity=_severity(case),
    )


def _missing(case: Case) -> list[Ground]:
    """The facts that say a part of the driver is not there; empty where a card is not to be expected anyway."""
    expected = card_expected(case) or case.flag("torch.cuda_available") is False
    if not expected or (is_cpu_build(case) and not card_expected(case)):
        return []
    found: list[Ground] = []
    own = case.flag("os.wsl") or case.flag("os.tegra") or case.flag("os.gvisor")  # these have no module of that name
    if case.is_none("driver.kmod") and not own:
        found.append(decides(case.seen("driver.kmod", "a loaded module")))
    elif case.flag("module.nvidia") is False and not own:
        found.append(decides(case.seen("module.nvidia", "True")))
    if case.integer("nvml.status") in (9, 12):
        found.append(suggests(case.seen("nvml.status", "0")))
    if case.text("dev.nvidiactl") == "ENOENT" and not own:
        found.append(decides(case.seen("dev.nvidiactl", "ok")))
    if case.is_none("driver.libcuda"):
        found.append(decides(case.seen("driver.libcuda", str(case.text("driver.kmod") or "the driver's libcuda"))))
    if found:
        return found
    if case.text("container.visible_devices") in ("void", "none") and in_container(case) and not opened(case):
        return [suggests(case.seen("container.visible_devices", "all"))]
    report = case.reason("driver.version")
    unseen = report.startswith("absent:") and not case.gpus and driver_path(case) is None
    if unseen and case.flag("torch.cuda_available") is False and not is_cpu_build(case):
        return [suggests(case.seen("driver.version", "a version")), fits(case.seen("torch.cuda_available", "True"))]
    return []


def _who(case: Case, asked: bool) -> tuple[str, str]:
    """Which wording fits, and the command that cures it."""
    kernel = case.text("driver.kmod") is not None or case.flag("module.nvidia") is True
    if case.flag("os.wsl") and case.is_none("driver.libcuda"):
        return "wsl", "export LD_LIBRARY_PATH=/usr/lib/wsl/lib:$LD_LIBRARY_PATH"
    capabilities = case.text("container.driver_capabilities")
    if in_container(case) and (asked or kernel or case.text("container.visible_devices") in ("void", "none")):
        if capabilities and "compute" not in capabilities and "all" not in capabilities:
            return "capabilities", "docker run -e NVIDIA_DRIVER_CAPABILITIES=compute,utility --gpus all IMAGE"
        return "container", "docker run --gpus all IMAGE"
    if kernel and case.is_none("driver.libcuda"):
        branch = parse_driver(case.text("driver.kmod"))
        return "library", f"sudo apt-get install libnvidia-compute-{branch[0] if branch else 'BRANCH'}"
    if kernel:
        return "nodes", "sudo nvidia-modprobe -c 0 -u"
    if in_container(case):
        return "container", "docker run --gpus all IMAGE"
    return "module", "sudo modprobe nvidia || sudo ubuntu-drivers install"
