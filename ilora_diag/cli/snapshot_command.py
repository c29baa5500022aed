"""What `ilora-diag snapshot` does once its options are read."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ilora_diag.cli.estimate_command import NO_ANSWER
from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.show import on_terminal
from ilora_diag.cli.sizes import optional_size
from ilora_diag.cli.streams import Lang, chosen_lang, emit, note
from ilora_diag.engine.estimate_run import EstimateError
from ilora_diag.engine.host_memory import free_host_memory
from ilora_diag.engine.redact import redact, this_identity
from ilora_diag.engine.snapshot_run import RecordRequest, record_configuration
from ilora_diag.memory.snapshot import analyse_file
from ilora_diag.memory.snapshot_errors import SnapshotFileError
from ilora_diag.schema import Snapshot, to_json
from ilora_diag.units import UnitError, format_bytes, parse_bytes
from reports.markdown import render_document
from reports.messages import Words
from reports.view.snapshot import snapshot_document

_DEFAULT_CARD, _VIRTUAL = "h100", "virtual:"
_NO_ANSWER = {**NO_ANSWER, "no device": ExitCode.PRECONDITION}
_QUIET_S = 2.0
_LINE_EVERY_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest:
    """What was typed."""

    args: tuple[str, ...]
    config: str | None = None
    gpu: str | None = None
    memory: str | None = None
    dump: Path | None = None
    as_json: bool = False
    as_markdown: bool = False
    device: str | None = None
    top: int = 10
    figure: Path | None = None
    max_size: str = "2GiB"
    full_paths: bool = False


def run_snapshot(request: SnapshotRequest, *, lang: Lang | None) -> ExitCode:
    """Read, analyse, show.

    Raises:
        CommandError: no such file, not a snapshot, no such device in it, or the figure cannot be written.
    """
    if request.as_json and request.as_markdown:
        raise CommandError("--json and --md exclude each other", ExitCode.USAGE)
    if not is_configuration(request):
        file = _file(request.args)
        _only_of_settings(request)
        return _show(file, request, lang=lang)
    if request.dump is not None:
        return _show(_recorded(request, request.dump), request, lang=lang)
    with tempfile.TemporaryDirectory(prefix="ilora-diag-") as folder:
        return _show(_recorded(request, Path(folder) / "recorded.pickle"), request, lang=lang)


def is_configuration(request: SnapshotRequest) -> bool:
    """Whether settings were typed rather than a file: a preset, or arguments of which none is a file."""
    settings = [text for text in request.args if "=" in text and not Path(text).exists()]
    return request.config is not None or (bool(settings) and len(settings) == len(request.args))


def _only_of_settings(request: SnapshotRequest) -> None:
    """What records settings has nothing to do with a file. It is refused there, since its absence would not be seen."""
    for name, value in (("--gpu", request.gpu), ("--memory", request.memory), ("--dump", request.dump)):
        if value is not None:
            raise CommandError(f"{name} {value}: only settings are recorded, not {request.args[0]}", ExitCode.USAGE)


def _card(request: SnapshotRequest) -> str | None:
    """The virtual card to record on; None: the real one."""
    asked = request.device
    if asked is None or asked.isdecimal():
        return request.gpu or _DEFAULT_CARD
    if asked.startswith(_VIRTUAL) and asked != _VIRTUAL:
        named = asked.removeprefix(_VIRTUAL)
    elif asked == "cuda":
        named = None
    else:
        text = "allowed is cuda, virtual:NAME, such as virtual:t4, or the number of a device in a file"
        raise CommandError(f"--device {asked}: {text}", ExitCode.USAGE)
    for name, value in (("--gpu", request.gpu), ("--memory", request.memory if named is None else None)):
        if value is not None:
            raise CommandError(f"{name} is of a modelled card, and --device {asked} names another", ExitCode.USAGE)
    return named


def _recorded(request: SnapshotRequest, file: Path) -> Path:
    """Record the configuration into the file; running out of memory is an answer, said on stderr."""
    if not file.absolute().parent.is_dir():
        raise CommandError(f"--dump {file}: there is no folder {file.parent}", ExitCode.USAGE)
    asked = RecordRequest(
        overrides=request.args,
        config=request.config,
        gpu=_card(request),
        memory_bytes=optional_size("--memory", request.memory),
        file=file.resolve(),
    )
    try:
        full = record_configuration(asked)
    except EstimateError as error:
        raise CommandError(str(error), _NO_ANSWER.get(error.kind, ExitCode.FAILURE)) from error
    if full:
        note(full)
    return file


class _Progress:
    """A line on stderr now and then while a file takes long to read."""

    def __init__(self, file: Path, lang: Lang) -> None:
        self._file, self._words = file, Words(lang.value)
        self._next = time.monotonic() + _QUIET_S

    def __call__(self, num_read: int, num_bytes: int) -> None:
        """So many bytes of so many are read."""
        if time.monotonic() >= self._next and num_read < num_bytes:
            self._next = time.monotonic() + _LINE_EVERY_S
            size = format_bytes(num_bytes)
            note(self._words("snapshot.note.reading", file=self._file, percent=100 * num_read // num_bytes, size=size))


def _show(file: Path, request: SnapshotRequest, *, lang: Lang | None) -> ExitCode:
    """Read, analyse, show."""
    language = chosen_lang(lang, os.environ)
    try:
        found = analyse_file(
            file,
            max_bytes=parse_bytes(request.max_size),
            free_bytes=free_host_memory(),
            progress=_Progress(file, language),
        )
    except UnitError as error:
        raise CommandError(f"--max-size {error}", ExitCode.USAGE) from error
    except SnapshotFileError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    snapshot = _only(found, request, file)
    if not request.full_paths:
        snapshot = redact(snapshot, this_identity())
    if request.figure is not None:
        _draw(snapshot, request.figure, language)
    if request.as_json:
        emit(to_json(snapshot, indent=2))
    elif request.as_markdown:
        emit(render_document(snapshot_document(snapshot, language.value, top=request.top)))
    else:
        emit(on_terminal(snapshot_document(snapshot, language.value, top=request.top), language))
    return ExitCode.OK


def _file(args: tuple[str, ...]) -> Path:
    if len(args) != 1:
        raise CommandError(
            f"expected one FILE or KEY=VALUE..., got {len(args)}: {' '.join(args)}".rstrip(": "), ExitCode.USAGE
        )
    file = Path(args[0])
    if file.is_dir():
        raise CommandError(f"{file} is a folder; expected a FILE", ExitCode.USAGE)
    if not file.exists():
        raise CommandError(f"{file}: no such file; expected a FILE of _dump_snapshot(), or KEY=VALUE", ExitCode.USAGE)
    return file


def _only(snapshot: Snapshot, request: SnapshotRequest, file: Path) -> Snapshot:
    asked = request.device
    if asked is None or (is_configuration(request) and not asked.isdecimal()):
        return snapshot
    there = ", ".join(str(one.index) for one in snapshot.devices) or "none"
    if not asked.isdecimal():
        raise CommandError(f"--device {asked}: allowed is the number of a device in {file}: {there}", ExitCode.USAGE)
    kept = tuple(one for one in snapshot.devices if one.index == int(asked))
    if not kept:
        raise CommandError(f"--device {asked}: {file} has nothing of it; devices in it: {there}", ExitCode.USAGE)
    return replace(snapshot, devices=kept)


def _draw(snapshot: Snapshot, path: Path, lang: Lang) -> None:
    from reports.figures import snapshot_timeline

    drawable = [device for device in snapshot.devices if snapshot_timeline.available(device)]
    if not drawable:
        raise CommandError(f"--figure: {snapshot.file} has no events to draw", ExitCode.FAILURE)
    device = max(drawable, key=lambda one: one.peak.allocated_bytes)
    try:
        snapshot_timeline.write(device, path, lang.value)
    except ImportError as error:
        raise CommandError(f"--figure needs {error.name}, which is not installed", ExitCode.PRECONDITION) from error
    except OSError as error:
        raise CommandError(f"--figure {path} cannot be written: {error}", ExitCode.USAGE) from error
    note(Words(lang.value)("snapshot.note.figure", path=path))
