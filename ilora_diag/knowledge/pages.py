"""The page of a code: of a signature, of a finding, or of an error number of CUDA, NVML or the kernel (Xid)."""

from __future__ import annotations

import re
from difflib import get_close_matches

from ilora_diag.checks.categories import BY_CATEGORY, BY_CODE, CATEGORIES, FOUND_BY_TRIALS, Category
from ilora_diag.knowledge.codes import CodeRow, code_rows, named_code
from ilora_diag.knowledge.signatures import Signature, compiled, find_signature, load_signatures
from ilora_diag.schema.explain_page import ExplainIndex, ExplainPage, IndexEntry, PageCause
from reports.messages import Words

_XID = re.compile(r"(?i)xid[ :=]*(\d{1,3})")
_NUMBER = re.compile(r"(?i)(?:(cuda|nvml|error)[ :=]*)?(\d{1,3})")
_VENDOR_NAME = re.compile(r"cudaError\w+|CUDA_ERROR_\w+|NVML_(?:ERROR_)?\w+")


def find_page(code: str, lang: str) -> ExplainPage | None:
    """The page of a code, however it is spelt; None where there is none."""
    asked = code.strip()
    signature = find_signature(asked)
    if signature is not None:
        return _signature_page(signature, lang)
    row = BY_CODE.get(asked.upper()) or BY_CATEGORY.get(asked)
    if row is not None:
        return _finding_page(row, lang)
    return _code_page(asked, lang)


def index(lang: str) -> ExplainIndex:
    """Every code that has a page of its own; numbers of CUDA, NVML and Xid are too many to list."""
    findings = tuple(
        IndexEntry(code=row.code, kind="finding", category=row.category, title=_meaning(row, lang))
        for row in CATEGORIES
    )
    signatures = tuple(
        IndexEntry(code=one.id, kind="signature", category=one.category, title=one.title(lang))
        for one in load_signatures()
    )
    return ExplainIndex(entries=(*findings, *signatures), lang=lang)


def near(code: str) -> tuple[str, ...]:
    """Codes that a mistyped one may mean."""
    names = [*BY_CODE, *BY_CATEGORY, *(one.id for one in load_signatures())]
    return tuple(get_close_matches(code, names, n=3, cutoff=0.6))


def _meaning(row: Category, lang: str) -> str:
    """One line for a finding. The titles of what facts show have numbers in them; a page has none to fill in."""
    words = Words(lang)
    if row.category in FOUND_BY_TRIALS:
        return words(f"check.{row.code}.title").rstrip(".\N{IDEOGRAPHIC FULL STOP}")
    return words(f"check.{row.code}.meaning")


def _signature_page(signature: Signature, lang: str) -> ExplainPage:
    lines = [("layer", signature.layer), ("group", signature.group)]
    if signature.since:
        lines.append(("since", signature.since))
    lines.append(("source", signature.source))
    return ExplainPage(
        code=signature.id,
        kind="signature",
        title=signature.title(lang),
        lines=tuple(lines),
        samples=signature.samples,
        causes=tuple(
            PageCause(
                category=cause.category,
                text=cause.text(lang),
                confirm=cause.confirm,
                refute=cause.refute,
                decide=cause.decide,
            )
            for cause in signature.causes
        ),
        sticky=signature.sticky,
        fix=signature.fix(lang),
        unverified=signature.unverified,
        related=tuple(
            dict.fromkeys(
                BY_CATEGORY[cause.category].code for cause in signature.causes if cause.category in BY_CATEGORY
            )
        ),
        lang=lang,
    )


def _finding_page(row: Category, lang: str) -> ExplainPage:
    if row.category in FOUND_BY_TRIALS:
        return _trial_page(row, lang)
    using = [one for one in load_signatures() if any(cause.category == row.category for cause in one.causes)]
    return ExplainPage(
        code=row.code,
        kind="finding",
        title=_meaning(row, lang),
        lines=(("category", row.category), ("level", f"L{row.layer}")),
        fix=next((one.fix(lang) for one in using if one.category == row.category), ""),
        related=tuple(one.id for one in using),
        lang=lang,
    )


def _trial_page(row: Category, lang: str) -> ExplainPage:
    """A cause that no message names and no fact of the machine shows: trials find it."""
    words = Words(lang)
    consequence, why = words(f"check.{row.code}.consequence"), words(f"bisect.root.{row.category}")
    return ExplainPage(
        code=row.code,
        kind="finding",
        title=_meaning(row, lang),
        text=f"{consequence}{words('bisect.gap')}{why}",
        lines=(("category", row.category), ("level", f"L{row.layer}"), ("found_by", "ilora-diag bisect-oom")),
        fix=words(f"bisect.permanent.{row.category}"),
        lang=lang,
    )


def _code_page(asked: str, lang: str) -> ExplainPage | None:
    found = _row(asked)
    if found is None:
        return None
    space, row = found
    related = _signatures_of(space, row)
    lines = [
        (
            "source",
            {"cuda": "CUDA string tables, driver_types.h", "nvml": "pynvml", "xid": "NVIDIA's Xid catalogue"}[space],
        )
    ]
    if row.action:
        lines.append(("action", row.action))
    first = find_signature(related[0]) if related and space != "xid" else None
    return ExplainPage(
        code=f"{space} {row.number}",
        kind="code",
        title=f"{row.name} ({row.number})" if row.name else f"{space} {row.number}",
        text=row.text,
        lines=tuple(lines),
        sticky=("yes" if row.sticky else "no") if space == "cuda" else "",
        fix="" if first is None else first.fix(lang),
        related=related,
        lang=lang,
    )


def _row(asked: str) -> tuple[str, CodeRow] | None:
    space, number = "", -1
    if match := _XID.fullmatch(asked):
        space, number = "xid", int(match[1])
    elif match := _NUMBER.fullmatch(asked):
        space, number = ("nvml" if (match[1] or "").lower() == "nvml" else "cuda"), int(match[2])
    elif _VENDOR_NAME.fullmatch(asked):
        space = "nvml" if asked.startswith("NVML") else "cuda"
        code = named_code(space, asked, None, 1)
        number = -1 if code.number is None else code.number
    row = next((row for row in code_rows(space) if row.number == number), None) if space else None
    return None if row is None else (space, row)


def _signatures_of(space: str, row: CodeRow) -> tuple[str, ...]:
    """The signatures whose pattern knows one of the ways in which this code is printed."""
    spellings = {
        "cuda": (f"CUDA error: {row.text}", f"Error {row.number}: {row.text}"),
        "nvml": (f"Failed to initialize NVML: {row.name}",),
        "xid": (f"NVRM: Xid (PCI:0000:01:00): {row.number}, x",),
    }[space]
    return tuple(
        one.id
        for one in load_signatures()
        if one.rank != "generic" and any(compiled(one.pattern).search(text) for text in spellings if text.strip())
    )
