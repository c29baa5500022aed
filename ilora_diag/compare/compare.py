"""Differences of two subjects, and which of them matter."""

from __future__ import annotations

from collections.abc import Iterator

from ilora_diag.compare.subject import Item, Subject
from ilora_diag.schema import Unavailable
from ilora_diag.schema.compare import Compare, Difference, Group, Side
from ilora_diag.schema.known import Known
from ilora_diag.schema.report import Skipped

# Kinds of which one has taken the memory of a step, whichever way: they can be held against each other.
_OF_A_STEP = frozenset({"train", "estimate", "run", "snapshot"})
_SMALL_BYTES = 1 << 20
# Between kinds, these are told in different words and would differ throughout.
_OF_ONE_KIND = frozenset({Group.OUTCOME, Group.REQUESTED, Group.METRIC})


class NotComparableError(ValueError):
    """The two have nothing in common that could be compared; the message says why."""


def compare(a: Subject, b: Subject, *, paths: tuple[str, str], tolerance: float) -> Compare:
    """Hold two subjects against each other.

    Args:
        a: the one that is compared with.
        b: the one whose changes are told.
        paths: of both, as typed.
        tolerance: part of the larger value by which numbers may differ without mattering.

    Raises:
        NotComparableError: an investigation and something else, or two without a common value.
    """
    if a.kind != b.kind and not {a.kind, b.kind} <= _OF_A_STEP:
        raise NotComparableError(
            f"{paths[0]} is of the kind {a.kind}, {paths[1]} of the kind {b.kind}: allowed are two of one kind, or any "
            f"two of {', '.join(sorted(_OF_A_STEP))}"
        )
    groups = [group for group in Group if a.kind == b.kind or group not in _OF_ONE_KIND]
    common = [group for group in groups if group in a.items and group in b.items]
    if not any(a.items[group].keys() & b.items[group].keys() for group in common):
        raise NotComparableError(f"{paths[0]} and {paths[1]} have no value in common: {_why(a, b, groups)}")
    differences = tuple(one for group in common for one in _ordered(_differences(group, a, b, tolerance)))
    return Compare(
        a=Side(path=paths[0], kind=a.kind, name=a.name),
        b=Side(path=paths[1], kind=b.kind, name=b.name),
        tolerance=tolerance,
        num_same=tuple((group, _num_same(group, a, b)) for group in common),
        differences=differences,
        not_compared=tuple(_not_compared(a, b, groups)),
        is_equal=not any(one.matters for one in differences),
    )


def _differences(group: Group, a: Subject, b: Subject, tolerance: float) -> Iterator[Difference]:
    here, there = a.items[group], b.items[group]
    # Kinds name the parts of their environment differently: what only one of them names is no difference.
    only_common = group is Group.VERSIONS and a.kind != b.kind
    for name in (
        name for name in dict.fromkeys((*here, *there)) if not only_common or (name in here and name in there)
    ):
        is_part = group in _SHARES or name.startswith("chain.")
        first, second = (_item(items, name, is_part=is_part) for items in (here, there))
        if first.value == second.value or _both_unknown(first, second):
            continue
        yield Difference(
            group=group,
            name=name,
            a=first.value,
            b=second.value,
            unit=first.unit or second.unit,
            delta=_delta(first.value, second.value),
            matters=_matters(first, second, tolerance, is_share=group in _SHARES),
        )


_SHARES = frozenset({Group.CATEGORY, Group.MODULE, Group.OPERATOR})


def _item(items: dict[str, Item], name: str, *, is_part: bool) -> Item:
    """A value; of parts of a whole that one side does not name, it has none."""
    found = items.get(name)
    if found is not None:
        return found
    return Item(value=0, unit="bytes") if is_part else Item(value=Unavailable(reason="not there", source=name))


def _both_unknown(first: Item, second: Item) -> bool:
    return isinstance(first.value, Unavailable) and isinstance(second.value, Unavailable)


def _delta(a: object, b: object) -> Known[float]:
    if _is_number(a) and _is_number(b):
        return b - a  # type: ignore[operator,no-any-return]
    return Unavailable(reason="not both are numbers", source="compare")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _matters(first: Item, second: Item, tolerance: float, *, is_share: bool) -> bool:
    if not (first.counts and second.counts):
        return False
    a, b = first.value, second.value
    if not (_is_number(a) and _is_number(b)):
        return True
    assert isinstance(a, (int, float))
    assert isinstance(b, (int, float))
    if first.interval is not None and second.interval is not None:
        return first.interval[1] < second.interval[0] or second.interval[1] < first.interval[0]
    if first.unit == "bytes" and abs(a - b) <= _SMALL_BYTES and (is_share or max(a, b) > _SMALL_BYTES):
        return False
    if not first.unit:  # a setting: another number is another setting
        return True
    return abs(a - b) > tolerance * max(abs(a), abs(b))


def _ordered(found: Iterator[Difference]) -> list[Difference]:
    """Those that matter first, among them the largest; what has no size stays in its order."""

    def rank(one: Difference) -> tuple[bool, float]:
        size = abs(one.delta) if one.unit == "bytes" and not isinstance(one.delta, Unavailable) else 0.0
        return (not one.matters, -size)

    return sorted(found, key=rank)


def _num_same(group: Group, a: Subject, b: Subject) -> int:
    here, there = a.items[group], b.items[group]
    return sum(here[name].value == there[name].value for name in here.keys() & there.keys())


def _not_compared(a: Subject, b: Subject, groups: list[Group]) -> Iterator[Skipped]:
    for group in Group:
        if group not in groups:
            if group in a.items or group in b.items:
                yield Skipped(what=group.value, reason=f"{a.kind} and {b.kind} tell it in different words")
        elif (group in a.items) != (group in b.items):
            lacking = b if group in a.items else a
            reason = lacking.missing.get(group, f"{lacking.kind} does not tell it")
            yield Skipped(what=group.value, reason=f"{'b' if lacking is b else 'a'}: {reason}")


def _why(a: Subject, b: Subject, groups: list[Group]) -> str:
    reasons = [f"{entry.what}: {entry.reason}" for entry in _not_compared(a, b, groups)]
    return "; ".join(reasons) or "neither tells anything"
