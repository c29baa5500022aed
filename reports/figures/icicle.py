"""Modules inside modules: columns from the root on the left, the height of a cell its bytes at the peak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ilora_diag.schema import Estimate, ModuleShare
from ilora_diag.units import format_bytes
from reports.figures.style import INK, MUTED, cut_start, new_figure
from reports.messages import Words
from reports.module_tree import Branch, module_tree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT_IN = 5.0
MAX_DEPTH = 6
# Below this part of the whole a cell is a line: such modules share one cell.
_SMALLEST = 0.006
# The part of the whole from which a cell takes a line of text, at the height of the figure.
_READABLE = 0.03
# Light enough for dark text, dark and light by turns so that columns stay apart in black and white.
_COLUMNS = ("#D8DEE4", "#9CCBEB", "#F6D08B", "#A6DCC8", "#E9BFD6")
_OWN = "#F4F6F8"
_WIDTH_OF_A_LETTER_IN = 0.062


@dataclass(frozen=True, slots=True)
class Cell:
    """A rectangle: column, top and height as parts of the whole, and what it stands for. Without a name: the rest.

    `own`: what the module to its left has beside the modules in it.
    """

    column: int
    top: float
    height: float
    name: str
    num_modules: int
    size_bytes: int
    own: bool = False


def available(estimate: Estimate) -> bool:
    """Whether there is a module to show beside the root."""
    return any(share.module and share.size_bytes for share in estimate.by_module)


def draw(estimate: Estimate, words: Words) -> Figure:
    """The icicle, names and sizes in the cells that take them."""
    return draw_modules(estimate.by_module, words, title=words("estimate.icicle.title"))


def draw_modules(shares: Sequence[ModuleShare], words: Words, *, title: str) -> Figure:
    """The icicle of shares that add up to the whole."""
    cells = list(cells_of(module_tree(shares), sum(share.size_bytes for share in shares)))
    num_columns = 1 + max(cell.column for cell in cells)
    figure, (axes,) = new_figure(title, height_in=HEIGHT_IN)
    axes.set_xlim(0, num_columns)
    axes.set_ylim(1, 0)
    axes.set_axis_off()
    letters = int(7.6 / num_columns / _WIDTH_OF_A_LETTER_IN)
    for cell in cells:
        _draw_cell(axes, cell, words, letters)
    return figure


def cells_of(root: Branch, whole_bytes: int) -> Iterator[Cell]:
    """The rectangles of a tree, column by column inside each branch; those of one column never overlap."""
    yield from _cells(root, 0, 0.0, whole_bytes)


def _cells(branch: Branch, column: int, top: float, whole: int) -> Iterator[Cell]:
    yield Cell(column, top, branch.size_bytes / whole, branch.label, branch.num_modules, branch.size_bytes)
    if column + 1 >= MAX_DEPTH:
        return
    large = [child for child in branch.children if child.size_bytes >= _SMALLEST * whole]
    small = branch.children[len(large) :]
    for child in large:
        yield from _cells(child, column + 1, top, whole)
        top += child.size_bytes / whole
    rest = sum(child.size_bytes for child in small)
    if rest >= _SMALLEST * whole:
        yield Cell(column + 1, top, rest / whole, "", len(small), rest)
        top += rest / whole
    if branch.children and branch.own_bytes >= _READABLE * whole:
        yield Cell(column + 1, top, branch.own_bytes / whole, branch.path, 1, branch.own_bytes, own=True)


def _draw_cell(axes: Axes, cell: Cell, words: Words, letters: int) -> None:
    from matplotlib.patches import Rectangle

    colour = _OWN if cell.own else _COLUMNS[cell.column % len(_COLUMNS)]
    corner = (cell.column, cell.top)
    axes.add_patch(Rectangle(corner, 1, cell.height, facecolor=colour, edgecolor="white", linewidth=1.2))
    if cell.height < _READABLE:
        return
    name, size = _name(cell, words), format_bytes(cell.size_bytes)
    y = cell.top + cell.height / 2
    one_line = f"{name}  {size}"
    if len(one_line) <= letters:
        axes.text(cell.column + 0.02, y, one_line, fontsize=8, color=INK, va="center")
    elif cell.height >= 2 * _READABLE:
        half = _READABLE / 2 + 0.003
        axes.text(cell.column + 0.02, y - half, cut_start(name, letters), fontsize=8, color=INK, va="center")
        axes.text(cell.column + 0.02, y + half, size, fontsize=8, color=MUTED, va="center")
    else:
        axes.text(cell.column + 0.02, y, cut_start(name, letters), fontsize=8, color=INK, va="center")


def _name(cell: Cell, words: Words) -> str:
    if cell.own:
        return words("estimate.icicle.own") if cell.name else words("estimate.module.root")
    if cell.column == 0 and not cell.name:
        return words("estimate.icicle.all")
    if not cell.name:
        return words("estimate.icicle.rest", num=cell.num_modules)
    return f"{cell.name} x{cell.num_modules}" if cell.name.endswith("*") else cell.name
