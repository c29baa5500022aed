"""The search's memory: what was asked, what came of it, and whether the answers agree with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ilora_diag.bisect.oracle import Assignment, Observation, Oracle, Verdict
from ilora_diag.schema.bisect import Factor, FactorScope, Purpose, Step

Key: TypeAlias = tuple[tuple[str, int], ...]

_FRESH = (Purpose.CERTIFICATE, Purpose.FINAL)


class Unsteady(Exception):  # noqa: N818 - not an error
    """The same settings passed and failed: the failure comes and goes."""


class Ledger:
    """Asks the oracle, never twice for the same settings unless a repeat is wanted.

    Attributes:
        factors: by name, in the registry's order.
        steps: every trial, in order.
        is_steady: nothing contradicted itself yet, and a contradiction raises Unsteady.
    """

    def __init__(self, factors: Sequence[Factor], oracle: Oracle) -> None:
        self.factors: dict[str, Factor] = {factor.name: factor for factor in factors}
        self.steps: list[Step] = []
        self.is_steady = True
        self._oracle = oracle
        self._seen: dict[Key, list[Observation]] = {}
        self._by_trial: dict[str, Observation] = {}

    def key(self, relaxed: Assignment) -> Key:
        """Settings as they stand in a Step: the registry's order, nothing at its failing level."""
        return tuple((name, relaxed[name]) for name in self.factors if relaxed.get(name, 0))

    def ask(self, relaxed: Assignment, purpose: Purpose) -> Verdict:
        """The verdict on these settings, from memory where it is known."""
        if self.key(relaxed) not in self._seen:
            self.run(relaxed, purpose)
        return self.verdict(relaxed)

    def run(self, relaxed: Assignment, purpose: Purpose, *, fresh: bool = False) -> Verdict:
        """Run these settings once more.

        Raises:
            Unsteady: they passed and failed, and nothing had been unsteady before.
        """
        key = self.key(relaxed)
        fresh = fresh or purpose in _FRESH or self._touches_environment(key)
        answer = self._oracle.observe(dict(key), purpose=purpose, fresh=fresh)
        self.steps.append(Step(trial=answer.trial, purpose=purpose, relaxed=key, is_fresh=fresh, reused=answer.reused))
        self._seen.setdefault(key, []).append(answer)
        self._by_trial[answer.trial] = answer
        verdicts = {one.verdict for one in self._seen[key]}
        if self.is_steady and {Verdict.PASS, Verdict.SAME} <= verdicts:
            raise Unsteady
        return answer.verdict

    def verdict(self, relaxed: Assignment) -> Verdict:
        """What is known of these settings: a failure is proof, a pass is the absence of one.

        Raises:
            KeyError: they were never run.
        """
        verdicts = [one.verdict for one in self._seen[self.key(relaxed)]]
        return next((one for one in (Verdict.SAME, Verdict.PASS) if one in verdicts), Verdict.OTHER)

    def observation(self, step: Step) -> Observation:
        """What came of a step."""
        return self._by_trial[step.trial]

    def runs(self, relaxed: Assignment) -> tuple[Observation, ...]:
        """Every run of these settings, in order."""
        return tuple(self._seen.get(self.key(relaxed), ()))

    def count(self, relaxed: Assignment, verdict: Verdict) -> int:
        """How many runs of these settings said so."""
        return sum(one.verdict is verdict for one in self.runs(relaxed))

    def _touches_environment(self, key: Key) -> bool:
        return any(self.factors[name].scope is FactorScope.ENVIRONMENT for name, _ in key)


def without(relaxed: Mapping[str, int], name: str) -> dict[str, int]:
    """Settings with one factor back at its failing level."""
    return {key: level for key, level in relaxed.items() if key != name}
