"""The colours of figures on a dark page, as rules beside the light ones that a figure carries itself.

A figure's own colours stay in its elements, so whatever knows no style sheet shows the light figure. The rules pick
elements by the colour written in them; browsers follow `prefers-color-scheme` inside an image too, and paper is light.
"""

from __future__ import annotations

from collections.abc import Iterator

DARK = {
    "#ffffff": "#0d1117",  # the ground
    "#24292f": "#e6edf3",  # ink
    "#6e7781": "#9198a1",  # muted
    "#d8dee4": "#30363d",  # rules
    "#0072b2": "#3a93d4",  # the one line colour too dark for a dark ground
    # bars of the waterfall that are no category
    "#57606a": "#8b949e",
    "#c9d1d9": "#484f58",
    "#8c959f": "#6e7681",
    # bands over the timeline
    "#eaeef2": "#21262d",
    "#d0d7de": "#3d444d",
    # cells of the icicle, which carry text
    "#9ccbeb": "#1d4f73",
    "#f6d08b": "#6b4a0f",
    "#a6dcc8": "#1b5a45",
    "#e9bfd6": "#6b3557",
}
"""Light colour -> dark one; a colour that is not here does for both."""


def dark_rules(drawn: str | None = None, *, within: str = "") -> str:
    """A style sheet that turns figures dark where the reader's page is.

    Args:
        drawn: SVG text; rules for colours that are not in it are left out. None gives all of them.
        within: selector the rules are confined to, such as `figure`.
    """
    rules = "\n".join(_rules(drawn, f"{within} " if within else ""))
    return f"@media screen and (prefers-color-scheme: dark) {{\n{rules}\n}}"


def _rules(drawn: str | None, within: str) -> Iterator[str]:
    for light, dark in DARK.items():
        for name in ("fill", "stroke"):
            in_style, attribute = f"{name}: {light}", f'{name}="{light}"'
            if drawn is None or in_style in drawn:
                yield f'{within}[style*="{in_style}"] {{ {name}: {dark} !important }}'
            if drawn is None or attribute in drawn:
                yield f"{within}[{attribute}] {{ {name}: {dark} }}"
