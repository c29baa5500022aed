"""Why there is no estimate: what a trace may raise, told apart by who can mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ilora.config import ConfigError
from ilora.llm import LlmError
from ilora_diag.hardware.torch_versions import VersionError
from ilora_diag.memory.allocator import UnsupportedBackendError, VmmUnsupported
from ilora_diag.memory.settings import SettingsError
from probes.virtual import VirtualDeviceError


class NoEstimateError(Exception):
    """A task cannot be done.

    Attributes:
        status: "usage" (a mistake in the configuration), "refused" (the device cannot carry it), "failed".
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(status, message)  # both, so that it survives the way from one process to another
        self.status, self.message = status, message


_TELLING = (
    ConfigError,
    LlmError,
    VersionError,
    SettingsError,
    VirtualDeviceError,
    UnsupportedBackendError,
    VmmUnsupported,
    torch.OutOfMemoryError,
)


class UntraceableError(VirtualDeviceError):
    """The code that was to be traced failed by itself."""


@contextmanager
def traced_code(place_of: Callable[[BaseException], str]) -> Iterator[None]:
    """Code of the trainer and of the libraries inside the block: its failures are no mistake of the estimate's.

    Args:
        place_of: the module an exception came out of.

    Raises:
        UntraceableError: an exception that does not say by itself what to do.
    """
    try:
        yield
    except _TELLING:
        raise
    except Exception as error:
        message = (str(error).strip().splitlines() or [""])[0]
        kind = type(error).__name__
        text = f"the step cannot be traced, the code itself fails in {place_of(error)}: {kind}: {message}"
        raise UntraceableError(text.rstrip(": ")) from error


@contextmanager
def told_apart() -> Iterator[None]:
    """Turn what a task may raise into NoEstimateError; what else it raises is a mistake of ours."""
    try:
        yield
    except VersionError as error:
        raise NoEstimateError("usage", f"--torch {error}") from None
    except (ConfigError, LlmError, SettingsError) as error:
        raise NoEstimateError("usage", str(error)) from None
    except (VirtualDeviceError, UnsupportedBackendError) as error:
        raise NoEstimateError("refused", str(error)) from None
    except VmmUnsupported as error:
        reason = "expandable segments need virtual memory management, which a card asked for does not have"
        raise NoEstimateError("failed", f"the first allocation ends in RuntimeError: {error} ({reason})") from None
