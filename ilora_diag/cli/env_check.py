"""`ilora-diag env-check`: what is wrong with this machine, or with somebody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ilora_diag.cli.streams import Lang


def env_check(
    *,
    as_json: Annotated[
        bool | None,
        typer.Option("--json/--md", help="One JSON document, or Markdown fit to be pasted into an issue."),
    ] = None,
    facts: Annotated[
        str | None,
        typer.Option(
            "--facts",
            metavar="FILE|-",
            help="Judge these facts, not this machine: a saved file, nvidia-smi -q -x, torch's collect_env, a report.",
        ),
    ] = None,
    save_facts: Annotated[
        Path | None,
        typer.Option("--save-facts", metavar="FILE", help="Save the facts, redacted, to be judged elsewhere."),
    ] = None,
    error: Annotated[
        str | None, typer.Option("--error", metavar="FILE|-", help="The error that is to be explained, or a whole log.")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also try allocations on the card: takes up to 600 MiB of it for seconds.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as findings.")] = False,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="CODE", help="Look for this code alone.")] = None,
    skip: Annotated[list[str] | None, typer.Option("--skip", metavar="CODE", help="Leave this code out.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the facts of every section.")] = False,
    lang: Annotated[Lang | None, typer.Option("--lang", help="Language. [default: that of the locale]")] = None,
    ranks: Annotated[
        Path | None, typer.Option("--ranks", metavar="DIR", help="Compare the facts files of several ranks.")
    ] = None,
) -> None:
    """Say which layer of a GPU machine is broken, how that is known, and what cures it.

    Reads this machine without a CUDA context and without root, or facts that were captured elsewhere. A machine
    without a GPU is not a broken one.

    Exit status: 0 nothing wrong (warnings too, unless --strict); 1 findings; 2 usage, or a file that cannot be read;
    3 something is wrong and the facts do not decide what.
    """
    from ilora_diag.cli.env_check_command import EnvCheckRequest, run_env_check

    request = EnvCheckRequest(
        as_json=as_json is True,
        as_markdown=as_json is False,
        facts=facts,
        save_facts=save_facts,
        error=error,
        deep=deep,
        strict=strict,
        only=tuple(only or ()),
        skip=tuple(skip or ()),
        verbose=verbose,
        ranks=ranks,
    )
    raise typer.Exit(run_env_check(request, lang=lang))
