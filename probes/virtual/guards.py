"""Checks by truths that nobody computed: where a script raises on one answer, it gets the other, as in a healthy run.

`assert (boxes >= 0).all()`, `if not valid.all(): raise ...`. What the script would do with an answer stands in its
source, at the place that asks.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FrameType

PASSED = "checks of values nobody computed are taken to pass"

Place = tuple[int, int, int, int]
"""First line, last line, first column, column behind the last: in the order of `co_positions`."""


def passing(frame: FrameType) -> bool | None:
    """The truth that lets a check pass which `frame` is about to decide; None where it decides something else."""
    return _passing(frame.f_code, frame.f_lasti)


@lru_cache(maxsize=1024)
def _passing(code: CodeType, instruction: int) -> bool | None:
    place = list(code.co_positions())[instruction // 2]
    if any(number is None for number in place):
        return None
    tree = _tree(code.co_filename)
    check = None if tree is None else _check_at(tree, place)  # type: ignore[arg-type]  # none of them is None
    if check is None:
        return None
    parts = list(_parts(check.test, negated=False))
    asked = [negated for part, negated in parts if _place_of(part) == place]
    if not asked and _place_of(check)[::2] != place[::2]:
        return None  # a part of a part: what it means for the whole is not known
    # An assertion passes where the whole holds, a condition to raise where it does not.
    wanted = {isinstance(check, ast.Assert) is not negated for negated in asked or [negated for _, negated in parts]}
    return wanted.pop() if len(wanted) == 1 else None


@lru_cache(maxsize=64)
def _tree(filename: str) -> ast.AST | None:
    try:
        return ast.parse("".join(linecache.getlines(filename)))
    except (SyntaxError, ValueError):
        return None


def _check_at(tree: ast.AST, place: Place) -> ast.If | ast.Assert | None:
    """The innermost check whose condition the place is in, or that begins there."""
    found = None
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) or (isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise)):
            first, last, column, end = _place_of(node.test)
            inside = (first, column) <= (place[0], place[2]) and (place[1], place[3]) <= (last, end)
            if inside or (node.lineno, node.col_offset) == (place[0], place[2]):
                found = node
    return found


def _parts(test: ast.expr, *, negated: bool) -> Iterator[tuple[ast.expr, bool]]:
    """What a condition joins by `and`, `or` and `not`, and whether each is negated: nothing else turns its meaning."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _parts(test.operand, negated=not negated)
    elif isinstance(test, ast.BoolOp):
        for part in test.values:
            yield from _parts(part, negated=negated)
    else:
        yield test, negated


def _place_of(node: ast.expr | ast.stmt) -> Place:
    return node.lineno, node.end_lineno or 0, node.col_offset, node.end_col_offset or 0
