"""What people paste, in their own words: each cause by its message or its facts, and the nearest that is not it."""

from __future__ import annotations

import pytest

from ilora_diag.checks.judging import judge
from ilora_diag.collect.importers import import_facts
from ilora_diag.schema import Confidence

LINUX = "OS: Ubuntu 22.04.3 LTS (x86_64)\n"


def leading(report: str) -> str:
    findings = judge(import_facts(report))
    return findings[0].category if findings else "healthy"


REPORTS = {
    "driver_too_old": [
        LINUX + "PyTorch version: 1.10.0+cu113\nCUDA used to build PyTorch: 11.3\nIs CUDA available: False\n"
        "GPU models and configuration:\n  GPU 0: Tesla V100-SXM2-16GB\nNvidia driver version: 418.87.01",
        "PyTorch version: 2.9.0+cu130\nobserved message (short): The NVIDIA driver on your system is too old "
        "(found version 12080)",
    ],
    "no_sm_in_wheel": [
        "PyTorch version: 2.6.0+cu124\nCUDA used to build PyTorch: 12.4\nGPU models and configuration:\n"
        "  GPU 0: NVIDIA GeForce RTX 5090\nobserved message (short): no kernel image is available for execution",
    ],
    "arch_dropped": [
        "PyTorch version: 2.8.0+cu128\nGPU models and configuration:\n  GPU 0: Tesla P100-PCIE-16GB",
        "PyTorch version: 2.11.0+cu128\nGPU models and configuration:\n  GPU 0: Tesla V100-SXM2-32GB",
    ],
    "gpu_too_old": [
        "PyTorch version: 2.6.0+cu124\nGPU models and configuration:\n  GPU 0: Tesla K80\nNvidia driver version: "
        "470.256.02",
    ],
    "cpu_only_wheel": [
        "PyTorch version: 2.3.0\nobserved message (short): AssertionError: Torch not compiled with CUDA enabled",
    ],
    "no_driver_visible": [
        LINUX + "PyTorch version: 2.0.0+cu117\nCUDA used to build PyTorch: 11.7\nIs CUDA available: False\n"
        "GPU models and configuration: Could not collect\nNvidia driver version: Could not collect",
        'observed message (short): could not select device driver "" with capabilities: [[gpu]]\nother facts: docker',
    ],
    "ld_library_path_shadow": [
        "PyTorch version: 2.1.0+cu121\nenvironment variables:\n  LD_LIBRARY_PATH=/usr/local/cuda-11.8/lib64\n"
        "observed message (short): Could not load library libcudnn_cnn_infer.so.8",
    ],
    "cudnn_mismatch": [
        "observed message (short): cuDNN version incompatibility: PyTorch was compiled  against (8, 7, 0) but "
        "found runtime "
        "version (8, 5, 0)",
    ],
    "torchvision_mismatch": [
        "PyTorch version: 2.3.0\nVersions of relevant libraries:\n  torchvision 0.17.2 (pip)",
        "observed message (short): RuntimeError: operator torchvision::nms does not exist",
    ],
    "ext_abi_mismatch": [
        "observed message (short): flash_attn_2_cuda.cpython-310-x86_64-linux-gnu.so: undefined symbol: "
        "_ZN3c104cuda9SetDeviceEi",
    ],
    "fabric_manager_missing": [
        "GPU models and configuration: 8x NVIDIA A100-SXM4-80GB\nobserved message (short): Error 802: system not "
        "yet initialized",
    ],
    "fabric_manager_version": ["Nvidia driver version: 525.60.13\nother facts: fabric manager 525.85.12"],
    "fabric_manager_not_needed": [
        "GPU models and configuration: NVIDIA A100-PCIE-40GB\nother facts: nvidia-fabricmanager failed: "
        "NV_WARN_NOTHING_TO_DO",
    ],
    "container_toolkit_bug": [
        "other facts: Docker Desktop\nobserved message (short): Error 500: named symbol not found"
    ],
    "cgroup_reload": [
        "other facts: docker container\nobserved message (short): Failed to initialize NVML: Unknown Error"
    ],
    "uvm_after_suspend": [
        "observed message (short): CUDA unknown error - this may be due to an incorrectly set up environment\n"
        "other facts: since the laptop was suspended",
    ],
    "mig_no_instance": [
        "GPU models and configuration: A100 80GB, MIG enabled, no instances created\n"
        "observed message (short): No CUDA GPUs are available",
    ],
    "wrong_visible_devices": [
        "environment variables:\n  CUDA_VISIBLE_DEVICES=1\nGPU models and configuration:\n  GPU 0: NVIDIA T4\n"
        "observed message (short): No CUDA GPUs are available",
    ],
    "acs_p2p": [
        "GPU models and configuration: 4x RTX 3090\nother facts: ACS is enabled\nobserved message (short): NCCL hangs"
    ],
    "shm_too_small": [
        "other facts: docker\nobserved message (short): DataLoader worker is killed by signal: Bus error"
    ],
    "host_oom_kill": ["observed message (short): oom-kill: task python was ended\nother facts: memory limit 16 GB"],
    "xid_hardware": ["other facts: NVRM: Xid (PCI:0000:65:00): 119, Timeout waiting for RPC from GSP"],
    "gpu_fell_off_bus": [
        "observed message (short): Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost"
    ],
    "reentrant_checkpoint": [
        "observed message (short): Trying to backward through the graph a second time\nother facts: gradient "
        "checkpointing on",
    ],
    "frozen_input_checkpoint": [
        "observed message (short): element 0 of tensors does not require grad\nother facts: gradient_checkpointing "
        "and LoRA",
    ],
    "unknown": [
        # enough under minor version compatibility: the versions do not explain it
        LINUX + "PyTorch version: 2.4.1+cu124\nCUDA used to build PyTorch: 12.4\nIs CUDA available: False\n"
        "GPU models and configuration:\n  GPU 0: NVIDIA A100-SXM4-80GB\nNvidia driver version: 535.183.01",
        LINUX
        + "PyTorch version: 2.3.0+cu121\nIs CUDA available: True\nobserved message (short): the loss does not fall",
    ],
    "healthy": [
        LINUX + "PyTorch version: 2.3.0+cu121\nCUDA used to build PyTorch: 12.1\nIs CUDA available: True\n"
        "GPU models and configuration:\n  GPU 0: NVIDIA GeForce RTX 4090\nNvidia driver version: 525.105.17",
        # binaries for 8.6 run on 8.9, whatever the toolkit knew
        "PyTorch version: 2.0.1+cu117\nIs CUDA available: True\nGPU models and configuration:\n  GPU 0: NVIDIA L4",
        LINUX + "PyTorch version: 2.3.0+cpu\nIs CUDA available: False\nGPU models and configuration: No CUDA\n"
        "Nvidia driver version: No CUDA",
    ],
}


@pytest.mark.parametrize(
    ("category", "report"), [(category, report) for category, reports in REPORTS.items() for report in reports]
)
def test_a_report_is_answered_with_its_cause(category: str, report: str) -> None:
    assert leading(report) == category


def test_a_message_alone_confirms_nothing() -> None:
    for reports in REPORTS.values():
        for report in reports:
            message = report.partition("observed message (short): ")[2].partition("\n")[0]
            if message:
                found = judge(import_facts(f"observed message (short): {message}"))
                assert all(one.confidence is not Confidence.CONFIRMED for one in found), message


def test_the_recommended_build_is_one_that_runs_on_the_card() -> None:
    (finding,) = judge(import_facts("PyTorch version: 2.9.1+cu130\nGPU models and configuration:\n  GPU 0: Tesla P40"))
    assert finding.category == "arch_dropped"
    assert finding.remedy == "python -m pip install torch==2.9.1 --index-url https://download.pytorch.org/whl/cu126"


def test_fragmentation_on_a_machine_without_expandable_segments_is_not_answered_with_them() -> None:
    text = (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.06 GiB. GPU 0 has a total capacity of "
        "23.68 GiB of "
        "which 332.00 MiB is free. Process 1 has 23.34 GiB memory in use. Of the allocated memory 20.10 GiB is "
        "allocated by "
        "PyTorch, and 2.90 GiB is reserved by PyTorch but unallocated."
    )
    findings = judge(import_facts(f"observed message (short): {text}\nGPU models and configuration: A40 vGPU guest"))
    assert findings[0].category == "oom_fragmentation"
    assert "max_split_size_mb" in (findings[0].remedy or "")
