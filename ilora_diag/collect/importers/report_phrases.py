"""Facts inside sentences: what people add to a report in words of their own.

Each phrase is narrow: it names its subject and its value. A sentence that fits none stays a note.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ilora_diag.collect.importers import values
from ilora_diag.collect.importers.draft import Draft
from ilora_diag.collect.importers.report_packages import read_torch_build, read_wheels
from ilora_diag.schema import Unavailable

_SOURCE = "report"
_DRIVER = r"(\d{3}(?:\.\d{1,4}){0,2})"
Take = Callable[[Draft, re.Match[str]], None]


def _to(path: str) -> Take:
    return lambda draft, match: draft.put(path, match[1].rstrip("."), _SOURCE)


def _as(path: str, value: str | int | bool | None) -> Take:
    return lambda draft, _match: draft.put(path, value, _SOURCE)


def _bytes(path: str) -> Take:
    def take(draft: Draft, match: re.Match[str]) -> None:
        unit = {"k": "KiB", "m": "MiB", "g": "GiB", "t": "TiB"}[match[2][0].lower()]
        draft.put(path, values.size(f"{match[1]} {unit}"), _SOURCE)

    return take


def _library(draft: Draft, match: re.Match[str]) -> None:
    name, file = match[1], match[2].rstrip(".,;)")
    draft.put(f"library.{name}.path", file, _SOURCE)
    for prefix, path in (("libcuda.so", "driver.libcuda_path"), ("libnvidia-ml.so", "driver.libnvml_path")):
        if name.startswith(prefix):
            draft.put(path, file, _SOURCE)


def _xid(draft: Draft, match: re.Match[str]) -> None:
    before = draft.get("kernel_log.xid")
    numbers = tuple(one for one in before if isinstance(one, int)) if isinstance(before, tuple) else ()
    draft.put("kernel_log.xid", (*numbers, int(match[1])), _SOURCE)


def _capability(draft: Draft, match: re.Match[str]) -> None:
    """The card of torch's warning, by name among those known; the first one where none has a name."""
    digits = match[2].rstrip("af")
    path = _device_named(draft, (match[1] or "").strip())
    if path and len(digits) >= 2:
        draft.put(f"{path}.compute_capability", f"{digits[:-1]}.{digits[-1]}", f"{_SOURCE}: torch's warning")


def _device_named(draft: Draft, name: str) -> str:
    paths = [path.removesuffix(".name") for path in draft.paths() if re.fullmatch(r"gpu\[\d+\]\.name", path)]
    for path in paths:
        known = draft.get(f"{path}.name")
        if isinstance(known, str) and name.lower().endswith(known.lower().removeprefix("nvidia ")):
            return path
    if not paths:
        if name:
            draft.put("gpu[0].name", name, f"{_SOURCE}: torch's warning")
        return "gpu[0]"
    return paths[0] if len(paths) == 1 else ""


def _archs(draft: Draft, match: re.Match[str]) -> None:
    archs = tuple(re.findall(r"(?:sm|compute)_\d{2,3}[af]?", match[1]))
    if len(archs) > 1 or draft.get("torch.archs") == () or isinstance(draft.get("torch.archs"), Unavailable):
        draft.put("torch.archs", archs, f"{_SOURCE}: torch's warning")


def _conda_torch(draft: Draft, match: re.Match[str]) -> None:
    """`pytorch=1.9.0=py3.8_cpu_0`, as conda writes a package with its build."""
    draft.put("torch.version", match[1], f"{_SOURCE}: conda's name")
    read_torch_build(draft, match[2])


def _every_gpu(name: str, value: str) -> Take:
    def take(draft: Draft, _match: re.Match[str]) -> None:
        gpus = [path for path in draft.paths() if re.fullmatch(r"gpu\[\d+\]\.name", path)] or ["gpu[0].name"]
        for path in gpus:
            draft.put(f"{path.removesuffix('.name')}.{name}", value, _SOURCE)

    return take


# What only a person would state.
_STATED: tuple[tuple[str, Take], ...] = (
    (rf"\bkernel[ -]?module(?: version)?(?: is)?:? {_DRIVER}", _to("driver.kmod")),
    (rf"\b(?:user-?space|client|user-?mode)(?: driver| libraries)?(?: is)?:? {_DRIVER}", _to("driver.userspace")),
    (rf"\bNVML(?: library)?(?: version)?:? {_DRIVER}", _to("driver.libnvml")),
    (rf"\blibcuda(?:\.so)?(?:\.1)?(?: is| version| resolves to)?:? {_DRIVER}\b", _to("driver.libcuda")),
    (rf"\blibcuda\.so\.{_DRIVER}", _to("driver.libcuda")),
    (rf"\blibnvidia-ml\.so\.{_DRIVER}", _to("driver.libnvml")),
    (rf"\b(?:nvidia-)?fabric-?\s?manager(?: version)?(?: is)?:? v?{_DRIVER}", _to("fabric_manager.version")),
    (
        r"\bfabric-?\s?manager(?: service)?(?: is| was)? (?:not installed|missing)",
        _as("fabric_manager.version", None),
    ),
    (
        r"\bfabric-?\s?manager(?: service)?(?: is| was)? (?:not running|inactive|stopped|not started|dead)",
        _as("fabric_manager.state", "inactive"),
    ),
    (r"\bfabric-?\s?manager(?: service)?(?: is| has| was)? failed", _as("fabric_manager.state", "failed")),
    (r"\bfabric-?\s?manager(?: service)?(?: is| was)? (?:running|active)", _as("fabric_manager.state", "active")),
    (r"\bnvcc(?: --version| version)?(?: is| reports| says)?:? v?(\d{1,2}\.\d(?:\.\d+)?)", _to("toolkit.cuda_version")),
    (r"\brelease \d{1,2}\.\d, V(\d{1,2}\.\d\.\d+)", _to("toolkit.cuda_version")),
    (
        r"\b(?:docker |container )?image(?: with| of| is)?:?(?: nvidia/)?[ -]?cuda[: ]v?(\d{1,2}\.\d(?:\.\d+)?)",
        _to("container.cuda_version"),
    ),
    (r"\bnvidia/cuda:(\d{1,2}\.\d(?:\.\d+)?)", _to("container.cuda_version")),
    (
        r"\b(?:nvidia-)?container[- ]toolkit(?: version)?:? v?(\d+\.\d+(?:\.\d+)?)",
        _to("container.toolkit_version"),
    ),
    (r"\b(lib[\w+-]{2,40}\.so[\w.]{0,20}) (?:=>|->|resolves to|from|is) (/[^\s,;]{2,300})", _library),
    (rf"\bdriver(?: version)?(?: is)?:? v?{_DRIVER}", _to("driver.version")),
    (r"\bPython (\d\.\d{1,2}(?:\.\d+)?)\b", _to("python.version")),
    (r"\bkernel(?: version)? (\d\.\d{1,3}(?:\.\d{1,3})?[\w.-]*)", _to("os.kernel")),
    (r"\bMIG(?: mode)?(?: is)?:? (?:on|enabled)\b|\bMIG instances?\b", _every_gpu("mig_mode", "enabled")),
    (r"\bMIG(?: mode)?(?: is)?:? (?:off|disabled)\b", _every_gpu("mig_mode", "disabled")),
    (r"\bexclusive[_ -]process\b", _every_gpu("compute_mode", "exclusive_process")),
    (r"\bvGPU guest\b|\bvirtualization mode:? vGPU\b", _every_gpu("virtualization_mode", "vgpu")),
    (r"\b(?:GPU )?pass-?through\b", _every_gpu("virtualization_mode", "passthrough")),
    (r"\bWSL ?2?\b", _as("os.wsl", True)),
    (r"\bJetson\b|\bTegra\b", _as("os.tegra", True)),
    (r"\bgVisor\b|\brunsc\b", _as("os.gvisor", True)),
    (r"/dev/shm(?: (?:is|of|has|size))*:?\s*(\d{1,6}(?:\.\d{1,3})?) ?([KMG])i?B?\b", _bytes("shm.total_bytes")),
    (r"--shm-size[= ](\d{1,6}) ?([KMG])", _bytes("shm.total_bytes")),
    (
        r"\b(?:memory limit|memory\.max|cgroup limit)(?: is| of)?:?\s*(\d{1,6}) ?([KMGT])i?B?\b",
        _bytes("cgroup.memory_max_bytes"),
    ),
)
# What programs print; true of their messages too.
_PRINTED: tuple[tuple[str, Take], ...] = (
    (r"\bXid:? (\d{1,3})\b", _xid),
    (
        r"(?:(NVIDIA [\w .-]{2,60}|(?:GeForce|Tesla|Quadro|TITAN|RTX)[\w .-]{0,60}) )?with CUDA capability "
        r"sm_(\d{2,3}[af]?) is not compatible",
        _capability,
    ),
    (
        r"\b(?:install(?:ation)?|torch|build|wheel)s? supports(?: CUDA capabilities)?"
        r"((?:[ ,]+(?:sm|compute)_\d{2,3}[af]?)+)",
        _archs,
    ),
    (
        r"\bcuda\.is_available\(?\)?\W{0,3}(?:(?:is|returns?|returned|gives|says|==?|->)\W{0,3})?(True|False)\b",
        lambda draft, match: draft.put("torch.cuda_available", match[1].lower() == "true", _SOURCE),
    ),
    (r"\bpytorch=(\d[\w.]{0,20})=((?:py\d|cpu_|cuda)[\w.]{1,60})", _conda_torch),
    (r"\bget_arch_list\(\)[^\[]{0,20}\[([^\]]{4,400})\]", _archs),
)


def _compiled(phrases: tuple[tuple[str, Take], ...]) -> tuple[tuple[re.Pattern[str], Take], ...]:
    return tuple((re.compile(pattern, re.IGNORECASE), take) for pattern, take in phrases)


_IN_MESSAGES = _compiled(_PRINTED)
_IN_SENTENCES = (*_compiled(_STATED), *_IN_MESSAGES)


def read_phrases(draft: Draft, text: str, *, message: bool = False) -> bool:
    """Take every fact that a sentence states; False where it states none.

    Args:
        draft: takes the facts.
        text: the sentence.
        message: it was printed by a program; what only a person would state is not looked for.
    """
    text = text[:4000]
    found = read_wheels(draft, text)
    for pattern, take in _IN_MESSAGES if message else _IN_SENTENCES:
        for match in pattern.finditer(text):
            take(draft, match)
            found = True
    return found
