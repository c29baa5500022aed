"""Facts from what people capture or paste.

`import_facts` recognises by content, in any mixture and order: a facts file of ours (JSON), `nvidia-smi -q -x` (XML),
`nvidia-smi -q`, the table, `-L`, `--version` and `--query-gpu --format=csv` of nvidia-smi, torch's collect_env,
environment reports of other programs or by hand, lists of packages, lines of the kernel's log. What it recognised is
the fact `import.kinds`; what it left out, `import.warnings`. A text of any length is read in one pass.
"""

from __future__ import annotations

import io
import os
from contextlib import closing
from pathlib import Path
from typing import IO

from ilora_diag.collect.importers.draft import merge_facts
from ilora_diag.collect.importers.errors import ImportFactsError
from ilora_diag.collect.importers.files import open_file
from ilora_diag.collect.importers.scan import scan
from ilora_diag.collect.vocabulary import absent
from ilora_diag.schema import Facts

__all__ = ["ImportFactsError", "import_facts", "merge_facts"]

_HEAD_BYTES = 8192
_READABLE = (
    "a facts file of ours, nvidia-smi -q -x or -q or its table or -L, torch's collect_env, `key: value` lines of an "
    "environment, a list of packages, or lines of the kernel's log"
)
_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def import_facts(source: str | bytes | os.PathLike[str]) -> Facts:
    """The facts that a text, its bytes, or a file states.

    Args:
        source: the text itself as str or bytes; a file only as a path object.

    Raises:
        ImportFactsError: for a file that cannot be read, for binary content, for a document that is broken or
            hostile, and for a text in which nothing was recognised.
    """
    if isinstance(source, str):
        source = source.encode("utf-8", "replace")
    with closing(io.BytesIO(source) if isinstance(source, bytes) else open_file(Path(source))) as file:
        try:
            return _import(file)
        except OSError as error:
            raise ImportFactsError(f"reading failed: {error.strerror or error}") from error


def _import(file: IO[bytes]) -> Facts:
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    encoding = _encoding(head)
    if head.decode(encoding, "replace").lstrip("\ufeff \t\r\n").startswith("{"):
        from ilora_diag.collect.store import facts_from_file

        return facts_from_file(file)
    with io.TextIOWrapper(file, encoding=encoding, errors="replace", newline=None) as text:
        draft = scan(text)
    if not draft.facts() or not draft.kinds():
        raise ImportFactsError(f"nothing was recognised; readable are {_READABLE}")
    when = draft.captured_at
    unknown = absent("the text tells no time with its zone", "import")
    return Facts(captured_at=unknown if when is None else when, facts=draft.facts())


def _encoding(head: bytes) -> str:
    """How the text is written. PowerShell redirects programs to UTF-16 with a byte order mark."""
    if not head.strip():
        raise ImportFactsError(f"the text is empty; readable are {_READABLE}")
    for magic, name in _PACKED.items():
        if head.startswith(magic):
            raise ImportFactsError(f"the content is packed with {name}: unpack it first")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in head:
        raise ImportFactsError(f"the content is binary, no text; readable are {_READABLE}")
    return "utf-8-sig"
