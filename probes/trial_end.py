"""How a trial ended: which kind of end an exception is, and its traceback as the user would have seen it."""

from __future__ import annotations

import os
import traceback

from ilora_diag.schema.script_run import ScriptError
from ilora_diag.schema.trial_answer import TrialEnd

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep


class RefusedError(Exception):
    """The trial cannot begin: a setting names nothing, or cannot be."""


class NoDeviceError(Exception):
    """The device asked for is not here."""


def end_of(error: BaseException, *, is_virtual: bool) -> TrialEnd:
    """What kind of end an exception is."""
    from ilora.config import ConfigError
    from ilora_diag.hardware.gpus import UnknownGpu
    from ilora_diag.hardware.torch_versions import VersionError
    from ilora_diag.memory.allocator import UnsupportedBackendError
    from ilora_diag.memory.settings import SettingsError

    if isinstance(error, NoDeviceError):
        return TrialEnd.NO_DEVICE
    if isinstance(error, (RefusedError, ConfigError, UnknownGpu, VersionError, SettingsError)) or _is_user_error(error):
        return TrialEnd.REFUSED
    if isinstance(error, UnsupportedBackendError) or (is_virtual and outside_the_model(error)):
        return TrialEnd.NOT_CARRIED
    return TrialEnd.FAILED


def _is_user_error(error: BaseException) -> bool:
    """Mistakes in what the trainer was given; its modules are loaded only where one of them was met."""
    return any(f"{kind.__module__}.{kind.__qualname__}" in _USER_ERRORS for kind in type(error).__mro__)


_USER_ERRORS = frozenset({"ilora.llm.errors.LlmError", "ilora.rec.checkpoint.errors.CheckpointError"})


def outside_the_model(error: BaseException) -> bool:
    """Whether the model of a card said so somewhere in what led to an exception."""
    from probes.run_place import causes
    from probes.virtual.errors import is_outside_the_model

    return any(is_outside_the_model(one) for one in causes(error))


def told(error: BaseException) -> ScriptError:
    """An exception as a record; its traceback leaves out the frames of the instrument."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return ScriptError(type=name, message=str(error), traceback=user_traceback(error))


def user_traceback(error: BaseException) -> str:
    """The traceback as Python prints it, without the frames of the probes and of the virtual device."""
    shown = traceback.TracebackException.from_exception(error)
    _leave_out(shown)
    return "".join(shown.format()).rstrip()


def _leave_out(shown: traceback.TracebackException) -> None:
    own = [frame for frame in shown.stack if not os.path.abspath(frame.filename).startswith(_OURS)]
    shown.stack = traceback.StackSummary.from_list(own)
    for other in (shown.__cause__, shown.__context__, *(shown.exceptions or ())):
        if other is not None:
            _leave_out(other)
