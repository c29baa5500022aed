"""release and drop_copy: letting go what somebody holds, by the name under which it was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from ilora_diag.schema.known import Value
from probes.interventions.act import Act
from probes.interventions.tally import LetGo
from probes.trial_end import RefusedError


def release(act: Act) -> None:
    """Empty what the named holders keep, after every optimizer step."""
    if _names(act.value):
        from probes.retention import release as releasing

        _enter(act, releasing)


def drop_copy(act: Act) -> None:
    """Let the named copies of weights go before training."""
    if _names(act.value):
        from probes.retention import drop_copies

        _enter(act, drop_copies)


def _enter(act: Act, letting_go: Callable[[Sequence[str]], AbstractContextManager[LetGo]]) -> None:
    from probes.retention import HolderError

    try:
        act.tally.let_go.append(act.stack.enter_context(letting_go(_names(act.value))))
    except HolderError as error:
        raise RefusedError(f"apply.{act.name}: {error}") from error


def _names(value: Value) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(one) for one in value) if isinstance(value, tuple) else ()
