"""From a table of trials to what it says about the two models. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ilora_diag.schema.isolate import IsolateAnswer, IsolateCell
from ilora_diag.schema.trial import Status
from ilora_diag.schema.trial_request import Stage

FAILED = frozenset({Status.OTHER, Status.OOM, Status.CRASHED, Status.SAME})


def conclude(cells: tuple[IsolateCell, ...]) -> tuple[IsolateAnswer, str]:
    """What the cells come to, and the stage that the failing ones it rests on share; empty where they share none."""
    if not cells or any(cell.status is not Status.OK and cell.status not in FAILED for cell in cells):
        return IsolateAnswer.INCONCLUSIVE, ""
    failing = [cell for cell in cells if cell.status in FAILED]
    if not failing:
        return IsolateAnswer.NOTHING_FAILS, ""
    answer = _answer(cells)
    return answer, _shared(_resting_on(answer, failing))


def _answer(cells: tuple[IsolateCell, ...]) -> IsolateAnswer:
    llm = _verdict(cell for cell in cells if cell.components == "llm")
    own = _verdict(cell for cell in cells if cell.components == "rec" and cell.rec_weights == "checkpoint")
    random = _verdict(cell for cell in cells if cell.components == "rec" and cell.rec_weights == "random")
    rec = own if own is not None else random
    if llm is None or rec is None:
        return IsolateAnswer.INCONCLUSIVE
    if llm and rec:
        return IsolateAnswer.FIRST_TOUCH if _at_first_touch(cells) else IsolateAnswer.BOTH_ALONE
    if rec:
        return IsolateAnswer.RECOMMENDER_WEIGHTS if random is False and own else IsolateAnswer.RECOMMENDER
    if llm:
        return IsolateAnswer.LANGUAGE_MODEL
    together = [cell for cell in cells if cell.components == "both"]
    orders = {
        order: any(cell.status in FAILED for cell in together if cell.load_order == order)
        for order in ("llm_first", "rec_first")
        if any(cell.load_order == order for cell in together)
    }
    return IsolateAnswer.ORDER if len(set(orders.values())) == 2 else IsolateAnswer.TOGETHER


def _verdict(cells: Iterable[IsolateCell]) -> bool | None:
    """Whether any of some cells fails; None where there are none."""
    found = [cell.status in FAILED for cell in cells]
    return any(found) if found else None


def _at_first_touch(cells: tuple[IsolateCell, ...]) -> bool:
    """Every cell fails in the stage that first puts something on the device, all in the same way."""
    if any(cell.status not in FAILED or cell.failed_in not in _first_stages(cell) for cell in cells):
        return False
    kinds = {(getattr(cell.signature, "family", None), getattr(cell.signature, "code", None)) for cell in cells}
    return len(kinds) == 1


def _first_stages(cell: IsolateCell) -> tuple[str, ...]:
    rec_first = cell.components == "rec" or cell.load_order == "rec_first"
    return (Stage.CUDA_INIT.value, (Stage.PLACE_REC if rec_first else Stage.PLACE_LLM).value)


def _resting_on(answer: IsolateAnswer, failing: list[IsolateCell]) -> list[IsolateCell]:
    part = {
        IsolateAnswer.RECOMMENDER: "rec",
        IsolateAnswer.RECOMMENDER_WEIGHTS: "rec",
        IsolateAnswer.LANGUAGE_MODEL: "llm",
        IsolateAnswer.TOGETHER: "both",
        IsolateAnswer.ORDER: "both",
    }.get(answer)
    return [cell for cell in failing if part is None or cell.components == part]


def _shared(cells: list[IsolateCell]) -> str:
    stages = {cell.failed_in for cell in cells}
    return stages.pop() if len(stages) == 1 else ""
