"""`ilora-diag bisect-device`: which tensor cannot be put on the card, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ilora_diag.cli.script_after import script_of
from ilora_diag.cli.streams import Lang

Config = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="YAML file of settings, or a preset's name. [default: teacher]"),
]
Memory = Annotated[str | None, typer.Option("--memory", metavar="SIZE", help="Of the virtual card, such as 8GiB.")]
Others = Annotated[
    str | None,
    typer.Option("--other-processes", metavar="SIZE", help="What other processes hold on the virtual card."),
]
Vmm = Annotated[
    bool, typer.Option("--vmm/--no-vmm", help="Whether the virtual card's driver has virtual memory management.")
]
Torch = Annotated[
    str | None, typer.Option("--torch", metavar="VERSION", help="Whose rules. [default: the installed torch]")
]
RunDir = Annotated[
    Path | None, typer.Option("--run-dir", metavar="DIR", help="Folder of the run. [default: reports/runs/ID]")
]
Deadline = Annotated[
    float | None, typer.Option("--deadline", metavar="SECONDS", min=1, help="Of one trial. [default: 600]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]
Language = Annotated[Lang | None, typer.Option("--lang", help="Language. [default: that of the locale]")]


def bisect_device(
    context: typer.Context,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE...] [-- SCRIPT.py ARGS...]",
            help="Settings of what is placed, or behind `--` a script that places it. env.NAME=VALUE sets a variable.",
            show_default=False,
        ),
    ] = None,
    *,
    config: Config = None,
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cuda|virtual:NAME", help="Where it is placed.")
    ] = "auto",
    memory: Memory = None,
    others: Others = None,
    vmm: Vmm = True,
    torch: Torch = None,
    module: Annotated[bool, typer.Option("-m", help="The script is the name of a module, as after python -m.")] = False,
    run_dir: RunDir = None,
    deadline: Deadline = None,
    as_json: AsJson = False,
    lang: Language = None,
) -> None:
    """Find the tensor whose .to(device) fails, and of which kind the failure is.

    One process puts every parameter and buffer on the card and notes each before it moves, so that even a segmentation
    fault leaves its name. Where it fails, at most five more processes tell whether it is the first touch, the
    allocator's setting, this tensor, its size or type, or the sum.

    Exit status: 0 everything can be placed; 1 it fails, and the kind is told; 3 the kind could not be told; 2 a setting
    was refused; 4 no such device here; 130 interrupted.
    """
    from ilora_diag.cli.bisect_options import BisectOptions
    from ilora_diag.cli.place_command import run_place

    options = BisectOptions(
        overrides=tuple(overrides or ()),
        script=script_of(context),
        is_module=module,
        config=config,
        device=device,
        memory=memory,
        others=others,
        vmm=vmm,
        torch=torch,
        trial_deadline_s=deadline,
        run_dir=run_dir,
        as_json=as_json,
    )
    raise typer.Exit(run_place(options, lang=lang))
