"""QuickXplain: a smallest-by-inclusion subset that is enough, found by asking of groups.

Source: U. Junker, "QuickXplain: Preferred Explanations and Relaxations for Over-Constrained Problems", AAAI 2004. Two
changes. Halves are of equal prior, not of equal number, so a very likely candidate is asked of alone at once. And the
first two members that are found are asked of by themselves: one cause alone is what most failures have, and for two the
question is part of the certificate anyway. (Simulated, levels included: one cause 7.6 trials in place of 8.6, two 12.9
in place of 13.1, many 19.7 in place of 19.1; `benchmarks/bisection.py`.)

What is returned is enough whatever the answers were, as it was itself asked of, or everything was. That no member can
be left out follows only where adding candidates never hurts; the caller has to make sure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

IsEnough = Callable[[Sequence[str]], bool]
_ASKED_ALONE = 2


class _Settled(Exception):  # noqa: N818 - carries a result
    """What has been found is enough already."""


def quickxplain(candidates: Sequence[str], is_enough: IsEnough, prior: Callable[[str], float]) -> tuple[str, ...]:
    """Members of `candidates` that are enough together, earlier ones preferred, in the order of `candidates`.

    Args:
        candidates: in order of preference; all together are known to be enough, none alone is needed to be.
        is_enough: the question; expected to remember its answers.
        prior: how likely a candidate is to be a member; positive.
    """
    found: list[str] = []

    def keep(one: str) -> tuple[str, ...]:
        found.append(one)
        if len(found) <= _ASKED_ALONE and is_enough(found):
            raise _Settled
        return (one,)

    def explain(background: tuple[str, ...], is_new: bool, rest: Sequence[str]) -> tuple[str, ...]:
        if is_new and is_enough(background):
            return ()
        if len(rest) == 1:
            return keep(rest[0])
        at = _halve([prior(one) for one in rest])
        front, back = tuple(rest[:at]), tuple(rest[at:])
        of_back = explain(background + front, True, back)
        of_front = explain(background + of_back, bool(of_back), front)
        return of_front + of_back

    try:
        members = explain((), False, candidates)
    except _Settled:
        members = tuple(found)
    return tuple(one for one in candidates if one in members)


def _halve(weights: Sequence[float]) -> int:
    """Where to cut so that both sides weigh as nearly the same as can be; neither is empty."""
    total, front = sum(weights), 0.0
    best, at = total, 1
    for index, weight in enumerate(weights[:-1], start=1):
        front += weight
        if abs(total - 2 * front) < best:
            best, at = abs(total - 2 * front), index
    return at
