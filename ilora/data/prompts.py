"""The wording of prompts, and what a prompt looks like as text.

A template says in words what the user chose and what there is to choose from. `[HistoryHere]` and `[CansHere]` mark
where the two lists go. In a list each title is followed by a placeholder whose embedding is computed, not looked up:
"<title> [HistoryEmb], <title> [HistoryEmb]" and "<title> [CansEmb], ..."; text-only prompts have `[PH]` for both.

Titles carry the space before them (" Toy Story") wherever they stand: in a list, and as the answer after the prompt. So
a title has the same tokens everywhere, a list marker must follow a space, and a prompt never ends with one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ilora.config import ConfigError
from ilora.data.records import Catalogue

HISTORY_HERE = "[HistoryHere]"
CANDIDATES_HERE = "[CansHere]"
HISTORY_PLACEHOLDER = "[HistoryEmb]"
CANDIDATE_PLACEHOLDER = "[CansEmb]"
TEXT_PLACEHOLDER = "[PH]"
SEPARATOR = ","

_PATTERNS = (
    "So far this {person} has {done} the following, oldest first: [HistoryHere]. "
    "Exactly one of these {items} comes next: [CansHere]. It is:",
    "Record of a {person}: [HistoryHere]. Options: [CansHere]. "
    "Which option does the {person} {do} next? Give the name only:",
    "After having {done} [HistoryHere] in that order, a {person} is offered [CansHere] and takes one {item} from them:",
)


@dataclass(frozen=True, slots=True)
class _Words:
    person: str
    item: str
    items: str
    done: str
    do: str


_WORDS = {
    "movie": _Words("viewer", "film", "films", "watched", "watch"),
    "artist": _Words("listener", "artist", "artists", "listened to", "listen to"),
    "game": _Words("player", "game", "games", "played", "play"),
    "book": _Words("reader", "book", "books", "read", "read"),
    "item": _Words("customer", "item", "items", "chosen", "choose"),
}


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A template, cut at its two list markers.

    Attributes:
        pieces: the text before, between and after the lists, without the space in front of each list.
        history_first: whether the history's list comes before the candidates'.
    """

    pieces: tuple[str, str, str]
    history_first: bool

    def render(self, history: Sequence[str], candidates: Sequence[str], *, hybrid: bool = True) -> str:
        """The prompt as text, for people and for tokenizer training; `collate` makes its tokens from the same parts."""
        first = _list(history, HISTORY_PLACEHOLDER if hybrid else TEXT_PLACEHOLDER)
        second = _list(candidates, CANDIDATE_PLACEHOLDER if hybrid else TEXT_PLACEHOLDER)
        if not self.history_first:
            first, second = second, first
        before, between, after = self.pieces
        return before + first + between + second + after


def parse_template(text: str, *, key: str, name: str) -> PromptTemplate:
    """Cut a template at its list markers.

    Args:
        text: one line of wording.
        key: the configuration key it came from, for errors.
        name: what to call it in errors.

    Raises:
        ConfigError: a marker is missing, stands twice, or does not follow a space.
    """
    for marker in (HISTORY_HERE, CANDIDATES_HERE):
        count = text.count(marker)
        if count != 1:
            found = "is missing" if count == 0 else f"stands {count} times"
            raise ConfigError(key, name, f"a template with {marker} once", f"There {marker} {found}: {text!r}")
        if f" {marker}" not in text:
            raise ConfigError(key, name, f"a template with a space before {marker}", f"In {text!r} there is none.")
    history_first = text.index(HISTORY_HERE) < text.index(CANDIDATES_HERE)
    order = (HISTORY_HERE, CANDIDATES_HERE) if history_first else (CANDIDATES_HERE, HISTORY_HERE)
    before, _, rest = text.partition(f" {order[0]}")
    between, _, after = rest.partition(f" {order[1]}")
    return PromptTemplate((before.lstrip(), between, after.rstrip()), history_first)


def built_in_templates(kind: str) -> tuple[PromptTemplate, ...]:
    """The project's own wording for movie, artist, game, book or item."""
    words = _WORDS[kind]
    texts = (
        pattern.format(person=words.person, item=words.item, items=words.items, done=words.done, do=words.do)
        for pattern in _PATTERNS
    )
    return tuple(parse_template(text, key="data.prompt", name=kind) for text in texts)


def load_templates(kind: str, file: str | None = None) -> tuple[PromptTemplate, ...]:
    """The templates a configuration asks for.

    Args:
        kind: data.prompt.
        file: data.prompt_file: UTF-8 text, one template a line, empty lines ignored; replaces the built-in ones.

    Raises:
        ConfigError: the file cannot be read or holds no template, or a template lacks or repeats a marker.
    """
    key = "data.prompt_file"
    if file is None:
        return built_in_templates(kind)
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(key, file, "a UTF-8 text file with one template a line", str(error)) from error
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise ConfigError(key, file, "a text file with one template a line", "It holds none.")
    return tuple(parse_template(line, key=key, name=f"{file}, line {number}") for number, line in numbered)


def template_index(num_templates: int, *, seed: int, epoch: int, row: int) -> int:
    """Which template a sample gets: the same in every process, another in every epoch."""
    digest = hashlib.blake2b(f"{seed} {epoch} {row}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % num_templates


def tokenizer_texts(catalogue: Catalogue, templates: Iterable[PromptTemplate]) -> Iterator[str]:
    """What a tokenizer for random weights is trained on: every title, and the wording around the lists."""
    for title in catalogue.titles:
        yield f" {title}"
    for template in templates:
        yield from (piece for piece in template.pieces if piece)


def _list(titles: Sequence[str], placeholder: str) -> str:
    return SEPARATOR.join(f" {title} {placeholder}" for title in titles)
