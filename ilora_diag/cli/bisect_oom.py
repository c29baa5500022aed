"""`ilora-diag bisect-oom`: from a failure to its proven cause."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ilora_diag.cli.script_after import script_of
from ilora_diag.cli.streams import Lang


class Mode(StrEnum):
    """How the search goes about it."""

    FAST = "fast"
    FULL = "full"


class ExampleName(StrEnum):
    """The shipped incidents."""

    DRIVER_ERROR = "driver-error"
    OOM = "oom"


def bisect_oom(
    context: typer.Context,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE...] [-- SCRIPT.py ARGS...]",
            help="Settings of what fails, or behind `--` a script that does. env.NAME=VALUE sets a variable.",
            show_default=False,
        ),
    ] = None,
    *,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="YAML file of settings, or a preset's name. [default: teacher]"),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cuda|cpu|virtual:NAME", help="Where trials run.")
    ] = "auto",
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="SIZE", help="Of the virtual card, such as 8GiB.")
    ] = None,
    others: Annotated[
        str | None,
        typer.Option("--other-processes", metavar="SIZE", help="What other processes hold on the virtual card."),
    ] = None,
    vmm: Annotated[
        bool, typer.Option("--vmm/--no-vmm", help="Whether the virtual card's driver has virtual memory management.")
    ] = True,
    torch: Annotated[
        str | None, typer.Option("--torch", metavar="VERSION", help="Whose rules. [default: the installed torch]")
    ] = None,
    module: Annotated[bool, typer.Option("-m", help="The script is the name of a module, as after python -m.")] = False,
    example: Annotated[
        ExampleName | None, typer.Option("--example", help="Investigate one of the two incidents this began with.")
    ] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode", help="full: every factor alone first, for a complete table. [default: fast; examples: full]"
        ),
    ] = None,
    factors: Annotated[
        str | None, typer.Option("--factors", metavar="NAME[,NAME]", help="Search these factors alone.")
    ] = None,
    skip: Annotated[
        str | None, typer.Option("--skip-factors", metavar="NAME[,NAME]", help="Leave these factors out.")
    ] = None,
    factors_file: Annotated[
        Path | None, typer.Option("--factors-file", metavar="FILE", help="YAML with factors of your own.")
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="A failure is the same only at the same stage and frame.")
    ] = False,
    alpha: Annotated[
        float, typer.Option("--alpha", metavar="P", help="Error probability, should the failure be flaky.")
    ] = 0.05,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="N|MINUTESmin[,..]", help="Trials or minutes, then best so far.")
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option("--max-steps", metavar="N", min=1, help="Optimizer steps of a trial.")
    ] = None,
    trial_deadline: Annotated[
        float | None, typer.Option("--trial-deadline", metavar="SECONDS", min=1, help="Of one trial. [default: adapts]")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print factors and schedule; run nothing.")] = False,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", metavar="DIR", help="Folder of the run. [default: reports/runs/ID]")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="RUN", help="Go on with a run; its trials are used again.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
    lang: Annotated[Lang | None, typer.Option("--lang", help="Language. [default: that of the locale]")] = None,
) -> None:
    """Find what makes a configuration or a script fail, by controlled trials, and prove it.

    Any failure will do: out of memory, a driver error, an exception in backward. Each trial is a process of its own
    that relaxes something; the answer is the smallest set of relaxations that makes it pass, with an executed pair of
    trials that differ in one of them, and a report.

    Exit status: 1 a cause was found; 3 none could be proven (it does not fail, fails whatever is relaxed, or too
    rarely; the budget is spent); 2 a setting, a file or a name was refused; 4 no such device here; 130 interrupted (go
    on with --resume).
    """
    from ilora_diag.cli.bisect_oom_command import run_bisect
    from ilora_diag.cli.bisect_options import BisectOptions

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
        example=None if example is None else example.value,
        mode=None if mode is None else mode.value,
        factors=factors,
        skip=skip,
        factors_file=factors_file,
        exact=exact,
        alpha=alpha,
        budget=budget,
        max_steps=max_steps,
        trial_deadline_s=trial_deadline,
        plan=plan,
        run_dir=run_dir,
        resume=resume,
        as_json=as_json,
    )
    raise typer.Exit(run_bisect(options, lang=lang))
