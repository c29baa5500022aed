"""Reading the trainer's run log: while it grows, and as a whole."""

from __future__ import annotations

from pathlib import Path

from ilora_diag.engine.events import RUNLOG_NAME, Event, parse_event
from ilora_diag.engine.train_run import RunBuilder
from ilora_diag.schema.known import Known, Settings, Unavailable, Value
from ilora_diag.schema.train_run import TrainRun

REQUESTED_NAME, EFFECTIVE_NAME = "config.requested.yaml", "config.effective.yaml"


class RunFolderError(ValueError):
    """What was named as a run folder is none."""


class RunlogTail:
    """Hands out each event of a growing log once. A log that is not there yet is one without events."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._num_lines = 0

    def poll(self) -> list[Event]:
        """The events since the last call. A last line without its newline waits for the rest."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        *lines, torn = content.split(b"\n")
        self._offset += len(content) - len(torn)
        first = self._num_lines + 1
        self._num_lines += len(lines)
        return [parse_event(line, number) for number, line in enumerate(lines, start=first)]


def read_train_run(run_dir: Path) -> TrainRun:
    """The training that a run folder holds, finished or not.

    Raises:
        RunFolderError: if there is no such folder.
    """
    if not run_dir.is_dir():
        raise RunFolderError(f"{run_dir} is no folder: name one that `ilora-diag train` wrote, such as reports/runs/ID")
    builder = begin_train_run(run_dir)
    builder.take(RunlogTail(run_dir / RUNLOG_NAME).poll())
    return builder.build()


def begin_train_run(run_dir: Path) -> RunBuilder:
    """A builder that knows the configuration and waits for events, for who follows a run while it goes on."""
    name = run_dir.resolve().name
    return RunBuilder(name, read_settings(run_dir / REQUESTED_NAME), read_settings(run_dir / EFFECTIVE_NAME))


def read_settings(path: Path) -> Known[Settings]:
    """A configuration file as flat settings, in the order of the file."""
    import yaml  # not at the top: who runs children need not load it

    try:
        tree = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        return Unavailable(reason=f"there is no {path.name}", source=path.name)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return Unavailable(reason=f"it cannot be read: {error}", source=path.name)
    if not isinstance(tree, dict):
        return Unavailable(reason="it holds no settings", source=path.name)
    return tuple(_flatten("", tree))


def _flatten(prefix: str, tree: dict[object, object]) -> list[tuple[str, Value]]:
    settings: list[tuple[str, Value]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            settings += _flatten(f"{prefix}{key}.", value)
        else:
            settings.append((f"{prefix}{key}", _value(value)))
    return settings


def _value(value: object) -> Value:
    """A leaf; what is no plain value, such as a date or a list inside a list, becomes its text."""
    if isinstance(value, list):
        return tuple(item if isinstance(item, (str, int, float)) or item is None else str(item) for item in value)
    return value if isinstance(value, (str, int, float)) or value is None else str(value)
