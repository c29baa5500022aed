"""A driver made of two small C libraries under the real pynvml and the real ctypes code."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

MOCKS = Path(__file__).resolve().parents[2] / "mocks"
VERSION = "550.54.14"


@pytest.fixture(scope="session")
def driver_libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with libcuda.so.1 and libnvidia-ml.so.1, links to files with a version, as an installed driver has."""
    compiler = next((path for name in ("gcc", "cc", "clang") if (path := shutil.which(name))), None)
    if compiler is None:
        pytest.skip("there is no C compiler to build the mocked driver with")
    folder = tmp_path_factory.mktemp("driver")
    for source, name in (("cuda.c", "libcuda.so"), ("nvml.c", "libnvidia-ml.so")):
        file = folder / f"{name}.{VERSION}"
        command = [compiler, "-shared", "-fPIC", "-O1", f"-Wl,-soname,{name}.1", "-o", str(file), str(MOCKS / source)]
        subprocess.run(command, check=True, timeout=60)
        (folder / f"{name}.1").symlink_to(file.name)
    return folder


@pytest.fixture
def mock_driver(driver_libraries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`mock_driver(nvmlInit=18, ...)` puts the libraries on the loader's path and tells them what to do.

    Names that are no identifiers go in as `{"name[1]": ...}`. Without arguments it is one healthy card.
    """

    def install(state: dict[str, object] | None = None, **more: object) -> Path:
        path = tmp_path / "gpu.state"
        lines = [f"{key}={value}\n" for key, value in {**(state or {}), **more}.items()]
        path.write_text("".join(lines))
        monkeypatch.setenv("MOCK_GPU_STATE", str(path))
        monkeypatch.setenv("LD_LIBRARY_PATH", str(driver_libraries))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        return driver_libraries

    return install
