"""`ilora-diag isolate-rec`: the language model alone, the recommender alone, both."""

from __future__ import annotations

from typing import Annotated

import typer

from ilora_diag.cli.bisect_device import AsJson, Config, Deadline, Language, Memory, Others, RunDir, Torch, Vmm


def isolate_rec(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE...]", help="Settings of what fails. env.NAME=VALUE sets a variable.", show_default=False
        ),
    ] = None,
    *,
    config: Config = None,
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cuda|cpu|virtual:NAME", help="Where trials run.")
    ] = "auto",
    memory: Memory = None,
    others: Others = None,
    vmm: Vmm = True,
    torch: Torch = None,
    max_steps: Annotated[
        int | None, typer.Option("--max-steps", metavar="N", min=1, help="Optimizer steps of a trial. [default: 3]")
    ] = None,
    run_dir: RunDir = None,
    deadline: Deadline = None,
    as_json: AsJson = False,
    lang: Language = None,
) -> None:
    """Try the language model alone, the recommender alone and both, stage by stage, and say which of them it is.

    Both together are tried in both orders of placement, and the recommender with the weights of its checkpoint and with
    random ones of the same shapes.

    Exit status: 0 nothing fails; 1 something does, and the conclusion says what; 3 not every combination could be run;
    2 a setting was refused; 4 no such device here; 130 interrupted.
    """
    from ilora_diag.cli.bisect_options import BisectOptions
    from ilora_diag.cli.place_command import run_isolate

    options = BisectOptions(
        overrides=tuple(overrides or ()),
        config=config,
        device=device,
        memory=memory,
        others=others,
        vmm=vmm,
        torch=torch,
        max_steps=max_steps,
        trial_deadline_s=deadline,
        run_dir=run_dir,
        as_json=as_json,
    )
    raise typer.Exit(run_isolate(options, lang=lang))
