"""Every path a fact may have: its type, unit and meaning. Collectors, importers and checks agree through this table.

Spelling of a path: `gpu[N]` counts devices in NVML order (not CUDA order, see `gpu[N].cuda_ordinal`); NAME stands for
a name that the machine gives (a variable, a package, a file) and may hold dots; versions are texts as their owner
writes them (`535.104.12`, `12.2`, `2.0.1+cu117`).

A value of None is knowledge: an environment variable that is unset, a package that is not installed, a limit that is
not set. A value that is not known is `Unavailable`; its reason begins with one of `REASONS`:

* `absent: ...`  the place was looked at and offers no value (no such file, "N/A", an attribute the driver lacks);
* `denied: ...`  permission was refused;
* `timed out: ...`  the probe met its deadline (a hung driver does that);
* `failed: ...`  the reading broke otherwise ("[Unknown Error]", "GPU is lost", a crash of the probe);
* `conflict: ...`  what was read contradicts itself and neither side can be preferred;
* `not collected`  nobody looked. `Facts.get` says this of a path that is not there.

Sources of names and meanings: NVML and CUDA driver API (device attributes by their number), the fields of
`nvidia-smi -q -x` (nvsmi_device_v9 to v13), torch.utils.collect_env, /proc and /sys of Linux.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from ilora_diag.schema import Fact, Scalar, Unavailable, Value


class Kind(StrEnum):
    """The Python type of a value, None aside."""

    TEXT = "text"
    VERSION = "version"  # a text
    INTEGER = "integer"
    BYTES = "bytes"  # an integer
    NUMBER = "number"  # a float or an integer
    FLAG = "flag"  # a bool
    TEXTS = "texts"  # a tuple of texts
    INTEGERS = "integers"  # a tuple of integers


@dataclass(frozen=True, slots=True)
class Leaf:
    """One path of the vocabulary.

    Attributes:
        pattern: the path, with `[N]`, `[M]` for indices and NAME for a name.
        kind: type of the value.
        meaning: what it says, with its unit; the words a closed set of texts uses are in quotes.
        none: what a value of None means; empty where None is no value of this path.
    """

    pattern: str
    kind: Kind
    meaning: str
    none: str = ""


_T, _V, _I, _B = Kind.TEXT, Kind.VERSION, Kind.INTEGER, Kind.BYTES
_X, _F, _TT, _II = Kind.NUMBER, Kind.FLAG, Kind.TEXTS, Kind.INTEGERS
_UNLIMITED, _UNSET = "no limit", "known to be unset"

_ORIGIN = (
    Leaf("import.kinds", _TT, "what the importers recognised, such as 'nvidia_smi_xml'; absent from live facts"),
    Leaf("import.notes", _TT, "lines of a report that state facts without a path of their own"),
    Leaf("import.warnings", _TT, "what an importer had to leave out, and why"),
    Leaf("conflict.NAME", _TT, "NAME is another path: each value that was read for it, as 'value (source)'"),
    Leaf("collect.deep", _F, "whether probes that need a CUDA context were allowed"),
    Leaf("collect.NAME", _T, "'ok', or why a group of live collectors has no full answer; it names the call that hung"),
    Leaf("collect.redacted", _TT, "kinds of identifiers that pseudonyms stand for; absent where nothing was redacted"),
    Leaf("collector.NAME", _T, "never known: why a part of the live collection broke"),
    Leaf("error.text", _T, "the message or log that came with the facts"),
    Leaf("error.exit_code", _I, "exit status of the failing process; negative for a signal"),
)

_HOST = (
    Leaf("os.name", _T, "distribution and its version, as 'Ubuntu 22.04.3 LTS'"),
    Leaf("os.family", _T, "'linux', 'windows' or 'macos'"),
    Leaf("os.kernel", _V, "kernel release (uname -r)"),
    Leaf("os.arch", _T, "machine (uname -m), as 'x86_64', 'aarch64'"),
    Leaf("os.libc", _V, "C library, as 'glibc-2.35'"),
    Leaf("os.uptime_s", _X, "seconds since boot"),
    Leaf("os.wsl", _F, "Windows Subsystem for Linux (kernel release names microsoft)"),
    Leaf("os.tegra", _F, "Jetson or another Tegra board"),
    Leaf("os.tegra_release", _T, "first line of /etc/nv_tegra_release"),
    Leaf("os.gvisor", _F, "system calls are served by gVisor"),
    Leaf(
        "os.hypervisor",
        _T,
        "'none', or the vendor: 'kvm', 'vmware', 'xen', 'hyperv', 'firecracker', 'amazon', ...; 'unnamed'",
    ),
    Leaf("os.product_name", _T, "DMI product name of the machine"),
    Leaf("os.cmdline", _TT, "words of /proc/cmdline that concern devices, memory or control groups"),
    Leaf("os.reboot_required", _F, "/var/run/reboot-required exists"),
    Leaf("os.suspended", _F, "the machine has been suspended since boot"),
    Leaf("host.id", _T, "name of the machine, redacted by default"),
    Leaf("host.user", _T, "account of the process, redacted by default"),
    Leaf("host.cpu_model", _T, "model name of the CPU"),
    Leaf("host.cpu_count", _I, "logical CPUs"),
    Leaf("host.memory_total_bytes", _B, "MemTotal"),
    Leaf("host.memory_available_bytes", _B, "MemAvailable"),
    Leaf("host.swap_total_bytes", _B, "SwapTotal"),
    Leaf("container.kind", _T, "'none', 'docker', 'podman', 'kubernetes', 'lxc', 'singularity', 'container' (unnamed)"),
    Leaf("container.visible_devices", _T, "NVIDIA_VISIBLE_DEVICES; 'void' and 'none' ask for no GPU", _UNSET),
    Leaf("container.driver_capabilities", _T, "NVIDIA_DRIVER_CAPABILITIES; needs compute for libcuda", _UNSET),
    Leaf("container.image", _T, "name of the image"),
    Leaf("container.cuda_version", _V, "CUDA the image was made with (its toolkit, not its driver)"),
    Leaf("container.toolkit_version", _V, "NVIDIA Container Toolkit (nvidia-ctk --version)"),
    Leaf("container.cgroup_driver", _T, "'systemd' or 'cgroupfs'"),
    Leaf("container.cdi_driver_versions", _TT, "driver versions that the CDI files name"),
    Leaf("container.seccomp", _I, "Seccomp of /proc/self/status: 0 off, 1 strict, 2 filter"),
    Leaf("container.cap_effective", _T, "CapEff of /proc/self/status, hexadecimal"),
    Leaf("cgroup.version", _I, "1 or 2"),
    Leaf("cgroup.memory_max_bytes", _B, "smallest memory limit up the tree", _UNLIMITED),
    Leaf("cgroup.memory_current_bytes", _B, "memory in use"),
    Leaf("cgroup.oom_kills", _I, "processes that this limit killed (memory.events oom_kill)"),
    Leaf("cgroup.cpu_max", _X, "CPUs the quota allows", _UNLIMITED),
    Leaf("cgroup.pids_max", _I, "limit of processes", _UNLIMITED),
    Leaf("shm.total_bytes", _B, "size of /dev/shm; docker's default is 64 MiB"),
    Leaf("shm.free_bytes", _B, "free space there"),
    Leaf("shm.writable", _F, "whether this account may create files there"),
    Leaf("shm.mode", _T, "permission bits, as '1777'"),
    Leaf("ulimit.nofile", _I, "open files, soft limit", _UNLIMITED),
    Leaf("ulimit.memlock_bytes", _B, "locked memory, soft limit", _UNLIMITED),
    Leaf("ulimit.as_bytes", _B, "address space, soft limit; a finite one breaks reservations", _UNLIMITED),
    Leaf("ulimit.nproc", _I, "processes, soft limit", _UNLIMITED),
    Leaf("ulimit.core_bytes", _B, "core files, soft limit", _UNLIMITED),
    Leaf("env.NAME", _T, "environment variable, as the process sees it", _UNSET),
)

_DRIVER = (
    Leaf("driver.version", _V, "NVIDIA driver as reported without saying which part (nvidia-smi, collect_env)"),
    Leaf("driver.kmod", _V, "version of the loaded kernel module", "known not to be loaded"),
    Leaf("driver.kmod_flavour", _T, "'open' or 'proprietary'"),
    Leaf("driver.userspace", _V, "version of the user-space driver, where not told which library"),
    Leaf("driver.libcuda", _V, "version of the libcuda.so.1 that the loader takes", "known to be missing"),
    Leaf("driver.libcuda_path", _T, "its file; /stubs/ and /compat/ in it are findings"),
    Leaf("driver.libcuda_candidates", _TT, "every libcuda.so.1 on the loader's path, in its order"),
    Leaf("driver.libnvml", _V, "version of the libnvidia-ml.so.1 that the loader takes", "known to be missing"),
    Leaf("driver.libnvml_path", _T, "its file"),
    Leaf("driver.libnvml_candidates", _TT, "every libnvidia-ml.so.1 on the loader's path, in its order"),
    Leaf("driver.params.NAME", _T, "parameter of the kernel module (/proc/driver/nvidia/params)"),
    Leaf("driver.nvidia_smi", _T, "what nvidia-smi printed when it failed"),
    Leaf("driver.nvidia_smi_version", _V, "NVIDIA-SMI's own version"),
    Leaf("module.NAME", _F, "kernel module loaded: nvidia, nvidia_uvm, nvidia_peermem, nouveau, vfio_pci"),
    Leaf("dev.NAME", _T, "open(/dev/NAME) for read and write: 'ok', or errno by name: 'ENOENT', 'EACCES', 'EPERM'"),
    Leaf("dev_mode.NAME", _T, "permission bits and owner of /dev/NAME, as '0660 root video'"),
    Leaf("dev_major.NAME", _I, "major number in /proc/devices; known for a driver that registered its nodes"),
    Leaf("library.NAME.path", _T, "file that a library name resolves to, as for libnvJitLink.so.12", "not found"),
    Leaf("library.NAME.candidates", _TT, "every file of that name on the loader's path"),
    Leaf("toolkit.cuda_version", _V, "CUDA toolkit there (nvcc); torch does not use it", "known to be missing"),
    Leaf("toolkit.path", _T, "its folder"),
    Leaf("toolkit.gcc_version", _V, "C++ compiler"),
    Leaf("toolkit.cmake_version", _V, "CMake"),
    Leaf("cudnn.version", _V, "cuDNN that is in use, or the one collect_env found"),
    Leaf("cudnn.candidates", _TT, "every libcudnn found: files"),
    Leaf("fabric_manager.version", _V, "nvidia-fabricmanager; must equal the driver's", "known not to be installed"),
    Leaf("fabric_manager.state", _T, "'active', 'inactive' or 'failed'", "known not to be installed"),
    Leaf("mps.running", _F, "an MPS control daemon runs"),
    Leaf("kernel_log.xid", _II, "numbers of the Xid lines, in order of the log"),
    Leaf("kernel_log.xid_lines", _TT, "those lines, at most 100"),
    Leaf("kernel_log.sxid", _II, "numbers of the SXid lines (NVSwitch)"),
    Leaf("kernel_log.nvrm_lines", _TT, "other lines of the NVIDIA modules, at most 100"),
    Leaf("kernel_log.oom_kills", _I, "processes the kernel's OOM killer ended"),
    Leaf("kernel_log.oom_lines", _TT, "those lines, at most 100"),
    Leaf("kernel_log.lines", _I, "lines of the log that were read"),
)

_PCI = (
    Leaf("pci.num_nvidia_gpus", _I, "NVIDIA display or 3D controllers on the bus"),
    Leaf("pci.num_nvswitches", _I, "NVIDIA bridges of class 0x0680"),
    Leaf("pci.acs_redirect", _F, "Access Control Services redirect peer-to-peer traffic through the root"),
    Leaf("pci.iommu", _T, "'off', 'passthrough' or 'translated'"),
    Leaf("pci[N].bus_id", _T, "address, as '0000:01:00.0'"),
    Leaf("pci[N].device_id", _T, "vendor:device, as '10de:2331'"),
    Leaf("pci[N].driver", _T, "kernel driver bound to it: 'nvidia', 'nouveau', 'vfio-pci'", "no driver bound"),
    Leaf("pci[N].config_dead", _F, "configuration space reads ff: the card fell off the bus"),
    Leaf("pci[N].numa_node", _I, "NUMA node; -1 where the platform tells none"),
    Leaf("pci[N].link_width", _I, "lanes now"),
    Leaf("pci[N].link_width_max", _I, "lanes at most"),
)

_API = (
    Leaf("nvml.status", _I, "nvmlInit: 0 good, 9 driver not loaded, 12 no library, 18 version mismatch"),
    Leaf("nvml.version", _V, "NVML's own version"),
    Leaf("nvml.device_count", _I, "devices it counts, also nvidia-smi's Attached GPUs"),
    Leaf("cuda.init_code", _I, "cuInit(0) in a child: 0 good; 100, 101, 802, 803, 804, 999 are findings"),
    Leaf("cuda.driver_version", _V, "newest CUDA the driver supports, as '12.2' (nvidia-smi: CUDA Version)"),
    Leaf("cuda.device_count", _I, "cuDeviceGetCount, after CUDA_VISIBLE_DEVICES"),
)

_GPU = (
    Leaf("gpu[N].name", _T, "product name; may end in '...' where a table cut it"),
    Leaf("gpu[N].nvml_status", _I, "NVML's answer to this device: 0, or the code of its failure (15 lost)"),
    Leaf("gpu[N].cuda_ordinal", _I, "its number in CUDA", "hidden from CUDA"),
    Leaf("gpu[N].uuid", _T, "GPU-..., redacted by default"),
    Leaf("gpu[N].serial", _T, "serial number, redacted by default"),
    Leaf("gpu[N].bus_id", _T, "PCI address"),
    Leaf("gpu[N].minor_number", _I, "N of /dev/nvidiaN"),
    Leaf("gpu[N].brand", _T, "product line, as 'GeForce', 'Tesla'"),
    Leaf("gpu[N].architecture", _T, "as 'Ampere'"),
    Leaf("gpu[N].compute_capability", _V, "as '8.6'"),
    Leaf("gpu[N].vbios", _V, "VBIOS version"),
    Leaf("gpu[N].gsp_firmware", _V, "GSP firmware version; a version means that GSP is in use"),
    Leaf("gpu[N].memory_total_bytes", _B, "frame buffer in all"),
    Leaf("gpu[N].memory_reserved_bytes", _B, "held by driver and firmware"),
    Leaf("gpu[N].memory_used_bytes", _B, "in use; drivers before 510 count the reserved part in"),
    Leaf("gpu[N].memory_free_bytes", _B, "free"),
    Leaf("gpu[N].bar1_total_bytes", _B, "BAR1 aperture"),
    Leaf("gpu[N].bar1_used_bytes", _B, "of it mapped"),
    Leaf("gpu[N].virtualization_mode", _T, "'none', 'passthrough', 'vgpu' (guest), 'host_vgpu', 'host_vsga'"),
    Leaf("gpu[N].license_product", _T, "licensed product of a vGPU"),
    Leaf("gpu[N].license_status", _T, "as 'licensed', 'unlicensed'"),
    Leaf("gpu[N].mig_mode", _T, "'enabled' or 'disabled'; absent where the card has no MIG"),
    Leaf("gpu[N].mig_mode_pending", _T, "the same after the next reset"),
    Leaf("gpu[N].num_mig_devices", _I, "MIG devices that exist"),
    Leaf("gpu[N].mig[M].name", _T, "profile, as '1g.10gb'"),
    Leaf("gpu[N].mig[M].uuid", _T, "MIG-..., redacted by default"),
    Leaf("gpu[N].mig[M].gpu_instance", _I, "GPU instance id"),
    Leaf("gpu[N].mig[M].compute_instance", _I, "compute instance id"),
    Leaf("gpu[N].mig[M].memory_total_bytes", _B, "frame buffer of the slice"),
    Leaf("gpu[N].mig[M].memory_reserved_bytes", _B, "of it held by the driver"),
    Leaf("gpu[N].mig[M].memory_used_bytes", _B, "of it in use"),
    Leaf("gpu[N].mig[M].memory_free_bytes", _B, "of it free"),
    Leaf("gpu[N].compute_mode", _T, "'default', 'exclusive_thread', 'prohibited', 'exclusive_process'"),
    Leaf("gpu[N].persistence_mode", _F, "persistence mode"),
    Leaf("gpu[N].display_active", _F, "a display server uses the card"),
    Leaf("gpu[N].addressing_mode", _T, "'none', 'hmm' or 'ats'"),
    Leaf("gpu[N].driver_model", _T, "Windows: 'wddm', 'tcc', 'mcdm'"),
    Leaf("gpu[N].ecc.enabled", _F, "ECC in force"),
    Leaf("gpu[N].ecc.corrected_volatile", _I, "corrected errors since the driver was loaded"),
    Leaf("gpu[N].ecc.uncorrected_volatile", _I, "uncorrected errors since the driver was loaded"),
    Leaf("gpu[N].ecc.corrected_aggregate", _I, "corrected errors in the card's life"),
    Leaf("gpu[N].ecc.uncorrected_aggregate", _I, "uncorrected errors in the card's life"),
    Leaf("gpu[N].remapped_rows.correctable", _I, "rows replaced after corrected errors"),
    Leaf("gpu[N].remapped_rows.uncorrectable", _I, "rows replaced after uncorrected errors"),
    Leaf("gpu[N].remapped_rows.pending", _F, "a replacement waits for a reset"),
    Leaf("gpu[N].remapped_rows.failure", _F, "a replacement failed: the card is to be exchanged"),
    Leaf("gpu[N].retired_pages.single_bit", _I, "pages retired after single-bit errors"),
    Leaf("gpu[N].retired_pages.double_bit", _I, "pages retired after double-bit errors"),
    Leaf("gpu[N].retired_pages.pending", _F, "a page waits for a reset"),
    Leaf("gpu[N].reset_required", _F, "the driver asks for a reset"),
    Leaf("gpu[N].recovery_action", _T, "'none', 'reset', 'reboot', 'drain_p2p', 'drain_and_reset'"),
    Leaf("gpu[N].fabric_state", _T, "'not_supported', 'not_started', 'in_progress', 'completed'"),
    Leaf("gpu[N].fabric_status", _T, "'success', or NVML's words for the failure"),
    Leaf("gpu[N].pcie_replays", _I, "PCIe replays"),
    Leaf("gpu[N].link_gen", _I, "PCIe generation now"),
    Leaf("gpu[N].link_gen_max", _I, "PCIe generation at most"),
    Leaf("gpu[N].link_width", _I, "lanes now"),
    Leaf("gpu[N].link_width_max", _I, "lanes at most"),
    Leaf("gpu[N].clocks_event_reasons", _TT, "reasons in force, as 'gpu_idle', 'sw_power_cap', 'hw_slowdown'"),
    Leaf("gpu[N].performance_state", _T, "P0 to P15"),
    Leaf("gpu[N].temperature_c", _I, "core, degrees Celsius"),
    Leaf("gpu[N].power_draw_w", _X, "watts"),
    Leaf("gpu[N].power_limit_w", _X, "watts"),
    Leaf("gpu[N].utilization_percent", _I, "share of time with a kernel running"),
    Leaf("gpu[N].num_processes", _I, "processes that use it, as far as visible"),
    Leaf("gpu[N].process[M].pid", _I, "process id, in the host's numbers"),
    Leaf("gpu[N].process[M].name", _T, "command, redacted by default"),
    Leaf("gpu[N].process[M].type", _T, "'C' compute, 'G' graphics, 'C+G', 'M+C' under MPS"),
    Leaf("gpu[N].process[M].used_memory_bytes", _B, "its frame buffer; absent on Windows and for other containers"),
    Leaf("gpu[N].p2p[M]", _T, "peer access to device M: 'ok' or NVML's word for why not"),
    Leaf("gpu[N].attribute[M]", _I, "cuDeviceGetAttribute(M), for those without a path of their own"),
    Leaf("gpu[N].integrated", _F, "attribute 18: shares the host's memory"),
    Leaf("gpu[N].managed_memory_supported", _F, "attribute 83; paged optimizers need it"),
    Leaf("gpu[N].concurrent_managed_access", _F, "attribute 89"),
    Leaf("gpu[N].vmm_supported", _F, "attribute 102: virtual memory management; expandable segments need it"),
    Leaf("gpu[N].posix_handle_supported", _F, "attribute 103: memory handles as file descriptors"),
    Leaf("gpu[N].rdma_vmm_supported", _F, "attribute 110: GPU Direct RDMA with virtual memory management"),
    Leaf("gpu[N].memory_pools_supported", _F, "attribute 115; cudaMallocAsync needs it"),
    Leaf("gpu[N].fabric_handle_supported", _F, "attribute 128: fabric handles"),
    Leaf(
        "gpu[N].probe.NAME",
        _I,
        "CUDA driver code of one step, 0 good: granularity_h0, granularity_h1 (no context); with --deep also context, "
        "reserve, create_h0, create_h1, create_h1_rdma, map, set_access, malloc, managed, mempool, host_alloc",
    ),
    Leaf(
        "gpu[N].torch_probe.NAME",
        _T,
        "torch in a child, 'ok' or the first line of its error: tensor, expandable_on, expandable_off",
    ),
)

_SOFTWARE = (
    Leaf("python.version", _V, "interpreter"),
    Leaf("python.platform", _T, "platform.platform()"),
    Leaf("python.executable", _T, "file of the interpreter"),
    Leaf("torch.version", _V, "torch.__version__, with its local part where told", "known not to be installed"),
    Leaf("torch.debug_build", _F, "built with assertions"),
    Leaf("torch.cuda_build", _V, "CUDA it was built with (torch.version.cuda)", "a build without CUDA"),
    Leaf("torch.rocm_build", _V, "ROCm it was built with (torch.version.hip)", "a build without ROCm"),
    Leaf("torch.archs", _TT, "what its kernels were compiled for: 'sm_80', and 'compute_90' for PTX"),
    Leaf("torch.cuda_available", _F, "torch.cuda.is_available()"),
    Leaf("torch.device_count", _I, "torch.cuda.device_count()"),
    Leaf("torch.cudnn_version", _V, "cuDNN it loaded"),
    Leaf("torch.nccl_version", _V, "NCCL it was built with"),
    Leaf("torch.cxx11_abi", _F, "built with the C++11 ABI of libstdc++"),
    Leaf("torch.driver_api_built", _F, "built with the driver API, without which expandable segments do nothing"),
    Leaf("torch.allocator_settings", _T, "allocator settings in force, from inside the process"),
    Leaf("torch.import_error", _T, "last line of the error that import torch ends in"),
    Leaf("package.NAME.version", _V, "installed version; NAME as PEP 503 has it: flash-attn", "known to be missing"),
    Leaf("package.NAME.origin", _T, "'pip' or 'conda'"),
    Leaf("package.NAME.cuda_build", _V, "CUDA that its binary was built with, as '11.8'"),
    Leaf("package.NAME.torch_build", _V, "torch that its binary was built with, as '2.2'"),
    Leaf("package.NAME.cxx11_abi", _F, "C++11 ABI of its binary"),
    Leaf("package.NAME.num_copies", _I, "distributions of that name on the path; more than one is a finding"),
    Leaf("checkpoint.pickle_globals", _TT, "classes that a checkpoint names"),
    Leaf("rank.index", _I, "rank of the process among several"),
    Leaf("rank.world_size", _I, "number of ranks"),
)

LEAVES: tuple[Leaf, ...] = (*_ORIGIN, *_HOST, *_DRIVER, *_PCI, *_API, *_GPU, *_SOFTWARE)

REASONS = ("absent:", "denied:", "timed out:", "failed:", "conflict:", "not collected")


def absent(why: str, source: str) -> Unavailable:
    """Looked at, and there is no value."""
    return Unavailable(reason=f"absent: {why}", source=source)


def denied(why: str, source: str) -> Unavailable:
    """Permission was refused."""
    return Unavailable(reason=f"denied: {why}", source=source)


def timed_out(why: str, source: str) -> Unavailable:
    """The deadline passed."""
    return Unavailable(reason=f"timed out: {why}", source=source)


def failed(why: str, source: str) -> Unavailable:
    """The reading broke."""
    return Unavailable(reason=f"failed: {why}", source=source)


def find_leaf(path: str) -> Leaf | None:
    """The entry a path belongs to; None for a path outside the vocabulary."""
    shape = re.sub(r"\[\d{1,6}\]", "[#]", path)
    exact = _exact().get(shape)
    if exact is not None:
        return exact
    return next((leaf for pattern, leaf in _named() if pattern.fullmatch(shape)), None)


def complaint(fact: Fact) -> str | None:
    """What is wrong with a fact by this table: an unknown path, a wrong type, a reason that says nothing."""
    leaf = find_leaf(fact.path)
    if leaf is None:
        return f"{fact.path} is no path of the vocabulary"
    if isinstance(fact.value, Unavailable):
        good = fact.value.reason.startswith(REASONS)
        return None if good else f"{fact.path}: the reason {fact.value.reason!r} begins with none of {REASONS}"
    if fact.value is None:
        return None if leaf.none else f"{fact.path} has no meaning for None"
    return None if _fits(fact.value, leaf.kind) else f"{fact.path} is {fact.value!r}, not {leaf.kind}"


def _fits(value: Value, kind: Kind) -> bool:
    if isinstance(value, tuple):
        item = {Kind.TEXTS: str, Kind.INTEGERS: int}.get(kind)
        return item is not None and all(type(one) is item for one in value)
    return _scalar_fits(value, kind)


def _scalar_fits(value: Scalar, kind: Kind) -> bool:
    if kind is Kind.BYTES:
        return type(value) is int and value >= 0
    allowed: dict[Kind, tuple[type, ...]] = {
        Kind.TEXT: (str,),
        Kind.VERSION: (str,),
        Kind.INTEGER: (int,),
        Kind.NUMBER: (int, float),
        Kind.FLAG: (bool,),
    }
    return type(value) in allowed.get(kind, ())


@cache
def _exact() -> dict[str, Leaf]:
    return {_shape(leaf.pattern): leaf for leaf in LEAVES if "NAME" not in leaf.pattern}


@cache
def _named() -> tuple[tuple[re.Pattern[str], Leaf], ...]:
    named = (leaf for leaf in LEAVES if "NAME" in leaf.pattern)
    return tuple((re.compile(re.escape(_shape(leaf.pattern)).replace("NAME", r"\S+")), leaf) for leaf in named)


def _shape(pattern: str) -> str:
    return pattern.replace("[N]", "[#]").replace("[M]", "[#]")
