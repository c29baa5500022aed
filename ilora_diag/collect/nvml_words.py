"""NVML's numbers as the vocabulary's words, and the plain questions to a device. Numbers: nvml.h, as in pynvml."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ilora_diag.schema import Value

VIRTUALIZATION = {0: "none", 1: "passthrough", 2: "vgpu", 3: "host_vgpu", 4: "host_vsga"}
COMPUTE_MODE = {0: "default", 1: "exclusive_thread", 2: "prohibited", 3: "exclusive_process"}
FABRIC = {0: "not_supported", 1: "not_started", 2: "in_progress", 3: "completed"}
ADDRESSING = {0: "none", 1: "hmm", 2: "ats"}
RECOVERY = {
    0: "none",
    1: "reset",
    2: "reboot",
    3: "drain_p2p",
    4: "drain_and_reset",
    5: "recover_imex_domain",
    6: "bus_reset",
    7: "system_reboot",
}
P2P = {
    0: "ok",
    1: "chipset_not_supported",
    2: "gpu_not_supported",
    3: "topology_not_supported",
    4: "disabled_by_regkey",
    5: "not_supported",
}
_ARCHITECTURE = {
    2: "Kepler",
    3: "Maxwell",
    4: "Pascal",
    5: "Volta",
    6: "Turing",
    7: "Ampere",
    8: "Ada Lovelace",
    9: "Hopper",
    10: "Blackwell",
    13: "Rubin",
}
_BRAND = {
    1: "Quadro",
    2: "Tesla",
    3: "NVS",
    4: "GRID",
    5: "GeForce",
    6: "Titan",
    7: "NVIDIA Virtual Applications",
    8: "NVIDIA Virtual PC",
    9: "NVIDIA Virtual Compute Server",
    10: "NVIDIA RTX Virtual Workstation",
    11: "NVIDIA Cloud Gaming",
    12: "Quadro RTX",
    13: "NVIDIA RTX",
    14: "NVIDIA",
    15: "GeForce RTX",
    16: "Titan RTX",
}
_CLOCK_REASONS = (
    (0x1, "gpu_idle"),
    (0x2, "applications_clocks_setting"),
    (0x4, "sw_power_cap"),
    (0x8, "hw_slowdown"),
    (0x10, "sync_boost"),
    (0x20, "sw_thermal_slowdown"),
    (0x40, "hw_thermal_slowdown"),
    (0x80, "hw_power_brake_slowdown"),
    (0x100, "display_clock_setting"),
)


def cuda_version(number: int) -> str:
    """CUDA as its API counts it: 12080 is 12.8."""
    return f"{number // 1000}.{number % 1000 // 10}"


def bus_id(text: str) -> str:
    """A PCI address as Linux writes it: NVML's domain has eight digits, lspci's four, and NVML shouts."""
    match = re.fullmatch(r"(?:([0-9A-Fa-f]{1,8}):)?([0-9A-Fa-f]{1,2}):([0-9A-Fa-f]{1,2})(?:\.([0-7]))?", text)
    if match is None:
        return text
    domain = int(match[1] or "0", 16)
    return f"{domain:04x}:{int(match[2], 16):02x}:{int(match[3], 16):02x}.{match[4] or '0'}"


def mig_profile(name: str) -> str:
    """The profile in the name of a MIG device: `NVIDIA A100-SXM4-40GB MIG 1g.5gb`."""
    return name.partition(" MIG ")[2] or name


def clock_reasons(mask: int) -> tuple[str, ...]:
    """The reasons in force."""
    return tuple(word for bit, word in _CLOCK_REASONS if mask & bit)


def peer(number: int) -> str:
    """Peer access in a word."""
    return P2P.get(number, "unknown")


def _word(table: dict[int, str]) -> Callable[[Any], Value]:
    return lambda number: table[number]


def _milli(number: Any) -> Value:
    return float(number) / 1000


def _text(value: Any) -> Value:
    return str(value)


# Leaf, function of pynvml that takes the device alone, what makes its answer a value. An answer that is in no table
# raises KeyError, which the caller notes as a failure of this leaf.
QUESTIONS: tuple[tuple[str, str, Callable[[Any], Value]], ...] = (
    ("name", "nvmlDeviceGetName", _text),
    ("uuid", "nvmlDeviceGetUUID", _text),
    ("bus_id", "nvmlDeviceGetPciInfo", lambda info: bus_id(info.busId)),
    ("minor_number", "nvmlDeviceGetMinorNumber", int),
    ("serial", "nvmlDeviceGetSerial", _text),
    ("brand", "nvmlDeviceGetBrand", _word(_BRAND)),
    ("architecture", "nvmlDeviceGetArchitecture", _word(_ARCHITECTURE)),
    ("compute_capability", "nvmlDeviceGetCudaComputeCapability", lambda pair: f"{pair[0]}.{pair[1]}"),
    ("vbios", "nvmlDeviceGetVbiosVersion", _text),
    ("gsp_firmware", "nvmlDeviceGetGspFirmwareVersion", _text),
    ("virtualization_mode", "nvmlDeviceGetVirtualizationMode", _word(VIRTUALIZATION)),
    ("compute_mode", "nvmlDeviceGetComputeMode", _word(COMPUTE_MODE)),
    ("persistence_mode", "nvmlDeviceGetPersistenceMode", bool),
    ("display_active", "nvmlDeviceGetDisplayActive", bool),
    ("addressing_mode", "nvmlDeviceGetAddressingMode", _word(ADDRESSING)),
    ("ecc.enabled", "nvmlDeviceGetEccMode", lambda pair: bool(pair[0])),
    ("pcie_replays", "nvmlDeviceGetPcieReplayCounter", int),
    ("link_gen", "nvmlDeviceGetCurrPcieLinkGeneration", int),
    ("link_gen_max", "nvmlDeviceGetMaxPcieLinkGeneration", int),
    ("link_width", "nvmlDeviceGetCurrPcieLinkWidth", int),
    ("link_width_max", "nvmlDeviceGetMaxPcieLinkWidth", int),
    ("clocks_event_reasons", "nvmlDeviceGetCurrentClocksThrottleReasons", clock_reasons),
    ("performance_state", "nvmlDeviceGetPerformanceState", lambda state: f"P{state}"),
    ("power_draw_w", "nvmlDeviceGetPowerUsage", _milli),
    ("power_limit_w", "nvmlDeviceGetEnforcedPowerLimit", _milli),
    ("utilization_percent", "nvmlDeviceGetUtilizationRates", lambda rates: int(rates.gpu)),
)
