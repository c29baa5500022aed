"""Where a script stood when an exception ended it: read off the traceback, since hooks have unwound by then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FrameType

import torch
from torch import nn

from probes.virtual.ledger import BACKWARD, OPTIMIZER, OUTSIDE


def frames_of(error: BaseException) -> Iterator[FrameType]:
    """The frames an exception passed, the outermost first."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def module_of(error: BaseException, name_of: Callable[[nn.Module], str | None]) -> str:
    """The innermost module whose call the exception came out of."""
    found = OUTSIDE
    for frame in frames_of(error):
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and frame.f_code.co_name == "_call_impl":
            name = name_of(owner)
            found = found if name is None else name or type(owner).__name__
    return found


def phase_of(error: BaseException, otherwise: str) -> str:
    """Backward or optimizer if the exception came out of one, else the phase known."""
    found = otherwise
    for frame in frames_of(error):
        if frame.f_code.co_name == "_engine_run_backward":
            found = BACKWARD
        elif isinstance(frame.f_locals.get("self"), torch.optim.Optimizer):
            found = OPTIMIZER
    return found


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception, then what it was raised from or during, each once."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__
