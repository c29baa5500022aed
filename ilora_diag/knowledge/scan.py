"""Reading a text of any size in bounded memory: signatures, codes, the first out-of-memory message, the exception.

A text passes through in pieces of about a megabyte. A piece keeps its last characters for the next one, so that a
message that stands across the border is found; what begins before the border is counted once.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from ilora_diag.knowledge.codes import find_codes
from ilora_diag.knowledge.oom import WINDOW, parse_oom
from ilora_diag.knowledge.reading import ErrorReading
from ilora_diag.knowledge.signatures import Signature, compiled_parts, find_signature, load_signatures
from ilora_diag.knowledge.texts import clean_text
from ilora_diag.schema.explanation import ErrorCode, OomMessage, SignatureMatch
from ilora_diag.schema.known import Known, Unavailable

PIECE = 1 << 20
_EXCERPT = 400
_SAMPLE = 1 << 16
_NO_TEXT = ("\ufffd", *(chr(number) for number in range(32) if chr(number) not in "\t\n\r\f\x1b"))
_BEFORE, _AFTER = 4000, 2000
"""Characters around the leading match that rules about frames may look at."""
_OOM_WORDS = (
    "out of memory",
    "Tried to allocate",
    "has a total capac",
    "would exceed allowed memory",
    "_ALLOC_FAILED",
    "NVML_SUCCESS ==",
    "NOT_INITIALIZED",
    "OUT_OF_MEMORY",
    "OutOfMemory",
    "MemoryAllocation",
    "DefaultCPUAllocator",
    "unable to mmap",
    "Unable to allocate",
    "_OUT_OF_",
    "cusolverDnCreate",
)
_ADVISED = re.compile(r"try setting\s+PYTORCH_\w+=expandable_segments:True")
"""An out-of-memory message recommends this setting whether it is on or not: rules must not take it for the setting."""
_RAISED = re.compile(
    r"^(?:E +)?((?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Warning)))(?::|$)", re.M
)


@dataclass(slots=True)
class _Found:
    """One signature's matches so far."""

    match: SignatureMatch
    context: str


@dataclass(slots=True)
class _State:
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    num_bytes: int = 0
    num_lines: int = 0
    offset: int = 0
    found: dict[str, _Found] = field(default_factory=dict)
    codes: dict[tuple[str, int | None, str], ErrorCode] = field(default_factory=dict)
    oom: OomMessage | None = None
    raised: list[tuple[int, str]] = field(default_factory=list)
    garbage: bool = False


def scan_text(text: str | bytes) -> ErrorReading:
    """Read a text that is at hand."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return scan_stream(io.BytesIO(data))


def scan_stream(stream: BinaryIO) -> ErrorReading:
    """Read a file or a pipe to its end."""
    state = _State()
    for piece, border in _pieces(stream, state):
        _read_piece(piece, border, state)
        state.num_lines += piece.count("\n", 0, border)
        state.offset += border
        if border == len(piece) and piece and not piece.endswith("\n"):
            state.num_lines += 1
    return _reading(state)


def _pieces(stream: BinaryIO, state: _State) -> Iterator[tuple[str, int]]:
    """Cleaned pieces, each with the border up to which matches begin in it and not in the next."""
    decoder: codecs.IncrementalDecoder | None = None
    rest = ""
    while True:
        data = stream.read(PIECE)
        state.digest.update(data)
        state.num_bytes += len(data)
        if decoder is None:
            decoder = codecs.getincrementaldecoder(_encoding(data))("replace")
            rest = decoder.decode(data, final=not data)
            state.garbage = _is_garbage(rest[:_SAMPLE])
        else:
            rest += decoder.decode(data, final=not data)
        if not data:
            break
        if len(rest) <= 2 * WINDOW:
            continue
        # Cut at a line's end, so that an escape sequence or a prefix is cleaned as a whole.
        cut = rest.rfind("\n") + 1 or len(rest)
        piece = clean_text(rest[:cut])
        border = max(0, len(piece) - WINDOW)
        border = piece.rfind("\n", 0, border) + 1 or border
        yield piece, border
        rest = piece[border:] + rest[cut:]
    piece = clean_text(rest)
    yield piece, len(piece)


def _is_garbage(sample: str) -> bool:
    """Whether a tenth of a sample is no text: bytes that decode to nothing, and control characters."""
    bad = sum(sample.count(mark) for mark in _NO_TEXT)
    return bad * 10 > len(sample)


def _encoding(data: bytes) -> str:
    """PowerShell's `>` writes UTF-16."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig"


def _read_piece(piece: str, border: int, state: _State) -> None:
    lines = _Lines(piece, state.num_lines)
    for signature in load_signatures():
        if any(anchor in piece for anchor in signature.anchors):
            _match(signature, piece, border, state, lines)
    for code in find_codes(piece, border):
        key = (code.space, code.number, code.name)
        if key not in state.codes:
            state.codes[key] = replace(code, line=lines.at(code.line))
    if (state.oom is None or state.oom.wording.startswith("masked")) and any(word in piece for word in _OOM_WORDS):
        found = parse_oom(piece)
        if found is not None and (state.oom is None or not found.wording.startswith(("masked", "host"))):
            state.oom = replace(found, line=found.line + state.num_lines)
    if len(state.raised) < 200 and ("Error" in piece or "Exception" in piece or "Exit" in piece):
        for match in _RAISED.finditer(piece, 0, border):
            state.raised.append((state.offset + match.start(), match[1]))
            if len(state.raised) >= 200:
                break


class _Lines:
    """Line numbers of offsets, with the line starts looked up once a piece and only where something was found."""

    def __init__(self, piece: str, before: int) -> None:
        self._piece, self._before = piece, before
        self._starts: list[int] | None = None

    def at(self, offset: int) -> int:
        if self._starts is None:
            self._starts = [match.end() for match in re.finditer("\n", self._piece)]
        return self._before + bisect_right(self._starts, offset) + 1


def _match(signature: Signature, piece: str, border: int, state: _State, lines: _Lines) -> None:
    for match in _matches(signature.pattern, piece, border):
        line = lines.at(match.start())
        known = state.found.get(signature.id)
        if known is not None:
            known.match = replace(known.match, count=known.match.count + 1, last_line=max(line, known.match.last_line))
            continue
        state.found[signature.id] = _Found(
            match=SignatureMatch(
                id=signature.id,
                group=signature.group,
                layer=signature.layer,
                sticky=signature.sticky,
                excerpt=_excerpt(piece, match),
                first_line=line,
                last_line=line,
                offset=state.offset + match.start(),
                unverified=signature.unverified,
                generic=signature.rank == "generic",
                captured=_captured(match),
            ),
            context=_ADVISED.sub("try setting ...", piece[max(0, match.start() - _BEFORE) : match.end() + _AFTER]),
        )


def _matches(pattern: str, piece: str, border: int) -> Iterator[re.Match[str]]:
    """The matches of all alternatives that begin before the border, in order; one that lies in another is left out."""
    found: list[re.Match[str]] = []
    for part in compiled_parts(pattern):
        for match in part.finditer(piece):
            if match.start() >= border:
                break
            found.append(match)
    end = -1
    for match in sorted(found, key=lambda one: (one.start(), -one.end())):
        if match.start() >= end:
            end = match.end()
            yield match


def _captured(match: re.Match[str]) -> tuple[tuple[str, str], ...]:
    names = {number: name for name, number in match.re.groupindex.items()}
    groups = enumerate(match.groups(), start=1)
    return tuple((names.get(number, str(number)), value[:200]) for number, value in groups if value is not None)


def _excerpt(piece: str, match: re.Match[str]) -> str:
    """The line that matched, as a person would quote it."""
    start = piece.rfind("\n", 0, match.start()) + 1
    end = piece.find("\n", match.end())
    whole = _ADVISED.sub("try setting ...", piece[start : end if end >= 0 else len(piece)].strip())
    return whole if len(whole) <= _EXCERPT else match[0].strip()[:_EXCERPT]


def _reading(state: _State) -> ErrorReading:
    ordered = sorted(_told_once(state.found), key=lambda one: one.match.offset)
    matches = _marked(tuple(one.match for one in ordered))
    leading = _leading(matches)
    context = next((one.context for one in ordered if leading is not None and one.match.id == leading.id), "")
    return ErrorReading(
        digest=state.digest.hexdigest(),
        num_bytes=state.num_bytes,
        num_lines=state.num_lines,
        matches=matches,
        leading=leading,
        oom=state.oom,
        exception_type=_exception(state, leading),
        codes=tuple(sorted(state.codes.values(), key=lambda code: code.line)),
        context=context,
        garbage=state.garbage,
    )


def _told_once(found: dict[str, _Found]) -> list[_Found]:
    """Without general signatures of which a more specific one tells."""
    refined = {name for known in found for name in _refines(known)}
    return [one for name, one in found.items() if name not in refined or _rank(name) == "error"]


def _exception(state: _State, leading: SignatureMatch | None) -> Known[str]:
    """The class on the line of the leading match or nearest to it; of a text without one, why there is none."""
    if not state.raised:
        return Unavailable(reason="the text shows no exception", source="error text")
    real = [one for one in state.raised if not one[1].endswith("Warning")] or state.raised
    if leading is None:
        return real[0][1]
    return min(real, key=lambda one: abs(one[0] - leading.offset))[1]


def _marked(matches: tuple[SignatureMatch, ...]) -> tuple[SignatureMatch, ...]:
    """Consequences marked: what CUDA, its libraries and NCCL say after the context was lost."""
    lost: int | None = None
    marked: list[SignatureMatch] = []
    for match in matches:
        follows = lost is not None and match.group in ("faults", "libraries", "distributed") and match.offset > lost
        marked.append(replace(match, follows=follows) if follows else match)
        if match.sticky == "yes" and lost is None:
            lost = match.offset
    return tuple(marked)


def _leading(matches: tuple[SignatureMatch, ...]) -> SignatureMatch | None:
    """The match that explains the text: the first failure in time, unless a more specific one tells of the same."""
    ranks = {match.id: _rank(match.id) for match in matches}
    first = None
    for wanted in ("error", "warning", "generic"):
        first = next((match for match in matches if ranks[match.id] == wanted and not match.follows), None)
        if first is not None:
            break
    if first is None:
        return matches[0] if matches else None
    for _ in range(3):
        better = next((match for match in matches if first.id in _refines(match.id)), None)
        if better is None:
            break
        first = better
    return first


def _rank(name: str) -> str:
    signature = find_signature(name)
    assert signature is not None, name
    return signature.rank


def _refines(name: str) -> tuple[str, ...]:
    signature = find_signature(name)
    assert signature is not None, name
    return signature.refines
