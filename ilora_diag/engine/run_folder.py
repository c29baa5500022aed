"""The folder of one run: where it is made, and what stands in it before anything runs."""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from ilora.config import dump_config, load_config
from ilora_diag.engine.journal import JOURNAL_NAME
from ilora_diag.engine.runlog import EFFECTIVE_NAME, REQUESTED_NAME, RunFolderError, read_settings
from ilora_diag.schema import Settings, Unavailable, Value

RUNS_FOLDER = Path("reports/runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """A training as it was typed.

    Attributes:
        overrides: `key=value` texts.
        config: file or name of a preset; None takes the default preset, or the run's own configuration on resuming.
        device: auto, cuda or cpu.
        run_dir: folder of a new run; None makes one under `reports/runs`.
        resume: folder of a run to go on with.
        deadline_s: seconds the trainer may take.
    """

    overrides: tuple[str, ...] = ()
    config: str | None = None
    device: str = "auto"
    run_dir: Path | None = None
    resume: Path | None = None
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRun:
    """A run that can be started.

    Attributes:
        folder: the run folder, as it is reached from here.
        requested: what was typed, for the journal.
        resumed: whether the folder holds an earlier attempt.
    """

    folder: Path
    requested: Settings
    resumed: bool


def prepare_run(request: TrainRequest, *, now: float) -> PreparedRun:
    """Check the configuration, then make the run folder with the configuration as requested and in effect.

    Raises:
        ConfigError: a key or value that is not allowed; nothing was created.
        RunFolderError: a folder in use, or one that holds no run to resume; nothing was created.
        OSError: the folder cannot be written.
    """
    own = None if request.resume is None else _resumable(request.resume) / EFFECTIVE_NAME
    config = load_config(request.overrides, file=own or request.config)
    typed = typed_settings(request)
    folder = request.resume or new_folder(request.run_dir, now, command="train")
    write_whole(folder / REQUESTED_NAME, _dump(_merged(_earlier(folder), typed)))
    write_whole(folder / EFFECTIVE_NAME, dump_config(config))
    requested = (*typed, ("--run-dir", str(folder)))
    return PreparedRun(folder=folder, requested=requested, resumed=request.resume is not None)


def is_running(folder: Path) -> bool:
    """Whether an observer follows a training in this folder right now: it holds its journal locked."""
    try:
        handle = os.open(folder / JOURNAL_NAME, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def typed_settings(request: TrainRequest) -> Settings:
    """Options, then the settings of the file, then the overrides; of a key set twice, the later."""
    options: list[tuple[str, Value]] = [("--device", request.device)]
    if request.config is not None:
        options.insert(0, ("--config", request.config))
    if request.deadline_s is not None:
        options.append(("--deadline", request.deadline_s))
    of_file = read_settings(Path(request.config)) if request.config is not None else ()
    overrides = tuple(_override(text) for text in request.overrides)
    return _merged(tuple(options), () if isinstance(of_file, Unavailable) else of_file, overrides)


def _override(text: str) -> tuple[str, Value]:
    """A `key=value` text that `load_config` has accepted."""
    key, _, value = text.partition("=")
    parsed = yaml.safe_load(value)
    plain = isinstance(parsed, (str, int, float)) or parsed is None
    return key.strip(), tuple(parsed) if isinstance(parsed, list) else parsed if plain else value


def _resumable(folder: Path) -> Path:
    if not (folder / EFFECTIVE_NAME).is_file():
        raise RunFolderError(
            f"{folder} holds no run to resume (there is no {EFFECTIVE_NAME}): name a folder that `ilora-diag train` "
            f"wrote, such as {RUNS_FOLDER}/ID"
        )
    if is_running(folder):
        raise RunFolderError(f"{folder} is being trained in by another process: wait for it, or interrupt it first")
    return folder


def new_folder(asked: Path | None, now: float, *, command: str) -> Path:
    """Make the folder of a run. One of our own naming is never in use; one that was asked for must be empty.

    Args:
        asked: after --run-dir; None makes one under `reports/runs`.
        now: seconds since the epoch.
        command: whose run it is, for what to type instead.

    Raises:
        RunFolderError: it is a file, or not empty.
    """
    if asked is None:
        folder = RUNS_FOLDER / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(2)}"
        folder.mkdir(parents=True)
        return folder
    if asked.exists() and not asked.is_dir():
        raise RunFolderError(f"--run-dir {asked} is a file: name a folder that is empty or does not exist")
    if asked.exists() and any(asked.iterdir()):
        resume = shlex.join(("ilora-diag", command, "--resume", str(asked)))
        raise RunFolderError(
            f"--run-dir {asked} is not empty, and nothing in it was touched.\n"
            f"To go on with the run in it, type: {resume}\n"
            "For a new run, name another folder, or leave --run-dir out."
        )
    asked.mkdir(parents=True, exist_ok=True)
    return asked


def _earlier(folder: Path) -> Settings:
    settings = read_settings(folder / REQUESTED_NAME)
    return () if isinstance(settings, Unavailable) else settings


def _merged(*layers: Settings) -> Settings:
    return tuple({key: value for layer in layers for key, value in layer}.items())


def _dump(settings: Settings) -> str:
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in settings}
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
