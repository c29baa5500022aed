"""A healthy machine, and what one broken fact must be answered with: the mutation test of env-check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ilora_diag.schema import Fact, Facts, Unavailable, Value
from ilora_diag.schema.known import Known

GIB = 1 << 30
HEALTHY: dict[str, Known[Value]] = {
    "os.name": "Ubuntu 22.04.4 LTS",
    "os.family": "linux",
    "os.kernel": "5.15.0-105-generic",
    "os.arch": "x86_64",
    "os.wsl": False,
    "os.tegra": False,
    "os.gvisor": False,
    "os.suspended": False,
    "os.hypervisor": "none",
    "container.kind": "none",
    "container.visible_devices": None,
    "cgroup.memory_max_bytes": None,
    "cgroup.oom_kills": 0,
    "shm.total_bytes": 64 * GIB,
    "shm.free_bytes": 63 * GIB,
    "shm.writable": True,
    "shm.mode": "1777",
    "ulimit.as_bytes": None,
    "ulimit.nofile": 65536,
    "ulimit.memlock_bytes": None,
    "env.CUDA_VISIBLE_DEVICES": None,
    "env.LD_LIBRARY_PATH": None,
    "env.PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    "env.PYTORCH_ALLOC_CONF": None,
    "driver.kmod": "570.124.06",
    "driver.libcuda": "570.124.06",
    "driver.libcuda_path": "/usr/lib/x86_64-linux-gnu/libcuda.so.570.124.06",
    "driver.libnvml": "570.124.06",
    "module.nvidia": True,
    "module.nvidia_uvm": True,
    "module.nouveau": False,
    "module.vfio_pci": False,
    "dev.nvidiactl": "ok",
    "dev.nvidia0": "ok",
    "dev.nvidia1": "ok",
    "dev.nvidia-uvm": "ok",
    "pci.num_nvidia_gpus": 2,
    "pci.num_nvswitches": 0,
    "pci.acs_redirect": False,
    "pci[0].driver": "nvidia",
    "pci[0].config_dead": False,
    "pci[1].driver": "nvidia",
    "pci[1].config_dead": False,
    "kernel_log.xid": (),
    "kernel_log.oom_kills": 0,
    "nvml.status": 0,
    "nvml.device_count": 2,
    "cuda.init_code": 0,
    "cuda.driver_version": "12.8",
    "cuda.device_count": 2,
    "torch.version": "2.7.1+cu126",
    "torch.cuda_build": "12.6",
    "torch.rocm_build": None,
    "torch.archs": ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"),
    "torch.driver_api_built": True,
    "torch.cxx11_abi": True,
    "package.torchvision.version": "0.22.1+cu126",
    "package.flash-attn.version": "2.8.0",
    "package.flash-attn.torch_build": "2.7",
    "package.nvidia-cudnn-cu12.version": "9.5.1.17",
    "package.nvidia-cublas-cu12.version": "12.6.4.1",
    "package.torch.num_copies": 1,
    **{
        f"gpu[{index}].{leaf}": value
        for index in (0, 1)
        for leaf, value in {
            "name": "NVIDIA A100-SXM4-80GB",
            "uuid": f"GPU-{index}",
            "nvml_status": 0,
            "compute_capability": "8.0",
            "memory_total_bytes": 80 * GIB,
            "memory_used_bytes": GIB,
            "memory_free_bytes": 79 * GIB,
            "virtualization_mode": "none",
            "mig_mode": "disabled",
            "num_mig_devices": 0,
            "compute_mode": "default",
            "ecc.uncorrected_volatile": 0,
            "remapped_rows.pending": False,
            "remapped_rows.failure": False,
            "reset_required": False,
            "recovery_action": "none",
            "fabric_state": "not_supported",
            "num_processes": 0,
            "vmm_supported": True,
            "posix_handle_supported": True,
            "rdma_vmm_supported": True,
            "memory_pools_supported": True,
            "managed_memory_supported": True,
            "probe.granularity_h0": 0,
            "probe.granularity_h1": 0,
        }.items()
    },
}
"""Two bare A100 with everything known and in order; expandable segments are on, and the cards offer them."""


def facts_of(values: dict[str, Known[Value]]) -> Facts:
    """A facts record of a table of paths."""
    made = tuple(Fact(path=path, value=value, source="made up") for path, value in values.items())
    return Facts(captured_at=Unavailable(reason="absent: made up"), facts=made)


@dataclass(frozen=True)
class Mutation:
    """One broken fact, or one cause with what it brings about.

    Attributes:
        category: what must lead.
        changes: the broken fact first; the others are its direct consequences (a code that a driver then answers).
    """

    category: str
    changes: dict[str, Known[Value]]


def _none(*paths: str) -> dict[str, Known[Value]]:
    return dict.fromkeys(paths)


_DOWN: dict[str, Known[Value]] = {"cuda.init_code": 100, "nvml.status": 9}
MUTATIONS: tuple[Mutation, ...] = (
    Mutation("gpu_fell_off_bus", {"pci[1].config_dead": True}),
    Mutation("gpu_fell_off_bus", {"gpu[1].nvml_status": 15}),
    Mutation("gpu_fell_off_bus", {"kernel_log.xid": (79,)}),
    Mutation("xid_hardware", {"kernel_log.xid": (119,)}),
    Mutation("xid_hardware", {"kernel_log.xid": (31, 94)}),
    Mutation("ecc_or_remap", {"gpu[0].ecc.uncorrected_volatile": 3}),
    Mutation("ecc_or_remap", {"gpu[1].remapped_rows.failure": True}),
    Mutation("ecc_or_remap", {"gpu[0].remapped_rows.pending": True}),
    Mutation("no_driver_visible", {"driver.kmod": None, "module.nvidia": False, **_DOWN}),
    Mutation(
        "no_driver_visible",
        {"pci[0].driver": "nouveau", "module.nouveau": True, "module.nvidia": False, "driver.kmod": None, **_DOWN},
    ),
    Mutation("no_driver_visible", {"driver.libcuda": None, "cuda.init_code": Unavailable(reason="absent: no libcuda")}),
    Mutation(
        "no_driver_visible",
        {"dev.nvidiactl": "ENOENT", "container.kind": "docker", "dev.nvidia0": "ENOENT", **_DOWN},
    ),
    Mutation("driver_library_mismatch", {"driver.libcuda": "575.51.03", "cuda.init_code": 803}),
    Mutation("driver_library_mismatch", {"nvml.status": 18, "cuda.init_code": 803}),
    Mutation("stub_library", {"driver.libcuda_path": "/usr/local/cuda/lib64/stubs/libcuda.so", "cuda.init_code": 34}),
    Mutation("forward_compat_804", {"cuda.init_code": 804}),
    Mutation("uvm_missing", {"dev.nvidia-uvm": "ENOENT", "cuda.init_code": 999}),
    Mutation("uvm_after_suspend", {"os.suspended": True, "cuda.init_code": 999}),
    Mutation("node_denied", {"dev.nvidiactl": "EACCES", **_DOWN}),
    Mutation(
        "cgroup_reload",
        {"dev.nvidiactl": "EPERM", "container.kind": "docker", "nvml.status": 999, "cuda.init_code": 100},
    ),
    Mutation(
        "driver_hangs",
        {"nvml.status": Unavailable(reason="timed out: 5 s"), "cuda.init_code": Unavailable(reason="timed out: 5 s")},
    ),
    Mutation("wrong_visible_devices", {"env.CUDA_VISIBLE_DEVICES": "", "cuda.init_code": 100}),
    Mutation("wrong_visible_devices", {"env.CUDA_VISIBLE_DEVICES": "-1", "cuda.init_code": 100}),
    Mutation("wrong_visible_devices", {"env.CUDA_VISIBLE_DEVICES": "5", "cuda.init_code": 100}),
    Mutation("wrong_visible_devices", {"env.CUDA_VISIBLE_DEVICES": "0,7"}),
    Mutation("mig_no_instance", {"gpu[0].mig_mode": "enabled", "gpu[1].mig_mode": "enabled", "cuda.init_code": 100}),
    Mutation("fabric_manager_missing", {"cuda.init_code": 802, "gpu[0].fabric_state": "in_progress"}),
    Mutation("fabric_manager_version", {"fabric_manager.version": "570.86.15", "cuda.init_code": 802}),
    Mutation("exclusive_mode", {"gpu[0].compute_mode": "exclusive_process", "gpu[0].num_processes": 1}),
    Mutation("exclusive_mode", {"gpu[1].compute_mode": "prohibited"}),
    Mutation(
        "driver_too_old",
        {
            "torch.cuda_build": "13.0",
            "torch.version": "2.11.0+cu130",
            "package.torchvision.version": "0.26.0",
            "package.flash-attn.torch_build": "2.11",
            **_none("package.nvidia-cudnn-cu12.version", "package.nvidia-cublas-cu12.version"),
        },
    ),
    Mutation("no_sm_in_wheel", {"gpu[0].compute_capability": "12.0", "gpu[0].name": "NVIDIA GeForce RTX 5090"}),
    Mutation("arch_dropped", {"torch.archs": ("sm_90", "sm_100", "sm_120")}),
    Mutation("gpu_too_old", {"gpu[0].compute_capability": "3.5", "gpu[0].name": "Tesla K40m"}),
    Mutation(
        "cpu_only_wheel",
        {
            "torch.version": "2.7.1+cpu",
            "torch.cuda_build": None,
            "torch.archs": (),
            "package.torchvision.version": "0.22.1",
            **_none("package.nvidia-cudnn-cu12.version", "package.nvidia-cublas-cu12.version"),
        },
    ),
    Mutation("expandable_unsupported", {"gpu[0].vmm_supported": False}),
    Mutation(
        "expandable_unsupported",
        {"gpu[0].virtualization_mode": "vgpu", "gpu[0].vmm_supported": Unavailable(reason="not collected")},
    ),
    Mutation("expandable_unsupported", {"gpu[0].probe.granularity_h1": 801}),
    Mutation("tegra_expandable", {"os.tegra": True}),
    Mutation("expandable_not_built", {"torch.driver_api_built": False}),
    Mutation("alloc_conf_ignored", {"env.PYTORCH_ALLOC_CONF": "max_split_size_mb:128"}),
    Mutation(
        "memory_pools_unsupported",
        {"gpu[0].memory_pools_supported": False, "env.PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync"},
    ),
    Mutation(
        "alloc_conf_rejected",
        {
            "torch.version": "2.0.1+cu118",
            "torch.cuda_build": "11.8",
            "package.torchvision.version": "0.15.2+cu118",
            "package.flash-attn.torch_build": "2.0",
            **_none("package.nvidia-cudnn-cu12.version", "package.nvidia-cublas-cu12.version"),
        },
    ),
    Mutation("shm_too_small", {"shm.total_bytes": 64 << 20, "shm.free_bytes": 60 << 20, "container.kind": "docker"}),
    Mutation("shm_permission", {"shm.writable": False, "shm.mode": "0755"}),
    Mutation("address_space_limited", {"ulimit.as_bytes": 32 * GIB}),
    Mutation("acs_p2p", {"pci.acs_redirect": True}),
    Mutation("host_oom_kill", {"cgroup.oom_kills": 2, "cgroup.memory_max_bytes": 16 * GIB}),
    Mutation("oom_other_process", {"gpu[0].memory_free_bytes": 100 << 20, "gpu[0].memory_used_bytes": 79 * GIB}),
    Mutation(
        "vgpu_unlicensed",
        {
            "gpu[0].virtualization_mode": "vgpu",
            "gpu[0].license_status": "unlicensed",
            "env.PYTORCH_CUDA_ALLOC_CONF": None,
        },
    ),
    Mutation("torchvision_mismatch", {"package.torchvision.version": "0.19.0"}),
    Mutation("ext_abi_mismatch", {"package.flash-attn.torch_build": "2.2"}),
    Mutation("cudnn_mismatch", {"package.nvidia-cudnn-cu11.version": "8.7.0.84"}),
    Mutation("library_mix", {"package.nvidia-cublas-cu11.version": "11.11.3.6"}),
    Mutation("library_mix", {"package.torch.num_copies": 2}),
    Mutation(
        "ld_library_path_shadow",
        {
            "env.LD_LIBRARY_PATH": "/usr/local/cuda-12.1/lib64",
            "library.libnvJitLink.so.12.path": "/usr/local/cuda-12.1/lib64/libnvJitLink.so.12",
        },
    ),
    Mutation("unknown", {"cuda.init_code": 2}),
)

HARMLESS: tuple[dict[str, Known[Value]], ...] = (
    {},
    {"env.PYTORCH_CUDA_ALLOC_CONF": None, "gpu[0].vmm_supported": False},
    {"env.PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:False", "gpu[0].vmm_supported": False},
    {"gpu[0].memory_pools_supported": False},
    {"gpu[0].compute_mode": "exclusive_process"},
    {"dev.nvidia-uvm": "ENOENT", "module.nvidia_uvm": False},  # both are made when they are needed; cuInit worked
    {"driver.libcuda_path": "/usr/local/cuda/compat/libcuda.so.575.51.03", "driver.libcuda": "575.51.03"},
    {"torch.archs": ("sm_80",)},
    {"gpu[0].compute_capability": "8.6"},  # binaries for 8.0 run there
    {"env.CUDA_VISIBLE_DEVICES": "1"},
    {"kernel_log.xid": (13, 31, 43, 45)},  # the application's own
    {
        "driver.kmod": "535.104.05",
        "driver.libcuda": "535.104.05",
        "driver.libnvml": "535.104.05",
        "cuda.driver_version": "12.2",
    },
    {"gpu[0].mig_mode": "enabled", "gpu[0].num_mig_devices": 3},
    {"fabric_manager.version": "570.124.06", "fabric_manager.state": "active"},
    {"fabric_manager.state": "inactive"},
    {"os.suspended": True},
    {"gpu[1].num_processes": 4},
    {"ulimit.memlock_bytes": 8 << 20},
    {"env.LD_LIBRARY_PATH": "/usr/local/cuda/lib64"},
    {"nvml.status": Unavailable(reason="not collected"), "cuda.init_code": Unavailable(reason="not collected")},
)
"""Changes that are no fault: each must leave the machine without a finding."""


def mutated(changes: dict[str, Known[Value]]) -> Facts:
    """The healthy machine with some facts changed."""
    return facts_of({**HEALTHY, **changes})


Judge = Callable[[Facts], tuple[object, ...]]
