"""From which trials of a placement fail to the class of the failure. Pure; at most five trials beyond the walk."""

from __future__ import annotations

from collections.abc import Callable

from ilora_diag.schema.place import PlaceClass, PlaceMode, PlaceOutcome, PlaceTry

Try = Callable[[PlaceMode], PlaceTry]


def tell_apart(walk: PlaceTry, run: Try) -> tuple[PlaceClass, tuple[PlaceTry, ...]]:
    """Run the trials that tell the classes apart, each only where its answer still matters.

    Args:
        walk: that moved everything.
        run: runs one trial.

    Returns:
        The class, and the rows after the walk's, in the order in which they were run.
    """
    rows: list[PlaceTry] = []

    def fails(mode: PlaceMode) -> bool | None:
        row = run(mode)
        rows.append(row)
        return {PlaceOutcome.FAILS: True, PlaceOutcome.PASSES: False}.get(row.outcome)

    if walk.outcome is not PlaceOutcome.FAILS:
        answer = PlaceClass.NOTHING_FAILS if walk.outcome is PlaceOutcome.PASSES else PlaceClass.UNDECIDED
        return answer, ()
    answer = _failing(walk, rows, fails)
    return answer, tuple(rows)


def _failing(walk: PlaceTry, rows: list[PlaceTry], fails: Callable[[PlaceMode], bool | None]) -> PlaceClass:
    touch = fails(PlaceMode.FIRST_TOUCH)
    if touch is None:
        return PlaceClass.UNDECIDED
    if touch:
        return PlaceClass.ALLOCATOR if fails(PlaceMode.ALLOCATOR) is False else PlaceClass.FIRST_TOUCH
    if walk.leaf is None:  # it failed between tensors, or before any
        return PlaceClass.ALLOCATOR if fails(PlaceMode.ALLOCATOR) is False else PlaceClass.UNDECIDED
    alone = fails(PlaceMode.ALONE)
    if alone:
        like = fails(PlaceMode.RANDOM)
        if like is None:
            return PlaceClass.UNDECIDED
        return PlaceClass.SIZE_OR_DTYPE if like else PlaceClass.TENSOR_SPECIFIC
    if alone is None:
        return PlaceClass.UNDECIDED
    reverse = fails(PlaceMode.REVERSED)
    if fails(PlaceMode.ALLOCATOR) is False:
        return PlaceClass.ALLOCATOR
    if reverse:
        return _in_both_orders(walk, next(row for row in rows if row.mode is PlaceMode.REVERSED))
    return PlaceClass.UNDECIDED


def _in_both_orders(walk: PlaceTry, reverse: PlaceTry) -> PlaceClass:
    """The same tensor whatever came before it, or the same bytes whichever tensor it was.

    Where memory runs out, both orders have moved all that fits: they differ by less than the larger of the two tensors
    that did not.
    """
    if walk.leaf is None or reverse.leaf is None:
        return PlaceClass.UNDECIDED
    largest = max(walk.leaf.size_bytes, reverse.leaf.size_bytes)
    if abs(walk.moved_bytes - reverse.moved_bytes) <= largest + _SLACK * max(walk.moved_bytes, reverse.moved_bytes):
        return PlaceClass.CUMULATIVE
    return PlaceClass.TENSOR_SPECIFIC if walk.leaf.name == reverse.leaf.name else PlaceClass.UNDECIDED


_SLACK = 0.02  # the allocator rounds requests, and takes segments of 20 MiB at a time


def not_needed(rows: tuple[PlaceTry, ...]) -> tuple[PlaceMode, ...]:
    """Trials that were not run, in the order of the modes."""
    run = {row.mode for row in rows}
    return tuple(mode for mode in PlaceMode if mode not in run)
