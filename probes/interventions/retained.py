"""release and drop_copy: letting go what somebody holds, by the name under which it was found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import optimizer as optimizers

from ilora_diag.schema.known import Value
from probes.interventions.act import Act


def release(act: Act) -> None:
    """Empty what the named holders keep, after every optimizer step."""
    names = _names(act.value)
    if not names:
        return

    def stepped(optimizer: Any, args: Any, kwargs: Any) -> None:
        from probes.retention import release as let_go

        let_go(names)
        act.met(", ".join(names), "after an optimizer step")

    act.stack.callback(optimizers.register_optimizer_step_post_hook(stepped).remove)


def drop_copy(act: Act) -> None:
    """Let the named copies of weights go when a model is first called."""
    names = _names(act.value)
    waiting = list(names[:1])

    def around(module: nn.Module, proceed: Callable[[], Any]) -> Any:
        if waiting:
            from probes.retention import drop_copies

            waiting.clear()
            drop_copies(names)
            act.met(", ".join(names), "before the first call of a model")
        return proceed()

    if names:
        act.seams.around_call(around)


def _names(value: Value) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(one) for one in value) if isinstance(value, tuple) else ()
