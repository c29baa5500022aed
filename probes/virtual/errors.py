"""What the virtual device says when it cannot carry something: by name, never by guessing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

# PyTorch's words where code asks more of a tensor than a model of a card has; no real card meets them. Code that goes
# to C++ past every mode ends at the linker's gap in a CPU build, and at the missing driver in a CUDA build.
_NO_CARD = re.compile(
    r"cannot be called on meta tensors|with Meta tensors|from the 'CUDA' backend|not linked with support for cuda"
    r"|Found no NVIDIA driver on your system|No CUDA GPUs are available|The NVIDIA driver on your system is too old"
    r"|Cannot access storage of|'VirtualDispatch' object has no attribute"
)


class VirtualDeviceError(RuntimeError):
    """The code asked for something the virtual CUDA device does not model; the message names it."""


class NotCarriedError(VirtualDeviceError):
    """An operator, function or setting outside what the device carries."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"the virtual CUDA device cannot carry {what}: {why}")
        self.what = what


def is_outside_the_model(error: BaseException) -> bool:
    """Whether a model of a card, and no card, says so: by name, or in words of PyTorch that no card ever meets."""
    if isinstance(error, VirtualDeviceError):
        return True
    return isinstance(error, (RuntimeError, AttributeError)) and _NO_CARD.search(str(error)) is not None


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
