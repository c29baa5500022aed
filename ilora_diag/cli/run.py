"""`ilora-diag run`: any training script, watched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ilora_diag.cli.streams import Lang

CONTEXT = {"allow_interspersed_args": False}
"""What follows the script's name is the script's own."""


def run(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- SCRIPT.py ARGS...", help="The script and its own arguments.", show_default=False),
    ] = None,
    *,
    device: Annotated[
        str, typer.Option("--device", metavar="cuda|virtual:NAME", help="A real card, or a model of one.")
    ] = "cuda",
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="SIZE", help="Of the virtual card, such as 16GiB.")
    ] = None,
    torch_version: Annotated[
        str | None, typer.Option("--torch", metavar="VERSION", help="Whose rules are modelled. [default: installed]")
    ] = None,
    module: Annotated[
        str | None, typer.Option("-m", metavar="MODULE", help="Run a module instead of a file, as python -m does.")
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option("--max-steps", metavar="N", min=1, help="End it after N optimizer steps.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
    lang: Annotated[Lang | None, typer.Option("--lang", help="Language. [default: that of the locale]")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write report, figures and JSON into this folder.")
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option("--deadline", metavar="SECONDS", min=1, help="End it then; say how far it came."),
    ] = None,
) -> None:
    """Run an unmodified training script under the recorder, and say what memory it took.

    On a virtual card nothing is computed and no GPU is needed. What the script prints goes to stderr.

    Exit status: 0 it ran (and fits); 1 it failed, ran out of memory, or does not fit; 2 a mistake in a name or
    setting; 3 the virtual device cannot carry it, or too close to say; 4 no CUDA device; 124 the deadline; 130
    interrupted.
    """
    from ilora_diag.cli.run_command import RunOptions, run_command

    options = RunOptions(
        command=tuple(command or ()),
        module=module,
        device=device,
        memory=memory,
        torch=torch_version,
        max_steps=max_steps,
        as_json=as_json,
        out=out,
        deadline_s=deadline,
    )
    raise typer.Exit(run_command(options, lang=lang))
