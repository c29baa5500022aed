"""Shared libraries and Python packages that do not belong together (L11)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ilora_diag.checks.case import Case, Ground
from ilora_diag.checks.claims import Claim, claim, decides, fits, suggests
from ilora_diag.checks.common import cuda_pair, torch_cuda, torch_minor
from ilora_diag.checks.deciders import decider
from ilora_diag.schema import Evidence, Severity

_SHADOW = (
    r"undefined symbol:? _*(?:nvJitLink|cublas|cudnn|cusparse|cusolver|cufft|nccl|ncclComm)\w*|"
    r"symbol _*(?:nvJitLink|cublas|cudnn|nccl)\w*|lib(?:nvJitLink|cublas(?:Lt)?|cusparse|cusolver|cufft|"
    r"nccl)\.so[^\n]{0,80}"
    r"(?:undefined symbol|version `|not defined)"
)
_TAKEN = (
    r"/(?:usr/local|opt|public|apps?)/\S*cud\S*/lib(?:cu\w+|nv\w+|nccl)\.so[^\s:]*:? "
    r"(?:undefined symbol|symbol|version)"
)
"""The message itself names the file of another CUDA that was taken."""
_CUDNN = (
    r"cuDNN version incompatibility|CUDNN_STATUS_(?:SUBLIBRARY_)?VERSION_MISMATCH|"
    r"CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED|"
    r"Could not load library libcudnn|Unable to load any of \{?libcudnn|Cannot load symbol cudnn|"
    r"Loaded runtime CuDNN library|compiled (?:against|with)[^\n]{0,40}cudnn"
)
_LOADING = r"Could not load library libcu\w+|Unable to load any of \{?libcu\w+|libcu\w+\.so\S*: undefined symbol"
_VISION = (
    r"operator torchvision::nms does not exist|Couldn't load custom C\+\+ ops|"
    r"(?:PyTorch|torch) and torchvision (?:versions )?(?:are|were|were compiled)[^\n]*(?:incompatible|different)|"
    r"torchvision::nms|PyTorch has CUDA Version=[^\n]*torchvision has|torchaudio[^\n]*undefined symbol"
)
_EXTENSION = (
    r"(?:flash_attn|flash-attn|xformers|apex|torch_scatter|torch_sparse|torch_cluster|detectron2|mmcv|deepspeed|"
    r"bitsandbytes|causal_conv1d|mamba_ssm|selective_scan|vllm|exllama\w*|awq\w*|auto_gptq|fused\w*|\w+\.cpython-\S+)"
    r"[^\n]{0,160}undefined symbol|undefined symbol:? _ZN|undefined symbol: c10|"
    r"detected CUDA version[^\n]*mismatches the version|does not match the version torch was compiled with|"
    r"can't load C\+\+/CUDA extensions|was built (?:for|with|against):? (?:PyTorch|torch|CUDA) ?\d[^\n]*you have|"
    r"(?:libcudart|libcublas|libcusparse|libcusolver|libcufft|libcurand|libnvrtc)\.so\.\d[\d.]*: cannot open shared|"
    r"lib(?:c10|torch)\w*\.so: cannot open shared"
)
_TWO_INSTALLERS = (
    r"(?:two|both|several|different|mixed|mixing|duplicate|second)\b[^\n]{0,60}\b(?:torch|pytorch|cuda|cudatoolkit|"
    r"libcu\w+|nccl)[^\n]{0,60}(?:install|version|copies|channel|conda|pip)|"
    r"conda[^\n]{0,40}(?:and|\+)[^\n]{0,20}pip[^\n]{0,40}(?:torch|cuda)|"
    r"\b(?:torch|pytorch|cuda)\b[^\n]{0,30}\binstalled (?:twice|"
    r"from (?:both )?(?:conda and (?:from )?pip|pip and (?:from )?conda))"
)
_MKL = r"undefined symbol:? iJIT_\w+"
"""A symbol that MKL carried until 2024.0, and torch builds of conda rely on: MKL is newer than they allow."""
_CUDA_PATH = re.compile(r"/cuda(?:-[\d.]+)?(?:/|$)|cudnn|/nvidia/hpc_sdk|/opt/nvidia", re.IGNORECASE)
_VISION_OF_1 = {4: 5, 5: 6, 6: 7, 7: 8, 8: 9, 9: 10, 10: 11, 11: 12, 12: 13, 13: 14}
"""torch 1.x <-> torchvision 0.y (README of torchvision); of 2.x it is 0.(15 + x)."""
_SUFFIXES = ("flash-attn", "xformers", "apex", "torch-scatter", "torch-sparse", "torch-cluster", "mamba-ssm",
             "causal-conv1d", "deepspeed", "mmcv", "detectron2")  # fmt: skip


def check(case: Case) -> Iterator[Claim]:
    """All rules of the family."""
    yield from _vision(case)
    yield from _extensions(case)
    yield from _cudnn(case)
    yield from _shadow(case)
    yield from _mix(case)


def _minor_of(text: str | None) -> tuple[int, int] | None:
    found = re.match(r"\s*v?(\d+)\.(\d+)", text or "")
    return (int(found[1]), int(found[2])) if found else None


def _vision(case: Case) -> Iterator[Claim]:
    torch = torch_minor(case)
    grounds: list[Ground] = []
    package, wanted = "torchvision", "?"
    if torch and torch >= (1, 4):
        fitting = _VISION_OF_1.get(torch[1]) if torch[0] == 1 else 15 + torch[1]
        audio = (torch[0], torch[1]) if torch[0] == 2 else None
        for name, good in (("torchvision", (0, fitting)), ("torchaudio", audio)):
            path = f"package.{name}.version"
            have = _minor_of(case.text(path))
            if have and good and have != good and good[1] is not None:
                wanted = f"{good[0]}.{good[1]}"
                package = name
                grounds.append(decides(case.seen(path, f"{wanted}.* for torch {torch[0]}.{torch[1]}")))
                break
    grounds = grounds or _vision_build(case)
    said = case.error_says(_VISION, "torchvision_ops")
    grounds += [suggests(said)] if said else []
    if not grounds:
        return
    # A pair that does not fit is harmless until it is imported.
    severity = None if said or case.text("torch.import_error") else Severity.WARNING
    exact = case.text("torch.version") or ""
    yield claim(
        "LIB004",
        grounds,
        params={"package": package, "version": case.text(f"package.{package}.version") or "?", "torch": exact or "?",
                "wanted": wanted},
        remedy=f"python -m pip install --force-reinstall '{package}=={wanted}.*'" if wanted != "?"
        else "python -m pip install --force-reinstall torch torchvision",
        decider=decider("package.torchvision.version"),
        severity=severity,
    )  # fmt: skip


def _vision_build(case: Case) -> list[Ground]:
    """A torchvision for the CPU, or for another CUDA, beside a torch with CUDA."""
    local = re.search(r"\+(cpu|cu\d+)\b", case.text("package.torchvision.version") or "")
    built = torch_cuda(case)
    if local is None or built is None:
        return []
    other = local[1] == "cpu" or cuda_pair(local[1]) != cuda_pair(built[0])
    return [decides(case.seen("package.torchvision.version", f"a build for CUDA {built[0]}"))] if other else []


def _extensions(case: Case) -> Iterator[Claim]:
    torch, built = torch_minor(case), torch_cuda(case)
    grounds: list[Ground] = []
    name, why = "?", "?"
    packages = {path.split(".")[1] for path in case.paths("package.") if path.count(".") >= 2}
    for package in sorted(packages):
        base = f"package.{package}"
        for_torch, for_cuda = _minor_of(case.text(f"{base}.torch_build")), cuda_pair(case.text(f"{base}.cuda_build"))
        abi, own = case.flag(f"{base}.cxx11_abi"), _abi(case)
        if for_torch and torch and for_torch != torch and package not in ("torch", "torchvision", "torchaudio"):
            expected = f"built for torch {torch[0]}.{torch[1]}"
            grounds, name, why = [decides(case.seen(f"{base}.torch_build", expected))], package, "torch"
        elif abi is not None and own is not None and abi != own:
            grounds, name, why = [decides(case.seen(f"{base}.cxx11_abi", str(own)))], package, "abi"
        elif for_cuda and built and for_cuda[0] != (cuda_pair(built[0]) or for_cuda)[0] and _is_extension(package):
            grounds, name, why = [decides(case.seen(f"{base}.cuda_build", built[0]))], package, "cuda"
        if grounds:
            break
    said = case.error_says(_EXTENSION, "flash_undefined_symbol", "cpp_ext_cuda")
    if said is None and case.error_says(r"undefined symbol") and (grounds or _wheel_note(case)):
        said = case.error_says(r"undefined symbol")
    if said is not None and not case.error_says(rf"{_SHADOW}|undefined symbol:? _ZN\w?\d*(?:cudnn|cublas)"):
        grounds.append(suggests(said))
        if not grounds[1:] and (note := _wheel_note(case)):
            grounds.append(fits(note))
    elif said is not None and not grounds:
        return
    if not grounds:
        return
    if said and name == "?":
        named = re.search(
            r"(flash[-_]attn|xformers|apex|torch_\w+|mamba_ssm|causal_conv1d|deepspeed|bitsandbytes)", case.error
        )
        name = named[1].replace("_", "-") if named else "?"
    yield claim(
        "LIB005",
        grounds,
        params={"package": name, "why": why},
        remedy=f"python -m pip install --force-reinstall --no-cache-dir {name.replace('?', 'PACKAGE')}",
        decider=decider("torch.version"),
        severity=None if said or case.text("torch.import_error") else Severity.WARNING,
    )


def _is_extension(package: str) -> bool:
    return package in _SUFFIXES


def _wheel_note(case: Case) -> Evidence | None:
    return case.says(r"cxx11abi(?:TRUE|FALSE)|torch\d\.\d+cxx11|built (?:for|with|against) (?:torch|PyTorch|CUDA)")


def _abi(case: Case) -> bool | None:
    """The C++ ABI of torch: told, or that of its PyPI wheels: without before 2.6 (Linux), with from 2.7 on.

    2.6 moved its CUDA 12.6 wheels first (release notes of 2.6), so it is left open.
    """
    told = case.flag("torch.cxx11_abi")
    if told is not None or (case.text("package.torch.origin") or "pip") != "pip":
        return told
    torch = torch_minor(case)
    if torch is None or torch == (2, 6) or case.text("os.family") == "windows":
        return None
    return torch >= (2, 7)


def _cudnn(case: Case) -> Iterator[Claim]:
    grounds: list[Ground] = []
    told, own = _cudnn_pair(case.text("cudnn.version")), _cudnn_pair(case.text("torch.cudnn_version"))
    if said := case.error_says(_CUDNN, "cudnn_incompat", "cudnn_sublib", "cudnn_load"):
        grounds.append(suggests(said))
    versions = {path: case.text(path) for path in case.paths("package.nvidia-cudnn-") if path.endswith(".version")}
    present = {path: version for path, version in versions.items() if version}
    majors = {(_minor_of(version) or (0, 0))[0] for version in present.values()}
    if len(present) > 1 and len(majors) > 1:
        grounds += [decides(case.seen(path, "one cuDNN")) for path in list(present)[:2]]
    if told and own and told != own and case.has_error:
        grounds += [suggests(case.seen("cudnn.version", case.text("torch.cudnn_version") or ""))]
    if not grounds:
        return
    if case.text("env.LD_LIBRARY_PATH"):
        grounds.append(fits(case.seen("env.LD_LIBRARY_PATH", "unset")))
    yield claim(
        "LIB003",
        grounds,
        remedy="unset LD_LIBRARY_PATH && python -m pip install --force-reinstall torch",
        decider=decider("library.libcudnn.so.9.path"),
        severity=None if said else Severity.WARNING,
    )


def _cudnn_pair(text: str | None) -> tuple[int, int] | None:
    """(major, minor) of `8.9.2`, or of what torch prints: 8902, 90100, 91002."""
    if text and text.isdigit():
        number = int(text)
        return (number // 10000, number % 10000 // 100) if number >= 90000 else (number // 1000, number % 1000 // 100)
    return _minor_of(text)


def _shadow(case: Case) -> Iterator[Claim]:
    """A library of the system's CUDA that is found before the one torch brought."""
    said = case.error_says(_SHADOW, "nvjitlink") or case.error_says(_TAKEN)
    variable = case.text("env.LD_LIBRARY_PATH")
    outside = bool(variable and _CUDA_PATH.search(variable))
    if said is None and outside:
        said = case.error_says(_LOADING)
    grounds: list[Ground] = []
    for path in case.paths("library."):
        taken = case.text(path)
        ours = any("site-packages" in one or "dist-packages" in one for one in case.texts(path[:-5] + ".candidates"))
        if (
            path.endswith(".path")
            and taken
            and "-packages" not in taken
            and (ours or said)
            and _CUDA_PATH.search(taken)
        ):
            grounds.append(suggests(case.seen(path, "torch's own, under site-packages/nvidia")))
            break
    note = case.says(r"=>\s*/(?:usr/local|opt)/\S*cuda\S*|LD_LIBRARY_PATH\s*(?:=|contains|points|includes|had|has)")
    if said:
        grounds.append(suggests(said) if outside or note or not case.has("env.LD_LIBRARY_PATH") else fits(said))
        grounds += [fits(case.seen("env.LD_LIBRARY_PATH", "unset"))] if outside else []
        grounds += [fits(note)] if note and "import.notes" in note.path else []
        if case.is_none("env.LD_LIBRARY_PATH") and not note and len(grounds) == 1:
            return  # nothing shadows; the wheels themselves do not fit, which `library_mix` says
    elif not grounds:
        grounds = _taken_from(case, variable)
    if not grounds or not (outside or said):
        return
    failing = bool(said or case.text("torch.import_error"))
    yield claim(
        "LIB001",
        grounds,
        params={"path": variable or "?"},
        remedy="unset LD_LIBRARY_PATH",
        decider=decider("env.LD_LIBRARY_PATH"),
        severity=None if failing else Severity.WARNING,
    )


def _taken_from(case: Case, variable: str | None) -> list[Ground]:
    """A library that resolves into a folder of LD_LIBRARY_PATH: torch may use its own all the same, by its RPATH."""
    folders = [folder.rstrip("/") for folder in (variable or "").split(":") if _CUDA_PATH.search(folder)]
    for path in case.paths("library.libnvJitLink"):
        taken = case.text(path)
        if path.endswith(".path") and taken and any(taken.startswith(folder) for folder in folders):
            return [fits(case.seen(path, "torch's own, under site-packages/nvidia"))]
    return []


def _mix(case: Case) -> Iterator[Claim]:
    built = torch_cuda(case)
    major = (cuda_pair(built[0]) or (0, 0))[0] if built else 0
    foreign: list[Ground] = []
    own = False
    for path in case.paths("package.nvidia-"):
        found = re.fullmatch(r"package\.(nvidia-[\w-]+)-cu(\d\d)\.version", path)
        if not found or not case.text(path):
            continue
        if major and int(found[2]) == major:
            own = True
        elif major and "cudnn" not in found[1]:
            foreign.append(decides(case.seen(path, f"packages for CUDA {major}")))
    grounds = foreign[:2] if foreign and own else []
    if (case.integer("package.torch.num_copies") or 1) > 1:
        grounds.append(decides(case.seen("package.torch.num_copies", "1")))
    jit = case.error_says(r"nvJitLink", "nvjitlink")
    if jit and case.is_none("env.LD_LIBRARY_PATH"):
        grounds.append(suggests(jit))
    if mkl := case.error_says(_MKL):
        grounds.append(suggests(mkl))
    told = case.says(_TWO_INSTALLERS)
    if told and (case.has_error or case.flag("torch.cuda_available") is False):
        grounds.append(suggests(told))
    if not grounds:
        return
    if symbol := case.error_says(rf"{_SHADOW}|undefined symbol"):
        grounds.append(fits(symbol))
    failing = bool(case.has_error or case.flag("torch.cuda_available") is False)
    yield claim(
        "LIB002",
        grounds,
        remedy="python -m venv fresh && fresh/bin/python -m pip install torch",
        decider=decider("package.torch.version"),
        severity=None if failing else Severity.WARNING,
    )
