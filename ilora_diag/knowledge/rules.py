"""Rules over facts: small expressions with three values, so that a fact nobody collected never counts as a no.

    gpu[*].virtualization_mode = 'vgpu' & alloc_conf ~ 'expandable_segments:True'

Operators: `=`, `!=`, `<`, `<=`, `>`, `>=` (numbers), `<v`, `>=v` (versions by their numbers), `~` (regular expression
found in a text or in one of several texts); `&`, `|`, `!` and brackets. `gpu[*]` holds where it holds for one device.
Operands: a fact path, a number, a text in quotes, true, false, null. Beside the facts there are `oom.FIELD`,
`captured.NAME` of the leading match, `text` (the lines around it) and `alloc_conf` (the allocator settings in force).
`$name` stands for a named rule of the signature files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from ilora_diag.schema.facts import Facts
from ilora_diag.schema.known import Known, Unavailable, Value

Truth = bool | None
Lookup = Callable[[str], tuple[tuple[str, Known[Value]], ...]]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*'|\x22[^\x22]*\x22)|(?P<number>-?\d+(?:\.\d+)?)(?![\w.])|(?P<op><v|>=v|<=|>=|!=|!(?!~)|[=<>~&|()])"
    r"|(?P<name>\$?[A-Za-z_][\w.\-]*(?:\[(?:\*|\d+)\][\w.\-]*)*))"
)
_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=", "<v", ">=v", "~")


class RuleError(ValueError):
    """A rule that cannot be read: a mistake in our own tables."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant."""

    value: Value


@dataclass(frozen=True, slots=True)
class Path:
    """The name of a fact."""

    name: str


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison; without an operator, whether the fact is true."""

    left: Path
    operator: str
    right: Literal | Path


@dataclass(frozen=True, slots=True)
class Join:
    """`&`, `|`, or `!` of one part."""

    operator: str
    parts: tuple[Rule, ...]


Rule = Compare | Join


@dataclass(slots=True)
class Verdict:
    """What a rule came to.

    Attributes:
        truth: True, False, or None where a fact it needs is missing.
        used: the facts that were there and took part, in order.
        missing: the paths that were not.
    """

    truth: Truth = None
    used: list[tuple[str, Value]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def holds(rule: str, lookup: Lookup, named: Mapping[str, str] | None = None) -> Verdict:
    """Evaluate a rule."""
    verdict = Verdict()
    verdict.truth = _truth(parse_rule(_expanded(rule, named or {})), lookup, verdict)
    return verdict


def facts_lookup(facts: Facts | None) -> Lookup:
    """Paths as the facts have them, `[*]` for every device that is there."""
    found = {} if facts is None else {fact.path: fact.value for fact in facts.facts}

    def look(path: str) -> tuple[tuple[str, Known[Value]], ...]:
        if "[*]" in path:
            shape = re.compile(re.escape(path).replace(r"\[\*\]", r"\[\d{1,6}\]"))
            return tuple((name, value) for name, value in found.items() if shape.fullmatch(name))
        return ((path, found[path]),) if path in found else ()

    return look


@lru_cache(maxsize=2048)
def parse_rule(rule: str) -> Rule:
    """The tree of a rule.

    Raises:
        RuleError: naming the rule and where it stops making sense.
    """
    tokens: list[tuple[str, str]] = []
    at = 0
    while rule[at:].strip():
        match = _TOKEN.match(rule, at)
        if match is None:
            raise RuleError(f"{rule!r}: cannot read {rule[at : at + 20]!r}")
        tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    tree, rest = _either(tokens, rule)
    if rest:
        raise RuleError(f"{rule!r}: {rest[0][1]!r} is too much")
    return tree


def _expanded(rule: str, named: Mapping[str, str]) -> str:
    for _ in range(4):
        if "$" not in rule:
            break
        rule = re.sub(r"\$(\w+)", lambda match: f"({named[match[1]]})", rule)
    return rule


Tokens = list[tuple[str, str]]


def _either(tokens: Tokens, rule: str) -> tuple[Rule, Tokens]:
    return _chain("|", _both, tokens, rule)


def _both(tokens: Tokens, rule: str) -> tuple[Rule, Tokens]:
    return _chain("&", _single, tokens, rule)


def _chain(
    operator: str, inner: Callable[[Tokens, str], tuple[Rule, Tokens]], tokens: Tokens, rule: str
) -> tuple[Rule, Tokens]:
    part, tokens = inner(tokens, rule)
    parts = [part]
    while tokens and tokens[0] == ("op", operator):
        part, tokens = inner(tokens[1:], rule)
        parts.append(part)
    return (parts[0] if len(parts) == 1 else Join(operator, tuple(parts))), tokens


def _single(tokens: Tokens, rule: str) -> tuple[Rule, Tokens]:
    if not tokens:
        raise RuleError(f"{rule!r} ends too early")
    kind, text = tokens[0]
    if (kind, text) == ("op", "!"):
        inner, rest = _single(tokens[1:], rule)
        return Join("!", (inner,)), rest
    if (kind, text) == ("op", "("):
        inner, rest = _either(tokens[1:], rule)
        if not rest or rest[0] != ("op", ")"):
            raise RuleError(f"{rule!r}: a bracket is not closed")
        return inner, rest[1:]
    if kind != "name":
        raise RuleError(f"{rule!r}: a fact was expected, not {text!r}")
    path, rest = Path(text), tokens[1:]
    if not rest or rest[0][0] != "op" or rest[0][1] not in _COMPARISONS:
        return Compare(path, "=", Literal(True)), rest
    if len(rest) < 2:
        raise RuleError(f"{rule!r} ends too early")
    return Compare(path, rest[0][1], _operand(rest[1], rule)), rest[2:]


def _operand(token: tuple[str, str], rule: str) -> Literal | Path:
    kind, text = token
    if kind == "text":
        return Literal(text[1:-1] if text[0] == '"' else re.sub(r"\\(['\\])", r"\1", text[1:-1]))
    if kind == "number":
        return Literal(float(text) if "." in text else int(text))
    if text in ("true", "false", "null"):
        return Literal({"true": True, "false": False, "null": None}[text])
    if kind != "name":
        raise RuleError(f"{rule!r}: {text!r} is no value")
    return Path(text)


def _truth(rule: Rule, lookup: Lookup, verdict: Verdict) -> Truth:
    if isinstance(rule, Compare):
        return _compared(rule, lookup, verdict)
    truths = [_truth(part, lookup, verdict) for part in rule.parts]
    if rule.operator == "!":
        return None if truths[0] is None else not truths[0]
    decisive = rule.operator == "|"
    if decisive in truths:
        return decisive
    return None if None in truths else not decisive


def _compared(rule: Compare, lookup: Lookup, verdict: Verdict) -> Truth:
    lefts = _known(rule.left.name, lookup, verdict)
    rights: list[Value] = (
        _known(rule.right.name, lookup, verdict) if isinstance(rule.right, Path) else [rule.right.value]
    )
    truths = [_holds(left, rule.operator, right) for left in lefts for right in rights]
    if True in truths:
        return True
    return None if not truths or None in truths else False


def _known(path: str, lookup: Lookup, verdict: Verdict) -> list[Value]:
    known: list[Value] = []
    for name, value in lookup(path):
        if isinstance(value, Unavailable):
            continue
        known.append(value)
        if (name, value) not in verdict.used and name != "text":
            verdict.used.append((name, value))
    if not known and path not in verdict.missing:
        verdict.missing.append(path)
    return known


def _holds(left: Value, operator: str, right: Value) -> Truth:
    if operator in ("=", "!="):
        same = right in left if isinstance(left, tuple) and not isinstance(right, tuple) else left == right
        return same is (operator == "=")
    if left is None or right is None:
        return False
    if operator == "~":
        texts = left if isinstance(left, tuple) else (left,)
        return any(re.search(str(right), str(text)) is not None for text in texts)
    if operator in ("<v", ">=v"):
        one, two = version_numbers(str(left)), version_numbers(str(right))
        if not one or not two:
            return None
        return one[: len(two)] < two if operator == "<v" else one[: len(two)] >= two
    if isinstance(left, (str, tuple)) or isinstance(right, (str, tuple)):
        return None
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator]


def version_numbers(text: str) -> tuple[int, ...]:
    """The numbers a version begins with: 535.104.12 or 2.9.1+cu128 (the local part is another matter)."""
    match = re.match(r"\s*v?(\d{1,9}(?:\.\d{1,9}){0,4})", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()
