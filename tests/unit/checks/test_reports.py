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
        "OS: Microsoft Windows 10\nPyTorch version: 1.4.0\nCUDA used to build PyTorch: 10.1\nIs CUDA available: No\n"
        "GPU models and configuration: GPU 0: GeForce GTX 1070\nNvidia driver version: 416.81",
        'Traceback (most recent call last):\n  File "fit.py", line 7, in <module>\nAssertionError: \n'
        "The NVIDIA driver on your system is too old (found version 9010).\nPlease update your GPU driver",
        "PyTorch version: 2.9.0+cu130\nobserved message (short): The NVIDIA driver on your system is too old "
        "(found version 12080)",
    ],
    "no_sm_in_wheel": [
        "PyTorch version: 2.6.0+cu124\nCUDA used to build PyTorch: 12.4\nGPU models and configuration:\n"
        "  GPU 0: NVIDIA GeForce RTX 5090\nobserved message (short): no kernel image is available for execution",
    ],
    "arch_dropped": [
        "PyTorch version: 2.8.0+cu129\nGPU models and configuration:\n  GPU 0: NVIDIA GeForce GTX 950M\n"
        "observed message (short): sm_50 is not compatible with the current PyTorch installation. It supports sm_70 "
        "sm_75 sm_80 sm_86 sm_90",
        "PyTorch version: 2.8.0+cu128\nGPU models and configuration:\n  GPU 0: Tesla P100-PCIE-16GB",
        "PyTorch version: 2.11.0+cu128\nGPU models and configuration:\n  GPU 0: Tesla V100-SXM2-32GB",
    ],
    "gpu_too_old": [
        "PyTorch version: 1.13.0+cu117\nGPU models and configuration: Quadro K4000\n"
        "observed message (short): The minimum cuda capability supported by this library is 3.7",
        "PyTorch version: 2.6.0+cu124\nGPU models and configuration:\n  GPU 0: Tesla K80\nNvidia driver version: "
        "470.256.02",
    ],
    "cpu_only_wheel": [
        LINUX + "PyTorch version: 1.10.0\nCUDA used to build PyTorch: Could not collect\nIs CUDA available: False\n"
        "GPU models and configuration:\n  GPU 0: NVIDIA RTX A4000\nNvidia driver version: 470.82.01\n"
        "Versions of relevant libraries:\n  pytorch 1.10.0 py3.9_cpu_0",
        "conda gave me pytorch=1.10.0=py3.8_cpu_0\ntorch.cuda.is_available()\nFalse\nGPU: RTX A4000",
        "PyTorch version: 2.3.0\nobserved message (short): AssertionError: Torch not compiled with CUDA enabled",
    ],
    "no_driver_visible": [
        LINUX + "PyTorch version: 2.0.0+cu117\nCUDA used to build PyTorch: 11.7\nIs CUDA available: False\n"
        "GPU models and configuration: Could not collect\nNvidia driver version: Could not collect",
        'observed message (short): could not select device driver "" with capabilities: [[gpu]]\nother facts: docker',
    ],
    "library_mix": [
        "PyTorch version: 2.1.0\nobserved message (short): libtorch_cpu.so: undefined symbol: iJIT_IsProfilingActive",
        "PyTorch version: 2.4.0+cu121\nVersions of relevant libraries:\n  nvidia-cublas-cu11 11.10.3.66\n"
        "  nvidia-cublas-cu12 12.1.3.1\nobserved message (short): undefined symbol: ncclCommSplit",
        "PyTorch version: 1.13.0\nother facts: torch is installed twice, from conda and from pip\n"
        "observed message (short): torch.cuda.is_available() returns False",
    ],
    "ld_library_path_shadow": [
        "PyTorch version: 2.2.0+cu121\nobserved message (short): Could not load library libcudnn_cnn_train.so.8. "
        "Error: /usr/local/cuda-12.2/lib64/libcudnn_cnn_train.so.8: undefined symbol: _ZN5cudnn3opsE, version libcudnn",
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
        "PyTorch version: 2.3.1\nobserved message (short): xFormers can't load C++/CUDA extensions. xFormers was "
        "built for: PyTorch 2.3.0+cu121 with CUDA 1201 (you have 2.3.1+cu118)",
        "PyTorch version: 2.3.0+cu121\nobserved message (short): Installed CUDA version 11.6 does not match the "
        "version torch was compiled with 12.1, unable to compile cuda/cpp extensions",
        "PyTorch version: 2.2.0+cu121\nobserved message (short): ImportError: libcudart.so.11.0: cannot open shared "
        "object file: No such file or directory\nother facts: a wheel of mmcv",
        "observed message (short): flash_attn_2_cuda.cpython-310-x86_64-linux-gnu.so: undefined symbol: "
        "_ZN3c104cuda9SetDeviceEi",
    ],
    "fabric_manager_missing": [
        "ggml_cuda_init: failed to initialize CUDA: system not yet initialized",
        "GPU models and configuration: 8x NVIDIA H200\nNvidia driver version: 550.90.07\nother facts: the "
        "nvidia-fabricmanager service is not installed\nobserved message (short): CUDA is not available",
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
        # nothing about a card in it: nobody can say that this machine is healthy
        LINUX + "PyTorch version: 2.3.0+cu121\nPython version: 3.10",
        "torch.cuda.is_available()\nfalse\nGPU: GTX 1050 Ti\nNvidia driver version: 535.98",
        # enough under minor version compatibility: the versions do not explain it
        LINUX + "PyTorch version: 2.4.1+cu124\nCUDA used to build PyTorch: 12.4\nIs CUDA available: False\n"
        "GPU models and configuration:\n  GPU 0: NVIDIA A100-SXM4-80GB\nNvidia driver version: 535.183.01",
        LINUX
        + "PyTorch version: 2.3.0+cu121\nIs CUDA available: True\nobserved message (short): the loss does not fall",
    ],
    "healthy": [
        # a prompt's answers, in the order of the questions
        LINUX + ">>> torch.__version__\n'2.4.1+cu121'\n>>> torch.cuda.is_available()\nTrue\nGPU: RTX A6000",
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
