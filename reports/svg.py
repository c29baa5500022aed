"""Drawn figures as parts of a page: nothing executable, nothing fetched, and no name that another figure uses too.

What is let through is listed; everything else is left out, whoever wrote the file.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

MAX_BYTES = 4 << 20
_NAMESPACE = "{http://www.w3.org/2000/svg}"
_HREFS = ("href", "{http://www.w3.org/1999/xlink}href")
_ELEMENTS = frozenset(
    ("svg", "g", "defs", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "use",
     "clipPath", "pattern")
)  # fmt: skip
_ATTRIBUTES = frozenset(
    ("clip-path", "cx", "cy", "d", "dx", "dy", "fill", "fill-opacity", "height", "id", "opacity", "patternTransform",
     "patternUnits", "points", "r", "rx", "ry", "stroke", "stroke-opacity", "stroke-width", "style", "text-anchor",
     "transform", "viewBox", "width", "x", "x1", "x2", "y", "y1", "y2")
)  # fmt: skip
_PROPERTIES = frozenset(
    ("clip-path", "fill", "fill-opacity", "fill-rule", "font", "font-family", "font-size", "font-style", "font-weight",
     "opacity", "stroke", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin",
     "stroke-miterlimit", "stroke-opacity", "stroke-width", "text-anchor", "white-space")
)  # fmt: skip
_PLAIN_VALUE = re.compile(r"[\w\s.,#%'\"+-]*")
_CALL = re.compile(r"[\w\s.,#%'\"()+-]*")
_OWN_URL = re.compile(r"url\(#([\w.:-]+)\)")


class SvgError(ValueError):
    """A file that is no figure of ours."""


def inline_svg(drawn: bytes, *, prefix: str, label: str) -> str:
    """A figure as an element of an HTML page.

    Args:
        drawn: the SVG file.
        prefix: put before every id in it, and before every reference to one.
        label: what the figure shows, for those who do not see it.

    Raises:
        SvgError: no SVG, one with entities of its own, or larger than `MAX_BYTES`.
    """
    if len(drawn) > MAX_BYTES:
        raise SvgError(f"the figure has {len(drawn)} bytes, allowed are {MAX_BYTES}")
    if b"<!ENTITY" in drawn:
        raise SvgError("the figure defines entities")
    try:
        root = ElementTree.fromstring(drawn)
    except ElementTree.ParseError as error:
        raise SvgError(f"the figure is no XML: {error}") from error
    if root.tag != f"{_NAMESPACE}svg":
        raise SvgError(f"the figure begins with {root.tag!r}, not with an svg element")
    return "".join(_element(root, prefix, {"role": "img", "aria-label": label}))


def _element(node: ElementTree.Element, prefix: str, more: Mapping[str, str]) -> Iterator[str]:
    name = str(node.tag).removeprefix(_NAMESPACE)
    if name not in _ELEMENTS:
        return
    attributes = {**dict(_attributes(node, prefix)), **more}
    told = "".join(f' {key}="{html.escape(value)}"' for key, value in attributes.items())
    yield f"<{name}{told}>"
    if name in ("text", "tspan"):
        yield html.escape(node.text or "", quote=False)
    for child in node:
        yield from _element(child, prefix, {})
        if name in ("text", "tspan"):
            yield html.escape(child.tail or "", quote=False)
    yield f"</{name}>"


def _attributes(node: ElementTree.Element, prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in node.attrib.items():
        if key in _HREFS:
            if re.fullmatch(r"#[\w.:-]+", value):
                yield "href", f"#{prefix}{value[1:]}"
        elif key == "id":
            yield key, prefix + value
        elif key == "style":
            yield key, "; ".join(_declarations(value, prefix))
        elif key in _ATTRIBUTES:
            kept = _value(value, prefix)
            if kept is not None:
                yield key, kept


def _declarations(style: str, prefix: str) -> Iterator[str]:
    for declaration in style.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        kept = _value(value, prefix)
        if name in _PROPERTIES and kept is not None:
            yield f"{name}: {kept}"


def _value(value: str, prefix: str) -> str | None:
    """A value without calls, or with one of `url` to the figure's own parts, or a transformation; else nothing."""
    own = _OWN_URL.fullmatch(value)
    if own is not None:
        return f"url(#{prefix}{own[1]})"
    if _PLAIN_VALUE.fullmatch(value) is not None:
        return value
    return value if _CALL.fullmatch(value) is not None and "url" not in value.lower() else None
