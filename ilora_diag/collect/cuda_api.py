"""The CUDA driver API by ctypes: the few calls that we make, their numbers and structures.

Sources: cuda.h of CUDA 12.9 and 13.5 (attribute numbers, enums, the 32 bytes of CUmemAllocationProp). The `_v2` names
are the ABI behind the plain names of the header.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from types import MappingProxyType

LIBRARY = "libcuda.so.1"
SUCCESS, INVALID_VALUE = 0, 1
MISSING = -1
"""Stands for a function that the library does not have; no code of CUDA is negative."""

# Attributes with a path of their own, all of them yes or no.
FLAGS: Mapping[int, str] = MappingProxyType(
    {
        18: "integrated",
        83: "managed_memory_supported",
        89: "concurrent_managed_access",
        102: "vmm_supported",
        103: "posix_handle_supported",
        110: "rdma_vmm_supported",
        115: "memory_pools_supported",
        128: "fabric_handle_supported",
    }
)
# The rest of what may explain a failure: execution timeout, compute mode, ECC, TCC, unified addressing, pageable
# access, host register, Win32 handles, RDMA, pool handle types, DMA-BUF, IPC events, NUMA, multicast, MPS, host VMM.
OTHERS = (17, 20, 32, 35, 41, 88, 99, 100, 104, 105, 116, 119, 124, 125, 130, 131, 132, 133, 134, 139, 141, 145)
MAJOR, MINOR, COMPUTE_MODE, PCI_DOMAIN, PCI_BUS, PCI_DEVICE, RDMA_VMM = 75, 76, 20, 50, 33, 34, 110
HANDLE_NONE, HANDLE_POSIX_FD = 0, 1
PINNED, LOCATION_DEVICE, READ_WRITE, GRANULARITY_MINIMUM = 1, 1, 3, 0
MANAGED_GLOBAL = 1  # CU_MEM_ATTACH_GLOBAL


class Location(ctypes.Structure):
    """CUmemLocation."""

    _fields_ = (("type", ctypes.c_int), ("id", ctypes.c_int))


class AllocFlags(ctypes.Structure):
    """The unnamed structure at the end of CUmemAllocationProp."""

    _fields_ = (
        ("compressionType", ctypes.c_ubyte),
        ("gpuDirectRDMACapable", ctypes.c_ubyte),
        ("usage", ctypes.c_ushort),
        ("reserved", ctypes.c_ubyte * 4),
    )


class AllocationProp(ctypes.Structure):
    """CUmemAllocationProp. Handle types are an int-sized enum."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("requestedHandleTypes", ctypes.c_int),
        ("location", Location),
        ("win32HandleMetaData", ctypes.c_void_p),
        ("allocFlags", AllocFlags),
    )


class AccessDesc(ctypes.Structure):
    """CUmemAccessDesc."""

    _fields_ = (("location", Location), ("flags", ctypes.c_int))


def device_memory(ordinal: int, handle_type: int, *, rdma: bool = False) -> AllocationProp:
    """What a request for device memory through the virtual memory calls looks like."""
    prop = AllocationProp(type=PINNED, requestedHandleTypes=handle_type)
    prop.location.type, prop.location.id = LOCATION_DEVICE, ordinal
    prop.allocFlags.gpuDirectRDMACapable = int(rdma)
    return prop


class Driver:
    """libcuda, loaded. Every call returns CUDA's code.

    Raises:
        OSError: the library cannot be loaded; the text is the loader's.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(LIBRARY)

    def call(self, name: str, *args: object) -> int:
        """The code of one call; MISSING where the library lacks the function."""
        function = getattr(self._library, name, None)
        return MISSING if function is None else int(function(*args))

    def error_name(self, code: int) -> str:
        """CUDA's own name of a code, as CUDA_ERROR_NOT_SUPPORTED."""
        if code == MISSING:
            return "the library has no such function"
        text = ctypes.c_char_p()
        found = self.call("cuGetErrorName", ctypes.c_int(code), ctypes.byref(text))
        return text.value.decode("ascii", "replace") if found == SUCCESS and text.value else f"code {code}"

    def attribute(self, number: int, device: int) -> tuple[int, int]:
        """Code and value of a device attribute."""
        value = ctypes.c_int()
        code = self.call("cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(number), ctypes.c_int(device))
        return code, value.value
