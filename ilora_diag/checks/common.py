"""Questions that several families ask of a case."""

from __future__ import annotations

import re

from ilora_diag.checks.case import Case
from ilora_diag.hardware.cuda_versions import parse_cuda
from ilora_diag.hardware.torch_versions import VersionError, parse_version, torch_facts

_DRIVER_PATHS = ("driver.kmod", "driver.version", "driver.userspace", "driver.libnvml", "driver.libcuda")
_NODES = ("nvidiactl", "nvidia0", "dxg")


def driver_path(case: Case) -> str | None:
    """The path that tells the driver's version best; the kernel module's comes first, it is the one that runs."""
    return next((path for path in _DRIVER_PATHS if case.text(path)), None)


def is_windows_driver(case: Case) -> bool:
    """Whether the driver's number is one of Windows: there, and under WSL, where nvidia-smi prints the host's."""
    return case.text("os.family") == "windows" or bool(case.flag("os.wsl"))


def torch_minor(case: Case) -> tuple[int, int] | None:
    """(major, minor) of the installed torch."""
    text = case.text("torch.version") or ""
    found = re.match(r"\s*v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def torch_version(case: Case) -> str | None:
    """The version without what reports add to it: `1.4.0 (conda py3.7_cuda10.0)` is 1.4.0."""
    found = re.match(r"\s*v?(\d+\.\d+[\w.+]*)", case.text("torch.version") or "")
    return found[1] if found else None


def torch_cuda(case: Case) -> tuple[str, str] | None:
    """(CUDA of the build, path that says so); from the local version where nothing else tells."""
    if built := case.text("torch.cuda_build"):
        return built, "torch.cuda_build"
    found = re.search(r"\+cu(\d{2,3})\b", case.text("torch.version") or "")
    if found:
        major, minor = found[1][:-1], found[1][-1]
        return f"{major}.{minor}", "torch.version"
    return None


def default_cuda(case: Case) -> str | None:
    """CUDA of the PyPI wheel of this torch version, which is what an unmarked version most often is."""
    version = torch_version(case)
    if version is None or "+" in version or case.known("torch.cuda_build") is None:
        return None
    minor = torch_minor(case)
    try:
        facts = torch_facts(version)
        parse_version(version)
    except VersionError:
        return None
    cuda = facts.cuda
    return f"{cuda[0]}.{cuda[1]}" if isinstance(cuda, tuple) and facts.minor == minor else None


def is_cpu_build(case: Case) -> bool:
    """Whether the installed torch is known to be a build without CUDA and without ROCm."""
    if "+cpu" in (case.text("torch.version") or ""):
        return True
    return case.is_none("torch.cuda_build") and not case.text("torch.rocm_build") and case.has("torch.version")


def in_container(case: Case) -> bool:
    """Whether the process runs in a container, or its report says so."""
    kind = case.text("container.kind")
    if kind is not None:
        return kind != "none"
    told = r"\b(?:docker|podman|container|kubernetes|k8s|pod|nerdctl|singularity|apptainer|lxc)\b"
    return bool(case.text("container.image") or case.says(told))


def no_card_here(case: Case) -> bool:
    """Whether the machine is known to have no NVIDIA card: nothing is sick about that."""
    if case.flag("os.wsl") or case.flag("os.tegra") or case.gpus:
        return False
    if case.integer("pci.num_nvidia_gpus") == 0:
        return True
    return case.text("os.family") == "macos"


def card_expected(case: Case) -> bool:
    """Whether there is reason to believe that a card should be usable."""
    if no_card_here(case):
        return False
    if (case.integer("pci.num_nvidia_gpus") or 0) > 0 or case.gpus or case.text("driver.kmod"):
        return True
    asked = case.text("container.visible_devices")
    if asked not in (None, "", "void", "none"):
        return True
    return case.text("dev.dxg") == "ok" or bool(case.flag("os.tegra"))


def card_works(case: Case) -> bool:
    """Whether CUDA is known to work: cuInit succeeded, or torch used a card."""
    return case.integer("cuda.init_code") == 0 or case.flag("torch.cuda_available") is True


def opened(case: Case) -> bool:
    """Whether a device node of the driver could be opened."""
    return any(case.text(f"dev.{node}") == "ok" for node in _NODES)


def cuda_pair(text: str | None) -> tuple[int, int] | None:
    """As `parse_cuda`, of a text that may be missing."""
    return parse_cuda(text) if text else None
