"""The command that reads a missing fact, cheapest first: no root and no CUDA context unless it says so."""

from __future__ import annotations

import re

from ilora_diag.schema import Decider

_COMMANDS: tuple[tuple[str, str], ...] = (
    (r"driver\.(?:version|kmod)", "cat /proc/driver/nvidia/version"),
    (r"driver\.libcuda(?:_path)?", "ldconfig -p | grep libcuda.so.1"),
    (r"module\.\w+", "lsmod | grep -E 'nvidia|nouveau|vfio'"),
    (r"dev\..*", "ls -l /dev/nvidia*"),
    (r"pci.*", "lspci -nnk -d 10de:"),
    (r"nvml\..*", "nvidia-smi"),
    (r"cuda\.init_code", 'python -c "import ctypes; print(ctypes.CDLL(\'libcuda.so.1\').cuInit(0))"'),
    (r"cuda\.driver_version", "nvidia-smi | grep -o 'CUDA Version: [0-9.]*'"),
    (r"gpu\[\d+\]\.compute_capability", "nvidia-smi --query-gpu=index,name,compute_cap --format=csv"),
    (r"gpu\[\d+\]\.(?:vmm_supported|.*probe.*|memory_pools_supported|managed_memory_supported)",
     "ilora-diag env-check --deep"),
    (r"gpu\[\d+\]\..*", "nvidia-smi -q -x"),
    (r"torch\.archs", 'python -c "import torch; print(torch.cuda.get_arch_list())"'),
    (r"torch\.(?:version|cuda_build)", 'python -c "import torch; print(torch.__version__, torch.version.cuda)"'),
    (r"torch\.allocator_settings",
     "python -c \"import torch; torch.ones(1).cuda(); print(torch.cuda.memory._snapshot()['allocator_settings'])\""),
    (r"torch\.driver_api_built", "ilora-diag env-check -v | grep driver_api_built"),
    (r"torch\.cuda_available", 'python -c "import torch; torch.cuda.init()"'),
    (r"torch\..*", "python -m torch.utils.collect_env"),
    (r"env\.(?P<name>.+)", "tr '\\0' '\\n' < /proc/PID/environ | grep {name}"),
    (r"kernel_log\..*", "sudo dmesg | grep -iE 'NVRM|Xid|oom-kill'"),
    (r"shm\..*", "df -h /dev/shm; ls -ld /dev/shm"),
    (r"cgroup\..*", "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory.events"),
    (r"fabric_manager\..*", "systemctl status nvidia-fabricmanager"),
    (r"container\.toolkit_version", "nvidia-ctk --version"),
    (r"package\.(?P<name>.+)\.\w+", "python -m pip show {name}"),
    (r"library\.(?P<name>.+)\.\w+", "ldconfig -p | grep {name}"),
    (r"error\.text", "ilora-diag env-check --error FILE"),
)  # fmt: skip


def decider(fact: str) -> Decider:
    """The fact and the command that reads it."""
    for pattern, command in _COMMANDS:
        if match := re.fullmatch(pattern, fact):
            return Decider(fact=fact, command=command.format(**match.groupdict()) if match.groupdict() else command)
    return Decider(fact=fact, command="ilora-diag env-check")
