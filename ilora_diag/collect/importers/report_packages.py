"""Versions of packages as people paste them: pip and conda lists, wheel names, "X version: ...", local versions."""

from __future__ import annotations

import re

from ilora_diag.collect.importers.draft import Draft
from ilora_diag.schema import Unavailable

_SOURCE = "report"
# Packages whose version decides something, in the spelling of PEP 503. Others are taken from explicit lists only.
# fmt: off
KNOWN = frozenset(
    (
        "accelerate", "apex", "auto-gptq", "autoawq", "bitsandbytes", "cudatoolkit", "cudnn", "cupy", "datasets",
        "deepspeed", "diffusers", "exllamav2", "flash-attn", "flashinfer", "huggingface-hub", "jax", "jaxlib",
        "kernels", "lightning", "llama-cpp-python", "mamba-ssm", "numpy", "nvidia-cudnn", "nvidia-ml-py",
        "onnxruntime-gpu", "peft", "pynvml", "pytorch", "pytorch-cuda", "pytorch-lightning", "pytorch-triton",
        "safetensors", "sentence-transformers", "sglang", "tensorflow", "tokenizers", "torch", "torchaudio",
        "torchtext", "torchtitan", "torchvision", "transformers", "triton", "trl", "unsloth", "unsloth-zoo", "vllm",
        "xformers",
    )
)
# fmt: on
_VERSION = r"\d+(?:\.\w+){0,5}(?:[+-][\w.]+)?"
_FREEZE = re.compile(rf"([A-Za-z][\w.-]{{1,60}})\s?(?:==|=)\s?({_VERSION})(?:=([\w.]+))?(?:\s*\(?(pip|conda)\)?)?")
_TABLE = re.compile(rf"([A-Za-z][\w.-]{{1,60}})\s+\(?({_VERSION})\)?(?:\s+\(?([\w.]+)\)?)?(?:\s+\S+)?")
_TAGGED = re.compile(r"\[(pip\d?|conda)\]\s*(.*)")
_WHEEL = re.compile(
    r"([A-Za-z][A-Za-z0-9_.]{1,60})-(\d+(?:\.\w+){0,4}(?:\+[\w.]+)?)-(?:cp|py)\d+"
    r"|([A-Za-z][A-Za-z0-9_.]{1,60})-(\d[\w.]*(?:\+[\w.]+)?)(?=-\S{0,80}(?:\.whl| wheel))"
)
_BUILT = re.compile(r"\+cu(\d{2,3})(?:torch(\d+\.\d+))?(?:cxx11abi(TRUE|FALSE))?", re.IGNORECASE)


def normal_name(name: str) -> str:
    """A package's name as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def cuda_of(digits: str) -> str:
    """`118` as `11.8`, `92` as `9.2`, `130` as `13.0`: wheels name CUDA so."""
    return f"{digits[:-1]}.{digits[-1]}"


def put_package(draft: Draft, name: str, version: str, origin: str = "") -> None:
    """A package with what the local part of its version tells."""
    name = normal_name(name)
    draft.put(f"package.{name}.version", version, _SOURCE)
    if origin:
        draft.put(f"package.{name}.origin", "conda" if origin == "conda" else "pip", _SOURCE)
    built = _BUILT.search(version)
    if built is not None:
        draft.put(f"package.{name}.cuda_build", cuda_of(built[1]), _SOURCE)
        if built[2]:
            draft.put(f"package.{name}.torch_build", built[2], _SOURCE)
        if built[3]:
            draft.put(f"package.{name}.cxx11_abi", built[3].upper() == "TRUE", _SOURCE)


def read_package_line(draft: Draft, line: str, *, listed: bool) -> bool:
    """Take a line of a list of packages.

    Args:
        draft: takes the package.
        line: the line.
        listed: whether it stands under a heading that announces packages; elsewhere only known names count.
    """
    text = line.strip().lstrip("*-").strip()[:400]
    tagged = _TAGGED.match(text)
    origin = tagged[1] if tagged is not None else ""
    text = tagged[2].strip() if tagged is not None else text
    if read_wheels(draft, text):
        return True
    match = _FREEZE.fullmatch(text)
    if match is not None and (listed or tagged or "==" in text or normal_name(match[1]) in KNOWN):
        put_package(draft, match[1], match[2], origin or match[4] or "")
        return True
    match = _TABLE.fullmatch(text)
    build = match[3] if match is not None and match[3] else ""
    if match is not None and (listed or tagged is not None or _is_conda_torch(match[1], build)):
        put_package(draft, match[1], match[2], origin or (build if build in ("pip", "conda") else ""))
        if _is_conda_torch(match[1], build):
            read_torch_build(draft, build)
        return True
    return tagged is not None


def _is_conda_torch(name: str, build: str) -> bool:
    """Whether a line is conda's of torch, whose build string names CUDA or says that there is none."""
    return normal_name(name) in ("pytorch", "libtorch") and re.match(r"(?:py\d|cpu_|cuda)", build) is not None


def read_torch_build(draft: Draft, build: str) -> None:
    """Take conda's build of torch: `py3.8_cpu_0`, `py3.8_cuda11.1_cudnn8_0`, `cpu_mkl_py310h1_0`, `cuda118py310h1`."""
    source = f"{_SOURCE}: conda's build of torch"
    if re.search(r"(?:^|_)cpu(?:_|$)", build):
        draft.put("torch.cuda_build", None, source)
    elif told := re.search(r"_cuda(\d{1,2}\.\d)", build):
        draft.put("torch.cuda_build", told[1], source)
    elif told := re.search(r"^cuda(\d{2,3})", build):
        draft.put("torch.cuda_build", cuda_of(told[1]), source)


def read_wheels(draft: Draft, text: str) -> bool:
    """Take the names of wheels in a text: `flash_attn-2.5.5+cu118torch2.2cxx11abiTRUE-cp38`."""
    found = False
    for match in _WHEEL.finditer(text[:2000]):
        put_package(draft, match[1] or match[3], match[2] or match[4], "pip")
        found = True
    return found


def read_torch_version(draft: Draft, text: str) -> None:
    """Take what follows "PyTorch version:": the version, its local part, a conda build, an index, `(True)`."""
    match = re.match(r"v?(\d+\.\d+[\w.]*(?:\+[\w.]+)?)", text)
    if match is None:
        return
    version, rest = match[1].rstrip("."), text[match.end() :]
    draft.put("torch.version", version, _SOURCE)
    for pattern, convert in ((r"\+cu(\d{2,3})\b", cuda_of), (r"\bcu(\d{2,3})\b", cuda_of), (r"_cuda([\d.]+\d)", str)):
        build = re.search(pattern, text)
        if build is not None:
            draft.put("torch.cuda_build", convert(build[1]), f"{_SOURCE}: torch version")
    if re.search(r"\+cpu\b|_cpu_|\bcpu build\b|\(cpu\)|\bindex cpu\b", text):
        draft.put("torch.cuda_build", None, f"{_SOURCE}: torch version")
    rocm = re.search(r"\+rocm([\d.]+\d)", text)
    if rocm is not None:
        draft.put("torch.rocm_build", rocm[1], f"{_SOURCE}: torch version")
    cudnn = re.search(r"_cudnn([\d.]+\d)", text)
    if cudnn is not None:
        draft.put("torch.cudnn_version", cudnn[1], f"{_SOURCE}: torch version")
    usable = re.search(r"\((True|False)\)", rest)
    if usable is not None:
        draft.put("torch.cuda_available", usable[1] == "True", _SOURCE)
    elif re.search(r"\(CUDA\)", rest):
        draft.put("torch.cuda_available", True, _SOURCE)


def complete_torch(draft: Draft) -> None:
    """Where only a list of packages names torch, take its version from there."""
    for name in ("torch", "pytorch"):
        listed = draft.get(f"package.{name}.version")
        if isinstance(listed, str) and isinstance(draft.get("torch.version"), Unavailable):
            read_torch_version(draft, listed)
