"""Why there is no estimate: what a trace may raise, told apart by who can mend it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
