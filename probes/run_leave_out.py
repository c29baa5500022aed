"""What a run leaves out, with a note for the report: compiling, and files of values that nobody computed."""

from __future__ import annotations

from typing import Any

import torch

from probes import run_safetensors
from probes.run_kept import Kept
from probes.run_pictures import Pictures
from probes.virtual.machine import Machine
from probes.virtual.patches import Patches

COMPILE = "torch.compile was left out: compiled code needs other memory"


def install(machine: Machine, patches: Patches) -> Kept:
    """Put the stand-ins in place; call inside the device's block. Returns the files to clean up after the script."""

    def compile(model: Any = None, **_: Any) -> Any:
        machine.notes.add(COMPILE)
        return (lambda function: function) if model is None else model

    patches.replace(torch, "compile", compile)
    kept = Kept()
    Pictures(machine, kept).install(patches)
    run_safetensors.install(machine, kept, patches)
    return kept
