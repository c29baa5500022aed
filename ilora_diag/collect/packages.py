"""Installed packages, by what lies on disk: nothing is imported, so a torch that cannot be imported is seen as well.

Names and versions come from the folders `NAME-VERSION.dist-info` and `.egg-info` on the interpreter's path, which
costs a listing where reading every METADATA would cost a tenth of a second.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ilora_diag.collect.sheet import Sheet, list_folder, read_text
from ilora_diag.collect.torch_on_disk import collect_torch
from ilora_diag.schema import Unavailable

# Of these it is a fact worth having that they are missing.
EXPECTED = (
    "torch",
    "torchvision",
    "torchaudio",
    "transformers",
    "peft",
    "lightning",
    "accelerate",
    "bitsandbytes",
    "flash-attn",
    "triton",
    "xformers",
    "deepspeed",
    "numpy",
    "safetensors",
    "nvidia-ml-py",
)
_ALSO = frozenset(
    {
        "apex",
        "auto-gptq",
        "autoawq",
        "causal-conv1d",
        "cupy",
        "datasets",
        "gptqmodel",
        "jax",
        "llama-cpp-python",
        "mamba-ssm",
        "nemo-toolkit",
        "onnxruntime-gpu",
        "pynvml",
        "pytorch-lightning",
        "pytorch-triton",
        "sentencepiece",
        "setuptools",
        "tensorflow",
        "tokenizers",
        "torchdata",
        "torchtext",
        "transformer-engine",
        "trl",
        "unsloth",
        "unsloth-zoo",
        "vllm",
    }
)
_FAMILIES = re.compile(r"nvidia-(?!ml-py)[a-z0-9-]+|cupy-cuda\w+|pytorch-triton-\w+|triton-\w+|jax-cuda\w+\S*")
_FOLDER = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*?)-(?P<version>\d[^-]*)(?:-py[\d.]+)?\.(?:dist-info|egg-info)")


@dataclass(frozen=True, slots=True)
class Distribution:
    """One installed distribution: its name as PEP 503 has it, its version, its metadata folder."""

    name: str
    version: str
    folder: Path


def collect_packages(sheet: Sheet, root: Path, path: Iterable[str] | None = None) -> None:
    """Leaves `python.*`, `package.*`, `torch.*` as far as files tell them, and `cudnn.candidates`."""
    del root  # packages belong to the interpreter, wherever its folders are
    sheet.put("python.version", platform.python_version(), "sys.version")
    sheet.put("python.platform", platform.platform(), "platform.platform")
    sheet.put("python.executable", sys.executable, "sys.executable")
    folders = [Path(entry) for entry in dict.fromkeys(sys.path if path is None else path) if entry]
    copies: dict[str, list[Distribution]] = {}
    for found in find_distributions(folders):
        copies.setdefault(found.name, []).append(found)
    for name in sorted(copies):
        if name in EXPECTED or name in _ALSO or _FAMILIES.fullmatch(name):
            _package(sheet, copies[name])
    for name in EXPECTED:
        if name not in copies:
            sheet.put(f"package.{name}.version", None, "sys.path")
    collect_torch(sheet, folders, {name: copies[name][0].version for name in copies})


def find_distributions(folders: Iterable[Path]) -> list[Distribution]:
    """Every distribution on a path, in the path's order: of two copies the first is the one that is imported."""
    found = []
    seen: set[Path] = set()
    for folder in folders:
        names = list_folder(folder)
        if isinstance(names, Unavailable) or folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        for name in names:
            match = _FOLDER.fullmatch(name)
            if match:
                canonical = re.sub(r"[-_.]+", "-", match["name"]).lower()  # PEP 503
                found.append(Distribution(canonical, match["version"], folder / name))
    return found


def _package(sheet: Sheet, copies: list[Distribution]) -> None:
    first, path = copies[0], f"package.{copies[0].name}"
    sheet.put(f"{path}.version", first.version, str(first.folder))
    installer = read_text(first.folder / "INSTALLER", 256)
    if isinstance(installer, str) and installer:
        # Whatever else installs wheels (uv, poetry, pdm) puts the same files there as pip.
        sheet.put(f"{path}.origin", "conda" if installer == "conda" else "pip", f"{first.folder.name}/INSTALLER")
    if len(copies) > 1:
        places = ", ".join(f"{copy.version} in {copy.folder.parent}" for copy in copies)
        sheet.put(f"{path}.num_copies", len(copies), places)
    _build(sheet, path, first)


def _build(sheet: Sheet, path: str, distribution: Distribution) -> None:
    """What a local version tells of the build, as in 2.5.8+cu122torch2.3cxx11abiFALSE or 0.17.1+cu118."""
    local = distribution.version.partition("+")[2]
    if not local:
        return
    source = f"version of {distribution.folder.name}"
    if match := re.search(r"cu(\d{2})(\d)(?!\d)", local):
        sheet.put(f"{path}.cuda_build", f"{match[1]}.{match[2]}", source)
    if match := re.search(r"torch(\d+\.\d+)", local):
        sheet.put(f"{path}.torch_build", match[1], source)
    if match := re.search(r"cxx11abi(TRUE|FALSE)", local, re.IGNORECASE):
        sheet.put(f"{path}.cxx11_abi", match[1].upper() == "TRUE", source)
