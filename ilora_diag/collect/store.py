"""Facts files: saved redacted unless asked otherwise, read with suspicion."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from ilora_diag.collect.importers.errors import ImportFactsError
from ilora_diag.collect.importers.files import open_file
from ilora_diag.collect.vocabulary import Kind, complaint, find_leaf
from ilora_diag.engine.redact import Identity, Pseudonyms, this_identity
from ilora_diag.schema import Fact, Facts, SchemaError, Unavailable, Value, from_json, to_json

MAX_FILE_BYTES = 64 << 20
MAX_FACTS = 100_000
_MAX_INTEGER = 1 << 64
_REMEDY = "a facts file is written by: ilora-diag env-check --save-facts FILE"
# Leaves that name somebody or something as a whole, and the word their pseudonym begins with.
_WHOLE = (
    (re.compile(r"host\.id"), "host"),
    (re.compile(r"host\.user"), "user"),
    (re.compile(r"gpu\[\d+\]\.serial"), "serial"),
)
_PROCESS_NAME = re.compile(r"gpu\[\d+\]\.process\[\d+\]\.name")
_SECRET_NAME = re.compile(
    r"(?:^|[._-])\w*(?:TOKEN|SECRET|PASSW(?:OR)?D|CREDENTIAL|API_?KEY|ACCESS_?KEY)", re.IGNORECASE
)
_BUS_ID = re.compile(r"(?:gpu|pci)\[\d+\]\.bus_id")


def save_facts(
    facts: Facts, path: Path, *, redact: bool = True, identity: Identity | None = None, bus_ids: bool = False
) -> Facts:
    """Write a facts file, whole or not at all, readable for its owner alone.

    Args:
        facts: what to save.
        path: the file; one that is there is replaced.
        redact: put pseudonyms for what identifies somebody.
        identity: whose machine it is; this one by default.
        bus_ids: redact PCI addresses too.

    Returns:
        What was written.

    Raises:
        OSError: where the file cannot be written.
    """
    if redact:
        facts = redact_facts(facts, identity or this_identity(), bus_ids=bus_ids)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(to_json(facts, indent=1) + "\n")
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return facts


def load_facts(path: Path) -> Facts:
    """The facts of a file that `save_facts` wrote.

    Raises:
        ImportFactsError: for a file that is missing, too long, of a newer major schema, or that holds anything else
            than facts: nested too deeply, numbers beyond 64 bits, a value of another type than its path has.
    """
    with open_file(path) as file:
        try:
            return facts_from_file(file)
        except OSError as error:
            raise ImportFactsError(f"{path}: {error.strerror or error}") from error
        except ImportFactsError as error:
            raise ImportFactsError(f"{path}: {error}") from error


def facts_from_file(file: IO[bytes]) -> Facts:
    """The facts of an open file; raises as `load_facts`."""
    content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ImportFactsError(f"longer than {MAX_FILE_BYTES >> 20} MiB, which no facts file is; {_REMEDY}")
    try:
        facts = from_json(Facts, content)
    except SchemaError as error:
        raise ImportFactsError(f"no facts file that can be read: {error}; {_REMEDY}") from error
    if len(facts.facts) > MAX_FACTS:
        raise ImportFactsError(f"{len(facts.facts)} facts are more than {MAX_FACTS}; {_REMEDY}")
    for fact in facts.facts:
        _require_sound(fact)
    return facts


def redact_facts(facts: Facts, identity: Identity, *, bus_ids: bool = False) -> Facts:
    """The same facts without what identifies somebody. Equal values get equal pseudonyms, so that rules still join."""
    hidden = Pseudonyms(identity, bus_ids=bus_ids)
    owners = {word: facts.get(f"host.{leaf}") for word, leaf in (("host", "id"), ("user", "user"))}
    for word, owner in owners.items():
        if isinstance(owner, str):
            hidden.name(word, owner)
    for fact in facts.facts:  # whole identifiers first, so that an abbreviation finds what it abbreviates
        if fact.path.endswith(".uuid") and isinstance(fact.value, str):
            hidden.text(fact.value)
    changed = tuple(_redacted(fact, hidden, bus_ids=bus_ids) for fact in facts.facts)
    kept = tuple(fact for fact in changed if fact.path != "collect.redacted")
    before = facts.get("collect.redacted")
    kinds = {str(kind) for kind in before} if isinstance(before, tuple) else set()
    kinds |= hidden.kinds
    if not kinds:
        return replace(facts, facts=kept)
    note = Fact(path="collect.redacted", value=tuple(sorted(kinds)), source="redaction")
    return replace(facts, facts=(*kept, note))


def _redacted(fact: Fact, hidden: Pseudonyms, *, bus_ids: bool) -> Fact:
    source = hidden.text(fact.source)
    if isinstance(fact.value, Unavailable):
        value = Unavailable(reason=hidden.text(fact.value.reason), source=hidden.text(fact.value.source))
        return replace(fact, value=value, source=source)
    leaf = find_leaf(fact.path)
    if leaf is not None and leaf.kind is Kind.VERSION:  # versions of four numbers look like addresses
        return replace(fact, source=source)
    return replace(fact, value=_hide(fact.path, fact.value, hidden, bus_ids), source=source)


def _hide(path: str, value: Value, hidden: Pseudonyms, bus_ids: bool) -> Value:
    if isinstance(value, tuple):
        return tuple(hidden.text(item) if isinstance(item, str) else item for item in value)
    if not isinstance(value, str):
        return value
    if path.startswith("env.") and _SECRET_NAME.search(path) is not None and value:
        return hidden.secret()
    for pattern, word in _WHOLE:
        if pattern.fullmatch(path) is not None:
            return hidden.name(word, value)
    if bus_ids and _BUS_ID.fullmatch(path) is not None:
        return hidden.name("bus", value)
    if _PROCESS_NAME.fullmatch(path) is not None:
        base = PureWindowsPath(value) if "\\" in value else PurePosixPath(value)
        value = base.name or value
    return hidden.text(value)


def _require_sound(fact: Fact) -> None:
    for value in fact.value if isinstance(fact.value, tuple) else (fact.value,):
        if type(value) is int and abs(value) >= _MAX_INTEGER:
            raise ImportFactsError(f"{fact.path[:80]} is a number beyond 64 bits, which no fact is")
    if find_leaf(fact.path) is None or isinstance(fact.value, Unavailable):
        return  # a newer minor version may know more paths
    wrong = complaint(fact)
    if wrong is not None:
        raise ImportFactsError(wrong[:300])
