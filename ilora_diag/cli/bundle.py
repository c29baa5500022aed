"""`ilora-diag bundle`: a redacted archive of a run, for a bug report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ilora_diag.cli.streams import Lang


def bundle(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as reports/runs/ID.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.zip", help="The archive. [default: RUN's name here]")
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Say what would go in, and what not and why; write nothing.")
    ] = False,
    hide: Annotated[
        list[str] | None,
        typer.Option("--hide", metavar="WORD", help="Replace this word too, such as a project's name; repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an archive that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest, and nothing else.")] = False,
    lang: Annotated[Lang | None, typer.Option("--lang", help="Language. [default: that of the locale]")] = None,
) -> None:
    """Pack a run for a bug report, without what identifies you; nothing is sent anywhere.

    Records, logs, configuration and figures go in, with users, hosts, paths, addresses, identifiers of devices and
    secrets replaced, equal ones by equal names. Data, prompts, answers, weights and pickles stay out. The archive is
    read again after writing: should anything known or secret-like be left in it, it is deleted. Who is who is kept in
    RUN, for its owner alone. Look into it all the same before you send it.

    Exit status: 0 packed, or previewed; 1 something was left, or it cannot be written: there is no archive; 2 no such
    run, or the archive is there already.
    """
    from ilora_diag.cli.bundle_command import BundleRequest, run_bundle

    request = BundleRequest(run=run, out=out, preview=preview, hide=tuple(hide or ()), force=force, as_json=as_json)
    raise typer.Exit(run_bundle(request, lang=lang))
