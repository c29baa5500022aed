"""`ilora-diag explain`: an error text, or a code, explained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ilora_diag.cli.streams import Lang


def explain(
    target: Annotated[
        str | None, typer.Argument(metavar="[CODE|FILE|-]", help="A code, a file with the error text, or - for stdin.")
    ] = None,
    *,
    text: Annotated[str | None, typer.Option("--text", metavar="TEXT", help="The error text itself.")] = None,
    facts: Annotated[
        Path | None,
        typer.Option("--facts", metavar="FILE", help="Facts of the machine: env-check's, nvidia-smi's, collect_env's."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
    as_markdown: Annotated[bool, typer.Option("--md", help="Print Markdown, fit to be pasted into an issue.")] = False,
    lang: Annotated[Lang | None, typer.Option("--lang", help="Language. [default: that of the locale]")] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List the codes that have a page.")] = False,
) -> None:
    """Say what an error text means, what causes it, and what would decide between the causes.

    With --facts each cause is confirmed, refuted or open; a pasted environment report beside the error counts as
    facts too. Out-of-memory messages of every torch version are taken apart. Nothing of this machine is looked at.

    Exit status: 0 nothing is wrong in it, or a page was shown; 1 a cause was found; 2 usage; 3 nothing could be said.
    """
    from ilora_diag.cli.explain_command import ExplainRequest, run_explain

    request = ExplainRequest(
        target=target, text=text, facts=facts, as_json=as_json, as_markdown=as_markdown, list_all=list_all
    )
    raise typer.Exit(run_explain(request, lang=lang))
