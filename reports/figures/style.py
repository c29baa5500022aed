"""The one look of every figure, and the one way a figure becomes a file.

The files are SVG with real text (no outlines), so labels can be searched and Japanese needs no font in the file; on a
solid ground that is white, or dark where the reader's page is (`reports.figures.dark`); and byte-identical for
identical input.
Colours are those of Okabe and Ito, told apart by colour-blind readers (https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.figures.dark import dark_rules
from reports.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
INK, MUTED, RULE = "#24292F", "#6E7781", "#D8DEE4"
WIDTH_IN = 8.0

_RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ilora-diag",
    "text.parse_math": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.5,
    "axes.titlepad": 12,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "ytick.major.size": 0,
    "xtick.major.size": 3,
    "text.color": INK,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.09,
    "legend.frameon": False,
    "legend.borderaxespad": 0.6,
    "legend.borderpad": 0.0,
    "legend.columnspacing": 1.4,
    "legend.handlelength": 1.4,
    "legend.fontsize": 9,
    "legend.labelcolor": MUTED,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}
_LATIN_FONTS = ["DejaVu Sans"]


@contextmanager
def house_style(lang: str) -> Iterator[None]:
    """Settings under which figures are drawn and saved: matplotlib reads them at both times. Undone on leaving.

    Args:
        lang: "ja" lays text out with a Japanese font if there is one, so that labels do not overlap.
    """
    import matplotlib as mpl

    fonts = _fonts(lang)
    # The Japanese font has one weight only.
    weight = "bold" if fonts == _LATIN_FONTS else "normal"
    settings: Any = {**_RC, "font.family": fonts, "axes.titleweight": weight}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # Without a Japanese font the widths are guesses, but the SVG still holds the text itself.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def new_figure(*titles: str, height_in: float) -> tuple[Figure, list[Axes]]:
    """A figure with one panel a title, side by side, to be used inside `house_style`."""
    from matplotlib.figure import Figure

    # Not pyplot: it would pick a window system and keep every figure alive.
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    panels = [figure.add_subplot(1, len(titles), index) for index in range(1, len(titles) + 1)]
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title)
    return figure, panels


def label_end(axes: Axes, x: float, y: float, text: str, colour: str, *, up_pt: float = 0.0) -> None:
    """Write a line's value at its right end: direct labels need no looking back and forth."""
    import matplotlib as mpl

    weight = mpl.rcParams["axes.titleweight"]
    note_at(axes, x, y, text, up_pt=up_pt, color=colour, fontsize=9.5, fontweight=weight)


def note_at(axes: Axes, x: float, y: float, text: str, *, up_pt: float = 0.0, **style: Any) -> None:
    """Write a text just right of a point, also where that is outside the axes; `up_pt` points above it."""
    style = {"textcoords": "offset points", "va": "center", "annotation_clip": False, **style}
    axes.annotate(text, (x, y), xytext=(7, up_pt), **style)


def legend_above(axes: Axes) -> None:
    """The legend in a line of its own between title and data, where it hides neither."""
    handles, labels = axes.get_legend_handles_labels()
    axes.set_title(axes.get_title(loc="left"), pad=28)
    axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=max(1, len(labels)))


def whole_steps(axes: Axes) -> None:
    """Ticks at whole steps only: there is no step 2.5."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True, min_n_ticks=1))


def cut_end(text: str, letters: int) -> str:
    """The beginning of a text too long for its place."""
    return text if len(text) <= letters else text[: letters - 2] + ".."


def cut_start(text: str, letters: int) -> str:
    """The end of a name too long for its place: that is where names differ."""
    return text if len(text) <= letters else ".." + text[2 - letters :]


def save_svg(figure: Figure, path: Path, *, title: str = "") -> None:
    """Write the figure to `path`, whole or not at all; inside `house_style`.

    Args:
        figure: what was drawn.
        path: the file.
        title: what the figure shows, for readers that do not see it.
    """
    # No date and no version: the same report is the same file.
    metadata: dict[str, str | None] = {"Date": None, "Creator": None, **({"Title": title} if title else {})}
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata=metadata)
    light = drawn.getvalue()
    sheet = f'<style type="text/css">\n{dark_rules(light)}\n</style>\n'
    head, end, _ = light.rpartition("</svg>")
    with whole_file(path) as file:
        file.write(f"{head} {sheet}{end}\n".encode())


def _fonts(lang: str) -> list[str]:
    """Font families in order of preference, all of them known to matplotlib, so that none is warned about."""
    if lang != "ja":
        return _LATIN_FONTS
    from matplotlib import font_manager

    path = _japanese_font()
    if path is None:
        return _LATIN_FONTS
    if all(entry.fname != str(path) for entry in font_manager.fontManager.ttflist):
        font_manager.fontManager.addfont(path)
    # The Japanese font second: readers without it see Latin text in a wider one, which would not fit what was measured.
    return [*_LATIN_FONTS, font_manager.FontProperties(fname=path).get_name()]


def _japanese_font() -> Path | None:
    """The font file of matplotlib-fontja. Its package is not imported: that would change matplotlib's defaults."""
    spec = importlib.util.find_spec("matplotlib_fontja")
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent / "fonts" / "ipaexg.ttf"
    return found if found.is_file() else None
