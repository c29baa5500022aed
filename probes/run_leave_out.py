"""What a run leaves out, with a note for the report: compiling, and writing files of tensors that nobody computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from probes.virtual.errors import NotCarriedError
from probes.virtual.machine import Machine
from probes.virtual.patches import Patches

COMPILE = "torch.compile was left out: compiled code needs other memory"
SAVE = "files with tensors of the card were not written: nobody computed their values"


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        """Take it and drop it."""
        return len(data) if isinstance(data, bytes) else memoryview(data).nbytes

    def flush(self) -> None:
        """Nothing is held."""


def install(machine: Machine, patches: Patches) -> None:
    """Put the stand-ins in place; call inside the device's block."""

    def compile(model: Any = None, **_: Any) -> Any:
        machine.notes.add(COMPILE)
        return (lambda function: function) if model is None else model

    patches.replace(torch, "compile", compile)
    patches.replace(torch, "save", _save(machine, torch.save))
    try:
        import safetensors.torch as files
    except ImportError:
        return
    patches.replace(files, "save_file", _file_saver(machine, files.save_file))


def _save(machine: Machine, plain: Callable[..., Any]) -> Callable[..., Any]:
    def save(obj: Any, f: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            plain(obj, _Nowhere(), *args, **kwargs)
        except NotCarriedError:
            machine.notes.add(SAVE)
            return None
        return plain(obj, f, *args, **kwargs)

    return save


def _file_saver(machine: Machine, plain: Callable[..., Any]) -> Callable[..., Any]:
    def save_file(*args: Any, **kwargs: Any) -> Any:
        try:
            return plain(*args, **kwargs)
        except NotCarriedError:
            machine.notes.add(SAVE)
            return None

    return save_file
