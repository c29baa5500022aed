"""Relaxing a defect from outside: on calls of PyTorch, transformers and PEFT, the text of the script unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from ilora_diag.schema.known import Value
from probes.interventions.act import Act
from probes.interventions.arguments import with_arguments
from probes.interventions.registry import INSTALL
from probes.interventions.seams import Seams
from probes.interventions.tally import Tally
from probes.trial_end import RefusedError
from probes.virtual.patches import Patches

__all__ = ["UnknownInterventionError", "applied", "with_arguments"]


class UnknownInterventionError(RefusedError, ValueError):
    """No intervention has this name."""


@contextmanager
def applied(settings: Mapping[str, Value], watch: Sequence[str] = ()) -> Iterator[Tally]:
    """Carry out interventions inside the block, and count where others would have acted.

    Args:
        settings: name -> value, the settings `apply.NAME` without their first word; None and False carry nothing out.
        watch: names that are only counted.

    Yields:
        What was met so far, by `opportunities()`.

    Raises:
        UnknownInterventionError: a name that stands for none.
        RefusedError: a name of a holder that could never be one.
    """
    unknown = sorted({*settings, *watch} - set(INSTALL))
    if unknown:
        raise UnknownInterventionError(f"apply.{unknown[0]}: allowed are {', '.join(INSTALL)}")
    tally = Tally()
    asked = {name: settings.get(name) for name in INSTALL if name in settings or name in watch}
    with ExitStack() as stack:
        seams = Seams(stack.enter_context(Patches()))
        for name, value in asked.items():
            INSTALL[name](Act(name=name, value=value, tally=tally, seams=seams, stack=stack))
        yield tally
