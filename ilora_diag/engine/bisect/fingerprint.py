"""What a trial's outcome depends on beside its settings: code, packages, the device's rules.

A trial of the journal is used again only under the same fingerprint.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ilora_diag.schema.bisect_request import BisectRequest

_PACKAGES = ("torch", "transformers", "peft", "lightning", "numpy", "bitsandbytes", "accelerate")
# What runs inside a trial. How trials are chosen and told may change without making one wrong.
_CODE = ("ilora", "probes", "ilora_diag/memory", "ilora_diag/hardware", "ilora_diag/schema")
_LENGTH = 16


def fingerprint(request: BisectRequest) -> str:
    """Sixteen hexadecimal digits over everything a trial's outcome depends on beside its settings."""
    digest = hashlib.sha256()
    for line in _lines(request):
        digest.update(line.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()[:_LENGTH]


def _lines(request: BisectRequest) -> Iterator[str]:
    yield f"{platform.machine()} python {sys.version}"
    yield f"{request.device} {request.torch_version}"
    for package in _PACKAGES:
        yield f"{package} {_version(package)}"
    root = Path(__file__).resolve().parents[3]
    for folder in _CODE:
        for file in sorted((root / folder).rglob("*.py")):
            yield f"{file.relative_to(root)} {_sha(file)}"
    for name in filter(None, (request.config, request.script)):
        if Path(name).is_file():
            yield f"{name} {_sha(Path(name))}"
    if request.script and not request.script_is_module:
        # A script imports what lies beside it.
        for file in sorted(Path(request.script).resolve().parent.glob("*.py")):
            yield f"{file.name} {_sha(file)}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _sha(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
