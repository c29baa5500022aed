"""Other ways to search, for comparison: each counts distinct trials, the two ends and the levels included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.bisection_truths import Truth
from ilora_diag.bisect.oracle import Assignment
from ilora_diag.schema.bisect import Factor


@dataclass(slots=True)
class Counter:
    """Answers from a truth, and counts what was not asked before."""

    truth: Truth
    factors: Sequence[Factor]
    known: dict[frozenset[tuple[str, int]], bool] = field(default_factory=dict)

    def passes(self, relaxed: Assignment) -> bool:
        key = frozenset((name, level) for name, level in relaxed.items() if level)
        if key not in self.known:
            self.known[key] = self.truth.passes(relaxed)
        return self.known[key]

    def passes_with(self, names: Sequence[str]) -> bool:
        mildest = {factor.name: factor.mildest for factor in self.factors}
        return self.passes({name: mildest[name] for name in names})


Rival = Callable[[Counter], Sequence[str]]


def one_by_one(counter: Counter) -> Sequence[str]:
    """From everything relaxed, put back one factor after the other."""
    kept = [factor.name for factor in counter.factors]
    for factor in counter.factors:
        rest = [name for name in kept if name != factor.name]
        if counter.passes_with(rest):
            kept = rest
    return kept


def ddmin(counter: Counter) -> Sequence[str]:
    """Zeller's delta debugging on the set of relaxed factors: subsets first, then complements."""
    names, num = [factor.name for factor in counter.factors], 2
    while len(names) > 1:
        size = -(-len(names) // num)
        parts = [names[at : at + size] for at in range(0, len(names), size)]
        smaller = next((part for part in parts if counter.passes_with(part)), None)
        if smaller is not None:
            names, num = smaller, 2
            continue
        rests = [[name for name in names if name not in part] for part in parts]
        rest = next((rest for rest in rests if len(parts) > 2 and counter.passes_with(rest)), None)
        if rest is not None:
            names, num = rest, max(num - 1, 2)
        elif num < len(names):
            num = min(2 * num, len(names))
        else:
            break
    return names


def plain_quickxplain(counter: Counter) -> Sequence[str]:
    """Junker's algorithm as published: equal halves, nothing asked of alone beside its course."""

    def explain(background: Sequence[str], is_new: bool, rest: Sequence[str]) -> list[str]:
        if is_new and counter.passes_with(background):
            return []
        if len(rest) == 1:
            return list(rest)
        front, back = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        of_back = explain([*background, *front], True, back)
        return [*explain([*background, *of_back], bool(of_back), front), *of_back]

    return explain([], False, [factor.name for factor in counter.factors])


def num_trials(truth: Truth, factors: Sequence[Factor], rival: Rival) -> int:
    """Trials that a rival takes, and halving for the levels of what it finds."""
    counter = Counter(truth, factors)
    counter.passes({})
    counter.passes_with([factor.name for factor in factors])
    by_name = {factor.name: factor for factor in factors}
    levels = {name: by_name[name].mildest for name in rival(counter)}
    for name in levels:
        low, high = 0, levels[name]
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if counter.passes({**levels, name: middle}) else (middle, high)
        levels[name] = high
    return len(counter.known)
