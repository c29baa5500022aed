"""The Typer application: the commands, and the options that stand before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from ilora_diag.cli.bisect_device import bisect_device
from ilora_diag.cli.bisect_oom import bisect_oom
from ilora_diag.cli.bundle import bundle
from ilora_diag.cli.compare import compare
from ilora_diag.cli.env_check import env_check
from ilora_diag.cli.estimate import estimate
from ilora_diag.cli.explain import explain
from ilora_diag.cli.isolate_rec import isolate_rec
from ilora_diag.cli.report import report
from ilora_diag.cli.run import CONTEXT as RUN_CONTEXT
from ilora_diag.cli.run import run
from ilora_diag.cli.script_after import ScriptAfter
from ilora_diag.cli.snapshot import snapshot
from ilora_diag.cli.train import train

PROGRAM = "ilora-diag"


@dataclass(slots=True)
class Session:
    """What one invocation was told before its command."""

    debug: bool = False


def build_app() -> typer.Typer:
    """The application, without its Rich markup: help is plain text everywhere, and Rich is not loaded for it."""
    app = typer.Typer(
        name=PROGRAM,
        help="Train an iLoRA teacher under observation, and report what happened.",
        no_args_is_help=True,
        rich_markup_mode=None,
        # A traceback is written to a file by `main`; Typer's would show locals, which can hold tokens.
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    )
    app.callback()(_options)
    app.command("bisect-device", cls=ScriptAfter)(bisect_device)
    app.command("bisect-oom", cls=ScriptAfter)(bisect_oom)
    app.command("bundle")(bundle)
    app.command("compare")(compare)
    app.command("env-check")(env_check)
    app.command("estimate")(estimate)
    app.command("explain")(explain)
    app.command("isolate-rec")(isolate_rec)
    app.command("train")(train)
    app.command("report")(report)
    app.command("snapshot")(snapshot)
    app.command("run", context_settings=RUN_CONTEXT)(run)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"{PROGRAM} {version(PROGRAM)}")
        raise typer.Exit


def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an internal error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    assert isinstance(context.obj, Session)
    context.obj.debug = debug
