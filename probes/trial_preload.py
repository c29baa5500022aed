"""What a script imports of libraries that take seconds, imported before it: by its own import statements.

A script that changes what imports depend on (environment, `sys.path`, `sys.modules`) is left to import by itself.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_SLOW = frozenset({"accelerate", "lightning", "numpy", "peft", "safetensors", "torch", "transformers"})
_CHANGES_IMPORTS = re.compile(r"\b(?:environ|putenv|setenv|meta_path|path_hooks)\b|\bsys\.(?:path|modules)\b")


def preload(script: Path) -> None:
    """Run those of a script's import statements that are sure to run, and concern only slow libraries."""
    for statement in slow_imports(script):
        try:
            exec(compile(ast.Module([statement], []), str(script), "exec"), {"__name__": "preloaded"})
        except Exception:  # noqa: BLE001 - the script will meet it itself, and the trial tell of it
            return


def slow_imports(script: Path) -> Iterator[ast.stmt]:
    """Import statements at the top level of a script, in order, as long as they are of slow libraries."""
    try:
        text = script.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return
    if _CHANGES_IMPORTS.search(text):
        return
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and not statement.level and statement.module:
            names = [statement.module]
        else:
            continue
        if all(name.partition(".")[0] in _SLOW for name in names):
            yield statement
