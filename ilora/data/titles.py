"""Item titles as a language model should read them: natural word order, one line, no two alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

# "(1994)", also "(2005-2007)" of series, with a hyphen or an en dash, and "(1995) (V)" of films made for video.
_YEAR = re.compile("\\s*\\((\\d{4})(?:[-\u2013]\\d{0,4})?\\)(?: \\(V\\))?$")

# The articles that title lists move behind a comma. Single letters other than "A" and "O" are left alone: they are
# more often part of a name than an article.
_ARTICLES = "The|A|An|La|Le|Les|L'|Il|Lo|Gli|El|Los|Las|O|Os|Un|Une|Una|Uno|Der|Die|Das|Det|Den|Het|Ein|Eine"
_MOVED_ARTICLE = re.compile(rf"^(?P<name>.+), (?P<article>{_ARTICLES})$")
_PARENTHESES = re.compile(r"\(([^()]*)\)")

# The release looks for these anywhere in the title and takes the first that occurs, so ", A" wins over ", An" and
# also hits ", Andy": quirk Q16, repeated under compat=reference.
_REFERENCE_MARKS = (", The", ", A", ", An")
_REFERENCE_TAIL = len(" (1995)")


def one_line(text: str) -> str:
    """`text` with every run of white space (line breaks too) as one blank: an answer ends at the first line break."""
    return " ".join(text.split())


def movie_title(text: str) -> tuple[str, str]:
    """Split a MovieLens title "Postman, The (Postino, Il) (1994)" into "The Postman (Il Postino)" and "1994".

    The year is empty where the title has none; a title is never emptied.
    """
    text = one_line(text)
    match = _YEAR.search(text)
    year, name = (match.group(1), text[: match.start()]) if match and match.start() else ("", text)
    return _with_leading_articles(name), year


def reference_movie_title(text: str) -> str:
    """The title the release makes of `text`, its mistakes included (Q16): "unknown" becomes empty."""
    name = text[:-_REFERENCE_TAIL]
    for mark in _REFERENCE_MARKS:
        if mark in name:
            return f"{mark[2:]} {name.replace(mark, '')}"
    return name


def unique_titles(titles: Sequence[str], hints: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Tell equal titles apart, so that an answer means one item.

    Titles are equal if they differ in case or white space only, because answers are compared so. Equal titles get
    their hint (a year) in parentheses; what is still equal is numbered in item order, the first staying as it is.

    Args:
        titles: one per item.
        hints: one per item, empty where there is none.

    Returns:
        The titles, and how many of them had to change.
    """
    hinted = [f"{title} ({hint})" if hint else title for title, hint in zip(titles, hints, strict=True)]
    shared = _shared(titles)
    unique = [full if _key(title) in shared else title for title, full in zip(titles, hinted, strict=True)]
    # A hinted title may now equal a title that had its year all along; numbering settles that too.
    shared = _shared(unique)
    taken = {_key(title) for title in unique}
    seen: set[str] = set()
    for item, title in enumerate(unique):
        if _key(title) in shared and _key(title) in seen:
            unique[item] = _numbered(title, taken)
        seen.add(_key(unique[item]))
        taken.add(_key(unique[item]))
    return tuple(unique), sum(new != old for new, old in zip(unique, titles, strict=True))


def _with_leading_articles(name: str) -> str:
    inner = _PARENTHESES.sub(lambda found: f"({_article_first(found.group(1))})", name)
    head, bracket, rest = inner.partition(" (")
    return f"{_article_first(head)}{bracket}{rest}"


def _article_first(name: str) -> str:
    match = _MOVED_ARTICLE.match(name)
    if match is None:
        return name
    gap = "" if match["article"] == "L'" else " "
    return f"{match['article']}{gap}{match['name']}"


def _numbered(title: str, taken: set[str]) -> str:
    number = 2
    while _key(f"{title} #{number}") in taken:
        number += 1
    return f"{title} #{number}"


def _shared(titles: Sequence[str]) -> set[str]:
    return {key for key, count in Counter(map(_key, titles)).items() if count > 1}


def _key(title: str) -> str:
    return one_line(title).casefold()
