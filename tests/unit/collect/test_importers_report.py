"""Environment reports and kernel logs, as people paste them. The machines are invented."""

from __future__ import annotations

from pathlib import Path

import pytest

from ilora_diag.collect.importers import ImportFactsError, import_facts, merge_facts
from ilora_diag.collect.vocabulary import complaint
from ilora_diag.schema import Facts, Unavailable


def known(facts: Facts) -> dict[str, object]:
    assert [complaint(fact) for fact in facts.facts if complaint(fact)] == []
    return {fact.path: fact.value for fact in facts.facts if not isinstance(fact.value, Unavailable)}


NEW_COLLECT_ENV = """Collecting environment information...
PyTorch version: 2.99.1+cu141
Is debug build: False
CUDA used to build PyTorch: 14.1
ROCM used to build PyTorch: N/A

OS: Example Linux 24.1 LTS (x86_64)
GCC version: (Example 13.2.0-1) 13.2.0
CMake version: version 3.30.1
Libc version: glibc-2.39

Python version: 3.12.3 (main, Jan  1 2026, 00:00:00) [GCC 13.2.0] (64-bit runtime)
Python platform: Linux-6.8.0-1-generic-x86_64-with-glibc2.39
Is CUDA available: True
CUDA runtime version: 13.9.88
CUDA_MODULE_LOADING set to: LAZY
GPU models and configuration:
GPU 0: Example Card 9
  MIG 1g.10gb     Device  0:
GPU 1: Example Card 9

Nvidia driver version: 999.10.01
cuDNN version: Probably one of the following:
/usr/lib/libcudnn.so.9.9.1
/usr/lib/libcudnn_ops.so.9.9.1
Is XNNPACK available: True

CPU:
Architecture:                    x86_64
CPU(s):                          64
Model name:                      Example CPU
Hypervisor vendor:               KVM

Versions of relevant libraries:
[pip3] numpy==2.4.1
[pip3] nvidia-cudnn-cu14==9.9.1.2
[pip3] torch==2.99.1
[conda] Could not collect
"""


def test_collect_env_of_today() -> None:
    facts = known(import_facts(NEW_COLLECT_ENV))
    assert facts["torch.version"] == "2.99.1+cu141"
    assert facts["torch.cuda_build"] == "14.1"
    assert facts["torch.cuda_available"] is True
    assert facts["os.name"] == "Example Linux 24.1 LTS"
    assert facts["os.kernel"] == "6.8.0-1-generic"
    assert facts["os.wsl"] is False
    assert facts["os.hypervisor"] == "kvm"
    assert facts["toolkit.gcc_version"] == "13.2.0"
    assert facts["toolkit.cuda_version"] == "13.9.88"
    assert facts["env.CUDA_MODULE_LOADING"] == "LAZY"
    assert (facts["gpu[0].name"], facts["gpu[1].name"]) == ("Example Card 9", "Example Card 9")
    assert (facts["gpu[0].mig_mode"], facts["gpu[0].mig[0].name"]) == ("enabled", "1g.10gb")
    assert "gpu[1].mig_mode" not in facts
    assert facts["driver.version"] == "999.10.01"
    assert facts["cudnn.candidates"] == ("/usr/lib/libcudnn.so.9.9.1", "/usr/lib/libcudnn_ops.so.9.9.1")
    assert facts["host.cpu_count"] == 64
    assert facts["package.nvidia-cudnn-cu14.version"] == "9.9.1.2"
    assert facts["import.kinds"] == ("collect_env",)


def test_collect_env_of_years_ago() -> None:
    text = (
        "PyTorch version: 1.9.9\nIs debug build: No\nCUDA used to build PyTorch: 10.9.130\n\nOS: Example Linux 9\n"
        "Is CUDA available: No\nCUDA runtime version: Could not collect\nGPU models and configuration: GPU 0: Old "
        "Card\n"
        "Nvidia driver version: 410.11\n\nVersions of relevant libraries:\n[pip3] numpy (1.14.3)\n"
        "[conda] pytorch   1.9.9   py3.6_cuda10.9_0    pytorch\n"
    )
    imported = import_facts(text)
    facts = known(imported)
    assert facts["torch.version"] == "1.9.9"
    assert facts["torch.debug_build"] is False
    assert facts["torch.cuda_available"] is False
    assert facts["gpu[0].name"] == "Old Card"
    assert facts["package.numpy.version"] == "1.14.3"
    assert facts["package.pytorch.origin"] == "conda"
    missing = imported.get("toolkit.cuda_version")
    assert isinstance(missing, Unavailable)
    assert missing.reason == "absent: Could not collect"


@pytest.mark.parametrize(
    ("version", "cuda"),
    [
        ("2.9.9+cpu", None),
        ("2.9.9+cu92", "9.2"),
        ("2.9.9+cu130", "13.0"),
        ("1.9.9 (conda py3.7_cuda10.0.130_cudnn7.6.3_0)", "10.0.130"),
        ("2.9 (index cu126)", "12.6"),
        ("2.9.9a0+git1234567", "unknown"),
    ],
)
def test_a_version_tells_the_cuda_of_its_build(version: str, cuda: str | None) -> None:
    facts = known(import_facts(f"PyTorch version: {version}\nCUDA used to build PyTorch: Could not collect\n"))
    assert facts.get("torch.cuda_build", "unknown") == cuda


def test_the_report_of_transformers() -> None:
    facts = known(
        import_facts(
            "- `transformers` version: 9.9.0\n- Platform: Linux-5.15.1-microsoft-standard-WSL2-x86_64-with-glibc2.35\n"
            "- Python version: 3.11.2\n- PyTorch version (GPU?): 2.9.1+cu128 (True)\n"
            "- Tensorflow version (GPU?): not installed (NA)\n- Using GPU in script?: <fill in>\n"
            "- GPU type: Example A9-48C\n"
        )
    )
    assert facts["package.transformers.version"] == "9.9.0"
    assert facts["os.wsl"] is True
    assert facts["torch.cuda_available"] is True
    assert facts["gpu[0].name"] == "Example A9-48C"
    assert "package.tensorflow.version" not in facts


def test_the_report_of_lightning() -> None:
    facts = known(
        import_facts(
            "* CUDA:\n\t- GPU:\n\t\t- Example Card 9\n\t\t- Example Card 9\n\t- available:         False\n"
            "\t- version:           11.8\n* Lightning:\n\t- lightning:         2.1.0\n"
            "\t- torch:             2.0.9+cu118\n"
            "* System:\n\t- OS:                Linux\n\t- version:           #1 SMP\n\t- release:           5.15.1\n"
        )
    )
    assert (facts["gpu[0].name"], facts["gpu[1].name"]) == ("Example Card 9", "Example Card 9")
    assert facts["torch.cuda_available"] is False
    assert facts["torch.cuda_build"] == "11.8"
    assert facts["package.lightning.version"] == "2.1.0"
    assert facts["os.kernel"] == "5.15.1"


def test_dotted_leaders_and_the_form_of_an_issue() -> None:
    facts = known(
        import_facts("torch version .................... 2.1.0+cu121\nnvcc version ..................... 12.1\n")
    )
    assert (facts["torch.version"], facts["toolkit.cuda_version"]) == ("2.1.0+cu121", "12.1")
    facts = known(
        import_facts(
            " - PyTorch Version (e.g., 1.0): 1.4\n - OS (e.g., Linux): Example Linux\n - CUDA/cuDNN version: 10.1/7.6\n"
            " - GPU models and configuration: 2x 1080Ti\n - Build command you used (if compiling from source):\n"
        )
    )
    assert facts["torch.version"] == "1.4"
    assert (facts["toolkit.cuda_version"], facts["cudnn.version"]) == ("10.1", "7.6")
    assert (facts["gpu[0].name"], facts["gpu[1].name"]) == ("1080Ti", "1080Ti")


def test_free_statements_become_facts_and_stay_notes() -> None:
    facts = known(
        import_facts(
            "Nvidia driver version: kernel module 998.1.2, userspace 999.3.4\n"
            "GPU models and configuration:\n  Example A9 with several MIG instances\nenvironment variables:\n"
            "  LD_LIBRARY_PATH=/opt/lib:\n  PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True\n"
            "observed message (short): Example A9 with CUDA capability sm_86 is not compatible; "
            "install supports sm_50 sm_60\n"
            "other facts: nvidia-fabricmanager 998.1.1; nvcc 11.2 is installed; docker image CUDA 12.1; "
            "ldd shows libfoo.so.12 => /opt/lib/libfoo.so.12; /dev/shm is 64M\n"
        )
    )
    assert (facts["driver.kmod"], facts["driver.userspace"]) == ("998.1.2", "999.3.4")
    assert "driver.version" not in facts
    assert (facts["gpu[0].name"], facts["gpu[0].mig_mode"]) == ("Example A9", "enabled")
    assert facts["env.PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"
    assert facts["torch.archs"] == ("sm_50", "sm_60")
    assert facts["gpu[0].compute_capability"] == "8.6"
    assert facts["fabric_manager.version"] == "998.1.1"
    assert facts["toolkit.cuda_version"] == "11.2"
    assert facts["container.cuda_version"] == "12.1"
    assert facts["library.libfoo.so.12.path"] == "/opt/lib/libfoo.so.12"
    assert facts["shm.total_bytes"] == 64 << 20
    assert any("nvidia-fabricmanager" in str(note) for note in facts["import.notes"])  # type: ignore[attr-defined]


def test_a_wheel_tells_its_abi_and_builds() -> None:
    facts = known(import_facts("pip: flash_attn-9.5.5+cu118torch2.2cxx11abiTRUE-cp38-cp38-linux_x86_64.whl\n"))
    assert facts["package.flash-attn.version"] == "9.5.5+cu118torch2.2cxx11abiTRUE"
    assert facts["package.flash-attn.cuda_build"] == "11.8"
    assert facts["package.flash-attn.torch_build"] == "2.2"
    assert facts["package.flash-attn.cxx11_abi"] is True


def test_the_python_prompt_and_settings_in_code() -> None:
    facts = known(
        import_facts(
            ">>> import torch\n>>> torch.__version__\n'2.1.0+cu118'\n>>> print(torch.cuda.is_available())\nFalse\n"
            ">>> torch.cuda.get_arch_list()\n['sm_50', 'compute_90']\n"
            "os.environ['PYTORCH_CUDA_ALLOC_CONF'] = 'max_split_size_mb:128'\n"
        )
    )
    assert facts["torch.version"] == "2.1.0+cu118"
    assert facts["torch.cuda_available"] is False
    assert facts["torch.archs"] == ("sm_50", "compute_90")
    assert facts["env.PYTORCH_CUDA_ALLOC_CONF"] == "max_split_size_mb:128"


def test_a_traceback_in_a_report_is_its_error_text() -> None:
    facts = known(
        import_facts(
            'torch: 2.1.0\n\nTraceback (most recent call last):\n  File "x.py", line 1, in f\n    g()\n'
            "RuntimeError: CUDA driver error: operation not supported\n"
        )
    )
    assert str(facts["error.text"]).startswith("Traceback")
    assert str(facts["error.text"]).endswith("operation not supported")


def test_the_cuda_of_nobody_in_particular_is_not_guessed() -> None:
    facts = known(import_facts("torch: 2.1.0\nCUDA version: 11.8\n"))
    assert set(facts) == {"torch.version", "import.kinds"}


LOG = (
    "[    1.000000] Linux version 6.8.0-9-generic (builder)\n"
    "[    2.000000] NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  998.104.05  Release Build\n"
    "[   50.000000] NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.\n"
    "[   51.000000] nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 31\n"
    "[   52.000000] NVRM: API mismatch: the client has the version 999.1.2, but\n"
    "               NVRM: this kernel module has the version 998.3.4.  Please\n"
    "[   60.000000] Memory cgroup out of memory: Killed process 17 (pt_data_worker)\n"
    "[   70.000000] Out of memory: Killed process 18 (python)\n"
)


def test_the_log_of_the_kernel() -> None:
    facts = known(import_facts(LOG))
    assert facts["kernel_log.xid"] == (79,)
    assert facts["kernel_log.sxid"] == (12028,)
    assert facts["kernel_log.oom_kills"] == 2
    assert facts["os.kernel"] == "6.8.0-9-generic"
    assert facts["driver.kmod"] == "998.3.4"  # the last line that names it
    assert facts["driver.kmod_flavour"] == "open"
    assert facts["driver.userspace"] == "999.1.2"
    assert facts["import.kinds"] == ("kernel_log",)


def test_only_a_log_proves_that_there_was_no_xid() -> None:
    quiet = "".join(f"[   {second}.000000] usb 1-1: new device\n" for second in range(10, 20))
    assert known(import_facts(quiet))["kernel_log.xid"] == ()
    assert "kernel_log.xid" not in known(import_facts("torch: 2.1.0\nall fine\n"))


def test_a_long_log_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("step 1: loss 2.5\n" * 30_000 + LOG)
    facts = known(import_facts(path))
    assert facts["kernel_log.xid"] == (79,)
    assert "only lines of the kernel's log" in str(facts["import.warnings"])


def test_a_mixture_is_taken_apart() -> None:
    facts = known(
        import_facts(
            f"Here is my machine\n{NEW_COLLECT_ENV}\n```\n{LOG}```\nFailed to initialize NVML: Unknown Error\n"
        )
    )
    assert facts["torch.version"] == "2.99.1+cu141"
    assert facts["kernel_log.xid"] == (79,)
    assert facts["nvml.status"] == 999
    assert set(facts["import.kinds"]) == {"collect_env", "kernel_log", "nvidia_smi_failure"}  # type: ignore[call-overload]


def test_contradictions_between_sources_are_both_kept() -> None:
    first, second = import_facts("torch: 2.1.0\nDriver: 999.1.1\n"), import_facts("torch: 2.1.0\nDriver: 998.7.7\n")
    merged = merge_facts(first, second)
    assert merged.get("driver.version") == "999.1.1"
    assert merged.get("conflict.driver.version") == ("999.1.1 (report)", "998.7.7 (report)")
    assert isinstance(merged.get("conflict.torch.version"), Unavailable)
    assert merge_facts(merged, second).get("conflict.driver.version") == ("999.1.1 (report)", "998.7.7 (report)")


def test_a_more_exact_reading_is_no_contradiction() -> None:
    merged = merge_facts(
        import_facts("torch: 2.1.0\nDriver: 999\n"), import_facts("torch: 2.1.0+cu121\nDriver: 999.10.2\n")
    )
    assert (merged.get("driver.version"), merged.get("torch.version")) == ("999.10.2", "2.1.0+cu121")
    assert not [fact for fact in merged.facts if fact.path.startswith("conflict.")]


def test_similar_versions_are_a_contradiction() -> None:
    merged = merge_facts(import_facts("Driver: 410.12\n"), import_facts("Driver: 410.129\n"))
    assert merged.get("conflict.driver.version") == ("410.12 (report)", "410.129 (report)")


def test_a_known_value_replaces_an_unknown_one() -> None:
    merged = merge_facts(
        import_facts("torch: 2.1.0\ncuDNN version: Could not collect\n"), import_facts("cuDNN version: 9.1\n")
    )
    assert merged.get("cudnn.version") == "9.1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"\x00\x01\x02garbage", "binary"),
        (b"\x1f\x8b\x08rest", "packed with gzip"),
        (b"nothing that means anything\n", "nothing was recognised"),
        (b"{not json", "no facts file"),
    ],
)
def test_what_holds_no_facts_is_refused_in_words(content: bytes, message: str) -> None:
    with pytest.raises(ImportFactsError, match=message):
        import_facts(content)


def test_the_redirect_of_powershell_is_read() -> None:
    assert known(import_facts("torch: 2.1.0\r\n".encode("utf-16")))["torch.version"] == "2.1.0"


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(ImportFactsError, match="does not exist"):
        import_facts(tmp_path / "absent.txt")
    with pytest.raises(ImportFactsError, match="is no file"):
        import_facts(tmp_path)
