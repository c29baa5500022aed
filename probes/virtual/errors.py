"""What the virtual device says when it cannot carry something: by name, never by guessing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class VirtualDeviceError(RuntimeError):
    """The code asked for something the virtual CUDA device does not model; the message names it."""


class NotCarriedError(VirtualDeviceError):
    """An operator, function or setting outside what the device carries."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"the virtual CUDA device cannot carry {what}: {why}")
        self.what = what


def refusing(what: str, why: str) -> Callable[..., Any]:
    """A function that names what the device cannot carry, for whoever calls it."""

    def refused(*args: Any, **kwargs: Any) -> Any:
        raise NotCarriedError(what, why)

    return refused


def refusing_type(what: str, why: str) -> type:
    """A class that names what the device cannot carry when it is called; annotations and `isinstance` may use it."""

    def refused(cls: type, *args: Any, **kwargs: Any) -> Any:
        raise NotCarriedError(what, why)

    return type(what.rpartition(".")[2], (), {"__new__": refused})
