"""`ilora-diag compare`: in what two runs differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ilora_diag.cli.streams import Lang


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A run folder, or a JSON document of ours.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="What is compared with it.")],
    *,
    tolerance: Annotated[
        float,
        typer.Option("--tolerance", metavar="PERCENT", min=0.0, max=99.0, help="Up to here numbers count as equal."),
    ] = 1.0,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Rows of the longer tables.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
    as_markdown: Annotated[bool, typer.Option("--md", help="Print Markdown, fit to be pasted into an issue.")] = False,
    lang: Annotated[Lang | None, typer.Option("--lang", help="Language. [default: that of the locale]")] = None,
) -> None:
    """Say in what two runs differ: settings, versions, memory by category and module, metrics, outcome.

    Trainings, estimates, runs of scripts and snapshots (`snapshot --json`) can be held against each other,
    investigations against investigations. Seconds, rates and memory of the host are told, and decide nothing.

    Exit status: 0 equal within the tolerance; 1 they differ; 2 not there, or not comparable.
    """
    from ilora_diag.cli.compare_command import CompareRequest, run_compare

    request = CompareRequest(a=a, b=b, tolerance=tolerance / 100, top=top, as_json=as_json, as_markdown=as_markdown)
    raise typer.Exit(run_compare(request, lang=lang))
