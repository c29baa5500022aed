"""From a path to the record that is compared: a run folder, or a document of ours."""

from __future__ import annotations

from pathlib import Path

from ilora_diag.engine.events import RUNLOG_NAME
from ilora_diag.engine.redact import Identity, redact
from ilora_diag.engine.runlog import EFFECTIVE_NAME
from ilora_diag.engine.train_report import build_report
from ilora_diag.schema import Estimate, Report, SchemaError, ScriptRun, Snapshot, from_data
from ilora_diag.schema.bisect import Bisect
from ilora_diag.schema.codec import Record, parse

MAX_BYTES = 256 << 20
_KINDS: dict[str, type[Record]] = {
    f"ilora-diag/{kind.SCHEMA}": kind for kind in (Report, Estimate, ScriptRun, Bisect, Snapshot)
}
_IN_FOLDER = ("bisect.json", "run.json", "estimate.json", "report.json")


class CompareReadError(Exception):
    """Nothing there that can be compared; the message says what can."""


def read_comparable(path: Path, *, now: float, tool_version: str, identity: Identity) -> Record:
    """The record of a run folder or a file, redacted.

    Args:
        path: the folder or the file.
        now: seconds since the epoch.
        tool_version: of ilora-diag.
        identity: what to redact.

    Raises:
        CompareReadError: neither a run folder nor a document of a kind that can be compared.
    """
    if path.is_dir():
        if (path / RUNLOG_NAME).is_file() or (path / EFFECTIVE_NAME).is_file():
            return build_report(path, now=now, tool_version=tool_version, identity=identity)
        found = next((path / name for name in _IN_FOLDER if (path / name).is_file()), None)
        if found is None:
            raise CompareReadError(
                f"{path} holds no run: name a folder that train, bisect-oom, estimate --out or run --out has written"
            )
        return redact(_document(found), identity)
    if not path.is_file():
        raise CompareReadError(f"{path}: no such file or folder")
    return redact(_document(path), identity)


def _document(path: Path) -> Record:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CompareReadError(f"{path} is larger than {MAX_BYTES >> 20} MiB, which no document of ours is")
        data = parse(path.read_bytes())
        schema = data.get("schema") if isinstance(data, dict) else None
        kind = _KINDS.get(schema) if isinstance(schema, str) else None
        if kind is None:
            raise CompareReadError(f"{path} is {_shown(schema)}: allowed are {', '.join(_KINDS)}")
        return from_data(kind, data)
    except SchemaError as error:
        raise CompareReadError(f"{path} is no document of ours: {error}") from error
    except OSError as error:
        raise CompareReadError(f"{path}: {error.strerror or error}") from error


def _shown(schema: object) -> str:
    return "a document without a schema" if schema is None else f"a document of the schema {str(schema)[:60]!r}"
