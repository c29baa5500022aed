"""release and drop_copy: letting go what somebody holds, by the name under which it was found."""

from __future__ import annotations

from ilora_diag.schema.known import Value
from probes.interventions.act import Act


def release(act: Act) -> None:
    """Empty what the named holders keep, after every optimizer step."""
    names = _names(act.value)
    if names:
        from probes.retention import release as releasing

        act.tally.let_go.append(act.stack.enter_context(releasing(names)))


def drop_copy(act: Act) -> None:
    """Let the named copies of weights go before training."""
    names = _names(act.value)
    if names:
        from probes.retention import drop_copies

        act.tally.let_go.append(act.stack.enter_context(drop_copies(names)))


def _names(value: Value) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(one) for one in value) if isinstance(value, tuple) else ()
