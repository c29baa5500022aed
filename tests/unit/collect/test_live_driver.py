"""Live collection against a mocked driver: the real pynvml, the real ctypes code, the real children."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ilora_diag.collect.cuda_deep import request_of
from ilora_diag.collect.live import COLLECTORS, collect_facts
from ilora_diag.collect.vocabulary import complaint
from ilora_diag.schema import Facts, Unavailable

Install = Callable[..., Path]
DRIVER = ("loader", "nvml", "cuda_driver")
GIB = 1 << 30


def reason(facts: Facts, path: str) -> str:
    value = facts.get(path)
    assert isinstance(value, Unavailable), f"{path} is {value!r}"
    return value.reason


def test_a_healthy_card_is_told_completely(mock_driver: Install) -> None:
    folder = mock_driver()
    facts = collect_facts(only=DRIVER)
    expected = {
        "nvml.status": 0,
        "nvml.device_count": 1,
        "cuda.init_code": 0,
        "cuda.driver_version": "12.4",
        "driver.version": "550.54.14",
        "driver.libcuda": "550.54.14",
        "driver.libnvml": "550.54.14",
        "driver.libcuda_path": str(folder / "libcuda.so.550.54.14"),
        "gpu[0].name": "NVIDIA A40",
        "gpu[0].nvml_status": 0,
        "gpu[0].cuda_ordinal": 0,
        "gpu[0].bus_id": "0000:01:00.0",
        "gpu[0].compute_capability": "8.6",
        "gpu[0].memory_total_bytes": 48 * GIB,
        "gpu[0].memory_used_bytes": GIB,
        "gpu[0].virtualization_mode": "none",
        "gpu[0].compute_mode": "default",
        "gpu[0].clocks_event_reasons": ("gpu_idle",),
        "gpu[0].power_draw_w": 71.5,
        "gpu[0].recovery_action": "none",
        "gpu[0].vmm_supported": True,
        "gpu[0].posix_handle_supported": True,
        "gpu[0].fabric_handle_supported": False,
        "gpu[0].probe.granularity_h1": 0,
        "gpu[0].num_processes": 0,
        "collect.nvml": "ok",
        "collect.deep": False,
    }
    assert {path: facts.get(path) for path in expected} == expected
    assert [text for fact in facts.facts if (text := complaint(fact))] == []


def test_what_an_old_driver_cannot_tell_is_absent_and_not_zero(mock_driver: Install) -> None:
    mock_driver({"attribute.128": "unknown", "field_230": 3})
    facts = collect_facts(only=DRIVER)
    assert reason(facts, "gpu[0].fabric_handle_supported") == "absent: the driver is older than this attribute"
    assert reason(facts, "gpu[0].recovery_action").startswith("absent: NVML 3")
    assert reason(facts, "gpu[0].serial").startswith("absent: NVML 13")  # the mock lacks that function


def test_a_version_mismatch_is_a_code_and_not_a_failure_of_ours(mock_driver: Install) -> None:
    mock_driver(nvmlInit=18, cuInit=803)
    facts = collect_facts(only=DRIVER)
    assert (facts.get("nvml.status"), facts.get("cuda.init_code")) == (18, 803)
    assert facts.get("collect.nvml") == "ok"
    assert reason(facts, "gpu[0].name") == "not collected"


def test_a_library_that_cannot_be_loaded_is_told_with_the_loaders_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("libcuda.so.1", "libnvidia-ml.so.1"):
        (tmp_path / name).write_text("no library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    facts = collect_facts(only=("nvml", "cuda_driver"))
    source = next(fact.source for fact in facts.facts if fact.path == "nvml.status")
    assert facts.get("nvml.status") == 12
    assert "dlopen" in source
    assert reason(facts, "cuda.init_code").startswith("absent: dlopen")


def test_a_driver_that_hangs_costs_one_deadline_and_names_the_call(mock_driver: Install) -> None:
    mock_driver(nvmlInit="hang")
    began = time.monotonic()
    facts = collect_facts(only=DRIVER, deadline_s=2.5)
    assert time.monotonic() - began < 8
    assert reason(facts, "nvml.status") == "timed out: still running after its 2.5 s in nvmlInit"
    assert facts.get("cuda.init_code") == 0
    assert facts.get("driver.libnvml") == "550.54.14"  # known from before it hung


def test_what_was_known_before_a_hang_is_kept(mock_driver: Install) -> None:
    mock_driver({"device_count": 2, "nvmlDeviceGetTemperature[1]": "hang"})
    facts = collect_facts(only=("nvml",), deadline_s=2.5)
    assert facts.get("gpu[0].num_processes") == 0
    assert facts.get("gpu[1].name") == "NVIDIA A40"
    assert reason(facts, "collect.nvml").endswith("in nvmlDeviceGetTemperature")
    assert facts.get("nvml.status") == 0


def test_an_impatient_person_ends_it_at_once(mock_driver: Install) -> None:
    mock_driver(nvmlInit="hang")
    code = "from ilora_diag.collect.live import collect_facts; collect_facts(only=('nvml',), deadline_s=100)"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        time.sleep(2.0)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert time.monotonic() - began < 8
    assert stderr.strip().endswith("KeyboardInterrupt")


def test_a_library_that_crashes_is_a_fact_and_the_others_go_on(mock_driver: Install) -> None:
    mock_driver(cuInit="crash")
    facts = collect_facts(only=DRIVER)
    assert reason(facts, "cuda.init_code").startswith("failed: killed by SIGSEGV in cuInit")
    assert facts.get("cuda.driver_version") == "12.4"
    assert facts.get("nvml.status") == 0


def test_a_lost_device_fails_alone(mock_driver: Install) -> None:
    lost = {"nvmlDeviceGetHandleByIndex_v2[1]": 15, "nvmlDeviceGetMemoryInfo[2]": 15}
    mock_driver({"device_count": 3, "cuda_device_count": 1, **lost})
    facts = collect_facts(only=DRIVER)
    assert [facts.get(f"gpu[{index}].nvml_status") for index in range(3)] == [0, 15, 15]
    assert [facts.get(f"gpu[{index}].cuda_ordinal") for index in range(3)] == [0, None, None]
    assert reason(facts, "gpu[1].name") == "not collected"
    assert reason(facts, "gpu[2].memory_total_bytes").startswith("failed: NVML 15")


def test_cudas_order_is_told_from_nvmls(mock_driver: Install) -> None:
    # given: CUDA counts the faster card, on bus 2, first
    mock_driver({"device_count": 2, "cuda_device_count": 2, "cuda_bus[0]": 2, "cuda_bus[1]": 1, "attribute.102[0]": 0})
    facts = collect_facts(only=DRIVER)
    assert [facts.get(f"gpu[{index}].cuda_ordinal") for index in range(2)] == [1, 0]
    assert [facts.get(f"gpu[{index}].vmm_supported") for index in range(2)] == [True, False]


def test_without_nvml_cudas_own_order_counts(mock_driver: Install) -> None:
    mock_driver(nvmlInit=999, cuda_device_count=2)
    facts = collect_facts(only=DRIVER)
    assert [facts.get(f"gpu[{index}].name") for index in range(2)] == ["NVIDIA A40"] * 2
    assert facts.get("gpu[1].compute_capability") == "8.6"


@pytest.mark.parametrize("instances", [0, 2])
def test_mig_devices_are_counted(mock_driver: Install, instances: int) -> None:
    mock_driver(mig=1, mig_devices=instances)
    facts = collect_facts(only=("nvml",))
    assert facts.get("gpu[0].mig_mode") == "enabled"
    assert facts.get("gpu[0].num_mig_devices") == instances
    if instances:
        assert facts.get("gpu[0].mig[1].name") == "1g.5gb"
        assert facts.get("gpu[0].mig[0].memory_total_bytes") == 48 * GIB


def test_memory_of_a_process_that_nvml_does_not_tell_is_unknown(mock_driver: Install) -> None:
    mock_driver(processes=2, process_memory="-1", nvmlSystemGetProcessName=4)
    facts = collect_facts(only=("nvml",))
    assert facts.get("gpu[0].num_processes") == 2
    assert facts.get("gpu[0].process[1].pid") == 4001
    assert reason(facts, "gpu[0].process[0].used_memory_bytes").startswith("absent:")
    assert reason(facts, "gpu[0].process[0].name").startswith("denied: NVML 4")


def test_faults_of_the_hardware_are_read(mock_driver: Install) -> None:
    mock_driver(ecc_unc_vol=3, rows_failure=1, recovery_action=2, fabric_state=3, fabric_status=999, clock_reasons=0x48)
    facts = collect_facts(only=("nvml",))
    assert facts.get("gpu[0].ecc.uncorrected_volatile") == 3
    assert facts.get("gpu[0].remapped_rows.failure") is True
    assert facts.get("gpu[0].recovery_action") == "reboot"
    assert (facts.get("gpu[0].fabric_state"), facts.get("gpu[0].fabric_status")) == ("completed", "Unknown Error")
    assert facts.get("gpu[0].clocks_event_reasons") == ("hw_slowdown", "hw_thermal_slowdown")


VGPU = {"name": "NVIDIA A40-48C", "virtualization_mode": 2, "attribute.102": 0, "attribute.110": 0}


def test_a_vgpu_without_virtual_memory_management_shows_without_a_context(mock_driver: Install) -> None:
    mock_driver(VGPU)
    facts = collect_facts(only=DRIVER)
    assert facts.get("gpu[0].virtualization_mode") == "vgpu"
    assert facts.get("gpu[0].vmm_supported") is False
    assert facts.get("gpu[0].probe.granularity_h0") == 801
    assert reason(facts, "gpu[0].probe.context") == "not collected"


def test_deep_probes_tell_refused_segments_from_refused_memory(mock_driver: Install) -> None:
    mock_driver(VGPU)
    facts = collect_facts(only=("cuda_driver",), deep=True)
    steps = {
        name: facts.get(f"gpu[0].probe.{name}") for name in ("context", "reserve", "create_h0", "create_h1", "malloc")
    }
    assert steps == {"context": 0, "reserve": 801, "create_h0": 801, "create_h1": 801, "malloc": 0}
    assert "attribute 110" in reason(facts, "gpu[0].probe.create_h1_rdma")
    assert reason(facts, "gpu[0].probe.map").startswith("not collected: create_h1 failed")


def test_deep_probes_on_a_healthy_card_all_pass(mock_driver: Install) -> None:
    mock_driver()
    facts = collect_facts(only=("cuda_driver",), deep=True)
    probes = {fact.path: fact.value for fact in facts.facts if fact.path.startswith("gpu[0].probe.")}
    assert len(probes) == 13
    assert set(probes.values()) == {0}
    assert [text for fact in facts.facts if (text := complaint(fact))] == []


def test_the_step_that_breaks_is_told(mock_driver: Install) -> None:
    mock_driver(cuMemSetAccess=999)
    facts = collect_facts(only=("cuda_driver",), deep=True)
    assert (facts.get("gpu[0].probe.map"), facts.get("gpu[0].probe.set_access")) == (0, 999)


def test_without_a_context_nothing_is_said_of_what_needs_one(mock_driver: Install) -> None:
    mock_driver(cuDevicePrimaryCtxRetain=46)
    facts = collect_facts(only=("cuda_driver",), deep=True)
    assert facts.get("gpu[0].probe.context") == 46
    assert reason(facts, "gpu[0].probe.malloc").startswith("not collected: there is no context")


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"compute_mode": 3, "processes": 1}, "exclusive use"),
        ({"memory_total": 2 * GIB, "memory_used": 2 * GIB - (700 << 20)}, "MiB of the card are free"),
    ],
)
def test_a_card_in_use_is_left_alone(mock_driver: Install, state: dict[str, object], why: str) -> None:
    mock_driver(state)
    facts = collect_facts(only=("nvml", "cuda_driver"), deep=True)
    assert why in reason(facts, "gpu[0].probe.context")
    assert reason(facts, "gpu[0].probe.malloc") == "not collected"


def test_an_exclusive_card_that_nobody_uses_is_probed(mock_driver: Install) -> None:
    mock_driver(compute_mode=3)
    facts = collect_facts(only=("nvml", "cuda_driver"), deep=True)
    assert facts.get("gpu[0].probe.context") == 0


@pytest.mark.parametrize(
    ("torch", "capable", "step"),
    [
        ("2.1.2+cu118", True, "create_h0"),
        ("2.4.1", True, "create_h0"),
        ("2.5.1+cu124", True, "create_h1"),
        ("2.7.1", True, "create_h1"),
        ("2.8.0", True, "create_h1_rdma"),
        ("2.8.0", False, "create_h1"),
        ("", True, "create_h1_rdma"),
    ],
)
def test_each_torch_asks_in_its_own_way(torch: str, capable: bool, step: str) -> None:
    assert request_of(torch, rdma_capable=capable).step == step


def test_what_was_not_asked_for_is_not_collected(mock_driver: Install) -> None:
    mock_driver()
    facts = collect_facts(only=("cuda_driver",))
    assert reason(facts, "nvml.status") == "not collected"
    assert reason(facts, "os.kernel") == "not collected"


def test_a_name_that_is_no_collector_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no collector is called nvm; there are .*nvml"):
        collect_facts(only=("nvm",))
    with pytest.raises(ValueError, match="deadline"):
        collect_facts(deadline_s=0)
    assert {"host", "nvml", "cuda_driver", "packages"} <= set(COLLECTORS)
