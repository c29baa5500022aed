"""The kernel's side of the driver: modules, their version and parameters, the cards they know, helper daemons."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ilora_diag.collect.container import command_version, container_kind
from ilora_diag.collect.host import processes_named
from ilora_diag.collect.sheet import ABSENT, FAILED, Sheet, exists, list_folder, read_text
from ilora_diag.schema import Known, Unavailable

_MODULES = ("nvidia", "nvidia_uvm", "nvidia_modeset", "nvidia_drm", "nvidia_peermem", "nouveau", "vfio_pci")
_PARAMS = frozenset(
    {
        "EnableGpuFirmware",
        "OpenRmEnableUnsupportedGpus",
        "ModifyDeviceFiles",
        "DeviceFileUID",
        "DeviceFileGID",
        "DeviceFileMode",
        "PreserveVideoMemoryAllocations",
        "EnableStreamMemOPs",
        "ExcludedGpus",
        "EnablePCIERelaxedOrderingMode",
        "RegistryDwords",
        "CoherentGPUMemoryMode",
    }
)
_VERSION = re.compile(r"^NVRM version:\s*(?P<text>.*?)\s\s(?P<version>\d[\d.]*\d)\b", re.MULTILINE)


def collect_kernel_driver(sheet: Sheet, root: Path, environ: Mapping[str, str] | None = None) -> None:
    """Leaves `module.*`, `driver.kmod*`, `driver.params.*`, `fabric_manager.*`, `mps.running`."""
    _modules(sheet, root)
    _version(sheet, root)
    sheet.step("read /proc/driver/nvidia/params")
    params = read_text(root / "proc/driver/nvidia/params")
    for name, value in () if isinstance(params, Unavailable) else re.findall(r"^(\w+): (.*)$", params, re.MULTILINE):
        if name in _PARAMS:
            sheet.put(f"driver.params.{name}", value.strip('" '), "/proc/driver/nvidia/params")
    _daemons(sheet, root, os.environ if environ is None else environ)
    _cards(sheet, root)


def _modules(sheet: Sheet, root: Path) -> None:
    text = read_text(root / "proc/modules")
    folder = list_folder(root / "sys/module")
    for name in _MODULES:
        if isinstance(text, Unavailable) and (isinstance(folder, Unavailable) or not text.reason.startswith(ABSENT)):
            sheet.put(f"module.{name}", text, "/proc/modules")
            continue
        # What is built in, or hidden with /proc/modules, has a folder all the same.
        listed = isinstance(text, str) and re.search(rf"^{name} ", text, re.MULTILINE) is not None
        loaded = listed or exists(root / "sys/module" / name) is True
        sheet.put(f"module.{name}", loaded, "/proc/modules, /sys/module")


def _version(sheet: Sheet, root: Path) -> None:
    source = "/proc/driver/nvidia/version"
    sheet.step(f"read {source}")
    text = read_text(root / "proc/driver/nvidia/version")
    if isinstance(text, str):
        match = _VERSION.search(text)
        if match is None:
            sheet.no("driver.kmod", f"{FAILED} no version in {text[:80]!r}", source)
            return
        sheet.put("driver.kmod", match["version"], source)
        sheet.put("driver.kmod_flavour", "open" if "Open Kernel Module" in match["text"] else "proprietary", source)
        return
    version = read_text(root / "sys/module/nvidia/version")
    if isinstance(version, str):
        sheet.put("driver.kmod", version, "/sys/module/nvidia/version")
    elif text.reason.startswith(ABSENT) and sheet.get("module.nvidia") is False:
        kernel = read_text(root / "proc/sys/kernel/osrelease")
        if exists(root / "dev/dxg") is True or (isinstance(kernel, str) and "microsoft" in kernel.lower()):
            sheet.no("driver.kmod", f"{ABSENT} WSL has no NVIDIA kernel module; the driver is Windows'", source)
        else:
            sheet.put("driver.kmod", None, f"{source}, /proc/modules")
    else:
        sheet.put("driver.kmod", text, source)


def _daemons(sheet: Sheet, root: Path, environ: Mapping[str, str]) -> None:
    running = processes_named(root, ("nv-fabricmanager", "nvidia-cuda-mps-control", "nvidia-cuda-mps-server"))
    if isinstance(running, Unavailable):
        sheet.put("mps.running", running, "/proc/*/comm")
        sheet.put("fabric_manager.state", running, "/proc/*/comm")
        return
    pipe = environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")  # NVIDIA's default
    sheet.put(
        "mps.running",
        any(name.startswith("nvidia-cuda-mps") for name in running)
        or exists(root / pipe.lstrip("/") / "control") is True,
        "/proc/*/comm, CUDA_MPS_PIPE_DIRECTORY",
    )
    inside = container_kind(root, environ)[0] != "none"
    _fabric_manager(sheet, root, running="nv-fabricmanager" in running, inside=inside)


def _fabric_manager(sheet: Sheet, root: Path, *, running: bool, inside: bool) -> None:
    program = next(
        (p for p in ("usr/bin/nv-fabricmanager", "usr/local/bin/nv-fabricmanager") if (root / p).exists()), ""
    )
    source = "/proc/*/comm, /usr/bin/nv-fabricmanager"
    if running:
        sheet.put("fabric_manager.state", "active", source)
    elif program:
        sheet.put("fabric_manager.state", "inactive", source)
    elif inside:  # the host's processes and programs are not to be seen from a container
        sheet.no("fabric_manager.state", f"{ABSENT} the host's daemons are not visible from here", source)
    else:
        sheet.put("fabric_manager.state", None, source)
    version: Known[str | None] = None
    if program and root == Path("/"):
        version = command_version(f"/{program}", r"version is\s*:?\s*([\d.]+)")
    elif program or inside:
        version = Unavailable(reason=f"{ABSENT} no nv-fabricmanager that could be asked")
    sheet.put("fabric_manager.version", version, "nv-fabricmanager --version")


def _cards(sheet: Sheet, root: Path) -> None:
    """What the kernel module tells of each card: this also answers where NVML is broken.

    Folders are named by bus address; NVML counts in the same order.
    """
    folders = list_folder(root / "proc/driver/nvidia/gpus")
    for index, folder in enumerate(() if isinstance(folders, Unavailable) else folders):
        source = f"/proc/driver/nvidia/gpus/{folder}/information"
        sheet.step(f"read {source}")
        text = read_text(root / "proc/driver/nvidia/gpus" / folder / "information")
        if isinstance(text, Unavailable):
            sheet.put(f"gpu[{index}].name", text, source)
            continue
        told = {key.strip(): value.strip() for key, value in re.findall(r"^([^:\n]+):[ \t]*(.*)$", text, re.MULTILINE)}
        for leaf, key in (("name", "Model"), ("bus_id", "Bus Location"), ("uuid", "GPU UUID")):
            value = told.get(key, "")
            if value and "?" not in value:  # a card that was never initialised shows GPU-???
                sheet.put(f"gpu[{index}].{leaf}", value, source)
        if told.get("Device Minor", "").isdigit():
            sheet.put(f"gpu[{index}].minor_number", int(told["Device Minor"]), source)
