"""Files of safetensors on a virtual card: what a script saves it may load again, with everything but values.

`save_file` keeps a picture (`probes.run_kept`) where a tensor is the card's. `safe_open`, through which every reader
goes, answers from it: names, sizes, types, and tensors made where they are asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from probes.run_kept import SAVE, Kept, carried_value, uncomputed
from probes.virtual.errors import NotCarriedError
from probes.virtual.keys import is_virtual
from probes.virtual.machine import Machine
from probes.virtual.patches import Patches

# The format's names of types; a type that is not here cannot be saved, and safetensors says so itself.
_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True, slots=True)
class _Pictured:
    """A tensor of the card: its sizes and type."""

    shape: torch.Size
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class _TensorFile:
    """What was saved: tensors of the host, or small ones whose values are known, as they were; of others a picture."""

    tensors: Mapping[str, Tensor | _Pictured]
    metadata: dict[str, str] | None


def install(machine: Machine, kept: Kept, patches: Patches) -> None:
    """Put `save_file` and `safe_open` in place, if safetensors is installed; call inside the device's block."""
    with suppress(ImportError):
        import safetensors
        import safetensors.torch as files

        _replace_everywhere(patches, files.save_file, _saving(machine, kept, files.save_file))
        _replace_everywhere(patches, safetensors.safe_open, _opening(kept, safetensors.safe_open))


def _replace_everywhere(patches: Patches, plain: Any, ours: Any) -> None:
    """Also in modules that are loaded already and have it by a name of their own, as those of transformers."""
    for module in list(sys.modules.values()):
        for name, value in list(vars(module).items()) if isinstance(module, ModuleType) else ():
            if value is plain:
                patches.replace(module, name, ours)


def _saving(machine: Machine, kept: Kept, plain: Callable[..., Any]) -> Callable[..., Any]:
    def save_file(tensors: dict[str, Tensor], filename: Any, metadata: dict[str, str] | None = None) -> Any:
        if not any(is_virtual(tensor) for tensor in tensors.values()):
            kept.written_for_real(filename)
            return plain(tensors, filename, metadata)
        with suppress(NotCarriedError):  # what safetensors itself refuses, such as shared memory, it refuses first
            plain(tensors, filename, metadata)
        machine.notes.add(SAVE)
        pictures = {name: _picture(machine, tensor) for name, tensor in tensors.items()}
        kept.keep(_TensorFile(pictures, metadata), filename)
        return None

    return save_file


def _picture(machine: Machine, tensor: Tensor) -> Tensor | _Pictured:
    if not is_virtual(tensor):
        return tensor.detach().clone()
    value = carried_value(machine, tensor)
    return _Pictured(tensor.shape, tensor.dtype) if value is None else value


def _opening(kept: Kept, plain: Callable[..., Any]) -> Callable[..., Any]:
    def safe_open(filename: Any, framework: str, device: Any = "cpu", **options: Any) -> Any:
        picture = kept.picture_of(filename)
        if not isinstance(picture, _TensorFile):
            return plain(filename, framework, device=device, **options)
        if framework not in ("pt", "torch", "pytorch"):
            raise NotCarriedError(f"reading this file for {framework}", "a tensor of the card was saved in it")
        return _Opened(picture, torch.device("cuda", device) if isinstance(device, int) else torch.device(device))

    return safe_open


class _Opened:
    """What `safetensors.safe_open` gives, of a picture."""

    def __init__(self, file: _TensorFile, device: torch.device) -> None:
        self._file, self._device = file, device

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open."""

    def keys(self) -> list[str]:
        return sorted(self._file.tensors)

    def offset_keys(self) -> list[str]:
        return list(self._file.tensors)

    def metadata(self) -> dict[str, str] | None:
        return self._file.metadata

    def get_tensor(self, name: str) -> Tensor:
        return _made(self._held(name), self._device)

    def get_tensors(self) -> dict[str, Tensor]:
        return {name: self.get_tensor(name) for name in self.keys()}

    def get_slice(self, name: str) -> _Slice:
        return _Slice(self._held(name), self._device)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def _held(self, name: str) -> Tensor | _Pictured:
        try:
            return self._file.tensors[name]
        except KeyError:
            from safetensors import SafetensorError

            raise SafetensorError(f"File does not contain tensor {name}") from None


class _Slice:
    """A tensor of the file that is made when a part of it is asked for."""

    def __init__(self, held: Tensor | _Pictured, device: torch.device) -> None:
        self._held, self._device = held, device

    def get_shape(self) -> list[int]:
        return list(self._held.shape)

    def get_dtype(self) -> str:
        return _TYPES[self._held.dtype]

    def __getitem__(self, part: Any) -> Tensor:
        return _made(self._held, self._device)[part]


def _made(held: Tensor | _Pictured, device: torch.device) -> Tensor:
    if isinstance(held, Tensor):
        return held.to(device, copy=True)
    return uncomputed(held.shape, held.dtype, device)
