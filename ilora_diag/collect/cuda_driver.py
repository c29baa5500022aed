"""The CUDA driver without torch and without a context: cuInit's code, devices, attributes, the cheapest VMM question.

Runs in a child of its own. Paths are counted in CUDA's order, as `ordinal[M].leaf`; whoever merges them with NVML's
knows which `gpu[N]` that is.
"""

from __future__ import annotations

import ctypes

from ilora_diag.collect import cuda_api as api
from ilora_diag.collect.loader import mapped_file, version_of
from ilora_diag.collect.nvml_words import COMPUTE_MODE, cuda_version
from ilora_diag.collect.sheet import ABSENT, FAILED, Sheet
from ilora_diag.schema import Unavailable

_MAX_DEVICES = 128
_UUID_BYTES = 16


def collect_cuda_driver(sheet: Sheet) -> None:
    """Leaves `cuda.*`, `driver.libcuda*`, and `ordinal[M].*` for each device CUDA shows this process."""
    driver = start(sheet)
    if driver is None:
        return
    count = ctypes.c_int()
    sheet.step("cuDeviceGetCount")
    code = driver.call("cuDeviceGetCount", ctypes.byref(count))
    if code != api.SUCCESS:
        sheet.no("cuda.device_count", f"{FAILED} {code} {driver.error_name(code)}", "cuDeviceGetCount")
        return
    sheet.put("cuda.device_count", count.value, "cuDeviceGetCount")
    for ordinal in range(min(count.value, _MAX_DEVICES)):
        _device(sheet, driver, ordinal)


def start(sheet: Sheet) -> api.Driver | None:
    """Load libcuda and initialise it; None where that fails, with the reason on the sheet."""
    sheet.step(f"dlopen {api.LIBRARY}")
    try:
        driver = api.Driver()
    except OSError as error:
        sheet.no("cuda.init_code", f"{ABSENT} dlopen: {error}", f"dlopen {api.LIBRARY}")
        return None
    file = mapped_file(api.LIBRARY)
    if file is not None:
        sheet.put("driver.libcuda_path", file, "/proc/self/maps after loading it")
        sheet.put("driver.libcuda", version_of(file), "/proc/self/maps after loading it")
    version = ctypes.c_int()
    sheet.step("cuDriverGetVersion")
    code = driver.call("cuDriverGetVersion", ctypes.byref(version))
    if code == api.SUCCESS and version.value:
        sheet.put("cuda.driver_version", cuda_version(version.value), "cuDriverGetVersion")
    else:
        sheet.no("cuda.driver_version", f"{FAILED} {code} {driver.error_name(code)}", "cuDriverGetVersion")
    sheet.step("cuInit")
    code = driver.call("cuInit", ctypes.c_uint(0))
    name = "" if code == api.SUCCESS else f" {driver.error_name(code)}"
    if code == api.MISSING:
        sheet.no("cuda.init_code", f"{FAILED} {file or api.LIBRARY} has no cuInit", "cuInit")
        return None
    sheet.put("cuda.init_code", code, f"cuInit(0){name}")
    return driver if code == api.SUCCESS else None


def _device(sheet: Sheet, driver: api.Driver, ordinal: int) -> None:
    path = f"ordinal[{ordinal}]"
    handle = ctypes.c_int()
    sheet.step(f"cuDeviceGet({ordinal})")
    code = driver.call("cuDeviceGet", ctypes.byref(handle), ctypes.c_int(ordinal))
    if code != api.SUCCESS:
        sheet.no(f"{path}.name", f"{FAILED} {code} {driver.error_name(code)}", "cuDeviceGet")
        return
    device = handle.value
    name = ctypes.create_string_buffer(256)
    code = driver.call("cuDeviceGetName", name, ctypes.c_int(256), ctypes.c_int(device))
    if code == api.SUCCESS:
        sheet.put(f"{path}.name", name.value.decode("utf-8", "backslashreplace"), "cuDeviceGetName")
    uuid = ctypes.create_string_buffer(_UUID_BYTES)
    # With MIG, cuDeviceGetUuid gives the parent's and _v2 the instance's (CUDA 11.4); the older name is always there.
    if driver.call("cuDeviceGetUuid", uuid, ctypes.c_int(device)) == api.SUCCESS:
        sheet.put(f"{path}.uuid", f"GPU-{_dashed(uuid.raw)}", "cuDeviceGetUuid")
    total = ctypes.c_size_t()
    if driver.call("cuDeviceTotalMem_v2", ctypes.byref(total), ctypes.c_int(device)) == api.SUCCESS:
        sheet.put(f"{path}.memory_total_bytes", total.value, "cuDeviceTotalMem_v2")
    _attributes(sheet, driver, path, device)
    for kind, handle_type in (("h0", api.HANDLE_NONE), ("h1", api.HANDLE_POSIX_FD)):
        _granularity(sheet, driver, path, device, kind=kind, handle_type=handle_type)


def _attributes(sheet: Sheet, driver: api.Driver, path: str, device: int) -> None:
    sheet.step("cuDeviceGetAttribute")
    values: dict[int, int] = {}
    wanted = (*api.FLAGS, *api.OTHERS, api.MAJOR, api.MINOR, api.PCI_DOMAIN, api.PCI_BUS, api.PCI_DEVICE)
    for number in wanted:
        code, value = driver.attribute(number, device)
        source = f"cuDeviceGetAttribute({number})"
        leaf = f"{path}.{api.FLAGS[number]}" if number in api.FLAGS else f"{path}.attribute[{number}]"
        if code == api.SUCCESS:
            values[number] = value
            if number in api.FLAGS:
                sheet.put(leaf, bool(value), source)
            elif number in api.OTHERS:
                sheet.put(leaf, value, source)
        elif code == api.INVALID_VALUE:  # not a zero: the driver does not know the question
            sheet.no(leaf, f"{ABSENT} the driver is older than this attribute", source)
        else:
            sheet.no(leaf, f"{FAILED} {code} {driver.error_name(code)}", source)
    if api.MAJOR in values and api.MINOR in values:
        sheet.put(f"{path}.compute_capability", f"{values[api.MAJOR]}.{values[api.MINOR]}", "attributes 75 and 76")
    if api.PCI_BUS in values and api.PCI_DEVICE in values:
        domain = values.get(api.PCI_DOMAIN, 0)
        text = f"{domain:04x}:{values[api.PCI_BUS]:02x}:{values[api.PCI_DEVICE]:02x}.0"
        sheet.put(f"{path}.bus_id", text, "attributes 50, 33 and 34")
    mode = COMPUTE_MODE.get(values.get(api.COMPUTE_MODE, -1))
    if mode is not None:
        sheet.put(f"{path}.compute_mode", mode, "cuDeviceGetAttribute(20)")


def _granularity(sheet: Sheet, driver: api.Driver, path: str, device: int, *, kind: str, handle_type: int) -> None:
    source = "cuMemGetAllocationGranularity"
    sheet.step(source)
    prop, size = api.device_memory(device, handle_type), ctypes.c_size_t()
    code = driver.call(source, ctypes.byref(size), ctypes.byref(prop), ctypes.c_int(api.GRANULARITY_MINIMUM))
    put_code(sheet, f"{path}.probe.granularity_{kind}", driver, code, source)


def put_code(sheet: Sheet, path: str, driver: api.Driver, code: int, source: str) -> None:
    """Note the outcome of one step, with CUDA's name for it in the source."""
    if code == api.MISSING:
        sheet.put(path, Unavailable(reason=f"{ABSENT} this libcuda has no {source.partition(' ')[0]}"), source)
    else:
        sheet.put(path, code, source if code == api.SUCCESS else f"{source}: {driver.error_name(code)}")


def _dashed(raw: bytes) -> str:
    text = raw[:_UUID_BYTES].hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
