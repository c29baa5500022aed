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


_Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE...] [-- SCRIPT.py ARGS...]",
        help="Settings of what fails, or behind `--` a script that does. env.NAME=VALUE sets a variable.",
        show_default=False,
    ),
]
_Config = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="YAML file of settings, or a preset's name. [default: teacher]"),
]
_Device = Annotated[str, typer.Option("--device", metavar="auto|cuda|cpu|virtual:NAME", help="Where trials run.")]
_Memory = Annotated[str | None, typer.Option("--memory", metavar="SIZE", help="Of the virtual card, such as 8GiB.")]
_Others = Annotated[
    str | None,
    typer.Option("--other-processes", metavar="SIZE", help="What other processes hold on the virtual card."),
]
_Vmm = Annotated[
    bool, typer.Option("--vmm/--no-vmm", help="Whether the virtual card's driver has virtual memory management.")
]
_Torch = Annotated[
    str | None, typer.Option("--torch", metavar="VERSION", help="Whose rules. [default: the installed torch]")
]
_Module = Annotated[bool, typer.Option("-m", help="The script is the name of a module, as after python -m.")]
_Example = Annotated[
    ExampleName | None, typer.Option("--example", help="Investigate one of the two incidents this began with.")
]
_Mode = Annotated[
    Mode | None,
    typer.Option(
        "--mode", help="full: every factor alone first, for a complete table. [default: fast; examples: full]"
    ),
]
_Factors = Annotated[str | None, typer.Option("--factors", metavar="NAME[,NAME]", help="Search these factors alone.")]
_Skip = Annotated[str | None, typer.Option("--skip-factors", metavar="NAME[,NAME]", help="Leave these factors out.")]
_FactorsFile = Annotated[
    Path | None, typer.Option("--factors-file", metavar="FILE", help="YAML with factors of your own.")
]
_Exact = Annotated[bool, typer.Option("--exact", help="A failure is the same only at the same stage and frame.")]
_Alpha = Annotated[float, typer.Option("--alpha", metavar="P", help="Error probability, should the failure be flaky.")]
_Budget = Annotated[
    str | None, typer.Option("--budget", metavar="N|MINUTESmin[,..]", help="Trials or minutes, then best so far.")
]
_MaxSteps = Annotated[int | None, typer.Option("--max-steps", metavar="N", min=1, help="Optimizer steps of a trial.")]
_TrialDeadline = Annotated[
    float | None, typer.Option("--trial-deadline", metavar="SECONDS", min=1, help="Of one trial. [default: adapts]")
]
_Plan = Annotated[bool, typer.Option("--plan", help="Print factors and schedule; run nothing.")]
_RunDir = Annotated[
    Path | None, typer.Option("--run-dir", metavar="DIR", help="Folder of the run. [default: reports/runs/ID]")
]
_Resume = Annotated[
    Path | None, typer.Option("--resume", metavar="RUN", help="Go on with a run; its trials are used again.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]
_Lang = Annotated[Lang | None, typer.Option("--lang", help="Language. [default: that of the locale]")]


def bisect_oom(
    context: typer.Context,
    overrides: _Overrides = None,
    *,
    config: _Config = None,
    device: _Device = "auto",
    memory: _Memory = None,
    others: _Others = None,
    vmm: _Vmm = True,
    torch: _Torch = None,
    is_module: _Module = False,
    example: _Example = None,
    mode: _Mode = None,
    factors: _Factors = None,
    skip: _Skip = None,
    factors_file: _FactorsFile = None,
    exact: _Exact = False,
    alpha: _Alpha = 0.05,
    budget: _Budget = None,
    max_steps: _MaxSteps = None,
    trial_deadline_s: _TrialDeadline = None,
    plan: _Plan = False,
    run_dir: _RunDir = None,
    resume: _Resume = None,
    as_json: _Json = False,
    lang: _Lang = None,
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

    # Every option but the language is a field of that name; those that Typer converts are given as converted.
    typed = {name: value for name, value in context.params.items() if name != "lang"}
    converted = {"factors_file": factors_file, "run_dir": run_dir, "resume": resume, "mode": mode, "example": example}
    words = {"overrides": tuple(overrides or ()), "script": script_of(context)}
    options = BisectOptions(**{**typed, **converted, **words})
    raise typer.Exit(run_bisect(options, lang=lang))
