"""`ilora-diag train`: the trainer in a process of its own, watched; then the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.streams import Lang

DEVICES = ("auto", "cuda", "cpu")
VIRTUAL = "virtual:"


def _device(value: str) -> str:
    if value.startswith(VIRTUAL):
        from ilora_diag.hardware.gpus import UnknownGpu, find_gpu

        try:
            find_gpu(value.removeprefix(VIRTUAL))
        except UnknownGpu as error:
            raise typer.BadParameter(f"{value}: {error}") from error
        return value
    if value not in DEVICES:
        raise typer.BadParameter(f"{value}: allowed is auto, cuda, cpu or virtual:NAME, such as virtual:h100")
    return value


def _deadline(value: float | None) -> float | None:
    # Written so that it refuses nan, too.
    if value is not None and not value > 0:
        raise typer.BadParameter(f"{value:g}: allowed is a number of seconds above 0")
    return value


Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings, such as train.max_steps=20 llm=tiny."),
]
ConfigFile = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="YAML file of settings, or a preset's name. [default: teacher]"),
]
Device = Annotated[
    str,
    typer.Option("--device", metavar="auto|cuda|cpu|virtual:NAME", callback=_device, help="Where to train."),
]
RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", metavar="DIR", help="Folder of the run. [default: reports/runs/<time>-<id>]"),
]
Resume = Annotated[
    Path | None,
    typer.Option("--resume", metavar="RUN", help="Go on with the run in this folder, from its newest checkpoint."),
]
Language = Annotated[
    Lang | None,
    typer.Option("--lang", help="Language of the report. [default: that of the locale]"),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print the report as one JSON document, and nothing else."),
]
Deadline = Annotated[
    float | None,
    typer.Option("--deadline", metavar="SECONDS", callback=_deadline, help="End the training after so many seconds."),
]


def train(
    overrides: Overrides = None,
    *,
    config: ConfigFile = None,
    device: Device = "auto",
    run_dir: RunDir = None,
    resume: Resume = None,
    lang: Language = None,
    as_json: AsJson = False,
    deadline: Deadline = None,
) -> None:
    """Train under observation, evaluate, and write a report.

    Exit status: 0 trained; 1 the training failed; 2 a setting, an option or the data was refused; 4 no such device
    here; 124 the deadline passed; 130 interrupted. The last two keep a checkpoint to resume from.
    """
    from ilora_diag.cli.train_command import run_train
    from ilora_diag.engine.run_folder import TrainRequest

    if resume is not None and (config is not None or run_dir is not None):
        raise CommandError(
            "--resume takes configuration and folder from the run: leave out --config and --run-dir "
            "(single settings may be changed with key=value)",
            ExitCode.USAGE,
        )
    request = TrainRequest(
        overrides=tuple(overrides or ()),
        config=config,
        device=device,
        run_dir=run_dir,
        resume=resume,
        deadline_s=deadline,
    )
    raise typer.Exit(run_train(request, lang=lang, as_json=as_json))
