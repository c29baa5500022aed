"""Bytes by module as a tree a person can read: layers that only differ by their number are one branch.

A record names every module in full, `model.layers.7.self_attn.q_proj`. Here the numbers are folded, `model.layers.*`
with a count, and modules that hold nothing but one other are joined with it. The few parts of an `nn.Sequential`,
which have nothing below them and are of different kinds, keep their numbers. Bytes are only added up, never dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ilora_diag.schema import ModuleShare

_Path = tuple[str, ...]
# A branch below this part of the whole is not opened further: its leaves would be noise.
_WORTH_OPENING = 0.05
# More numbered modules than this are folded even if there is nothing below them.
_MAX_NUMBERED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A module, or all modules that differ from it by numbers only.

    Attributes:
        path: from the root, numbers that differ as `*`; the root is empty unless it was joined with its only child.
        label: the part of the path that the parent does not have.
        num_modules: modules folded into this branch.
        size_bytes: with everything below.
        own_bytes: of the modules themselves.
        children: largest first.
    """

    path: str
    label: str
    num_modules: int
    size_bytes: int
    own_bytes: int
    children: tuple[Branch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a partition of the tree. `itself`: the module without what is below it."""

    branch: Branch
    size_bytes: int
    itself: bool = False


@dataclass(slots=True)
class _Trie:
    own_bytes: int = 0
    size_bytes: int = 0
    concrete: set[_Path] = field(default_factory=set)
    children: dict[str, _Trie] = field(default_factory=dict)


def module_tree(shares: Sequence[ModuleShare]) -> Branch:
    """The tree over all shares; its root's `size_bytes` is their sum."""
    root = _Trie(concrete={()})
    names = [tuple(share.module.split(".")) if share.module else () for share in shares]
    kept = _numbers_kept(names)
    for share, parts in zip(shares, names, strict=True):
        node = root
        node.size_bytes += share.size_bytes
        for depth, part in enumerate(parts, start=1):
            is_folded = part.isdecimal() and _folded(parts[: depth - 1]) not in kept
            node = node.children.setdefault("*" if is_folded else part, _Trie())
            node.concrete.add(parts[:depth])
            node.size_bytes += share.size_bytes
        node.own_bytes += share.size_bytes
    return _branch(root, above=0)


def partition(root: Branch, limit: int) -> tuple[Row, ...]:
    """The tree opened where most bytes are, largest first; the rows sum to the root exactly.

    Args:
        root: of the tree.
        limit: opening stops when there are so many rows; the last opening may bring more.
    """
    rows = [Row(branch=root, size_bytes=root.size_bytes)]
    while len(rows) < limit:
        closed = [row for row in rows if row.branch.children and not row.itself and _worth_opening(row, root)]
        if not closed:
            break
        largest = max(closed, key=lambda row: row.size_bytes)
        rows.remove(largest)
        branch = largest.branch
        rows += [Row(branch=child, size_bytes=child.size_bytes) for child in branch.children]
        if branch.own_bytes:
            rows.append(Row(branch=branch, size_bytes=branch.own_bytes, itself=True))
    return tuple(sorted(rows, key=lambda row: (-row.size_bytes, row.branch.path)))


def _numbers_kept(names: Sequence[_Path]) -> set[_Path]:
    """The parents, with all numbers in them folded, whose numbered children are few and have nothing below."""
    numbers: dict[_Path, set[str]] = {}
    with_more_below: set[_Path] = set()
    for parts in names:
        for depth, part in enumerate(parts):
            if part.isdecimal():
                parent = _folded(parts[:depth])
                numbers.setdefault(parent, set()).add(part)
                if depth + 1 < len(parts):
                    with_more_below.add(parent)
    return {parent for parent, found in numbers.items() if len(found) <= _MAX_NUMBERED} - with_more_below


def _folded(parts: _Path) -> _Path:
    return tuple("*" if part.isdecimal() else part for part in parts)


def _worth_opening(row: Row, root: Branch) -> bool:
    return row.size_bytes >= _WORTH_OPENING * root.size_bytes


def _branch(node: _Trie, above: int) -> Branch:
    """A branch whose parent's path has `above` parts."""
    filled = [child for child in node.children.values() if child.size_bytes > 0]
    if len(filled) == 1 and node.own_bytes == 0:
        return _branch(filled[0], above)
    path = _path(node.concrete)
    children = sorted(
        (_branch(child, len(path)) for child in filled), key=lambda child: (-child.size_bytes, child.path)
    )
    return Branch(
        path=".".join(path),
        label=".".join(path[above:]),
        num_modules=len(node.concrete),
        size_bytes=node.size_bytes,
        own_bytes=node.own_bytes,
        children=tuple(children),
    )


def _path(concrete: set[_Path]) -> _Path:
    """The parts all have in common, and `*` where they differ."""
    columns = zip(*concrete, strict=True)
    return tuple(parts[0] if len(set(parts)) == 1 else "*" for parts in columns)
