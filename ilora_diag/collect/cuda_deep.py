"""The virtual memory calls of expandable segments, one by one, with a context: `--deep`.

What torch's allocator asks for is replayed, and beside it what would have been asked by older versions, plain
cuMemAlloc as the control, managed memory, a memory pool and pinned host memory. Which flags belong to which torch:
torch 2.1 to 2.4 request no handle type, 2.5 and later a POSIX descriptor, 2.8 and later also gpuDirectRDMACapable where
attribute 110 is set (wheels disassembled; pytorch PR 153261). From 2.13 on an option chooses the handle type; that its
default is the descriptor is [derived] from the versions before.

A context costs 300 to 600 MiB of the card while it lasts. Nothing is reset; what was made is released in the end.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from importlib import metadata

from ilora_diag.collect import cuda_api as api
from ilora_diag.collect.cuda_driver import put_code, start
from ilora_diag.collect.sheet import NOT_COLLECTED, Sheet

_BYTES = 2 << 20
_CREATES = (("create_h0", api.HANDLE_NONE, False), ("create_h1", api.HANDLE_POSIX_FD, False))
_AFTER_CONTEXT = ("reserve", "create_h0", "create_h1", "create_h1_rdma", "map", "set_access")
_CONTROLS = ("malloc", "managed", "mempool", "host_alloc")


@dataclass(frozen=True, slots=True)
class Request:
    """How a torch asks for a segment: the name of the step, and the flags of the request."""

    step: str
    handle_type: int
    rdma: bool
    why: str


def collect_cuda_deep(sheet: Sheet, skip: frozenset[int] = frozenset(), torch: str | None = None) -> None:
    """Leaves `ordinal[M].probe.*` of the steps that need a context.

    Args:
        sheet: gets the leaves.
        skip: devices that must be left alone.
        torch: version whose requests are replayed; default: the installed one's.
    """
    driver = start(sheet)
    count = ctypes.c_int()
    if driver is None or driver.call("cuDeviceGetCount", ctypes.byref(count)) != api.SUCCESS:
        return
    for ordinal in range(count.value):
        if ordinal not in skip:
            Device(sheet, driver, ordinal).probe(installed_torch() if torch is None else torch)


def installed_torch() -> str:
    """The installed torch's version by its metadata; empty where there is none."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""


def request_of(torch: str, *, rdma_capable: bool) -> Request:
    """What the allocator of a torch version requests for an expandable segment."""
    numbers = torch.split("+")[0].split(".")
    try:
        minor = (int(numbers[0]), int(numbers[1]))
    except (ValueError, IndexError):
        minor = (99, 0)
    why = f"as torch {torch} asks" if minor != (99, 0) else "as the newest torch asks; the installed one is unknown"
    if minor < (2, 5):
        return Request("create_h0", api.HANDLE_NONE, rdma=False, why=why)
    if minor < (2, 8) or not rdma_capable:
        return Request("create_h1", api.HANDLE_POSIX_FD, rdma=False, why=why)
    return Request("create_h1_rdma", api.HANDLE_POSIX_FD, rdma=True, why=why)


class Device:
    """One device under examination."""

    def __init__(self, sheet: Sheet, driver: api.Driver, ordinal: int) -> None:
        self._sheet, self._driver = sheet, driver
        self._path = f"ordinal[{ordinal}].probe"
        handle = ctypes.c_int(ordinal)
        driver.call("cuDeviceGet", ctypes.byref(handle), ctypes.c_int(ordinal))
        self._device = handle.value

    def probe(self, torch: str) -> None:
        """All steps; those behind a failed one say which it was."""
        context = ctypes.c_void_p()
        code = self._step("context", "cuDevicePrimaryCtxRetain", ctypes.byref(context), ctypes.c_int(self._device))
        if code == api.SUCCESS:
            code = self._call("cuCtxSetCurrent", context)
        if code != api.SUCCESS:
            self._not_reached((*_AFTER_CONTEXT, *_CONTROLS), f"there is no context: {self._driver.error_name(code)}")
            return
        try:
            self._virtual_memory(torch)
            self._controls()
        finally:
            self._call("cuDevicePrimaryCtxRelease_v2", ctypes.c_int(self._device))

    def _virtual_memory(self, torch: str) -> None:
        capable = self._driver.attribute(api.RDMA_VMM, self._device)[1] == 1
        wanted = request_of(torch, rdma_capable=capable)
        size = self._granularity(wanted)
        address = ctypes.c_uint64()
        reserved = self._step(
            "reserve",
            "cuMemAddressReserve",
            ctypes.byref(address),
            ctypes.c_size_t(size),
            ctypes.c_size_t(0),
            ctypes.c_uint64(0),
            ctypes.c_uint64(0),
        )
        creates = (*_CREATES, ("create_h1_rdma", api.HANDLE_POSIX_FD, True)) if capable else _CREATES
        for step, handle_type, rdma in creates:
            handle = self._create(step, handle_type, size, rdma=rdma)
            if handle is None and step == wanted.step:
                self._not_reached(("map", "set_access"), f"{step} failed, which is {wanted.why}")
            if handle is None:
                continue
            if step == wanted.step and reserved == api.SUCCESS:
                self._map(address, handle, size, wanted)
            self._call("cuMemRelease", handle)
        if not capable:
            self._not_reached(("create_h1_rdma",), "attribute 110 is not set, so no torch asks for it")
        if reserved == api.SUCCESS:
            self._call("cuMemAddressFree", address, ctypes.c_size_t(size))
        else:
            self._not_reached(("map", "set_access"), "no address range could be reserved")

    def _granularity(self, wanted: Request) -> int:
        prop, size = api.device_memory(self._device, wanted.handle_type, rdma=wanted.rdma), ctypes.c_size_t()
        name = "cuMemGetAllocationGranularity"
        code = self._call(name, ctypes.byref(size), ctypes.byref(prop), ctypes.c_int(api.GRANULARITY_MINIMUM))
        usable = code == api.SUCCESS and 0 < size.value <= 64 << 20
        return max(size.value, _BYTES) if usable else _BYTES

    def _create(self, step: str, handle_type: int, size: int, *, rdma: bool) -> ctypes.c_uint64 | None:
        handle, prop = ctypes.c_uint64(), api.device_memory(self._device, handle_type, rdma=rdma)
        arguments = (ctypes.byref(handle), ctypes.c_size_t(size), ctypes.byref(prop), ctypes.c_uint64(0))
        return handle if self._step(step, "cuMemCreate", *arguments) == api.SUCCESS else None

    def _map(self, address: ctypes.c_uint64, handle: ctypes.c_uint64, size: int, wanted: Request) -> None:
        arguments = (address, ctypes.c_size_t(size), ctypes.c_size_t(0), handle, ctypes.c_uint64(0))
        note = f"cuMemMap ({wanted.step}, {wanted.why})"
        if self._step("map", "cuMemMap", *arguments, source=note) != api.SUCCESS:
            self._not_reached(("set_access",), "cuMemMap failed")
            return
        access = api.AccessDesc(flags=api.READ_WRITE)
        access.location.type, access.location.id = api.LOCATION_DEVICE, self._device
        note = f"cuMemSetAccess ({wanted.step}, {wanted.why})"
        span = ctypes.c_size_t(size)
        self._step("set_access", "cuMemSetAccess", address, span, ctypes.byref(access), ctypes.c_size_t(1), source=note)
        self._call("cuMemUnmap", address, span)

    def _controls(self) -> None:
        """Plain allocation tells whether the card refuses memory, or only this way of asking for it."""
        memory, size = ctypes.c_uint64(), ctypes.c_size_t(_BYTES)
        if self._step("malloc", "cuMemAlloc_v2", ctypes.byref(memory), size) == api.SUCCESS:
            self._call("cuMemFree_v2", memory)
        flags = ctypes.c_uint(api.MANAGED_GLOBAL)
        if self._step("managed", "cuMemAllocManaged", ctypes.byref(memory), size, flags) == api.SUCCESS:
            self._call("cuMemFree_v2", memory)
        stream = ctypes.c_void_p()
        if self._step("mempool", "cuMemAllocAsync", ctypes.byref(memory), size, stream) == api.SUCCESS:
            self._call("cuMemFreeAsync", memory, stream)
            self._call("cuStreamSynchronize", stream)
        host = ctypes.c_void_p()
        if self._step("host_alloc", "cuMemHostAlloc", ctypes.byref(host), size, ctypes.c_uint(0)) == api.SUCCESS:
            self._call("cuMemFreeHost", host)

    def _step(self, step: str, name: str, *args: object, source: str = "") -> int:
        code = self._call(name, *args)
        put_code(self._sheet, f"{self._path}.{step}", self._driver, code, source or name)
        return code

    def _call(self, name: str, *args: object) -> int:
        self._sheet.step(name)
        return self._driver.call(name, *args)

    def _not_reached(self, steps: tuple[str, ...], why: str) -> None:
        for step in steps:
            self._sheet.no(f"{self._path}.{step}", f"{NOT_COLLECTED}: {why}", "cuda_deep")
