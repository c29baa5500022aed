"""What a run leaves out, with a note for the report: compiling, and files of values that nobody computed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from probes.run_pictures import SAVE, Pictures
from probes.virtual.errors import NotCarriedError
from probes.virtual.machine import Machine
from probes.virtual.patches import Patches

COMPILE = "torch.compile was left out: compiled code needs other memory"


def install(machine: Machine, patches: Patches) -> Pictures:
    """Put the stand-ins in place; call inside the device's block. Returns the files to clean up after the script."""

    def compile(model: Any = None, **_: Any) -> Any:
        machine.notes.add(COMPILE)
        return (lambda function: function) if model is None else model

    patches.replace(torch, "compile", compile)
    pictures = Pictures(machine)
    pictures.install(patches)
    with suppress(ImportError):
        import safetensors.torch as files

        patches.replace(files, "save_file", _file_saver(machine, files.save_file))
    return pictures


def _file_saver(machine: Machine, plain: Callable[..., Any]) -> Callable[..., Any]:
    def save_file(*args: Any, **kwargs: Any) -> Any:
        try:
            return plain(*args, **kwargs)
        except NotCarriedError:
            machine.notes.add(SAVE)
            return None

    return save_file
