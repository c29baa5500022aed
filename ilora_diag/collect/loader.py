"""Which file the dynamic loader takes for a library name, and which others it passes over.

Order (ld.so(8)): what LD_PRELOAD names is loaded already, then the folders of LD_LIBRARY_PATH, then /etc/ld.so.cache,
then the default folders. RPATH and RUNPATH of whoever asks are left out: neither the driver's libraries nor an
interpreter carry one that matters to libcuda. Files of another word size or machine are skipped, as the loader does.
What a child really got when it loaded a library comes before what is found here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from ilora_diag.collect.container import command_version
from ilora_diag.collect.elf_cache import elf_machine, read_cache
from ilora_diag.collect.sheet import ABSENT, Sheet, list_folder, read_text
from ilora_diag.schema import Known, Unavailable

DRIVER_LIBRARIES = (("libcuda.so.1", "driver.libcuda"), ("libnvidia-ml.so.1", "driver.libnvml"))
# Libraries of which a second copy, or the wrong one, is known to break torch.
OTHER_LIBRARIES = (
    "libcudart.so.11.0",
    "libcudart.so.12",
    "libcudart.so.13",
    "libcublas.so.11",
    "libcublas.so.12",
    "libcublas.so.13",
    "libcublasLt.so.12",
    "libcudnn.so.8",
    "libcudnn.so.9",
    "libcusparse.so.12",
    "libnvJitLink.so.12",
    "libnvJitLink.so.13",
    "libnccl.so.2",
    "libnvidia-ptxjitcompiler.so.1",
    "libstdc++.so.6",
)
_DEFAULTS = (
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
)
# Places where a driver library often lies without the loader looking there: told apart in the candidates' absence.
_BESIDE = ("/usr/lib/wsl/lib", "/usr/local/nvidia/lib64", "/usr/local/cuda/compat", "/usr/lib/nvidia")


class Loader:
    """The loader's search, as of now."""

    def __init__(self, root: Path, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._root = root
        self._machine = elf_machine(Path(sys.executable))
        self._preload = re.split(r"[\s:]+", environ.get("LD_PRELOAD", "").strip())
        library_path = environ.get("LD_LIBRARY_PATH", "")
        # An empty item means the working directory; a variable that is empty means nothing.
        self._folders = [folder or "." for folder in re.split(r"[:;]", library_path)] if library_path else []
        self.cache: Known[tuple[tuple[str, str], ...]] = read_cache(root / "etc/ld.so.cache")

    def candidates(self, name: str) -> tuple[str, ...]:
        """Every file the loader would come upon, the winner first; a file reached twice stands once."""
        found: dict[Path, str] = {}
        for file in self._in_order(name):
            here = self._inside(file)
            if self._usable(here):
                found.setdefault(here.resolve(), file)
        return tuple(found.values())

    def beside(self, name: str) -> tuple[str, ...]:
        """Files of that name in usual places that the loader does not search."""
        return tuple(f"{folder}/{name}" for folder in _BESIDE if self._usable(self._inside(f"{folder}/{name}")))

    def resolve(self, file: str) -> str:
        """The file behind links, as seen from the root that is looked at."""
        real = self._inside(file).resolve()
        if self._root == Path("/"):
            return str(real)
        base = self._root.resolve()
        return f"/{real.relative_to(base)}" if real.is_relative_to(base) else str(real)

    def _in_order(self, name: str) -> Iterator[str]:
        yield from (file for file in self._preload if "/" in file and os.path.basename(file) == name)
        yield from (f"{folder.rstrip('/')}/{name}" for folder in self._folders)
        if not isinstance(self.cache, Unavailable):
            yield from (file for key, file in self.cache if key == name)
        yield from (f"{folder}/{name}" for folder in _DEFAULTS)

    def _usable(self, path: Path) -> bool:
        machine = elf_machine(path)
        return machine is not None and (self._machine is None or machine == self._machine)

    def _inside(self, file: str) -> Path:
        """A file below the root that is looked at, links of absolute target included as far as one step goes."""
        if not file.startswith("/"):
            return Path(file)
        path = self._root / file.lstrip("/")
        if self._root != Path("/") and path.is_symlink():
            target = os.readlink(path)
            return self._root / target.lstrip("/") if target.startswith("/") else path
        return path


def collect_loader(sheet: Sheet, root: Path, environ: Mapping[str, str] | None = None) -> None:
    """Leaves `driver.libcuda*`, `driver.libnvml*`, `library.*`, `cudnn.candidates`, `toolkit.*`."""
    loader = Loader(root, environ)
    for name, path in DRIVER_LIBRARIES:
        _driver_library(sheet, loader, name, path)
    for name in OTHER_LIBRARIES:
        files = loader.candidates(name)
        sheet.put(f"library.{name}.path", loader.resolve(files[0]) if files else None, "search in the loader's order")
        if len(files) > 1:
            sheet.put(f"library.{name}.candidates", files, "search in the loader's order")
    _toolkit(sheet, root, os.environ if environ is None else environ)


def version_of(file: str) -> Known[str]:
    """The driver version that a library's file name ends in."""
    match = re.search(r"\.so\.(\d+\.\d+[\d.]*)$", file)
    return match[1] if match else Unavailable(reason=f"{ABSENT} the file name {os.path.basename(file)} has no version")


def mapped_file(name: str) -> str | None:
    """The file that this process has mapped for a library it loaded; None if there is none to be seen."""
    text = read_text(Path("/proc/self/maps"))
    stem = name.partition(".so")[0]
    found = re.findall(
        rf"^\S+ \S+ \S+ \S+ \S+\s+(/.*/{re.escape(stem)}\.so[.\d]*)$",
        "" if isinstance(text, Unavailable) else text,
        re.MULTILINE,
    )
    return str(found[0]) if found else None


def _driver_library(sheet: Sheet, loader: Loader, name: str, path: str) -> None:
    files = loader.candidates(name)
    source = f"search for {name} in the loader's order"
    if not files:
        beside = loader.beside(name)
        hint = f"; there is {', '.join(beside)}, where the loader does not look" if beside else ""
        sheet.put(path, None, f"{source}: not found{hint}")
        sheet.no(f"{path}_path", f"{ABSENT} not on the loader's path{hint}", source)
        sheet.put(f"{path}_candidates", (), source)
        return
    winner = loader.resolve(files[0])
    sheet.put(f"{path}_path", winner, source)
    sheet.put(path, version_of(winner), source)
    sheet.put(f"{path}_candidates", tuple(loader.resolve(file) for file in files), source)


def _toolkit(sheet: Sheet, root: Path, environ: Mapping[str, str]) -> None:
    homes = [environ.get("CUDA_HOME"), environ.get("CUDA_PATH"), "/usr/local/cuda"]
    for home in filter(None, homes):
        folder = root / home.lstrip("/")
        text = read_text(folder / "version.json")
        match = re.search(r'"cuda"\s*:\s*\{[^}]*"version"\s*:\s*"([\d.]+)"', text) if isinstance(text, str) else None
        if match is None:
            text = read_text(folder / "version.txt")  # before CUDA 11.1
            match = re.search(r"CUDA Version ([\d.]+)", text) if isinstance(text, str) else None
        if match:
            sheet.put("toolkit.cuda_version", match[1], f"{home}/version.json")
            sheet.put("toolkit.path", home, f"{home}/version.json")
            return
        if (folder / "bin/nvcc").exists():
            version: Known[str] = Unavailable(reason=f"{ABSENT} {home} has nvcc but no version file")
            if root == Path("/"):
                version = command_version(f"{home}/bin/nvcc", r"release ([\d.]+)")
            sheet.put("toolkit.cuda_version", version, f"{home}/bin/nvcc --version")
            sheet.put("toolkit.path", home, f"{home}/bin/nvcc")
            return
    others = list_folder(root / "usr/local")
    names = [] if isinstance(others, Unavailable) else [name for name in others if name.startswith("cuda-")]
    looked = "CUDA_HOME, CUDA_PATH, /usr/local/cuda"
    if names:
        sheet.no("toolkit.cuda_version", f"{ABSENT} only {', '.join(names)} in /usr/local, not chosen", looked)
    else:
        sheet.put("toolkit.cuda_version", None, looked)
