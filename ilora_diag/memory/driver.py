"""The driver below the allocator: how much it can still give, and at which addresses."""

from __future__ import annotations

from collections.abc import Callable

FIRST_ADDRESS = 0x7F00_0000_0000
ADDRESS_ALIGNMENT = 2 << 20
AddressSource = Callable[[int, int], int | None]


class VmmUnsupported(RuntimeError):  # noqa: N818 - the name says what is missing
    """Expandable segments on a device whose driver has no virtual memory management: some vGPU, Jetson, WSL.

    PyTorch's driver-API check (c10/cuda/driver_api.h) prints the driver's own text behind this prefix.
    """

    def __init__(self) -> None:
        super().__init__("CUDA driver error: operation not supported")


class Driver:
    """Gives memory as cudaMalloc and cuMemCreate do, until the capacity is used up.

    Addresses increase with every allocation and are never used again: the model needs them for order alone.

    Attributes:
        capacity_bytes: most that can be held at a time; None: no limit.
        held_bytes: given now.
        supports_vmm: whether memory can be mapped into reserved addresses.
        address_source: asked first for the address of a new allocation, with its size and stream (exact replay); None
            from it, or no source: the next address.
    """

    __slots__ = ("address_source", "capacity_bytes", "held_bytes", "next_address", "supports_vmm")

    def __init__(self, capacity_bytes: int | None, *, supports_vmm: bool, address_source: AddressSource | None) -> None:
        self.capacity_bytes = capacity_bytes
        self.supports_vmm = supports_vmm
        self.address_source = address_source
        self.held_bytes = 0
        self.next_address = FIRST_ADDRESS

    def take(self, nbytes: int) -> bool:
        """Hold so much more, if there is so much."""
        if self.capacity_bytes is not None and self.held_bytes + nbytes > self.capacity_bytes:
            return False
        self.held_bytes += nbytes
        return True

    def give_back(self, nbytes: int) -> None:
        """Hold so much less."""
        self.held_bytes -= nbytes

    def reserve_addresses(self, nbytes: int, stream: int) -> int:
        """The first of a fresh range of addresses."""
        if self.address_source is not None:
            address = self.address_source(nbytes, stream)
            if address is not None:
                self.skip_addresses(address + nbytes)
                return address
        address = self.next_address
        self.skip_addresses(address + nbytes)
        return address

    def skip_addresses(self, end: int) -> None:
        """Take no address below this one from now on."""
        aligned = -(-end // ADDRESS_ALIGNMENT) * ADDRESS_ALIGNMENT
        self.next_address = max(self.next_address, aligned)

    def malloc(self, nbytes: int, stream: int) -> int | None:
        """The address of a new allocation as cudaMalloc gives it; None: out of memory."""
        return self.reserve_addresses(nbytes, stream) if self.take(nbytes) else None
