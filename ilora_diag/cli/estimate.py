"""`ilora-diag estimate`: what a training step needs on a card, computed without one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ilora_diag.cli.streams import Lang

DEFAULT_GPUS = "h100,a100-80gb,l4,t4"
"""One of each generation that is rented most, from large to small."""


def _deadline(value: float | None) -> float | None:
    # Written so that it refuses nan, too.
    if value is not None and not value > 0:
        raise typer.BadParameter(f"{value:g}: allowed is a number of seconds above 0")
    return value


def estimate(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Settings, such as llm=opt-125m train.batch_size=2."),
    ] = None,
    *,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="YAML file of settings, or a preset's name. [default: teacher]"),
    ] = None,
    gpu: Annotated[
        str, typer.Option("--gpu", metavar="NAME[,NAME]", help="Cards; the first one is taken apart.")
    ] = DEFAULT_GPUS,
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="SIZE", help="Memory of every card. [default: the cards' own]")
    ] = None,
    torch: Annotated[
        str | None, typer.Option("--torch", metavar="VERSION", help="Whose rules. [default: the installed torch]")
    ] = None,
    observed: Annotated[
        str | None,
        typer.Option("--observed", metavar="SIZE", help="What you see in use on the first card, to be explained."),
    ] = None,
    knobs: Annotated[
        bool, typer.Option("--knobs/--no-knobs", help="Compute what changes would buy, and the largest batches.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write Markdown, JSON and figures into this folder.")
    ] = None,
    lang: Annotated[Lang | None, typer.Option("--lang", help="Language. [default: that of the locale]")] = None,
    deadline: Annotated[
        float | None,
        typer.Option("--deadline", metavar="SECONDS", callback=_deadline, help="Give up after so many seconds."),
    ] = None,
) -> None:
    """Say what a training step needs on a card, without a card, data or weights.

    The configured teacher (stage=rec: the recommender) takes steps on a virtual CUDA device. Answered are peak
    allocated, reserved and card memory, whether it fits, what the peak consists of, and what each change would buy.

    Exit status: 0 it fits the first card; 1 it does not; 2 a setting, an option or a name was refused; 3 it cannot be
    told; 124 the deadline passed; 130 interrupted.
    """
    from ilora_diag.cli.estimate_command import EstimateOptions, run_estimate

    options = EstimateOptions(
        overrides=tuple(overrides or ()),
        config=config,
        gpus=gpu,
        memory=memory,
        torch=torch,
        observed=observed,
        knobs=knobs,
        as_json=as_json,
        out=out,
        deadline_s=deadline,
    )
    raise typer.Exit(run_estimate(options, lang=lang))
