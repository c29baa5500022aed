"""One intervention in one trial: carried out, or only counted."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from ilora_diag.schema.known import Value
from probes.interventions.seams import Seams
from probes.interventions.tally import Tally, script_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What an intervention is given.

    Attributes:
        name: of the intervention.
        value: as in the setting `apply.NAME`; None: only count.
        tally: where it counts.
        seams: where it acts.
        stack: what is to be undone at the end.
    """

    name: str
    value: Value
    tally: Tally
    seams: Seams
    stack: ExitStack

    @property
    def is_applied(self) -> bool:
        """Whether it is carried out."""
        return self.value is not None and self.value is not False

    def met(self, value: Value, where: str = "") -> None:
        """Count one occasion, with what was in force; `where` is found from the script's frame if it is not given."""
        self.tally.add(self.name, value, where or script_line())
