"""A card on paper: trials answered from a formula in microseconds, in the place of processes.

What fails and why is decided by the settings of the request alone, as it is on a card.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ilora_diag.engine.run_folder import write_whole
from ilora_diag.engine.supervise import Poll
from ilora_diag.engine.trial_run import ANSWER, FOLDER, REQUEST, Ran, read_answer
from ilora_diag.schema.codec import to_json
from ilora_diag.schema.known import Settings, Unavailable
from ilora_diag.schema.script_run import ScriptError
from ilora_diag.schema.trial import ErrorFamily, FailureSignature, Metric, Status, Trial
from ilora_diag.schema.trial_answer import TrialAnswer, TrialEnd
from ilora_diag.schema.trial_request import Stage, TrialRequest

MIB = 1 << 20
Failure = tuple[ErrorFamily, str]
Model = Callable[[dict[str, object]], tuple[int, Failure | None]]
"""Settings of a trial -> peak bytes, and the failure if it fails."""

OUT_OF_MEMORY: Failure = (ErrorFamily.OOM_TORCH, "out of memory")


class AnalyticRunner:
    """Answers trials by a model. A context manager, as the runner of processes is.

    Args:
        folder: of the run.
        model: what happens.
        pause_s: how long a trial takes, for what has to be interrupted.
    """

    def __init__(self, folder: Path, model: Model, *, pause_s: float = 0.0) -> None:
        self._folder, self._model, self._pause_s = folder, model, pause_s
        self.requests: list[TrialRequest] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def prepare(self, requests: Sequence[TrialRequest], *, alone: bool = False) -> None:
        pass

    def run(self, request: TrialRequest, *, fresh: bool, deadline_s: float, poll: Poll | None = None) -> Ran:
        self.requests.append(request)
        folder = self._folder / FOLDER / request.id
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / REQUEST, to_json(request, indent=1))
        if self._pause_s:
            time.sleep(self._pause_s)
        if poll is not None and poll():
            return Ran(trial=_trial(request, Status.INTERRUPTED), answer=None, is_fresh=fresh, notes=())
        settings = dict(request.settings)
        peak, failure = self._model(settings)
        answer = _answer(request, peak, failure)
        write_whole(folder / ANSWER, to_json(answer, indent=1))
        return Ran(trial=_judged(request, peak, failure), answer=answer, is_fresh=fresh, notes=())

    def answer_of(self, trial_id: str) -> TrialAnswer | None:
        with suppress(OSError):
            return read_answer(self._folder / FOLDER / trial_id)
        return None


def _trial(request: TrialRequest, status: Status, **fields: object) -> Trial:
    given: dict[str, object] = {
        "id": request.id, "probe": "trial", "requested": (), "effective": request.settings, "status": status,
        "started_at": time.time(), "seconds": 0.5, **fields,
    }  # fmt: skip
    return Trial(**given)  # type: ignore[arg-type]


def _judged(request: TrialRequest, peak: int, failure: Failure | None) -> Trial:
    metrics = (Metric(name="peak_reserved_bytes", value=peak, unit="bytes"),)
    if failure is None:
        return _trial(request, Status.OK, metrics=metrics)
    family, code = failure
    signature = FailureSignature(family=family, stage="forward", top_frame="train.py:step", code=code)
    status = Status.OOM if family is ErrorFamily.OOM_TORCH else Status.OTHER
    return _trial(request, status, metrics=metrics, signature=signature, reason=code)


def _answer(request: TrialRequest, peak: int, failure: Failure | None) -> TrialAnswer:
    effective: Settings = request.settings
    error = None if failure is None else ScriptError(type="RuntimeError", message=failure[1], traceback=failure[1])
    return TrialAnswer(
        id=request.id,
        end=TrialEnd.PASSED if failure is None else TrialEnd.FAILED,
        stage=Stage.DONE if failure is None else Stage.FORWARD,
        steps_done=request.steps if failure is None else 0,
        error=error,
        stages=(),
        effective=effective,
        metrics=(Metric(name="peak_reserved_bytes", value=peak, unit="bytes"),),
        peak=Unavailable(reason="on paper"),
    )
