"""From a run folder to an archive that holds nothing of its owner, or to none at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ilora_diag.engine.bundle.choose import MAP_NAME, Choice, Why, choices, read_choice
from ilora_diag.engine.bundle.errors import BundleError, LeakError
from ilora_diag.engine.bundle.known import Value
from ilora_diag.engine.bundle.scan import survivors
from ilora_diag.engine.bundle.scrub import Scrubber
from ilora_diag.engine.redact import Identity
from ilora_diag.schema import to_json
from ilora_diag.schema.bundle import Bundle, BundleFile, Counts, LeftOut

MANIFEST_NAME = "MANIFEST.json"
_REPORT_NAME = "report.md"
_MAX_TOTAL_BYTES = 64 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)  # no times of files in the archive


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What would go into an archive, complete and in memory.

    Attributes:
        manifest: of it.
        contents: text by path in the archive, without the manifest.
        pseudonyms: each with what it stands for.
    """

    manifest: Bundle
    contents: tuple[tuple[str, str], ...]
    pseudonyms: tuple[tuple[str, str], ...]


def prepare(folder: Path, identity: Identity, values: tuple[Value, ...], *, now: float, tool_version: str) -> Prepared:
    """Choose, read and redact; nothing is written.

    Args:
        folder: the run folder.
        identity: whose machine it is.
        values: what must not leave it.
        now: seconds since the epoch.
        tool_version: of ilora-diag.

    Raises:
        BundleError: no file of the folder belongs into an archive.
        OSError: the folder cannot be read.
    """
    scrubber = Scrubber(identity, values)
    files: list[BundleFile] = []
    left_out: list[LeftOut] = []
    contents: dict[str, str] = {}
    total = 0
    for choice in choices(folder):
        text, why = _read(folder, choice, scrubber)
        if text is not None and total + len(text) > _MAX_TOTAL_BYTES:
            text, why = None, Why.TOO_LARGE
        counts, name = dict(scrubber.counts), _free_name(scrubber.text(str(choice.path)), contents)
        scrubber.counts.clear()
        if text is None:
            assert why is not None, "a file that does not go in has a reason"
            left_out.append(LeftOut(path=name, reason=why.value, size_bytes=choice.size_bytes))
            continue
        contents[name] = text
        total += len(text)
        files.append(_file(name, text, counts))
    _drop_quoting(files, left_out, contents)
    if not files:
        raise BundleError(
            f"{folder} holds nothing that goes into an archive: name a folder that train, bisect-oom, run --out or "
            "estimate --out has written"
        )
    sums = sum((Counter(dict(file.redactions)) for file in files), Counter[str]())
    manifest = Bundle(
        run_id=scrubber.text(folder.resolve().name),
        created_at=now,
        tool_version=tool_version,
        files=tuple(files),
        left_out=tuple(left_out),
        redactions=_counts(sums),
        checked=False,
    )
    return Prepared(manifest=manifest, contents=tuple(contents.items()), pseudonyms=scrubber.pseudonyms)


def leaks(prepared: Prepared, values: tuple[Value, ...]) -> tuple[str, ...]:
    """What is still in there that must not be: kind and place each, without the value."""
    manifest = to_json(prepared.manifest, indent=1)
    return tuple(_leaks(((MANIFEST_NAME, manifest), *prepared.contents), values))


def write_bundle(prepared: Prepared, out: Path, values: tuple[Value, ...], *, force: bool) -> Bundle:
    """Write the archive, read it again, and let it stand only if nothing is left in it.

    Args:
        prepared: what goes in.
        out: the file; one that is there stays unless `force`.
        values: what must not leave the machine.
        force: replace a file that is there.

    Raises:
        LeakError: something was left; there is no archive.
        BundleError: `out` is there, or what was read back is not what was written.
        OSError: it cannot be written.
    """
    if out.exists() and not force:
        raise BundleError(f"{out} is there already, and was not touched: name another --out, or type --force")
    manifest = replace(prepared.manifest, checked=True)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "w+b") as file:
            _zip(file.fileno(), part, manifest, prepared.contents)
        _check(part, manifest, prepared.contents, values)
        if force:
            os.replace(part, out)
        else:
            os.link(part, out)  # fails where somebody made the file meanwhile
    except FileExistsError as error:
        raise BundleError(f"{out} is there already, and was not touched") from error
    finally:
        part.unlink(missing_ok=True)
    return manifest


def write_map(prepared: Prepared, folder: Path) -> Path:
    """Keep who is who in the run folder, for its owner alone.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / MAP_NAME
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{MAP_NAME}.")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(dict(prepared.pseudonyms), file, ensure_ascii=False, indent=1)
            file.write("\n")
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def _drop_quoting(files: list[BundleFile], left_out: list[LeftOut], contents: dict[str, str]) -> None:
    """Leave the report out where its record quotes rows of the data: it tells them too, laid out beyond recognition."""
    quotes = any(kind == "row" for file in files for kind, _ in file.redactions)
    for file in [file for file in files if quotes and file.path == _REPORT_NAME]:
        files.remove(file)
        del contents[file.path]
        left_out.append(LeftOut(path=file.path, reason=Why.DATA.value, size_bytes=file.size_bytes))


def _read(folder: Path, choice: Choice, scrubber: Scrubber) -> tuple[str | None, Why | None]:
    """The redacted text of a file, or why there is none."""
    if choice.form is None:
        return None, choice.why
    try:
        return scrubber.document(read_choice(folder, choice), choice.form), None
    except OSError:
        return None, Why.UNREADABLE
    except (ValueError, RecursionError):  # UnicodeDecodeError is one
        return None, Why.NOT_TEXT


def _file(name: str, text: str, counts: dict[str, int]) -> BundleFile:
    raw = text.encode("utf-8", "backslashreplace")
    digest = hashlib.sha256(raw).hexdigest()
    return BundleFile(path=name, size_bytes=len(raw), sha256=digest, redactions=_counts(counts))


def _counts(counts: dict[str, int]) -> Counts:
    return tuple(sorted((kind, num) for kind, num in counts.items() if num))


def _free_name(name: str, taken: dict[str, str]) -> str:
    """A name in the archive: two files whose names differ in what was replaced do not fall together."""
    free, number = name, 2
    while free in taken or free == MANIFEST_NAME:
        free, number = f"{name}.{number}", number + 1
    return free


def _zip(handle: int, path: Path, manifest: Bundle, contents: tuple[tuple[str, str], ...]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in ((MANIFEST_NAME, to_json(manifest, indent=1) + "\n"), *contents):
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, text.encode("utf-8", "backslashreplace"))
    os.fsync(handle)


def _check(path: Path, manifest: Bundle, contents: tuple[tuple[str, str], ...], values: tuple[Value, ...]) -> None:
    """Read the archive from disk as whoever receives it would.

    Raises:
        LeakError: something is left in it.
        BundleError: it is not what was written.
    """
    with zipfile.ZipFile(path) as archive:
        read = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        comment = archive.comment
    digests = {file.path: file.sha256 for file in manifest.files}
    same = {name: hashlib.sha256(raw).hexdigest() for name, raw in read.items() if name != MANIFEST_NAME} == digests
    if not same or comment or set(read) != {MANIFEST_NAME, *(name for name, _ in contents)}:
        raise BundleError("the archive could not be read back as it was written, and was deleted: is the disk full?")
    texts = tuple((name, raw.decode("utf-8", "replace")) for name, raw in read.items())
    places = tuple(_leaks(texts, values))
    if places:
        raise LeakError(places)


def _leaks(texts: tuple[tuple[str, str], ...], values: tuple[Value, ...]) -> Iterator[str]:
    for number, (name, text) in enumerate(texts, start=1):
        in_name = [kind for kind, _ in survivors(name, values)]
        # A name that gives something away is not repeated either.
        shown = f"file {number}" if in_name else name
        yield from (f"{kind} in the name of {shown}" for kind in in_name)
        yield from (f"{kind} in {shown}, line {line}" for kind, line in survivors(text, values))
