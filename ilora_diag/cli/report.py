"""`ilora-diag report`: a report again, from what its folder holds."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ilora_diag.cli.streams import Lang


class Format(StrEnum):
    """What `report` prints instead of its terminal form."""

    MD = "md"
    JSON = "json"
    HTML = "html"


def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder that train, or --out of estimate or run, has written.")
    ],
    *,
    lang: Annotated[Lang | None, typer.Option(help="Language. [default: that of the locale]")] = None,
    output: Annotated[
        Format | None, typer.Option("--format", help="Print the report in this form; the folder is left as it is.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check that files, links and numbers of the written report hold.")
    ] = False,
) -> None:
    """Build a report again.

    That of a training is made from its log, journal and configuration; that of an estimate or of a script's run from
    its record.

    Without --format and --check, report.md, report.json and the figures are written anew. --format html prints one page
    with the figures in it, drawn anew in the language asked for: `--format html > report.html`.

    Exit status: 0 done; 1 the written report does not hold; 2 no such run.
    """
    from ilora_diag.cli.report_command import run_report

    raise typer.Exit(run_report(run, lang=lang, output=output.value if output else None, check=check))
