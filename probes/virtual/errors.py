"""What the virtual device says when it cannot carry something: by name, never by guessing."""

from __future__ import annotations


class VirtualDeviceError(RuntimeError):
    """The code asked for something the virtual CUDA device does not model; the message names it."""


class NotCarriedError(VirtualDeviceError):
    """An operator, function or setting outside what the device carries."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"the virtual CUDA device cannot carry {what}: {why}")
        self.what = what
