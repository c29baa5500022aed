"""What is read from files, on machines made of files: a folder stands for `/`."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ilora_diag.collect import devnodes
from ilora_diag.collect.container import collect_container
from ilora_diag.collect.devnodes import collect_devnodes
from ilora_diag.collect.environ import collect_environ
from ilora_diag.collect.host import collect_host
from ilora_diag.collect.kernel_driver import collect_kernel_driver
from ilora_diag.collect.kernel_log import collect_kernel_log, read_ring
from ilora_diag.collect.loader import Loader, collect_loader
from ilora_diag.collect.pci import collect_pci
from ilora_diag.collect.sheet import Sheet
from ilora_diag.collect.vocabulary import complaint
from ilora_diag.schema import Unavailable

Write = Callable[[dict[str, str | bytes]], Path]


@pytest.fixture
def machine(tmp_path: Path) -> Write:
    """`machine({"proc/version": "...", ...})` makes the files and returns the root."""

    def write(files: dict[str, str | bytes]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path

    return write


def reason(sheet: Sheet, path: str) -> str:
    value = sheet.get(path)
    assert isinstance(value, Unavailable), f"{path} is {value!r}"
    return value.reason


def complaints(sheet: Sheet) -> list[str]:
    return [text for fact in sheet.facts() if (text := complaint(fact))]


# --- host ---------------------------------------------------------------------------------------------------------

INTEL = "processor : 0\nmodel name\t: Intel(R) Xeon(R)\nflags\t\t: fpu vme {}sse2\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/sys/kernel/osrelease": "5.15.153.1-microsoft-standard-WSL2\n"}, {"os.wsl": True, "os.gvisor": False}),
        ({"proc/sys/kernel/osrelease": "4.4.0\n"}, {"os.wsl": False, "os.gvisor": True}),
        ({"proc/sys/kernel/osrelease": "4.4.0-210-generic\n"}, {"os.gvisor": False}),
        ({"etc/nv_tegra_release": "# R35 (release), REVISION: 4.1\n# x"}, {"os.tegra": True}),
        ({"proc/device-tree/compatible": "nvidia,p3767\0nvidia,tegra234\0"}, {"os.tegra": True}),
        ({"proc/device-tree/compatible": "nvidia,gb10\0"}, {"os.tegra": False}),
        ({"proc/cpuinfo": INTEL.format("")}, {"os.hypervisor": "none", "host.cpu_model": "Intel(R) Xeon(R)"}),
        ({"proc/cpuinfo": INTEL.format("hypervisor ")}, {"os.hypervisor": "unnamed"}),
        (
            {"proc/cpuinfo": INTEL.format("hypervisor "), "sys/class/dmi/id/sys_vendor": "QEMU\n"},
            {"os.hypervisor": "kvm"},
        ),
        (
            {"proc/cpuinfo": INTEL.format(""), "sys/class/dmi/id/sys_vendor": "Amazon EC2\n"},
            {"os.hypervisor": "none"},  # a metal instance
        ),
        (
            {"proc/cpuinfo": INTEL.format("hypervisor "), "sys/class/dmi/id/sys_vendor": "Amazon EC2\n"},
            {"os.hypervisor": "amazon"},
        ),
        ({"sys/power/suspend_stats/success": "2\n"}, {"os.suspended": True}),
        ({"proc/meminfo": "MemTotal:  1024 kB\nSwapTotal: 0 kB\n"}, {"host.memory_total_bytes": 1 << 20}),
        ({"etc/os-release": 'NAME="x"\nPRETTY_NAME="Ubuntu 22.04.3 LTS"\n'}, {"os.name": "Ubuntu 22.04.3 LTS"}),
        ({"var/run/reboot-required": ""}, {"os.reboot_required": True}),
        (
            {"proc/cmdline": "root=/dev/sda1 intel_iommu=on nomodeset quiet"},
            {"os.cmdline": ("intel_iommu=on", "nomodeset")},
        ),
    ],
)
def test_the_host_is_told_by_its_files(
    machine: Write, files: dict[str, str | bytes], expected: dict[str, object]
) -> None:
    sheet = Sheet()
    collect_host(sheet, machine(files))
    assert {path: sheet.get(path) for path in expected} == expected
    assert complaints(sheet) == []


def test_a_host_without_proc_has_reasons_in_place_of_values(tmp_path: Path) -> None:
    sheet = Sheet()
    collect_host(sheet, tmp_path)
    for path in ("os.kernel", "os.wsl", "os.hypervisor", "host.memory_total_bytes", "os.cmdline", "os.suspended"):
        assert reason(sheet, path).startswith("absent:")


# --- container ----------------------------------------------------------------------------------------------------

OVERLAY = "22 1 0:21 / / rw,relatime - overlay overlay rw\n"
EXT4 = "22 1 0:21 / / rw,relatime - ext4 /dev/sda rw\n"


@pytest.mark.parametrize(
    ("files", "environ", "kind"),
    [
        ({"proc/self/mountinfo": EXT4}, {}, "none"),
        ({".dockerenv": ""}, {}, "docker"),
        ({"proc/1/cgroup": "12:memory:/docker/0123\n"}, {}, "docker"),
        ({"run/.containerenv": ""}, {}, "podman"),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"run/.containerenv": "", "proc/1/cgroup": "0::/kubepods/burstable/x\n"}, {}, "kubernetes"),
        ({"proc/1/environ": "PATH=/bin\0container=lxc\0"}, {}, "lxc"),
        ({}, {"APPTAINER_NAME": "x.sif"}, "singularity"),
        ({"proc/self/mountinfo": OVERLAY}, {}, "container"),
    ],
)
def test_kinds_of_containers_are_told_apart(
    machine: Write, files: dict[str, str | bytes], environ: dict[str, str], kind: str
) -> None:
    sheet = Sheet()
    collect_container(sheet, machine(files), environ)
    assert sheet.get("container.kind") == kind
    assert complaints(sheet) == []


def test_the_smallest_limit_up_the_parents_counts(machine: Write) -> None:
    root = machine(
        {
            "proc/self/cgroup": "0::/system.slice/docker-1.scope/job\n",
            "sys/fs/cgroup/cgroup.controllers": "cpu memory pids\n",
            "sys/fs/cgroup/system.slice/docker-1.scope/job/memory.max": "max\n",
            "sys/fs/cgroup/system.slice/docker-1.scope/job/memory.events": "oom 0\noom_kill 0\n",
            "sys/fs/cgroup/system.slice/docker-1.scope/memory.max": "8589934592\n",
            "sys/fs/cgroup/system.slice/docker-1.scope/memory.current": "8000000000\n",
            "sys/fs/cgroup/system.slice/docker-1.scope/memory.events": "low 0\noom 3\noom_kill 2\noom_group_kill 0\n",
            "sys/fs/cgroup/system.slice/docker-1.scope/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/system.slice/memory.max": "68719476736\n",
            "sys/fs/cgroup/system.slice/cpu.max": "max 100000\n",
        }
    )
    sheet = Sheet()
    collect_container(sheet, root, {})
    expected = {
        "cgroup.version": 2,
        "cgroup.memory_max_bytes": 8 << 30,
        "cgroup.memory_current_bytes": 8_000_000_000,
        "cgroup.oom_kills": 2,
        "cgroup.cpu_max": 1.5,
    }
    assert {path: sheet.get(path) for path in expected} == expected


def test_version_1_spells_no_limit_as_a_large_number(machine: Write) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n",  # the path is the host's
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    }
    sheet = Sheet()
    collect_container(sheet, machine(files), {})
    assert (sheet.get("cgroup.version"), sheet.get("cgroup.memory_max_bytes")) == (1, None)
    assert (sheet.get("cgroup.oom_kills"), sheet.get("cgroup.cpu_max")) == (5, None)


def test_a_limit_of_version_1_is_found(machine: Write) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/a/b\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1073741824\n",
        "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "2147483648\n",
    }
    sheet = Sheet()
    collect_container(sheet, machine(files), {})
    assert sheet.get("cgroup.memory_max_bytes") == 1 << 30


def test_the_root_group_of_version_2_has_no_limit(machine: Write) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cgroup.controllers": "memory\n"}
    sheet = Sheet()
    collect_container(sheet, machine(files), {})
    assert sheet.get("cgroup.memory_max_bytes") is None
    assert reason(sheet, "cgroup.oom_kills").startswith("absent:")


def test_nvidias_variables_of_the_container_are_read_and_unset_is_known(machine: Write) -> None:
    sheet = Sheet()
    collect_container(sheet, machine({}), {"NVIDIA_VISIBLE_DEVICES": "void"})
    assert sheet.get("container.visible_devices") == "void"
    assert sheet.get("container.driver_capabilities") is None


def test_stale_cdi_files_name_the_driver_they_were_made_for(machine: Write) -> None:
    sheet = Sheet()
    collect_container(sheet, machine({"etc/cdi/nvidia.yaml": "hostPath: /usr/lib/libcuda.so.535.104.05\n"}), {})
    assert sheet.get("container.cdi_driver_versions") == ("535.104.05",)


def test_environment_variables_tell_unset_from_empty_and_leave_secrets_out() -> None:
    sheet = Sheet()
    collect_environ(sheet, {"CUDA_VISIBLE_DEVICES": "", "NCCL_P2P_DISABLE": "1", "NVIDIA_API_KEY": "x", "HOME": "/a"})
    assert sheet.get("env.CUDA_VISIBLE_DEVICES") == ""
    assert sheet.get("env.PYTORCH_CUDA_ALLOC_CONF") is None
    assert sheet.get("env.NCCL_P2P_DISABLE") == "1"
    assert not {"env.NVIDIA_API_KEY", "env.HOME"} & {fact.path for fact in sheet.facts()}
    assert complaints(sheet) == []


# --- the kernel's side of the driver --------------------------------------------------------------------------------

PROPRIETARY = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12\n"
)
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57.08  Release Build  (root@x)  Sat May\n"
LOADED = "nvidia_uvm 1536000 0 - Live 0x0\nnvidia 56000000 1 nvidia_uvm, Live 0x0\n"


@pytest.mark.parametrize(
    ("files", "version", "flavour"),
    [
        ({"proc/driver/nvidia/version": PROPRIETARY, "proc/modules": LOADED}, "535.104.05", "proprietary"),
        ({"proc/driver/nvidia/version": OPEN, "proc/modules": LOADED}, "575.57.08", "open"),
        ({"sys/module/nvidia/version": "470.57.02\n", "proc/modules": LOADED}, "470.57.02", None),
        ({"proc/modules": "nouveau 1 0 - Live 0x0\n"}, None, None),
    ],
)
def test_the_kernel_module_is_read(
    machine: Write, files: dict[str, str | bytes], version: str | None, flavour: str | None
) -> None:
    sheet = Sheet()
    collect_kernel_driver(sheet, machine(files), {})
    assert sheet.get("driver.kmod") == version
    assert flavour is None or sheet.get("driver.kmod_flavour") == flavour
    assert sheet.get("module.nouveau") is (version is None)
    assert sheet.get("module.nvidia_uvm") is (version is not None)


def test_in_a_container_a_fabric_manager_that_is_not_seen_may_run_all_the_same(machine: Write) -> None:
    sheet = Sheet()
    collect_kernel_driver(sheet, machine({"proc/1/comm": "init\n", ".dockerenv": ""}), {})
    assert reason(sheet, "fabric_manager.state").startswith("absent:")


def test_wsl_has_no_kernel_module_and_that_is_no_fault(machine: Write) -> None:
    sheet = Sheet()
    collect_kernel_driver(sheet, machine({"proc/modules": "", "dev/dxg": ""}), {})
    assert reason(sheet, "driver.kmod").startswith("absent: WSL")


def test_cards_are_named_by_the_kernel_where_nvml_is_broken(machine: Write) -> None:
    card = "Model: \t\t NVIDIA A40\nIRQ:   \t\t 104\nGPU UUID: \t GPU-????????-????\n"
    card += "Bus Location: \t 0000:17:00.0\nDevice Minor: \t 0\n"
    files = {
        "proc/driver/nvidia/gpus/0000:17:00.0/information": card,
        "proc/driver/nvidia/params": "EnableGpuFirmware: 18\n",
    }
    sheet = Sheet()
    collect_kernel_driver(sheet, machine(files), {})
    assert (sheet.get("gpu[0].name"), sheet.get("gpu[0].bus_id")) == ("NVIDIA A40", "0000:17:00.0")
    assert sheet.get("gpu[0].minor_number") == 0
    assert reason(sheet, "gpu[0].uuid").startswith("not collected")
    assert sheet.get("driver.params.EnableGpuFirmware") == "18"
    assert complaints(sheet) == []


def test_mps_and_the_fabric_manager_are_found_among_the_processes(machine: Write) -> None:
    files = {"proc/77/comm": "nv-fabricmanage\n", "proc/78/comm": "nvidia-cuda-mps\n", "proc/1/comm": "init\n"}
    sheet = Sheet()
    collect_kernel_driver(sheet, machine(files), {"CUDA_MPS_PIPE_DIRECTORY": "/nowhere"})
    assert (sheet.get("fabric_manager.state"), sheet.get("mps.running")) == ("active", True)


def test_without_these_processes_they_do_not_run(machine: Write) -> None:
    sheet = Sheet()
    collect_kernel_driver(sheet, machine({"proc/1/comm": "init\n"}), {"CUDA_MPS_PIPE_DIRECTORY": "/nowhere"})
    assert (sheet.get("fabric_manager.state"), sheet.get("mps.running")) == (None, False)


# --- PCI ------------------------------------------------------------------------------------------------------------


def pci_device(
    address: str, vendor: str, kind: str, config: bytes = b"\xde\x10\x35\x22" + bytes(60)
) -> dict[str, str | bytes]:
    folder = f"sys/bus/pci/devices/{address}"
    return {
        f"{folder}/vendor": f"{vendor}\n",
        f"{folder}/device": "0x2235\n",
        f"{folder}/class": f"{kind}\n",
        f"{folder}/numa_node": "-1\n",
        f"{folder}/current_link_width": "8\n",
        f"{folder}/max_link_width": "16\n",
        f"{folder}/config": config,
    }


def test_cards_on_the_bus_are_listed_with_who_drives_them(machine: Write) -> None:
    root = machine(
        {
            **pci_device("0000:01:00.0", "0x10de", "0x030200"),
            **pci_device("0000:02:00.0", "0x10de", "0x030000", b"\xff" * 64),
            **pci_device("0000:02:00.1", "0x10de", "0x040300"),  # its sound function
            **pci_device("0000:03:00.0", "0x10de", "0x068000"),
            **pci_device("0000:04:00.0", "0x8086", "0x030000"),
        }
    )
    (root / "sys/bus/pci/devices/0000:01:00.0/driver").symlink_to("../../../bus/pci/drivers/vfio-pci")
    sheet = Sheet()
    collect_pci(sheet, root)
    expected = {
        "pci.num_nvidia_gpus": 2,
        "pci.num_nvswitches": 1,
        "pci[0].bus_id": "0000:01:00.0",
        "pci[0].device_id": "10de:2235",
        "pci[0].driver": "vfio-pci",
        "pci[0].config_dead": False,
        "pci[0].link_width": 8,
        "pci[1].driver": None,
        "pci[1].config_dead": True,
        "pci.iommu": "off",
    }
    assert {path: sheet.get(path) for path in expected} == expected
    assert complaints(sheet) == []


@pytest.mark.parametrize(("control", "redirects"), [(0x001D, True), (0x0001, False)])
def test_redirected_peer_traffic_shows_in_the_bridges(machine: Write, control: int, redirects: bool) -> None:
    # given: a bridge whose second extended capability is ACS
    config = bytearray(4096)
    struct.pack_into("<I", config, 0x100, 0x0001 | 1 << 16 | 0x140 << 20)
    struct.pack_into("<IHH", config, 0x140, 0x000D | 1 << 16, 0x001F, control)
    root = machine(
        {
            **pci_device("0000:00:01.0", "0x8086", "0x060400", bytes(config)),
            **pci_device("0000:01:00.0", "0x10de", "0x030200"),
            **pci_device("0000:02:00.0", "0x10de", "0x030200"),
        }
    )
    sheet = Sheet()
    collect_pci(sheet, root)
    assert sheet.get("pci.acs_redirect") is redirects


def test_without_root_the_bridges_do_not_tell(machine: Write) -> None:
    root = machine(
        {
            **pci_device("0000:00:01.0", "0x8086", "0x060400", bytes(64)),
            **pci_device("0000:01:00.0", "0x10de", "0x030200"),
            **pci_device("0000:02:00.0", "0x10de", "0x030200"),
        }
    )
    sheet = Sheet()
    collect_pci(sheet, root)
    assert reason(sheet, "pci.acs_redirect").startswith("denied:")


# --- device nodes -----------------------------------------------------------------------------------------------------


def test_nodes_are_opened_and_what_happens_is_named(machine: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root = machine({"dev/nvidiactl": "", "dev/nvidia0": "", "dev/nvidia1": "", "dev/nvidia-caps/nvidia-cap1": ""})
    with socket.socket(socket.AF_UNIX) as node:  # opening a socket is ENXIO, for root as well
        node.bind(str(root / "dev/nvidia-uvm"))
    really_open = os.open

    def refusing(path: Path, flags: int, *more: int) -> int:
        if Path(path).name == "nvidia0":
            raise PermissionError(1, "Operation not permitted")  # what the device cgroup answers
        if Path(path).name == "nvidia1":
            raise PermissionError(13, "Permission denied")  # what the mode answers
        return really_open(path, flags, *more)

    monkeypatch.setattr(devnodes.os, "open", refusing)
    sheet = Sheet()
    collect_devnodes(sheet, root)
    monkeypatch.undo()
    expected = {
        "dev.nvidiactl": "ok",
        "dev.nvidia0": "EPERM",
        "dev.nvidia1": "EACCES",
        "dev.nvidia-uvm": "ENXIO",
        "dev.nvidia-caps/nvidia-cap1": "ok",
    }
    assert {path: sheet.get(path) for path in expected} == expected
    assert str(sheet.get("dev_mode.nvidiactl")).endswith("(no character device)")


def test_missing_nodes_of_a_loaded_driver_show_beside_its_majors(machine: Write) -> None:
    devices = "Character devices:\n  1 mem\n195 nvidia-frontend\n508 nvidia-uvm\n\nBlock devices:\n  8 sd\n"
    sheet = Sheet()
    collect_devnodes(sheet, machine({"proc/devices": devices, "dev/null": ""}))
    assert (sheet.get("dev.nvidiactl"), sheet.get("dev_major.nvidia")) == ("ENOENT", 195)
    assert sheet.get("dev_major.nvidia-uvm") == 508
    assert reason(sheet, "dev_major.nvidia-caps").startswith("absent:")
    assert complaints(sheet) == []


# --- the loader -------------------------------------------------------------------------------------------------------

ELF = Path(sys.executable).read_bytes()[:64]
OTHER_ELF = ELF[:18] + struct.pack("<H", 0x1234) + ELF[20:]


def cache(pairs: list[tuple[str, str]]) -> bytes:
    """A loader cache with these entries, and an old-format block in front of it as some distributions have."""
    table, strings = b"", b""
    base = 48 + 24 * len(pairs)
    for key, value in pairs:
        at = base + len(strings)
        strings += key.encode() + b"\0" + value.encode() + b"\0"
        table += struct.pack("=iIIIQ", 0x0303, at, at + len(key) + 1, 0, 0)
    head = b"glibc-ld.so.cache1.1" + struct.pack("=II", len(pairs), len(strings)) + bytes(20)
    return b"ld.so-1.7.0\0" + bytes(4) + head + table + strings


def installed(**more: str | bytes) -> dict[str, str | bytes]:
    return {
        "etc/ld.so.cache": cache([("libcuda.so.1", "/usr/lib/x86_64-linux-gnu/libcuda.so.1")]),
        "usr/lib/x86_64-linux-gnu/libcuda.so.535.104.05": ELF,
        **more,
    }


def link(root: Path, name: str, target: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(target)


def test_the_cache_names_the_driver_and_the_link_its_version(machine: Write) -> None:
    root = machine(installed())
    link(root, "usr/lib/x86_64-linux-gnu/libcuda.so.1", "libcuda.so.535.104.05")
    sheet = Sheet()
    collect_loader(sheet, root, {})
    assert sheet.get("driver.libcuda") == "535.104.05"
    assert sheet.get("driver.libcuda_candidates") == ("/usr/lib/x86_64-linux-gnu/libcuda.so.535.104.05",)
    assert sheet.get("driver.libnvml") is None
    assert complaints(sheet) == []


def test_a_stub_on_the_library_path_wins_over_the_driver(machine: Write) -> None:
    stubs = "usr/local/cuda/lib64/stubs/libcuda.so.1"
    root = machine(installed(**{stubs: ELF}))
    link(root, "usr/lib/x86_64-linux-gnu/libcuda.so.1", "libcuda.so.535.104.05")
    sheet = Sheet()
    collect_loader(sheet, root, {"LD_LIBRARY_PATH": "/opt/none:/usr/local/cuda/lib64/stubs"})
    assert sheet.get("driver.libcuda_path") == f"/{stubs}"
    assert reason(sheet, "driver.libcuda").startswith("absent:")
    assert sheet.get("driver.libcuda_candidates") == (f"/{stubs}", "/usr/lib/x86_64-linux-gnu/libcuda.so.535.104.05")


def test_a_library_of_another_machine_is_passed_over(machine: Write) -> None:
    root = machine({"lib32/libcuda.so.1": OTHER_ELF, "text/libcuda.so.1": "no library", "good/libcuda.so.1": ELF})
    loader = Loader(root, {"LD_LIBRARY_PATH": "/lib32:/text:/good"})
    assert loader.candidates("libcuda.so.1") == ("/good/libcuda.so.1",)


def test_a_preloaded_library_comes_before_everything(machine: Write) -> None:
    root = machine({"a/libcuda.so.1": ELF, "b/libcuda.so.1": ELF})
    loader = Loader(root, {"LD_PRELOAD": "/x.so /b/libcuda.so.1", "LD_LIBRARY_PATH": "/a"})
    assert loader.candidates("libcuda.so.1") == ("/b/libcuda.so.1", "/a/libcuda.so.1")


def test_a_driver_beside_the_loaders_path_is_named_in_the_reason(machine: Write) -> None:
    sheet = Sheet()
    collect_loader(sheet, machine({"usr/lib/wsl/lib/libcuda.so.1": ELF}), {})
    assert sheet.get("driver.libcuda") is None
    assert "/usr/lib/wsl/lib/libcuda.so.1" in reason(sheet, "driver.libcuda_path")


def test_a_second_nvjitlink_is_listed(machine: Write) -> None:
    root = machine({"cuda/libnvJitLink.so.12": ELF, "torch/libnvJitLink.so.12": ELF})
    sheet = Sheet()
    collect_loader(sheet, root, {"LD_LIBRARY_PATH": "/cuda:/torch"})
    assert sheet.get("library.libnvJitLink.so.12.path") == "/cuda/libnvJitLink.so.12"
    assert sheet.get("library.libnvJitLink.so.12.candidates") == (
        "/cuda/libnvJitLink.so.12",
        "/torch/libnvJitLink.so.12",
    )


def test_the_toolkit_is_told_by_its_version_file(machine: Write) -> None:
    sheet = Sheet()
    collect_loader(
        sheet, machine({"usr/local/cuda/version.json": '{"cuda" : {"name": "SDK", "version" : "12.4.1"}}'}), {}
    )
    assert (sheet.get("toolkit.cuda_version"), sheet.get("toolkit.path")) == ("12.4.1", "/usr/local/cuda")


# --- the kernel's log -------------------------------------------------------------------------------------------------


def test_the_log_is_read_from_the_first_place_that_has_it(machine: Write) -> None:
    lines = [
        "Nov 22 01:00:01 host kernel: [  100.5] NVRM: Xid (PCI:0000:17:00): 79, pid=1, GPU has fallen off the bus.",
        "Nov 22 01:00:02 host kernel: [  101.5] Memory cgroup out of memory: Killed process 42 (python) total-vm:1kB",
        "Nov 22 01:00:03 host kernel: [  102.5] usb 1-1: new device",
    ]
    sheet = Sheet()
    collect_kernel_log(sheet, machine({"var/log/kern.log": "\n".join(lines)}))
    assert sheet.get("kernel_log.xid") == (79,)
    assert (sheet.get("kernel_log.oom_kills"), sheet.get("kernel_log.lines")) == (1, 3)
    assert sheet.get("kernel_log.sxid") == ()
    assert complaints(sheet) == []


def test_without_a_readable_log_the_reason_says_what_was_tried(tmp_path: Path) -> None:
    sheet = Sheet()
    collect_kernel_log(sheet, tmp_path)
    assert reason(sheet, "kernel_log.xid").startswith("absent: /dev/kmsg: absent:")


def test_the_ring_of_this_kernel_is_read_without_waiting_for_more() -> None:
    lines = read_ring(Path("/dev/kmsg"))
    if isinstance(lines, Unavailable):
        pytest.skip(f"the kernel's log is not for this account: {lines.reason}")
    assert all(line.startswith("[") for line in lines)
