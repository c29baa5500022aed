"""A command whose line may end in `-- SCRIPT ARGS...`, with its own options and settings in any order before that."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

_KEY = "ilora_diag.script"


class ScriptAfter(TyperCommand):
    """Takes what stands behind `--` aside before options and arguments are read."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As the base class, without the script's part. Typer's Context has no public name of its own."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_KEY] = tuple(args[at + 1 :])
        return super().parse_args(ctx, args[:at])


def script_of(context: typer.Context) -> tuple[str, ...]:
    """What stood behind `--`."""
    found = context.meta.get(_KEY, ())
    assert isinstance(found, tuple)
    return found
