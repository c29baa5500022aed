"""What an installed torch is, read from its files without importing it.

* version, CUDA, ROCm, debug: the assignments in torch/version.py.
* architectures: the text that torch.cuda.get_arch_list() splits, a constant of libtorch_python.so
  (THCPModule_getArchFlags in torch/csrc/cuda/Module.cpp). A build without CUDA has none.
* driver API: libc10_cuda.so holds the names of the virtual memory calls that it looks up; a build without the driver
  API has none of them, and expandable segments only warn there.
* C++ ABI: the flags in share/cmake/Torch/TorchConfig.cmake.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ilora_diag.collect.sheet import ABSENT, FAILED, Sheet, list_folder, read_text, reason_of
from ilora_diag.schema import Known, Unavailable, Value

_FIELDS = (
    ("torch.version", "__version__"),
    ("torch.cuda_build", "cuda"),
    ("torch.rocm_build", "hip"),
    ("torch.debug_build", "debug"),
)
_ARCHS = re.compile(rb"(?<=\0)[ ]*(?:sm|compute)_\d{2,3}[af]?(?:[ ]+(?:sm|compute)_\d{2,3}[af]?)*[ ]*(?=\0)")
_ASSIGNMENT = r"""^{name}\s*(?::[^=\n]*)?=\s*(?:(?P<quote>['"])(?P<text>.*?)(?P=quote)|(?P<word>\w+))"""


def collect_torch(sheet: Sheet, folders: Iterable[Path], versions: Mapping[str, str]) -> None:
    """Leaves `torch.*` that files can tell, and `cudnn.candidates`.

    Args:
        sheet: gets the leaves.
        folders: the interpreter's path.
        versions: of installed distributions, by name.
    """
    folders = list(folders)
    home = next((folder / "torch" for folder in folders if (folder / "torch" / "version.py").is_file()), None)
    _cudnn(sheet, folders)
    if home is None:
        _without_files(sheet, versions)
        return
    source = f"{home}/version.py"
    text = read_text(home / "version.py")
    for path, name in _FIELDS:
        sheet.put(path, text if isinstance(text, Unavailable) else _assigned(text, name), source)
    sheet.put("torch.archs", _archs(home, sheet), f"{home}/lib/libtorch_python.so")
    sheet.put("torch.driver_api_built", _driver_api(home, sheet), f"{home}/lib/libc10_cuda.so")
    config = read_text(home / "share/cmake/Torch/TorchConfig.cmake")
    if isinstance(config, str) and (match := re.search(r"_GLIBCXX_USE_CXX11_ABI=([01])", config)):
        sheet.put("torch.cxx11_abi", match[1] == "1", f"{home}/share/cmake/Torch/TorchConfig.cmake")


def _without_files(sheet: Sheet, versions: Mapping[str, str]) -> None:
    """No folder of torch on the path: it is not installed, or installed as a link to elsewhere."""
    if "torch" in versions:
        sheet.put("torch.version", versions["torch"], "dist-info of torch")
        reason = f"{ABSENT} torch is installed, but its folder is not on the path"
    else:
        sheet.put("torch.version", None, "sys.path")
        reason = f"{ABSENT} torch is not installed"
    for path in ("torch.cuda_build", "torch.archs", "torch.driver_api_built"):
        sheet.no(path, reason, "sys.path")


def _assigned(text: str, name: str) -> Known[Value]:
    match = re.search(_ASSIGNMENT.format(name=re.escape(name)), text, re.MULTILINE)
    if match is None:
        return Unavailable(reason=f"{ABSENT} no assignment to {name}")
    if match["word"] is None:
        return match["text"]
    literals = {"None": None, "True": True, "False": False}
    word = match["word"]
    return literals[word] if word in literals else Unavailable(reason=f"{FAILED} {name} = {word}")


def _archs(home: Path, sheet: Sheet) -> Known[tuple[str, ...]]:
    if sheet.get("torch.cuda_build") is None:
        return ()
    found = _search(home / "lib" / "libtorch_python.so", _ARCHS)
    if isinstance(found, Unavailable):
        return found
    lists = {tuple(text.decode("ascii").split()) for text in found}
    longest = max(lists, key=len, default=())
    # A name alone may be any constant; it is the list where it is the only one, as in a build for one card.
    if len(longest) > 1 or len(lists) == 1:
        return longest
    return Unavailable(reason=f"{ABSENT} no list of architectures in the library")


def _driver_api(home: Path, sheet: Sheet) -> Known[bool]:
    if sheet.get("torch.cuda_build") is None:
        return Unavailable(reason=f"{ABSENT} a build without CUDA")
    found = _search(home / "lib" / "libc10_cuda.so", re.compile(rb"\0cuMemAddressReserve(?:_v\d)?\0"))
    return found if isinstance(found, Unavailable) else bool(found)


def _search(path: Path, pattern: re.Pattern[bytes]) -> Known[tuple[bytes, ...]]:
    """Every match in a library's bytes, through a map: some of them have a gigabyte."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return tuple(match[0] for match in pattern.finditer(content))
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        reason = reason_of(error) if isinstance(error, OSError) else f"{FAILED} {error}"
        return Unavailable(reason=reason, source=str(path))


def _cudnn(sheet: Sheet, folders: Iterable[Path]) -> None:
    """Each libcudnn.so.N that torch may meet: the wheel's, torch's own, conda's, the machine's."""
    places = [folder / sub for folder in folders for sub in ("nvidia/cudnn/lib", "torch/lib")]
    files = []
    for place in places:
        names = list_folder(place)
        listed = () if isinstance(names, Unavailable) else names
        files += [str(place / name) for name in listed if re.fullmatch(r"libcudnn\.so(?:\.\d+)*", name)]
    for name in ("libcudnn.so.8", "libcudnn.so.9"):
        file = sheet.get(f"library.{name}.path")
        if isinstance(file, str):
            files.append(file)
    sheet.put("cudnn.candidates", tuple(dict.fromkeys(files)), "site-packages and the loader's path")
