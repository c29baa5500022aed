"""Figures of estimates: small, real text, the same bytes every time, and true to their records."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ilora_diag.schema import Category, CurvePoint, Estimate, ModuleShare
from reports.figures import ESTIMATE_FIGURES, draw_estimate_figures, drawn_path
from reports.figures.icicle import Cell, cells_of
from reports.figures.shares import LOOKS
from reports.figures.timeline import thinned
from reports.module_tree import module_tree

LIMIT_BYTES = 200_000
SVG = "{http://www.w3.org/2000/svg}"


def _texts(path: Path) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ElementTree.parse(path).iter(f"{SVG}text")]


def _long(estimate: Estimate) -> Estimate:
    """Nine categories, ten thousand events, a thousand modules: as large as a record gets."""
    curve = tuple(
        CurvePoint(
            event=n,
            step=n // 2500,
            phase=("forward", "backward", "optimizer")[n // 500 % 3],
            reserved_bytes=9_000_000_000,
            sizes=tuple((n * (7 + place) * 7919) % 900_000_000 for place in range(9)),
        )
        for n in range(10_000)
    )
    size, rest = divmod(estimate.peak.allocated_bytes, 1_000)
    modules = tuple(
        ModuleShare(module=f"block_{n % 40}.part_{n}", size_bytes=size + (rest if n == 0 else 0)) for n in range(1_000)
    )
    return replace(estimate, curve=curve, curve_categories=tuple(Category), by_module=modules)


@pytest.mark.parametrize("name", ["opt", "load-oom", "tight", "long"])
def test_figures_stay_small(name: str, fixed_estimates: dict[str, Estimate], tmp_path: Path) -> None:
    estimate = _long(fixed_estimates["opt"]) if name == "long" else fixed_estimates[name]
    assert draw_estimate_figures(estimate, tmp_path, "en") == ()
    sizes = {figure: (tmp_path / drawn_path(figure)).stat().st_size for figure in ESTIMATE_FIGURES}
    assert {figure: size for figure, size in sizes.items() if size >= LIMIT_BYTES} == {}


def test_the_same_estimate_is_drawn_to_the_same_bytes_without_warnings(
    fixed_estimates: dict[str, Estimate], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    files = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        draw_estimate_figures(fixed_estimates["opt"], folder, "ja")
        files.append([(folder / drawn_path(name)).read_bytes() for name in ESTIMATE_FIGURES])
    assert files[0] == files[1]
    assert [str(warning.message) for warning in recwarn] == []


def test_the_cards_line_is_drawn_where_it_can_be_seen_and_told_where_not(
    fixed_estimates: dict[str, Estimate], tmp_path: Path
) -> None:
    draw_estimate_figures(fixed_estimates["tight"], tmp_path, "en")
    assert "card: 15.0 GiB" in _texts(tmp_path / drawn_path("waterfall"))
    draw_estimate_figures(fixed_estimates["opt"], tmp_path, "en")
    assert "the card has 79.6 GiB, beyond this axis" in _texts(tmp_path / drawn_path("waterfall"))


def test_a_refused_request_is_drawn(fixed_estimates: dict[str, Estimate], tmp_path: Path) -> None:
    for name, drawn in (("load-oom", True), ("tight", False)):
        draw_estimate_figures(fixed_estimates[name], tmp_path, "en")
        assert ("asked for, refused" in _texts(tmp_path / drawn_path("waterfall"))) is drawn


def test_nothing_is_drawn_of_nothing(fixed_estimates: dict[str, Estimate], tmp_path: Path) -> None:
    opt = fixed_estimates["opt"]
    root_only = (ModuleShare(module="", size_bytes=opt.peak.allocated_bytes),)
    bare = replace(opt, by_module=root_only, curve=opt.curve[:1])
    draw_estimate_figures(bare, tmp_path, "en")
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["waterfall.svg"]


def test_without_matplotlib_every_figure_has_its_reason(
    fixed_estimates: dict[str, Estimate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    skipped = draw_estimate_figures(fixed_estimates["opt"], tmp_path, "en")
    assert [entry.what for entry in skipped] == [drawn_path(name) for name in ESTIMATE_FIGURES]
    assert {entry.reason for entry in skipped} == {"matplotlib is not installed"}


def test_thinning_keeps_both_ends_and_the_peak(fixed_estimates: dict[str, Estimate]) -> None:
    curve = fixed_estimates["opt"].curve
    for limit in (4, 10, 100):
        kept = thinned(curve, limit)
        assert len(kept) <= limit
        assert (kept[0], kept[-1]) == (curve[0], curve[-1])
        assert max(sum(point.sizes) for point in kept) == max(sum(point.sizes) for point in curve)
        assert all(earlier.event < later.event for earlier, later in pairwise(kept))
    assert thinned(curve, len(curve)) is curve


def test_cells_of_one_column_lie_inside_their_parent_and_never_overlap(fixed_estimates: dict[str, Estimate]) -> None:
    opt = fixed_estimates["opt"]
    cells = list(cells_of(module_tree(opt.by_module), opt.peak.allocated_bytes))
    assert cells[0].height == 1.0
    for column in range(max(cell.column for cell in cells) + 1):
        for upper, lower in pairwise(_in_column(cells, column)):
            assert upper.top + upper.height <= lower.top + 1e-9
    assert all(cell.height == pytest.approx(cell.size_bytes / opt.peak.allocated_bytes) for cell in cells)


def test_what_a_module_has_beside_those_in_it_is_a_cell_with_a_name() -> None:
    shares = [ModuleShare(module=name, size_bytes=size) for name, size in (("", 60), ("a.b", 25), ("a", 10), ("c", 5))]
    found = {(cell.name, cell.column): cell.size_bytes for cell in cells_of(module_tree(shares), 100) if cell.own}
    assert found == {("", 1): 60, ("a", 2): 10}
    beside = [ModuleShare(module=name, size_bytes=size) for name, size in (("", 2), ("a", 98))]
    assert not any(cell.own for cell in cells_of(module_tree(beside), 100))  # a line that takes no text


def _in_column(cells: list[Cell], column: int) -> Iterator[Cell]:
    return iter(sorted((cell for cell in cells if cell.column == column), key=lambda cell: cell.top))


def test_every_category_has_a_look_of_its_own_and_none_a_dotted_one() -> None:
    assert set(LOOKS) == set(Category)
    assert len(set(LOOKS.values())) == len(Category)
    # Dots and circles are drawn one by one in SVG: a single such bar takes more than the limit.
    assert not any(set(look.hatch) & set(".oO*") for look in LOOKS.values())
