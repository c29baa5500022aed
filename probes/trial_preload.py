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


def slow_imports(script: Path, seen: frozenset[Path] = frozenset()) -> Iterator[ast.stmt]:
    """Import statements of slow libraries at the top level of a script, and of the files beside it that it imports."""
    try:
        text = script.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return
    if _CHANGES_IMPORTS.search(text):
        return
    seen |= {script}
    for statement in tree.body:
        names = _imported(statement)
        beside = [file for name in names for file in _beside(script.parent, name)]
        for file in beside:
            if file not in seen:
                yield from slow_imports(file, seen)
        if names and not beside and all(name.partition(".")[0] in _SLOW for name in names):
            yield statement


def _imported(statement: ast.stmt) -> list[str]:
    """The modules a statement names."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and not statement.level and statement.module:
        return [statement.module]
    return []


def _beside(folder: Path, name: str) -> Iterator[Path]:
    """The file beside a script that a module's name means there; it comes before every library."""
    first = folder / name.partition(".")[0]
    for file in (first.with_suffix(".py"), first / "__init__.py"):
        if file.is_file():
            yield file
            return
