"""Packages by what lies on disk, without importing any."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from ilora_diag.collect.packages import EXPECTED, collect_packages
from ilora_diag.collect.sheet import Sheet
from ilora_diag.collect.vocabulary import complaint
from ilora_diag.schema import Unavailable

VERSION_PY = """from typing import Optional

__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip']
__version__ = '2.6.0+cu124'
debug = False
cuda: Optional[str] = '12.4'
hip: Optional[str] = None
"""


def put(folder: Path, name: str, content: str | bytes = "") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def with_torch(folder: Path, version_py: str = VERSION_PY) -> Path:
    put(folder, "torch/version.py", version_py)
    put(folder, "torch-2.6.0+cu124.dist-info/INSTALLER", "pip\n")
    flags = b"\0sm_1\0\0sm_100a\0 sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90 compute_90\0"
    put(folder, "torch/lib/libtorch_python.so", b"\x7fELF" + bytes(100) + flags + bytes(100))
    put(folder, "torch/lib/libc10_cuda.so", b"\x7fELF\0cuMemAddressReserve\0cuMemMap\0")
    put(folder, "torch/share/cmake/Torch/TorchConfig.cmake", 'set(X "-D_GLIBCXX_USE_CXX11_ABI=0")')
    return folder


def collected(*folders: Path) -> Sheet:
    sheet = Sheet()
    collect_packages(sheet, Path("/"), [str(folder) for folder in folders])
    assert [text for fact in sheet.facts() if (text := complaint(fact))] == []
    return sheet


def test_a_cuda_build_of_torch_is_read_without_importing_it(tmp_path: Path) -> None:
    sheet = collected(with_torch(tmp_path))
    expected = {
        "torch.version": "2.6.0+cu124",
        "torch.cuda_build": "12.4",
        "torch.rocm_build": None,
        "torch.debug_build": False,
        "torch.archs": ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "compute_90"),
        "torch.driver_api_built": True,
        "torch.cxx11_abi": False,
        "package.torch.version": "2.6.0+cu124",
        "package.torch.cuda_build": "12.4",
        "package.torch.origin": "pip",
        "package.flash-attn.version": None,
    }
    assert {path: sheet.get(path) for path in expected} == expected


def test_a_build_without_the_driver_api_is_known(tmp_path: Path) -> None:
    folder = with_torch(tmp_path)
    put(folder, "torch/lib/libc10_cuda.so", b"\x7fELF\0cudaMalloc\0expandable_segments not supported\0")
    assert collected(folder).get("torch.driver_api_built") is False


def test_a_build_for_the_cpu_has_no_architectures(tmp_path: Path) -> None:
    sheet = collected(with_torch(tmp_path, VERSION_PY.replace("= '12.4'", "= None")))
    assert (sheet.get("torch.cuda_build"), sheet.get("torch.archs")) == (None, ())


def test_a_build_for_one_card_has_a_list_of_one(tmp_path: Path) -> None:
    folder = with_torch(tmp_path)
    put(folder, "torch/lib/libtorch_python.so", b"\x7fELF\0sm_87\0")
    assert collected(folder).get("torch.archs") == ("sm_87",)


def test_constants_that_only_look_like_architectures_are_no_list(tmp_path: Path) -> None:
    folder = with_torch(tmp_path)
    put(folder, "torch/lib/libtorch_python.so", b"\x7fELF\0sm_90\0sm_100a\0")
    assert isinstance(collected(folder).get("torch.archs"), Unavailable)


@pytest.mark.parametrize("damage", ["", "__version__ = get_version()\n", "\0\xff"])
def test_a_damaged_version_file_is_no_version(tmp_path: Path, damage: str) -> None:
    sheet = collected(with_torch(tmp_path, damage))
    value = sheet.get("torch.version")
    assert isinstance(value, Unavailable)
    assert value.reason.startswith(("absent:", "failed:"))


def test_a_library_that_is_not_there_leaves_its_leaf_unknown(tmp_path: Path) -> None:
    put(tmp_path, "torch/version.py", VERSION_PY)
    put(tmp_path, "torch/lib/libc10_cuda.so")  # empty, as after a full disk
    sheet = collected(tmp_path)
    assert isinstance(sheet.get("torch.archs"), Unavailable)
    assert isinstance(sheet.get("torch.driver_api_built"), Unavailable)


def test_no_torch_is_knowledge(tmp_path: Path) -> None:
    sheet = collected(tmp_path)
    assert sheet.get("torch.version") is None
    assert {sheet.get(f"package.{name}.version") for name in EXPECTED} == {None}


def test_names_are_canonical_and_builds_are_read_from_local_versions(tmp_path: Path) -> None:
    put(tmp_path, "flash_attn-2.5.8+cu122torch2.3cxx11abiFALSE.dist-info/METADATA")
    put(tmp_path, "nvidia_cudnn_cu12-9.1.0.70.dist-info/INSTALLER", "uv\n")
    put(tmp_path, "Some.Other_thing-1.0.dist-info/METADATA")
    put(tmp_path, "triton-2.0.0-py3.10.egg-info/PKG-INFO")
    sheet = collected(tmp_path)
    expected = {
        "package.flash-attn.version": "2.5.8+cu122torch2.3cxx11abiFALSE",
        "package.flash-attn.cuda_build": "12.2",
        "package.flash-attn.torch_build": "2.3",
        "package.flash-attn.cxx11_abi": False,
        "package.nvidia-cudnn-cu12.version": "9.1.0.70",
        "package.nvidia-cudnn-cu12.origin": "pip",
        "package.triton.version": "2.0.0",
    }
    assert {path: sheet.get(path) for path in expected} == expected
    assert not any("other" in fact.path for fact in sheet.facts())


def test_of_two_copies_the_first_on_the_path_counts_and_both_are_told(tmp_path: Path) -> None:
    for folder, version in (("user", "4.40.0"), ("site", "4.57.1")):
        put(tmp_path, f"{folder}/transformers-{version}.dist-info/METADATA")
    sheet = collected(tmp_path / "user", tmp_path / "site", tmp_path / "site")
    assert sheet.get("package.transformers.version") == "4.40.0"
    assert sheet.get("package.transformers.num_copies") == 2


def test_two_cudnns_are_both_listed(tmp_path: Path) -> None:
    put(tmp_path, "nvidia/cudnn/lib/libcudnn.so.9")
    put(tmp_path, "torch/lib/libcudnn.so.8")
    put(tmp_path, "torch/lib/libcudnn_ops_infer.so.8")
    assert collected(tmp_path).get("cudnn.candidates") == (
        str(tmp_path / "nvidia/cudnn/lib/libcudnn.so.9"),
        str(tmp_path / "torch/lib/libcudnn.so.8"),
    )


def test_this_interpreters_packages_are_what_their_metadata_says() -> None:
    sheet = Sheet()
    collect_packages(sheet, Path("/"))
    for name in ("torch", "transformers", "peft", "numpy"):
        assert sheet.get(f"package.{name}.version") == metadata.version(name)
    # given: torch's own answer, from a process that imports it
    code = "import torch; print(torch.__version__, torch.version.cuda, ','.join(torch.cuda.get_arch_list()))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    version, cuda, *archs = told.stdout.strip().split(" ")
    assert sheet.get("torch.version") == version
    assert str(sheet.get("torch.cuda_build")) == cuda
    archs_read = sheet.get("torch.archs")
    assert isinstance(archs_read, tuple)
    assert ",".join(str(arch) for arch in archs_read) == "".join(archs)
