"""What can be relaxed of a script that is not ours: the interventions that found something to act on, its arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ilora_diag.bisect.catalogue import BESIDE_ADAPTERS, INTERVENTIONS, Intervention
from ilora_diag.engine.bisect.config_factors import halvings
from ilora_diag.schema.bisect import Factor, FactorKind, FactorScope, Level
from ilora_diag.schema.report import Skipped
from ilora_diag.schema.trial_answer import Opportunity, Retention

WATCHED = tuple(name for name in INTERVENTIONS if name not in ("release", "drop_copy"))
"""Interventions whose opportunities are counted in the first trial. The two others follow from what is retained."""

# Options by which training scripts commonly take numbers that memory grows with; underscores and dashes are one.
_SHORT_BATCH = ("bs", "bsz", "b")
_LENGTHS = (
    "seq-len",
    "seq-length",
    "sequence-length",
    "context-length",
    "context-len",
    "block-size",
    "max-length",
    "seqlen",
)
_SHORTEST = 16


def intervention_factors(opportunities: Sequence[Opportunity]) -> Iterator[Factor]:
    """A factor for each intervention that would have acted in the failing trial."""
    for found in opportunities:
        row = INTERVENTIONS.get(found.name)
        if row is not None and found.count > 0 and found.name in WATCHED:
            yield from _ordered(row, found) if row.kind is FactorKind.ORDERED else (_binary(row, found),)


def without_opportunity(opportunities: Sequence[Opportunity]) -> tuple[Skipped, ...]:
    """The interventions that had nothing to act on."""
    acting = {found.name for found in opportunities if found.count > 0}
    reason = "nothing of the kind happens in this script before it fails"
    return tuple(Skipped(what=name, reason=reason) for name in WATCHED if name not in acting)


def retention_factors(retention: Retention | None) -> Iterator[Factor]:
    """Factors that let go what stays from step to step, and second copies, each by the name of its holder."""
    if retention is None:
        return
    seen: set[str] = set()
    for grown in retention.grown:
        holder = grown.holder
        name = getattr(holder, "name", "")
        if retention.is_growing and name and name not in seen:
            seen.add(name)
            category = "retained_graph" if grown.with_graph else "retained_outputs"
            yield _letting_go("release", f"release {name}", name, category, prior=4.0)
    for copy in retention.copies:
        name = getattr(copy.holder, "name", "")
        if name and name not in seen:
            seen.add(name)
            yield _letting_go("drop_copy", f"drop {name}", name, "second_model_copy", prior=2.0)


def argument_factors(arguments: Sequence[str]) -> Iterator[Factor]:
    """Factors for numeric options of the command line whose names say that they are a batch size or a length."""
    for option, value in _options(arguments):
        name = option.lstrip("-").replace("_", "-").lower()
        if "batch-size" in name or name in _SHORT_BATCH:
            yield from _argument(option, value, 1, "batch_too_large", "fewer_samples_a_step")
        elif name.endswith(_LENGTHS):
            yield from _argument(option, value, _SHORTEST, "sequence_too_long", "shorter_history")


def _binary(row: Intervention, found: Opportunity) -> Factor:
    is_defect = BESIDE_ADAPTERS in str(found.value)
    cost = "none" if is_defect else row.cost
    failing = Level(name=str(found.value), changes=(), change="", cost="none")
    changed = Level(name=row.name, changes=((f"apply.{row.name}", True),), change=f"apply.{row.name}=true", cost=cost)
    if failing.name == changed.name:
        failing = Level(name="as written", changes=(), change="", cost="none")
    return Factor(
        name=row.name,
        kind=FactorKind.BINARY,
        scope=FactorScope.INTERVENTION,
        levels=(failing, changed),
        expects_monotone=True,
        category=row.category,
        prior=2.0 if is_defect else row.prior,
    )


def _ordered(row: Intervention, found: Opportunity) -> Iterator[Factor]:
    now = found.value
    if isinstance(now, bool) or not isinstance(now, int):
        return
    milder = halvings(now, row.lowest)
    if milder:
        levels = [Level(name=str(now), changes=(), change="", cost="none")]
        for value in milder:
            change = f"apply.{row.name}={value}"
            levels.append(Level(name=str(value), changes=((f"apply.{row.name}", value),), change=change, cost=row.cost))
        yield Factor(
            name=row.name,
            kind=FactorKind.ORDERED,
            scope=FactorScope.INTERVENTION,
            levels=tuple(levels),
            expects_monotone=True,
            category=row.category,
        )


def _letting_go(intervention: str, name: str, holder: str, category: str, *, prior: float) -> Factor:
    changed = Level(
        name="let go",
        changes=((f"apply.{intervention}:{holder}", True),),
        change=f"apply.{intervention}=[{holder}]",
        cost="none",
    )
    return Factor(
        name=name,
        kind=FactorKind.BINARY,
        scope=FactorScope.INTERVENTION,
        levels=(Level(name="kept", changes=(), change="", cost="none"), changed),
        expects_monotone=True,
        category=category,
        prior=prior,
    )


def _argument(option: str, now: int, lowest: int, category: str, cost: str) -> Iterator[Factor]:
    milder = halvings(now, lowest)
    if milder:
        levels = [Level(name=str(now), changes=(), change="", cost="none")]
        for value in milder:
            change = f"{option} {value}"
            levels.append(Level(name=str(value), changes=((f"arg.{option}", value),), change=change, cost=cost))
        yield Factor(
            name=option.lstrip("-"),
            kind=FactorKind.ORDERED,
            scope=FactorScope.SETTING,
            levels=tuple(levels),
            expects_monotone=True,
            category=category,
        )


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, int]]:
    """`--name value` and `--name=value` with whole numbers above 1."""
    for place, word in enumerate(arguments):
        if not word.startswith("-"):
            continue
        option, joined, value = word.partition("=")
        if not joined:
            value = arguments[place + 1] if place + 1 < len(arguments) else ""
        if value.isdigit() and int(value) > 1:
            yield option, int(value)
