"""Environment variables that decide what happens to a GPU, as this process has them.

`docker exec` passes on no variable of the host, and a program may set some through os.environ later on: what counts
is what the failing process has. Names that sound like a secret are left out, whatever their prefix.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from ilora_diag.collect.sheet import Sheet

NAMES = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_MODULE_LOADING",
    "CUDA_DISABLE_PTX_JIT",
    "CUDA_FORCE_PTX_JIT",
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_INJECTION64_PATH",
    "CUDA_MPS_PIPE_DIRECTORY",
    "CUDA_CACHE_PATH",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_NO_CUDA_MEMORY_CACHING",
    "PYTORCH_NVML_BASED_CUDA_CHECK",
    "TORCH_CUDA_ARCH_LIST",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_REQUIRE_CUDA",
    "NVIDIA_DISABLE_REQUIRE",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LD_AUDIT",
    "BNB_CUDA_VERSION",
    "TRITON_LIBCUDA_PATH",
    "TRITON_PTXAS_PATH",
    "PYTHONPATH",
    "CONDA_PREFIX",
    "VIRTUAL_ENV",
    "WSL_DISTRO_NAME",
    "WSL_INTEROP",
    "OMP_NUM_THREADS",
    "TOKENIZERS_PARALLELISM",
)
PREFIXES = ("NCCL_", "CUDA_", "CUDNN_", "CUBLAS_", "NVIDIA_", "PYTORCH_", "TORCH_NCCL_", "TORCH_CUDA", "GLOO_", "UCX_")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CRED|AUTH")
_RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_PORT")


def collect_environ(sheet: Sheet, environ: Mapping[str, str] | None = None) -> None:
    """Leaves `env.NAME`: None for a name of the list that is not set, and every set name with one of the prefixes."""
    environ = os.environ if environ is None else environ
    for name in NAMES:
        sheet.put(f"env.{name}", environ.get(name), "os.environ")
    for name in sorted(environ):
        if (name.startswith(PREFIXES) and not _SECRET.search(name)) or name in _RANKS:
            sheet.put(f"env.{name}", environ[name], "os.environ")
