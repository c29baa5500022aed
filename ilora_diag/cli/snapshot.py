"""`ilora-diag snapshot`: what a recorded memory snapshot holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ilora_diag.cli.streams import Lang

Args = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE|KEY=VALUE...",
        help="A file of torch.cuda.memory._dump_snapshot(), also .xz, .gz or .bz2; or settings to record.",
    ),
]
ConfigFile = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="YAML file of settings to record, or a preset's name."),
]

Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="cuda|virtual:NAME|N",
        help="Where to record settings: the card that is here, or a virtual one; of a file, the device to show.",
    ),
]


def snapshot(
    args: Args = None,
    *,
    config: ConfigFile = None,
    gpu: Annotated[
        str | None, typer.Option("--gpu", metavar="NAME", help="Virtual card to record settings on. [default: h100]")
    ] = None,
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="SIZE", help="Memory of that card. [default: its own]")
    ] = None,
    dump: Annotated[
        Path | None,
        typer.Option("--dump", metavar="FILE.pickle", help="Keep the recording here; PyTorch's viewer opens it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
    as_markdown: Annotated[bool, typer.Option("--md", help="Print Markdown, fit to be pasted into an issue.")] = False,
    lang: Annotated[Lang | None, typer.Option("--lang", help="Language. [default: that of the locale]")] = None,
    device: Device = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Rows of the longer tables.")] = 10,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE.svg", help="Draw the course of the memory into this file.")
    ] = None,
    max_size: Annotated[
        str, typer.Option("--max-size", metavar="SIZE", help="Refuse a snapshot larger than this once unpacked.")
    ] = "2GiB",
    full_paths: Annotated[
        bool, typer.Option("--full-paths", help="Leave home folders and host name in the stacks.")
    ] = False,
) -> None:
    """Say what a memory snapshot holds: a recorded file, or two steps of a configuration on a card, virtual or real.

    What the peak consists of, what was there before the recording, fragmentation, growth from step to step, and what
    an out-of-memory event lacked. Nothing in the file is executed.

    Exit status: 0 told; 1 nothing to draw for --figure; 2 no such file, not a snapshot, or one that is damaged or
    hostile; 4 no card here.
    """
    from ilora_diag.cli.snapshot_command import SnapshotRequest, run_snapshot

    request = SnapshotRequest(
        args=tuple(args or ()),
        config=config,
        gpu=gpu,
        memory=memory,
        dump=dump,
        as_json=as_json,
        as_markdown=as_markdown,
        device=device,
        top=top,
        figure=figure,
        max_size=max_size,
        full_paths=full_paths,
    )
    raise typer.Exit(run_snapshot(request, lang=lang))
