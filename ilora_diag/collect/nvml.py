"""NVML through pynvml: no CUDA context, no root. The only module that imports pynvml; runs in a child of its own.

A device, or a single question to it, may fail alone, so each answer stands by itself. Not Supported and Function Not
Found are ordinary answers of GeForce cards, old drivers, WSL and Tegra: they make a leaf absent, not broken. Enums:
nvml.h as pynvml spells it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

from ilora_diag.collect import nvml_words as words
from ilora_diag.collect.loader import mapped_file, version_of
from ilora_diag.collect.sheet import ABSENT, DENIED, FAILED, TIMED_OUT, Sheet, attempt
from ilora_diag.schema import Known, Unavailable, Value

LIBRARY = "libnvidia-ml.so.1"
_LIBRARY_NOT_FOUND = 12
MAX_DEVICES, MAX_PROCESSES, MAX_PEERS = 128, 256, 16
_KINDS = {2: ABSENT, 3: ABSENT, 4: DENIED, 6: ABSENT, 10: TIMED_OUT, 13: ABSENT, 17: DENIED}
Ask = Callable[[], Value]


def collect_nvml(sheet: Sheet) -> None:
    """Leaves `nvml.*`, `driver.version`, `driver.libnvml*`, `cuda.driver_version` and `gpu[N].*`."""
    try:
        import pynvml
    except ImportError as error:
        sheet.no("nvml.status", f"{ABSENT} pynvml cannot be imported: {error}", "import pynvml")
        return
    sheet.step(f"dlopen {LIBRARY}")
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        sheet.put("nvml.status", _LIBRARY_NOT_FOUND, f"dlopen: {error}")
        return
    file = mapped_file(LIBRARY)
    if file is not None:
        sheet.put("driver.libnvml_path", file, "/proc/self/maps after loading it")
        sheet.put("driver.libnvml", version_of(file), "/proc/self/maps after loading it")
    sheet.step("nvmlInit")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        sheet.put("nvml.status", int(error.value), f"nvmlInit: {error}")
        return
    sheet.put("nvml.status", 0, "nvmlInit")
    reader = Reader(sheet, pynvml)
    reader.system()
    count = sheet.get("nvml.device_count")
    for index in range(min(count, MAX_DEVICES) if isinstance(count, int) else 0):
        reader.device(index)
    reader.peers()


class Reader:
    """Asks one question at a time and notes each answer, or why there is none."""

    def __init__(self, sheet: Sheet, nvml: Any) -> None:
        self._sheet, self._nvml = sheet, nvml
        self._handles: dict[int, Any] = {}

    def system(self) -> None:
        """What belongs to no device."""
        n = self._nvml
        self._put("driver.version", "nvmlSystemGetDriverVersion", n.nvmlSystemGetDriverVersion)
        self._put("nvml.version", "nvmlSystemGetNVMLVersion", n.nvmlSystemGetNVMLVersion)
        ask = n.nvmlSystemGetCudaDriverVersion_v2
        self._put("cuda.driver_version", "nvmlSystemGetCudaDriverVersion_v2", lambda: words.cuda_version(ask()))
        self._put("nvml.device_count", "nvmlDeviceGetCount_v2", n.nvmlDeviceGetCount)

    def device(self, index: int) -> None:
        """Everything about one device; a lost one has a status and nothing else."""
        n, gpu = self._nvml, f"gpu[{index}]"
        self._sheet.step(f"nvmlDeviceGetHandleByIndex_v2({index})")
        try:
            handle = n.nvmlDeviceGetHandleByIndex(index)
        except n.NVMLError as error:
            self._sheet.put(f"{gpu}.nvml_status", int(error.value), f"nvmlDeviceGetHandleByIndex_v2: {error}")
            return
        self._handles[index] = handle
        self._sheet.put(f"{gpu}.nvml_status", self._status(handle), "nvmlDeviceGetHandleByIndex_v2, GetMemoryInfo")
        for leaf, name, read in words.QUESTIONS:
            self._put(f"{gpu}.{leaf}", name, partial(_asked, n, name, read, handle))
        self._put(
            f"{gpu}.temperature_c", "nvmlDeviceGetTemperature", lambda: int(n.nvmlDeviceGetTemperature(handle, 0))
        )
        parts = (self._memory, self._bar1, self._reliability, self._mig, self._license, self._fabric, self._processes)
        for part in parts:
            attempt(self._sheet, f"{gpu}{part.__name__}", partial(part, gpu, handle))

    def peers(self) -> None:
        """Whether each pair of devices reaches each other over PCIe or NVLink for reading."""
        n = self._nvml
        handles = list(self._handles.items())[:MAX_PEERS]
        for one, first in handles:
            for other, second in handles:
                if one != other:
                    path = f"gpu[{one}].p2p[{other}]"
                    # Index 0 is NVML_P2P_CAPS_INDEX_READ, which pynvml spells as a tuple.
                    ask = partial(n.nvmlDeviceGetP2PStatus, first, second, 0)
                    self._put(path, "nvmlDeviceGetP2PStatus", partial(_answer, words.peer, ask))

    def _status(self, handle: Any) -> int:
        """NVML's answer to a device that may have gone: a handle can still be had, memory no longer."""
        try:
            self._nvml.nvmlDeviceGetMemoryInfo(handle)
        except self._nvml.NVMLError as error:
            lost = (self._nvml.NVML_ERROR_GPU_IS_LOST, self._nvml.NVML_ERROR_RESET_REQUIRED)
            return int(error.value) if error.value in lost else 0
        return 0

    def _memory(self, gpu: str, handle: Any) -> None:
        n, source = self._nvml, "nvmlDeviceGetMemoryInfo_v2"
        # A vGPU and a Tegra may refuse this; version 1 of drivers before 510 counts the reserved part as used.
        info = self._ask(source, lambda: n.nvmlDeviceGetMemoryInfo(handle, version=n.nvmlMemory_v2))
        leaves: tuple[str, ...] = ("total", "reserved", "used", "free")
        if isinstance(info, Unavailable):
            source, leaves = "nvmlDeviceGetMemoryInfo", ("total", "used", "free")
            info = self._ask(source, lambda: n.nvmlDeviceGetMemoryInfo(handle))
        for leaf in leaves:
            value = info if isinstance(info, Unavailable) else int(getattr(info, leaf))
            self._sheet.put(f"{gpu}.memory_{leaf}_bytes", value, source)

    def _bar1(self, gpu: str, handle: Any) -> None:
        source = "nvmlDeviceGetBAR1MemoryInfo"
        info = self._ask(source, lambda: self._nvml.nvmlDeviceGetBAR1MemoryInfo(handle))
        for leaf, field in (("bar1_total_bytes", "bar1Total"), ("bar1_used_bytes", "bar1Used")):
            value = info if isinstance(info, Unavailable) else int(getattr(info, field))
            self._sheet.put(f"{gpu}.{leaf}", value, source)

    def _reliability(self, gpu: str, handle: Any) -> None:
        n = self._nvml
        for kind, error_type in (("corrected", 0), ("uncorrected", 1)):
            for scope, counter in (("volatile", 0), ("aggregate", 1)):
                self._put(
                    f"{gpu}.ecc.{kind}_{scope}",
                    "nvmlDeviceGetTotalEccErrors",
                    partial(_answer, int, n.nvmlDeviceGetTotalEccErrors, handle, error_type, counter),
                )
        rows = self._ask("nvmlDeviceGetRemappedRows", lambda: n.nvmlDeviceGetRemappedRows(handle))
        for position, leaf in enumerate(("correctable", "uncorrectable", "pending", "failure")):
            value = rows if isinstance(rows, Unavailable) else rows[position]
            if not isinstance(value, Unavailable) and leaf in ("pending", "failure"):
                value = bool(value)
            self._sheet.put(f"{gpu}.remapped_rows.{leaf}", value, "nvmlDeviceGetRemappedRows")
        for leaf, cause in (("single_bit", 0), ("double_bit", 1)):  # nvmlPageRetirementCause_t
            self._put(
                f"{gpu}.retired_pages.{leaf}",
                "nvmlDeviceGetRetiredPages",
                partial(_answer, len, n.nvmlDeviceGetRetiredPages, handle, cause),
            )
        self._put(
            f"{gpu}.retired_pages.pending",
            "nvmlDeviceGetRetiredPagesPendingStatus",
            lambda: bool(n.nvmlDeviceGetRetiredPagesPendingStatus(handle)),
        )
        self._put(f"{gpu}.recovery_action", "field 230", lambda: words.RECOVERY[self._field(handle, 230)])

    def _field(self, handle: Any, number: int) -> int:
        value = self._nvml.nvmlDeviceGetFieldValues(handle, [number])[0]
        if value.nvmlReturn:
            raise self._nvml.NVMLError(value.nvmlReturn)
        return int(value.value.uiVal)

    def _mig(self, gpu: str, handle: Any) -> None:
        n = self._nvml
        mode = self._ask("nvmlDeviceGetMigMode", lambda: n.nvmlDeviceGetMigMode(handle))
        for position, leaf in enumerate(("mig_mode", "mig_mode_pending")):
            value = mode if isinstance(mode, Unavailable) else "enabled" if mode[position] else "disabled"
            self._sheet.put(f"{gpu}.{leaf}", value, "nvmlDeviceGetMigMode")
        if isinstance(mode, Unavailable) or not mode[0]:
            return
        most = self._ask("nvmlDeviceGetMaxMigDeviceCount", lambda: n.nvmlDeviceGetMaxMigDeviceCount(handle))
        if isinstance(most, Unavailable):
            self._sheet.put(f"{gpu}.num_mig_devices", most, "nvmlDeviceGetMaxMigDeviceCount")
            return
        found = 0
        for slot in range(most):
            device = self._ask("", partial(n.nvmlDeviceGetMigDeviceHandleByIndex, handle, slot))
            if isinstance(device, Unavailable):
                if not device.reason.startswith(ABSENT):  # a free slot is Not Found; anything else is news
                    self._sheet.put(f"{gpu}.num_mig_devices", device, "nvmlDeviceGetMigDeviceHandleByIndex")
                continue
            self._mig_device(f"{gpu}.mig[{found}]", device)
            found += 1
        self._sheet.put(f"{gpu}.num_mig_devices", found, "nvmlDeviceGetMigDeviceHandleByIndex")

    def _mig_device(self, path: str, handle: Any) -> None:
        n = self._nvml
        self._put(f"{path}.name", "nvmlDeviceGetName", lambda: words.mig_profile(n.nvmlDeviceGetName(handle)))
        self._put(f"{path}.uuid", "nvmlDeviceGetUUID", lambda: str(n.nvmlDeviceGetUUID(handle)))
        self._put(f"{path}.gpu_instance", "nvmlDeviceGetGpuInstanceId", lambda: n.nvmlDeviceGetGpuInstanceId(handle))
        name = "nvmlDeviceGetComputeInstanceId"
        self._put(f"{path}.compute_instance", name, lambda: n.nvmlDeviceGetComputeInstanceId(handle))
        self._memory(path, handle)

    def _license(self, gpu: str, handle: Any) -> None:
        source = "nvmlDeviceGetGridLicensableFeatures_v4"
        found = self._ask(source, lambda: self._nvml.nvmlDeviceGetGridLicensableFeatures(handle))
        if isinstance(found, Unavailable):
            self._sheet.put(f"{gpu}.license_status", found, source)
            return
        features = found.gridLicensableFeatures[: found.licensableFeaturesCount]
        if not found.isGridLicenseSupported or not features:
            self._sheet.no(f"{gpu}.license_status", f"{ABSENT} this card needs no licence", source)
            return
        chosen = next((feature for feature in features if feature.featureEnabled), features[0])
        self._sheet.put(f"{gpu}.license_product", str(chosen.productName), source)
        state = "licensed" if chosen.featureState else "unlicensed"
        self._sheet.put(f"{gpu}.license_status", state, source)

    def _fabric(self, gpu: str, handle: Any) -> None:
        n, source = self._nvml, "nvmlDeviceGetGpuFabricInfoV"
        info = n.c_nvmlGpuFabricInfo_v2_t()
        code = self._ask(source, lambda: n.nvmlDeviceGetGpuFabricInfoV(handle, ctypes.byref(info)))
        if isinstance(code, Unavailable):
            source, info = "nvmlDeviceGetGpuFabricInfo", n.c_nvmlGpuFabricInfo_t()  # drivers before 535
            code = self._ask(source, lambda: n.nvmlDeviceGetGpuFabricInfo(handle, ctypes.byref(info)))
        if isinstance(code, Unavailable):
            self._sheet.put(f"{gpu}.fabric_state", code, source)
            return
        self._sheet.put(f"{gpu}.fabric_state", words.FABRIC.get(info.state, f"state_{info.state}"), source)
        if info.state == 3:  # the status means something once registration has completed (nvml.h)
            status = "success" if info.status == 0 else str(n.NVMLError(info.status))
            self._sheet.put(f"{gpu}.fabric_status", status, source)

    def _processes(self, gpu: str, handle: Any) -> None:
        n, source = self._nvml, "nvmlDeviceGetComputeRunningProcesses_v3"
        compute = self._ask(source, lambda: n.nvmlDeviceGetComputeRunningProcesses(handle))
        if isinstance(compute, Unavailable):
            self._sheet.put(f"{gpu}.num_processes", compute, source)
            return
        graphics = self._ask("", lambda: n.nvmlDeviceGetGraphicsRunningProcesses(handle))
        found = {process.pid: ("C", process) for process in compute}
        for process in () if isinstance(graphics, Unavailable) else graphics:
            both = process.pid in found
            found[process.pid] = ("C+G", found[process.pid][1]) if both else ("G", process)
        self._sheet.put(f"{gpu}.num_processes", len(found), source)
        for number, (pid, (kind, process)) in enumerate(list(found.items())[:MAX_PROCESSES]):
            path = f"{gpu}.process[{number}]"
            self._sheet.put(f"{path}.pid", int(pid), source)
            self._sheet.put(f"{path}.type", kind, source)
            used: Known[Value] = process.usedGpuMemory
            if used is None:
                used = Unavailable(reason=f"{ABSENT} NVML tells no memory of this process")
            self._sheet.put(f"{path}.used_memory_bytes", used, source)
            self._put(
                f"{path}.name", "nvmlSystemGetProcessName", partial(_answer, str, n.nvmlSystemGetProcessName, pid)
            )

    def _put(self, path: str, name: str, ask: Ask) -> None:
        self._sheet.put(path, self._ask(name, ask), name)

    def _ask(self, name: str, ask: Callable[[], Any]) -> Any:
        """An answer, or why there is none. Anything else that a question raises belongs to that question alone."""
        if name:
            self._sheet.step(name)
        try:
            return ask()
        except self._nvml.NVMLError as error:
            kind = _KINDS.get(error.value, FAILED)
            return Unavailable(reason=f"{kind} NVML {error.value} {error}", source=name)
        except (ValueError, KeyError, AttributeError, TypeError) as error:  # a name in no encoding, a newer enum
            return Unavailable(reason=f"{FAILED} {type(error).__name__} {error}", source=name)


def _answer(read: Callable[[Any], Value], ask: Callable[..., Any], *args: Any) -> Value:
    """One question, its answer made a value."""
    return read(ask(*args))


def _asked(nvml: Any, name: str, read: Callable[[Any], Value], handle: Any) -> Value:
    """The same by the function's name, which an older pynvml may lack."""
    return read(getattr(nvml, name)(handle))
