"""Checkpoints of what trains: adapters, gates with their statistics, projector, head, and the optimizer.

A checkpoint is a folder, written beside its final name and renamed into place:

    step-000080/trainables.safetensors   every tensor of `ILoRATeacher.trainables()`, by name
    step-000080/optimizer.pt             the optimizer's state; read with weights_only, which runs no code
    step-000080/state.json               version, step, identity, and the manifest of names and shapes

Loading is strict: a missing, surplus or differently shaped tensor is an error that names it. Dropout, sampling and the
learning rate are functions of the step, so nothing else is needed to go on bit-equal.
"""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ilora.files import atomic_dir
from ilora.model import ILoRATeacher

VERSION = 1
Identity = Mapping[str, object]


class TeacherCheckpointError(ValueError):
    """A checkpoint that cannot be used, with the reason and the folder."""


def save_checkpoint(
    folder: Path, teacher: ILoRATeacher, optimizer: torch.optim.Optimizer, step: int, *, identity: Identity, keep: int
) -> Path:
    """Write `folder/step-NNNNNN` and remove all but the newest `keep` checkpoints.

    Args:
        folder: the run's checkpoints.
        teacher: whose trainables are written.
        optimizer: written with its state.
        step: optimizer steps done.
        identity: settings a checkpoint must agree with to be loaded, key -> value as JSON can carry it.
        keep: checkpoints left in `folder`; older ones go only after the new one is safely on disk.

    Raises:
        OSError: the disk is full or cannot be written; the checkpoints already there are untouched.
    """
    path = folder / f"step-{step:06d}"
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in teacher.trainables().items()}
    manifest = {name: list(tensor.shape) for name, tensor in tensors.items()}
    state = {"version": VERSION, "step": step, "identity": dict(identity), "manifest": manifest}
    with atomic_dir(path) as fresh:
        save_file(tensors, fresh / "trainables.safetensors")
        torch.save(optimizer.state_dict(), fresh / "optimizer.pt")
        (fresh / "state.json").write_text(json.dumps(state, indent=1, sort_keys=True))
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first; empty if there are none."""
    return sorted(path for path in folder.glob("step-*") if (path / "state.json").is_file())


def load_checkpoint(
    path: Path,
    teacher: ILoRATeacher,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    identity: Identity | None = None,
) -> int:
    """Load a checkpoint into a teacher of the same shape. Returns the optimizer steps it had done.

    Raises:
        TeacherCheckpointError: not a checkpoint, corrupt, of another version, or of another configuration.
    """
    state = _read_state(path)
    if identity is not None:
        _compare_identity(path, state["identity"], identity)
    try:
        tensors = load_file(path / "trainables.safetensors")
    except (SafetensorError, OSError) as error:
        raise TeacherCheckpointError(f"{path}: trainables.safetensors cannot be read: {error}") from error
    _copy_strictly(path, tensors, teacher.trainables())
    if optimizer is not None:
        _load_optimizer(path / "optimizer.pt", optimizer)
    return int(state["step"])


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads((path / "state.json").read_text())
    except FileNotFoundError:
        raise TeacherCheckpointError(f"{path} is no checkpoint: it has no state.json") from None
    except (OSError, ValueError) as error:
        raise TeacherCheckpointError(f"{path}: state.json cannot be read: {error}") from error
    if not isinstance(state, dict) or state.get("version") != VERSION:
        found = state.get("version") if isinstance(state, dict) else "none"
        raise TeacherCheckpointError(f"{path} has checkpoint version {found}; this program reads version {VERSION}")
    return state


def _compare_identity(path: Path, stored: Identity, wanted: Identity) -> None:
    differing = [
        f"{key} was {stored.get(key, 'absent')}, now {wanted.get(key, 'absent')}"
        for key in sorted({*stored, *wanted})
        if stored.get(key) != wanted.get(key)
    ]
    if differing:
        raise TeacherCheckpointError(
            f"{path} belongs to another configuration: {'; '.join(differing)}. Type the values it was trained with, or "
            "train anew in another folder"
        )


def _copy_strictly(path: Path, stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    missing, surplus = sorted(wanted.keys() - stored.keys()), sorted(stored.keys() - wanted.keys())
    shapes = [
        f"{name} is {tuple(stored[name].shape)}, needed {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & stored.keys())
        if stored[name].shape != wanted[name].shape
    ]
    if missing or surplus or shapes:
        problems = [f"missing: {', '.join(missing)}"] * bool(missing)
        problems += [f"not part of this model: {', '.join(surplus)}"] * bool(surplus)
        raise TeacherCheckpointError(f"{path}: {'; '.join(problems + shapes)}")
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(stored[name])


def _load_optimizer(path: Path, optimizer: torch.optim.Optimizer) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        optimizer.load_state_dict(state)
    except (OSError, pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, ValueError, EOFError) as error:
        raise TeacherCheckpointError(f"{path} cannot be used: {error}") from error
