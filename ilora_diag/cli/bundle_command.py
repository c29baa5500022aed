"""What `ilora-diag bundle` does once its options are read."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.show import on_terminal
from ilora_diag.cli.streams import Lang, chosen_lang, emit, note
from ilora_diag.engine.bundle.errors import BundleError, LeakError
from ilora_diag.engine.bundle.known import Value, known_values
from ilora_diag.engine.bundle.pack import Prepared, leaks, prepare, write_bundle, write_map
from ilora_diag.engine.redact import this_identity
from ilora_diag.schema import to_json
from ilora_diag.schema.bundle import Bundle
from reports.messages import Words
from reports.view.bundle import bundle_document

_GIT_FILES = ("~/.gitconfig", "~/.config/git/config")
_MAX_PLACES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRequest:
    """What was typed."""

    run: Path
    out: Path | None = None
    preview: bool = False
    hide: tuple[str, ...] = ()
    force: bool = False
    as_json: bool = False


def run_bundle(request: BundleRequest, *, lang: Lang | None) -> ExitCode:
    """Choose, redact, write, read again.

    Raises:
        CommandError: no run there, an archive that is there already, or something left that must not leave.
    """
    if not request.run.is_dir():
        raise CommandError(f"{request.run} is no folder: name one that a run was written into", ExitCode.USAGE)
    language, identity = chosen_lang(lang, os.environ), this_identity()
    try:
        values = known_values(
            identity, os.environ, hidden=request.hide, git=[Path(name).expanduser() for name in _GIT_FILES]
        )
    except ValueError as error:
        raise CommandError(f"--hide {error}", ExitCode.USAGE) from error
    try:
        prepared = prepare(request.run, identity, values, now=time.time(), tool_version=version("ilora-diag"))
        if request.preview:
            _tell(prepared.manifest, None, request, language)
            return _refuse_leaks(leaks(prepared, values))
        out = request.out or Path(f"{_file_name(prepared.manifest.run_id)}.bundle.zip")
        written = _write(prepared, out, values, request)
    except LeakError as error:
        return _refuse_leaks(error.places)
    except BundleError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    except OSError as error:
        raise CommandError(f"cannot be packed: {error}", ExitCode.FAILURE) from error
    _tell(written, out, request, language)
    return ExitCode.OK


def _write(prepared: Prepared, out: Path, values: tuple[Value, ...], request: BundleRequest) -> Bundle:
    """The archive, and who is who beside the originals."""
    written = write_bundle(prepared, out, values, force=request.force)
    write_map(prepared, request.run)
    return written


def _refuse_leaks(places: tuple[str, ...]) -> ExitCode:
    """Say what was left, without repeating it."""
    if not places:
        return ExitCode.OK
    shown = "\n".join(f"- {place}" for place in places[:_MAX_PLACES])
    more = f"\n- and {len(places) - _MAX_PLACES} more" if len(places) > _MAX_PLACES else ""
    raise CommandError(
        f"not packed: what must not leave this machine could not be replaced everywhere, and no archive was kept.\n"
        f"{shown}{more}\nTake these files out of a copy of the folder, and pack that.",
        ExitCode.FAILURE,
    )


def _tell(manifest: Bundle, out: Path | None, request: BundleRequest, lang: Lang) -> None:
    if request.as_json:
        emit(to_json(manifest, indent=2))
    else:
        emit(on_terminal(bundle_document(manifest, lang.value), lang, brief=False))
    if out is not None:
        note(Words(lang.value)("bundle.written", path=out))


def _file_name(run_id: str) -> str:
    return re.sub(r"[^\w.-]+", "_", run_id).strip("_.") or "run"
