"""A judged machine as a document: the leading cause first, then one line a section, and the counts last."""

from __future__ import annotations

from ilora_diag.schema import Evidence, Finding, Severity, Unavailable
from ilora_diag.schema.env_check import CheckSection, EnvCheck, Status
from ilora_diag.schema.known import Known, Value
from ilora_diag.units import format_bytes
from reports.blocks import Block, Bullets, Code, Document, Paragraph, Section, Span, SpanKind, Table, Text, code
from reports.messages import Words
from reports.view.teller import setting_text

MARKS = {Status.OK: "[ok]", Status.WARNING: "[!]", Status.PROBLEM: "[x]", Status.UNKNOWN: "[?]", Status.SKIPPED: "[-]"}
"""ASCII, so that a log, a pipe and every terminal show the same."""
TONES: dict[Status, SpanKind] = {
    Status.OK: "good", Status.WARNING: "doubtful", Status.PROBLEM: "bad", Status.UNKNOWN: "doubtful",
    Status.SKIPPED: "doubtful",
}  # fmt: skip

_LONGEST = 160


def env_headline(check: EnvCheck, lang: str) -> str:
    """The answer in one sentence."""
    words = Words(lang)
    errors = [one for one in check.findings if one.severity is Severity.ERROR]
    if errors:
        return words(f"env.headline.{errors[0].confidence.value}", title=finding_title(errors[0], words))
    if check.no_card:
        return words("env.headline.no_card", torch=_torch(check, words))
    warnings = [one for one in check.findings if one.severity is Severity.WARNING]
    if warnings:
        return words("env.headline.warning", title=finding_title(warnings[0], words))
    return words("env.headline.healthy")


def _torch(check: EnvCheck, words: Words) -> str:
    version, cuda = check.facts.get("torch.version"), check.facts.get("torch.cuda_build")
    if not isinstance(version, str):
        return words("env.headline.no_card.none")
    if isinstance(cuda, str):
        return words("env.headline.no_card.cuda", version=version, cuda=cuda)
    return words("env.headline.no_card.cpu", version=version)


def env_document(check: EnvCheck, lang: str, *, verbose: bool = False) -> Document:
    """The whole answer.

    Args:
        check: the record.
        lang: "en" or "ja".
        verbose: with the facts of every section.

    Raises:
        ValueError: an unknown language.
    """
    words = Words(lang)
    made: list[Section] = []
    made += [Section(title=finding_name(one, words), blocks=finding_blocks(one, words)) for one in check.findings]
    made.append(Section(title=words("env.sections"), blocks=(_table(check, words),)))
    if verbose:
        made += [part for section in check.sections if (part := _facts(check, section, words))]
    closing: list[Block] = [Paragraph(text=counts(check, words))]
    if not verbose:
        closing.insert(0, Paragraph(text=words("env.more")))
    made.append(Section(title="", blocks=tuple(closing)))
    return Document(title=env_headline(check, lang), lang=lang, sections=tuple(made))


def finding_title(finding: Finding, words: Words) -> str:
    """What a finding says, in this language; its own English where there are no words for its code."""
    values = dict(finding.parameters)
    variant = values.pop("variant", None)
    key = f"check.{finding.code}.{variant}.title" if variant else f"check.{finding.code}.title"
    return _filled(words, key, values, finding.title)


def finding_consequence(finding: Finding, words: Words) -> str:
    """What follows from a finding, in this language."""
    values = dict(finding.parameters)
    values.pop("variant", None)
    return _filled(words, f"check.{finding.code}.consequence", values, finding.consequence)


def _filled(words: Words, key: str, values: dict[str, str | int | float | bool | None], otherwise: str) -> str:
    """A message filled in; `otherwise` for a record of another version, whose code or parameters differ."""
    if words.named(key, "") == "":
        return otherwise
    try:
        return words(key, **values)
    except (KeyError, IndexError):
        return otherwise


def finding_name(finding: Finding, words: Words) -> str:
    """Code, category and confidence."""
    confidence = words(f"env.confidence.{finding.confidence.value}")
    return words("env.finding", code=finding.code, category=finding.category, confidence=confidence)


def finding_blocks(finding: Finding, words: Words) -> tuple[Block, ...]:
    """A finding with its evidence, its remedy and what would decide it."""
    items: list[Text] = [_seen(one, words) for one in finding.evidence]
    blocks: list[Block] = [
        Paragraph(text=f"{finding_title(finding, words)} {finding_consequence(finding, words)}"),
    ]
    if items:
        blocks.append(Bullets(items=tuple(items)))
    if finding.remedy:
        blocks += [Paragraph(text=f"{words('env.finding.do')}:"), Code(text=finding.remedy, language="sh")]
    if finding.decider:
        text: Text = (f"{words('env.finding.decide')} (", code(finding.decider.fact), "):")
        blocks += [Paragraph(text=text), Code(text=finding.decider.command, language="sh")]
    return tuple(blocks)


def _seen(evidence: Evidence, words: Words) -> Text:
    path = evidence.path.removeprefix("facts:")
    observed = value_text(evidence.observed, words, path)
    if evidence.expected:
        observed = words("env.finding.expected", observed=observed, expected=evidence.expected)
    return (f"{words('env.finding.seen')}: ", code(path), f" = {observed}")


def value_text(value: Known[Value], words: Words, path: str) -> str:
    """The value of a path in one line, bytes with their unit; why there is none where it is not known."""
    if isinstance(value, Unavailable):
        return words("env.finding.missing", reason=words.reason(value.reason))
    if path.endswith("_bytes") and isinstance(value, int) and value >= 0:
        return format_bytes(value)
    text = " ".join(setting_text(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _table(check: EnvCheck, words: Words) -> Table:
    rows: list[tuple[Text, ...]] = []
    for section in check.sections:
        status = words(f"env.status.{section.status.value}")
        why = words(f"env.reason.{section.reason}") if section.reason else ", ".join(section.codes)
        shown = Span(TONES[section.status], f"{MARKS[section.status]} {status}")
        rows.append((words(f"env.section.{section.name}"), (shown, f": {why}" if why else "")))
    return Table(columns=(words("env.column.section"), words("env.column.status")), rows=tuple(rows))


def _facts(check: EnvCheck, section: CheckSection, words: Words) -> Section | None:
    by_path = {fact.path: fact for fact in check.facts.facts}
    found = [by_path[path] for path in section.paths if path in by_path]
    rows: list[tuple[Text, ...]] = [
        ((code(one.path),), value_text(one.value, words, one.path), one.source) for one in found
    ]
    if not rows:
        return None
    columns = (words("env.column.fact"), words("env.column.value"), words("env.column.source"))
    title = words("env.facts", section=words(f"env.section.{section.name}"))
    return Section(title=title, blocks=(Table(columns=columns, rows=tuple(rows)),))


def counts(check: EnvCheck, words: Words) -> str:
    """The last line."""
    errors = [one for one in check.findings if one.severity is Severity.ERROR and one.code != "UNK001"]
    warnings = [one for one in check.findings if one.severity is Severity.WARNING]
    undecided = [one for one in check.findings if one.code == "UNK001"]
    unknown = [one for one in check.sections if one.status is Status.UNKNOWN and one.reason != "undecided"]
    skipped = [one for one in check.sections if one.status is Status.SKIPPED]
    return words(
        "env.counts",
        problems=len(errors),
        warnings=len(warnings),
        unknowns=len(undecided) + len(unknown),
        skipped=len(skipped),
    )
