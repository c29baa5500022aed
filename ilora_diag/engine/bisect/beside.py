"""What is found out while trials run: what the configuration should need, and what the machine is.

Both stand in children of their own with deadlines; a trial waits for neither.
"""

from __future__ import annotations

import threading

from ilora_diag.checks.judging import judge
from ilora_diag.collect.live import collect_facts
from ilora_diag.engine.bisect.config_factors import typed
from ilora_diag.engine.bisect.machine_factors import VIRTUAL
from ilora_diag.engine.estimate_run import EstimateError, EstimateRequest, run_estimate_process
from ilora_diag.schema.bisect_request import BisectRequest
from ilora_diag.schema.estimate import Estimate
from ilora_diag.schema.facts import Facts
from ilora_diag.schema.finding import Finding
from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.schema.trial_request import NAMESPACES, Target

_DEADLINE_S = 120.0
_NOT_YET = Unavailable(reason="the investigation ended before it was known", source="bisect")

_NOT_FOR_THIS = Unavailable(reason="computed for failures for want of memory alone", source="ilora-diag estimate")


class Neighbour:
    """The answers so far.

    Attributes:
        estimate: of the configuration on this card as it should be: whole, nobody else on it, no allocator settings.
        facts, findings: of this machine.
    """

    def __init__(self, request: BisectRequest) -> None:
        self.estimate: Known[Estimate] = _NOT_YET
        self.facts: Known[Facts] = _NOT_YET
        self.findings: tuple[Finding, ...] = ()
        self._request = request
        self._thread: threading.Thread | None = None

    def start(self, *, wants_memory: bool) -> None:
        """Begin to find out; the estimate is for a failure for want of memory alone."""
        self._thread = threading.Thread(target=self._find_out, args=(wants_memory,), name="beside", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until everything is known that was begun."""
        if self._thread is not None:
            self._thread.join(_DEADLINE_S)

    def _find_out(self, wants_memory: bool) -> None:
        self.estimate = _estimate(self._request) if wants_memory else _NOT_FOR_THIS
        if self._request.device.startswith(VIRTUAL):
            self.facts = Unavailable(
                reason="the card is virtual: this machine is not the one it stands for", source="bisect"
            )
            return
        if self._request.device == "cpu":
            self.facts = Unavailable(reason="the trials ran on the CPU", source="bisect")
            return
        facts = collect_facts()
        self.facts, self.findings = facts, judge(facts)


def _estimate(request: BisectRequest) -> Known[Estimate]:
    source = "ilora-diag estimate"
    if request.target is Target.SCRIPT:
        return Unavailable(reason="a script is not estimated before it runs", source=source)
    if not request.device.startswith(VIRTUAL):
        return Unavailable(reason="which card this is, is known to the trials alone", source=source)
    set_here = [f"{key}={typed(value)}" for key, value in request.base if key.partition(".")[0] not in NAMESPACES]
    asked = EstimateRequest(
        overrides=(*request.overrides, *set_here),
        config=request.config or None,
        gpus=request.device.removeprefix(VIRTUAL),
        torch_version=request.torch_version or None,
        deadline_s=_DEADLINE_S,
    )
    try:
        return run_estimate_process(asked)
    except EstimateError as error:
        return Unavailable(reason=str(error).splitlines()[0], source=source)
