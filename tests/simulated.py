"""Records of simulated investigations: what a driver would write down of a search over a known truth."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.bisection_truths import SimulatedOracle
from ilora_diag.bisect.found import Found
from ilora_diag.bisect.oracle import Observation, Verdict
from ilora_diag.schema import ErrorFamily, FailureSignature, Metric, Settings, Status, Trial, Unavailable
from ilora_diag.schema.bisect import Bisect, Factor, FactorKind, FactorScope, Level

SIGNATURE = FailureSignature(family=ErrorFamily.OOM_TORCH, stage="forward", top_frame="train.py:step", code="OOM")
OTHER = FailureSignature(family=ErrorFamily.PYTHON, stage="backward", top_frame="train.py:step", code="twice")

_STATUS = {Verdict.PASS: Status.OK, Verdict.SAME: Status.SAME, Verdict.OTHER: Status.OTHER}
_SIGNATURES = {Verdict.PASS: None, Verdict.SAME: SIGNATURE, Verdict.OTHER: OTHER}
_NOT_HERE = Unavailable(reason="a simulation has none")


def factor(
    name: str, num_levels: int = 2, *, kind: FactorKind | None = None, cost: str = "slower", **more: object
) -> Factor:
    """A factor whose levels set `train.NAME`."""
    ordered = FactorKind.BINARY if num_levels == 2 else FactorKind.ORDERED
    settings = {"expects_monotone": True, "category": f"cause_of_{name}", "scope": FactorScope.SETTING, **more}
    levels = tuple(
        Level(
            name=f"{name}-{level}",
            changes=((f"train.{name}", level),) if level else (),
            change=f"train.{name}={level}" if level else "",
            cost=cost if level else "none",
        )
        for level in range(num_levels)
    )
    return Factor(name=name, kind=kind or ordered, levels=levels, **settings)  # type: ignore[arg-type]


def record(found: Found, factors: Sequence[Factor], oracle: SimulatedOracle) -> Bisect:
    """The investigation as it would be written down."""
    base = tuple((key, 0) for one in factors for key, _ in one.levels[-1].changes)
    trials = tuple(_trial(relaxed, answer, factors, base) for relaxed, answer in oracle.told)
    return Bisect(
        run_id="simulated",
        created_at=0.0,
        tool_version="0",
        command="ilora-diag bisect-oom",
        subject="a simulation",
        device="virtual:t4",
        fingerprint="sha256:0",
        outcome=found.outcome,
        signature=SIGNATURE,
        error_text="CUDA out of memory",
        base=base,
        requested=(),
        effective=base,
        factors=tuple(factors),
        steps=found.steps,
        cause=found.cause,
        boundary=found.boundary,
        ruled_out=found.ruled_out,
        side_effects=found.side_effects,
        effects=found.effects,
        unsure=found.unsure,
        suspects=found.suspects,
        fixes=found.fixes,
        reproduction=found.reproduction,
        guarantees=found.guarantees,
        num_untested=found.num_untested,
        peak=_NOT_HERE,
        estimate=_NOT_HERE,
        facts=_NOT_HERE,
        num_trials=len(trials),
        trials=trials,
        duration_s=1.0,
    )


def _trial(relaxed: dict[str, int], answer: Observation, factors: Sequence[Factor], base: Settings) -> Trial:
    changes = {key: value for one in factors for key, value in one.levels[relaxed.get(one.name, 0)].changes}
    peak = answer.peak_reserved_bytes
    measured = () if isinstance(peak, Unavailable) else (Metric(name="peak_reserved_bytes", value=peak, unit="bytes"),)
    in_force = {**dict(base), **changes, "version.torch": "2.13.0", "allocator.expandable_segments": False}
    return Trial(
        id=answer.trial,
        probe="trial",
        requested=tuple({**dict(base), **changes}.items()),
        effective=tuple(in_force.items()),
        status=_STATUS[answer.verdict],
        reason=answer.text,
        signature=_SIGNATURES[answer.verdict],
        metrics=measured,
        started_at=0.0,
        seconds=1.0,
    )
