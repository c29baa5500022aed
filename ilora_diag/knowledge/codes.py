"""Numbers and names of errors that a text mentions, with what the vendor's tables say of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ilora_diag.schema.explanation import ErrorCode

# Each pattern begins with a literal, which `re` finds many times faster than anything else.
# `line` of what `find_codes` yields is the offset in the piece; the reader turns it into a line number.
_NUMBER = r"\s{0,3}[:(=]?\s{0,3}(?P<number>\d{1,3})\b(?!\.\d)(?=[:)'\s]|$)"
_SPACES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("cuda", ("cudaError",), r"(?P<name>cudaError(?!_t\b)[A-Z]\w{2,60})"),
    ("cuda", ("CUDA_ERROR_",), r"(?P<name>CUDA_ERROR_[A-Z_]{3,60})"),
    (
        "cuda",
        ("rror", "ERROR", "ailure"),
        r"CUDA(?: runtime| driver)? ?(?:API )?(?:[Ee]rror|ERROR|[Ff]ailure)" + _NUMBER,
    ),
    ("cuda", ("Cuda ",), r"Cuda (?:failure|error)" + _NUMBER),
    ("cuda", ("cuda ",), r"cuda (?:runtime )?error" + _NUMBER),
    ("cuda", ("Error",), r"Error(?<!\wError)" + _NUMBER),
    ("nvml", ("NVML",), (r"(?P<name>NVML_ERROR_[A-Z_]{3,40})\b")),
    (
        "xid",
        ("Xid",),
        (r"Xid(?: \((?:PCI:)?[0-9a-fA-F:.]{4,20}\)\s?:?\s?|[: ]{1,2})(?P<number>\d{1,3})\b"),
    ),
    ("exit", ("exit",), (r"exit(?:ed with)?[ -]?(?:code|status|code: )[: ]{0,2}(?P<number>-?\d{1,3})\b")),
    ("cublas", ("CUBLAS_STATUS",), (r"(?P<name>CUBLAS_STATUS_(?!SUCCESS)[A-Z_]{3,40})\b")),
    ("cudnn", ("CUDNN_STATUS",), (r"(?P<name>CUDNN_STATUS_(?!SUCCESS)[A-Z_]{3,60})\b")),
    ("cusolver", ("CUSOLVER_STATUS",), (r"(?P<name>CUSOLVER_STATUS_(?!SUCCESS)[A-Z_]{3,40})\b")),
    (
        "nccl",
        ("nccl",),
        (r"(?P<name>nccl[A-Z]\w{3,30}Error|ncclInvalid(?:Usage|Argument)|ncclUnhandledCudaError)\b"),
    ),
)
_MOST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRow:
    """A row of a vendor's table.

    Attributes:
        sticky: whether the vendor's header says that the context is lost.
    """

    number: int
    name: str
    text: str
    sticky: bool = False
    action: str = ""


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@cache
def code_rows(space: str) -> tuple[CodeRow, ...]:
    """The table of a space: cuda, nvml or xid; empty for others."""
    rows = _tables().get(space, [])
    return tuple(
        CodeRow(
            number=row["number"],
            name=row["name"],
            text=row.get("text", ""),
            sticky=row.get("sticky", False),
            action=row.get("action", ""),
        )
        for row in rows
    )


def find_codes(piece: str, border: int) -> Iterator[ErrorCode]:
    """The codes of a piece that begin before its border, `line` being their offset."""
    for space, anchors, pattern in _SPACES:
        if not any(anchor in piece for anchor in anchors):
            continue
        for count, match in enumerate(_compiled(pattern).finditer(piece, 0, border)):
            if count >= _MOST:
                break
            groups = match.groupdict()
            number = groups.get("number")
            yield named_code(space, groups.get("name") or "", int(number) if number else None, match.start())


def named_code(space: str, name: str, number: int | None, line: int) -> ErrorCode:
    """A code with the rest of its row: the name for a number, the number for a name."""
    row = next((row for row in code_rows(space) if (number is not None and row.number == number)), None)
    if row is None and name:
        row = next((row for row in code_rows(space) if _same(row.name, name)), None)
    if row is None:
        return ErrorCode(space=space, number=number, name=name, line=line)
    return ErrorCode(space=space, number=row.number, name=name or row.name, line=line, meaning=row.text)


def _same(one: str, other: str) -> bool:
    """Runtime and driver names of the same error: cudaErrorNotSupported, CUDA_ERROR_NOT_SUPPORTED."""
    return _bare(one) == _bare(other)


@cache
def _bare(name: str) -> str:
    short = re.sub(r"^(?:cudaError|CUDA_ERROR_|NVML_ERROR_)", "", name)
    return short.replace("_", "").lower()


@cache
def _tables() -> dict[str, list[dict[str, Any]]]:
    text = (resources.files("ilora_diag.knowledge") / "data" / "codes.json").read_text(encoding="utf-8")
    tables: dict[str, list[dict[str, Any]]] = json.loads(text)
    return tables
